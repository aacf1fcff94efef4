package row

import (
	"encoding/hex"
	"maps"
	"slices"
	"strings"

	"github.com/ulogd-go/ulogd/pkg/event"
	"github.com/ulogd-go/ulogd/pkg/queue"
)

// Encoder makes a row of each event, with a value for each column that has a key.
// Its methods are for the pipeline's goroutine.
type Encoder struct {
	// Constants are values of keys that no plugin publishes, such as
	// "local.hostname".
	Constants map[string]string
	// FoldCase makes the key of a column that of its name in lower case.
	FoldCase bool

	fields  []field
	without []string
}

// field is a column and the place of its values in an event.
type field struct {
	column, key string
	slot, plain event.Slot // of the key, and of the key of the same address as it is
	constant    []byte     // encoded, if no plugin publishes the key
}

// Bind declares the keys of columns as optional. When the slots are known, the
// columns without a key are left out, and done is called.
func (e *Encoder) Bind(b *event.Binder, columns []string, done func()) {
	declared := make([]field, len(columns))
	for i, name := range columns {
		f := &declared[i]
		f.column, f.key = name, e.Key(name)
		b.Optional(&f.slot, f.key, event.None)
		if plain, ok := cutForm(f.key); ok {
			b.Optional(&f.plain, plain, event.None)
		}
	}
	b.After(func() {
		e.keep(declared)
		done()
	})
}

// BindAll makes a column of each key that is published, for a table that can't be
// looked at yet. An address has columns for each of its forms. Left out is what is as
// long as a packet.
func (e *Encoder) BindAll(b *event.Binder, done func()) {
	var keys []event.Bound
	b.All(&keys, func(k event.Key) bool { return k.Kind != event.Raw || k.Name == "raw.mac" })
	b.After(func() {
		e.keep(e.columnsOf(keys))
		done()
	})
}

// columnsOf are the columns that could take the values of keys, and the constants.
func (e *Encoder) columnsOf(keys []event.Bound) (all []field) {
	seen := map[string]bool{}
	add := func(key string, slot event.Slot) {
		if !seen[key] {
			seen[key] = true
			all = append(all, field{column: strings.ReplaceAll(key, ".", "_"), key: key, slot: slot})
		}
	}
	for _, k := range keys {
		add(k.Name, k.Slot)
	}
	for _, k := range keys {
		if k.Kind == event.Addr {
			add(k.Name+".str", k.Slot)
			add(k.Name+".bin", k.Slot)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(e.Constants)) {
		add(key, event.Absent)
	}
	return all
}

// Key is the name of the key that a column takes.
func (e *Encoder) Key(column string) string {
	if e.FoldCase {
		column = strings.ToLower(column)
	}
	return Key(column)
}

// cutForm is the key of the address of which key is the text or the bytes. With
// it a column does without the filter that makes these.
func cutForm(key string) (string, bool) {
	if plain, ok := strings.CutSuffix(key, ".str"); ok {
		return plain, true
	}
	return strings.CutSuffix(key, ".bin")
}

func (e *Encoder) keep(declared []field) {
	e.fields, e.without = nil, nil
	for _, f := range declared {
		if f.slot == event.Absent {
			f.slot = f.plain
		}
		if f.slot == event.Absent {
			if text, ok := e.Constants[f.key]; ok {
				f.constant = AppendBytes(nil, Text, []byte(text))
			}
		}
		if f.slot == event.Absent && f.constant == nil {
			e.without = append(e.without, f.column)
			continue
		}
		e.fields = append(e.fields, f)
	}
}

// Columns are those that have a key, in the order of the values.
func (e *Encoder) Columns() []string {
	names := make([]string, len(e.fields))
	for i, f := range e.fields {
		names[i] = f.column
	}
	return names
}

// Without are the columns that have no key.
func (e *Encoder) Without() []string { return e.without }

// separator stands between the columns of a layout.
const separator = "\x00"

// Layout says what the rows are made of. It is kept with them.
func (e *Encoder) Layout() string { return strings.Join(e.Columns(), separator) }

// Columns are those of which a layout says that the values are.
func Columns(layout string) []string {
	if layout == "" {
		return nil
	}
	return strings.Split(layout, separator)
}

// Encode appends a row for each event to blk.
func (e *Encoder) Encode(blk *queue.Block, rows *event.Rows) {
	for ev := range rows.All() {
		blk.Data = e.append(blk.Data, rows.Batch, ev)
		blk.End()
	}
}

func (e *Encoder) append(dst []byte, b *event.Batch, ev event.Event) []byte {
	nulls := 0
	for i := range e.fields {
		f := &e.fields[i]
		v := ev[f.slot]
		if v.K == event.None && f.constant == nil {
			nulls++
			continue
		}
		if nulls > 0 {
			dst = AppendNulls(dst, nulls)
			nulls = 0
		}
		if f.constant != nil {
			dst = append(dst, f.constant...)
			continue
		}
		dst = appendValue(dst, b, v)
	}
	return AppendNulls(dst, nulls)
}

func appendValue(dst []byte, b *event.Batch, v event.Value) []byte {
	switch v.K {
	case event.Bool:
		return AppendNum(dst, Bool, v.V)
	case event.I8, event.I16, event.I32, event.I64:
		return AppendNum(dst, Int, v.V)
	case event.IP4:
		return AppendNum(dst, IP4, uint64(uint32(v.V)))
	case event.IP6:
		return AppendBytes(dst, IP6, b.Bytes(v))
	case event.String:
		return AppendBytes(dst, Text, b.Bytes(v))
	case event.Raw:
		return AppendBytes(dst, Raw, b.Bytes(v))
	case event.Literal:
		return appendLiteral(dst, b.Bytes(v))
	}
	return AppendNum(dst, Uint, v.V)
}

// appendLiteral appends the 16 bytes of an address by IP2BIN, which come as 0x
// and hex digits.
func appendLiteral(dst, literal []byte) []byte {
	var addr [16]byte
	if len(literal) != 2+2*len(addr) {
		return AppendBytes(dst, Text, literal)
	}
	if _, err := hex.Decode(addr[:], literal[2:]); err != nil {
		return AppendBytes(dst, Text, literal)
	}
	return AppendBytes(dst, Bin, addr[:])
}
