package json

import (
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/ulogd-go/ulogd/pkg/event"
	"github.com/ulogd-go/ulogd/pkg/queue"
	"github.com/ulogd-go/ulogd/pkg/stamp"
)

// encoder writes events as ulogd does: see reference page "ulogd2-outputs",
// section 12.
type encoder struct {
	options
	now   func() time.Time
	clock *stamp.Clock

	bound      []event.Bound
	members    []member
	head, tail []byte // of a record, before and behind the time
	sec, usec  event.Slot
}

// member is a key as it is written.
type member struct {
	name   []byte // with what stands before and behind it
	slot   event.Slot
	action bool // raw.label in words
	// rivals are later keys of the same name in JSON, such as udp.sport for
	// tcp.sport: the last that has a value is written at the place of the first.
	rivals []event.Slot
	// before are the slots of which this one is a rival.
	before []event.Slot
}

// Bind asks for every key that has a place in JSON.
func (x *encoder) Bind(b *event.Binder) {
	b.All(&x.bound, func(k event.Key) bool { return printable(k.Kind) && (x.Extra || !k.Extra) })
	b.After(x.prepare)
}

func printable(k event.Kind) bool {
	switch k {
	case event.None, event.Addr, event.IP6, event.Raw, event.Literal:
		return false
	}
	return true
}

// prepare renders what is the same for all events.
func (x *encoder) prepare() {
	x.head, x.tail = []byte{'{'}, nil
	if x.EventV1 {
		x.head = append(x.head, `"@version": 1, `...)
	}
	if x.Timestamp {
		name := `"timestamp": "`
		if x.EventV1 {
			name = `"@timestamp": "`
		}
		x.head = append(x.head, name...)
		x.tail = append(x.tail, `", `...)
	}
	x.tail = append(x.tail, `"dvc": `...)
	x.tail, _ = appendString(x.tail, []byte(x.Device))

	x.members = nil
	taken := make(map[string]bool)
	for _, k := range x.bound {
		if taken[k.Name] {
			continue
		}
		taken[k.Name] = true
		x.add(k)
	}
}

func (x *encoder) add(k event.Bound) {
	switch k.Name {
	case "oob.time.sec":
		x.sec = k.Slot
	case "oob.time.usec":
		x.usec = k.Slot
	}
	m := member{slot: k.Slot}
	name := k.JSON
	if name == "" {
		name = k.Name
	}
	if k.Name == "raw.label" && x.BooleanLabel {
		name, m.action = "action", true
	}
	m.name, _ = appendString([]byte(", "), []byte(name))
	m.name = append(m.name, ": "...)
	for i := range x.members {
		if slices.Equal(x.members[i].name, m.name) {
			x.members[i].rivals = append(x.members[i].rivals, m.slot)
			m.before = append(m.before, x.members[i].slot)
		}
	}
	x.members = append(x.members, m)
}

// Encode writes a line for each event.
func (x *encoder) Encode(blk *queue.Block, rows *event.Rows) {
	dst := blk.Data
	for e := range rows.All() {
		dst = append(dst, x.head...)
		if x.Timestamp {
			dst = x.time(dst, e)
		}
		dst = append(dst, x.tail...)
		for i := range x.members {
			dst = x.members[i].append(dst, rows.Batch, e)
		}
		dst = append(dst, "}\n"...)
		blk.Data = dst
		blk.End()
	}
}

// time appends the event's time, or the wall clock's without a fraction.
func (x *encoder) time(dst []byte, e event.Event) []byte {
	if !e.Has(x.sec) {
		return x.clock.AppendISO(dst, x.now().Unix(), -1)
	}
	usec := int32(-1)
	if e.Has(x.usec) {
		usec = int32(e.Uint(x.usec))
	}
	return x.clock.AppendISO(dst, int64(e.Uint(x.sec)), usec)
}

func (m *member) append(dst []byte, b *event.Batch, e event.Event) []byte {
	v := e[m.slot]
	if v.K == event.None {
		return dst
	}
	if m.before != nil || m.rivals != nil {
		if m.written(e) {
			return dst
		}
		v = m.last(e)
	}
	if m.action {
		return appendAction(append(dst, m.name...), v.V)
	}
	switch v.K {
	case event.Bool, event.U8, event.U16, event.U32, event.U64:
		return strconv.AppendUint(append(dst, m.name...), v.V, 10)
	case event.I8, event.I16, event.I32, event.I64:
		return strconv.AppendInt(append(dst, m.name...), int64(v.V), 10)
	case event.String:
		if with, ok := appendString(append(dst, m.name...), b.Bytes(v)); ok {
			return with
		}
	}
	return dst
}

// written tells whether the name was written at the place of an earlier key.
func (m *member) written(e event.Event) bool {
	for _, s := range m.before {
		if e.Has(s) {
			return true
		}
	}
	return false
}

// last is the value of the last key of the name that has one.
func (m *member) last(e event.Event) event.Value {
	for _, s := range slices.Backward(m.rivals) {
		if e.Has(s) {
			return e[s]
		}
	}
	return e[m.slot]
}

func appendAction(dst []byte, label uint64) []byte {
	if label != 0 {
		return append(dst, `"allowed"`...)
	}
	return append(dst, `"blocked"`...)
}

// plain are the bytes that stand in a JSON string as they are.
var plain = func() (t [256]bool) {
	for c := 0x20; c <= 0x7f; c++ {
		t[c] = c != '"' && c != '\\'
	}
	return t
}()

// appendString appends s as a JSON string (RFC 8259, section 7), escaping as
// ulogd's library does. It reports false if s is not valid UTF-8.
func appendString(dst, s []byte) (_ []byte, ok bool) {
	dst = append(dst, '"')
	for i, c := range s {
		if !plain[c] {
			return appendEscaped(append(dst, s[:i]...), s[i:])
		}
	}
	dst = append(dst, s...)
	return append(dst, '"'), true
}

// appendEscaped appends the rest of a string from the first byte on that is not plain.
func appendEscaped(dst, s []byte) (_ []byte, ok bool) {
	if !utf8.Valid(s) {
		return dst, false
	}
	for _, c := range s {
		switch {
		case plain[c] || c >= 0x80:
			dst = append(dst, c)
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		default:
			dst = appendControl(dst, c)
		}
	}
	return append(dst, '"'), true
}

// short are the control characters with an escape of one letter, and the letters.
var short = [0x20]byte{'\b': 'b', '\t': 't', '\n': 'n', '\f': 'f', '\r': 'r'}

func appendControl(dst []byte, c byte) []byte {
	if c < 0x20 && short[c] != 0 {
		return append(dst, '\\', short[c])
	}
	const hex = "0123456789ABCDEF"
	return append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
}
