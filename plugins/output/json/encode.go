package json

import (
	"encoding/binary"
	"slices"
	"strconv"
	"strings"
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
	rivalries  []rivalry
	head, tail []byte // of a record, before and behind the time
	sec, usec  event.Slot
}

// member is a key as it is written. It is small, since an event passes through
// some eighty of them.
type member struct {
	name   [nameRoom]byte // with what stands before and behind it
	length uint8          // of name
	action bool           // raw.label in words
	slot   event.Slot
	rivals int8 // index of its rivalry, or -1
}

// nameRoom is what a name may take. All are copied in this size, which takes
// fewer instructions than to copy as much as there is. No key has a longer name:
// ulogd's have 31 characters at most.
const nameRoom = 40

// rivalry are the keys that share a name in JSON, such as tcp.sport and
// udp.sport: the last that has a value is written, at the place of the first
// that has one.
type rivalry []event.Slot

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
	// Where ulogd leaves out a name that is not UTF-8, its bad bytes are replaced.
	x.tail, _ = appendString(x.tail, []byte(strings.ToValidUTF8(x.Device, "\ufffd")))

	x.members, x.rivalries = nil, nil
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
	m := member{slot: k.Slot, rivals: -1}
	name := k.JSON
	if name == "" {
		name = k.Name
	}
	if k.Name == "raw.label" && x.BooleanLabel {
		name, m.action = "action", true
	}
	text, _ := appendString([]byte(", "), []byte(name))
	m.length = uint8(copy(m.name[:], append(text, ": "...)))
	for i := range x.members {
		if x.members[i].name == m.name {
			m.rivals = x.rival(&x.members[i], m.slot)
		}
	}
	x.members = append(x.members, m)
}

// rival adds a slot to the rivalry of an earlier member of the same name.
func (x *encoder) rival(earlier *member, s event.Slot) int8 {
	if earlier.rivals < 0 {
		earlier.rivals = int8(len(x.rivalries))
		x.rivalries = append(x.rivalries, rivalry{earlier.slot})
	}
	r := &x.rivalries[earlier.rivals]
	if !slices.Contains(*r, s) {
		*r = append(*r, s)
	}
	return earlier.rivals
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
			if m := &x.members[i]; e.Has(m.slot) {
				dst = x.append(dst, rows.Batch, e, m)
			}
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

// append appends a key that has a value.
func (x *encoder) append(dst []byte, b *event.Batch, e event.Event, m *member) []byte {
	v := e[m.slot]
	if m.rivals >= 0 {
		first, last := x.rivalries[m.rivals].ends(e)
		if first != m.slot {
			return dst
		}
		v = e[last]
	}
	n := len(dst)
	if n+nameRoom > cap(dst) {
		dst = slices.Grow(dst, nameRoom)
	}
	*(*[nameRoom]byte)(dst[n : n+nameRoom]) = m.name
	named := dst[:n+int(m.length)]
	if m.action {
		return appendAction(named, v.V)
	}
	switch v.K {
	case event.Bool, event.U8, event.U16, event.U32, event.U64:
		return event.AppendUint(named, v.V)
	case event.I8, event.I16, event.I32, event.I64:
		return strconv.AppendInt(named, int64(v.V), 10)
	case event.String:
		if with, ok := appendString(named, b.Bytes(v)); ok {
			return with
		}
	}
	return dst
}

// ends are the first and the last of the rivals that have a value.
func (r rivalry) ends(e event.Event) (first, last event.Slot) {
	for _, s := range r {
		if !e.Has(s) {
			continue
		}
		if first == event.Absent {
			first = s
		}
		last = s
	}
	return first, last
}

func appendAction(dst []byte, label uint64) []byte {
	if label != 0 {
		return append(dst, `"allowed"`...)
	}
	return append(dst, `"blocked"`...)
}

// appendString appends s as a JSON string (RFC 8259, section 7), escaping as
// ulogd's library does. It reports false if s is not valid UTF-8.
func appendString(dst, s []byte) (_ []byte, ok bool) {
	dst = append(dst, '"')
	i := plainPrefix(s)
	dst = append(dst, s[:i]...)
	if i < len(s) {
		return appendEscaped(dst, s[i:])
	}
	return append(dst, '"'), true
}

// plainPrefix is the number of bytes at the front of s, rounded down to eight
// but at the end of s, that stand in a JSON string as they are.
func plainPrefix(s []byte) int {
	i := 0
	for ; i+8 <= len(s); i += 8 {
		if special(binary.LittleEndian.Uint64(s[i:])) {
			return i
		}
	}
	for ; i < len(s); i++ {
		if !plain(s[i]) {
			return i
		}
	}
	return i
}

// plain tells whether c stands in a JSON string as it is.
func plain(c byte) bool { return c >= 0x20 && c < 0x80 && c != '"' && c != '\\' }

// special tells whether one of eight bytes is not plain. A byte that underflows
// when something is taken from it, and did not have its top bit set, was
// smaller; equality is a difference smaller than one.
func special(v uint64) bool {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	quote, slash := v^(ones*'"'), v^(ones*'\\')
	return (v|(v-ones*0x20)&^v|(quote-ones)&^quote|(slash-ones)&^slash)&tops != 0
}

// appendEscaped appends the rest of a string from the first byte on that is not plain.
func appendEscaped(dst, s []byte) (_ []byte, ok bool) {
	if !utf8.Valid(s) {
		return dst, false
	}
	for _, c := range s {
		switch {
		case plain(c) || c >= 0x80:
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
