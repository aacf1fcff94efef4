package plugintest

import (
	"math"
	"net/netip"
	"slices"
	"testing"

	"github.com/ulogd-go/ulogd/pkg/event"
)

// Event is the values of an event by the names of their keys: bool, the sized
// integers, netip.Addr, string, []byte or Literal. In a test's own events an int
// stands for a number of the key's kind; results never hold one.
type Event = map[string]any

// Literal is text of kind event.Literal.
type Literal string

// kindOf is the kind of value that v stands for; None if none.
func kindOf(v any) event.Kind {
	switch v := v.(type) {
	case bool:
		return event.Bool
	case uint8:
		return event.U8
	case uint16:
		return event.U16
	case uint32:
		return event.U32
	case uint64:
		return event.U64
	case int8:
		return event.I8
	case int16:
		return event.I16
	case int32:
		return event.I32
	case int64:
		return event.I64
	case netip.Addr:
		if v.Is4() {
			return event.IP4
		}
		return event.IP6
	case string:
		return event.String
	case []byte:
		return event.Raw
	case Literal:
		return event.Literal
	}
	return event.None
}

// add appends an event to batch.
func (s *source) add(t testing.TB, batch *event.Batch, e Event) {
	t.Helper()
	row := batch.Add()
	left := len(e)
	for i, k := range s.keys {
		if v, ok := e[k.Name]; ok {
			set(t, batch, row, s.slots[i], k, v)
			left--
		}
	}
	if left > 0 {
		t.Fatalf("the event %v has keys that the source does not have", e)
	}
}

func set(t testing.TB, batch *event.Batch, row event.Event, s event.Slot, k event.Key, v any) {
	t.Helper()
	kind := kindOf(v)
	if n, ok := v.(int); ok {
		row.Set(s, k.Kind, uint64(n))
		return
	}
	if n, ok := number(v); ok {
		row.Set(s, kind, n)
		return
	}
	off := len(batch.Buf)
	switch v := v.(type) {
	case netip.Addr:
		if v.Is4() {
			a := v.As4()
			row.Set(s, event.IP4, uint64(a[0])<<24|uint64(a[1])<<16|uint64(a[2])<<8|uint64(a[3]))
			return
		}
		a := v.As16()
		batch.Buf = append(batch.Buf, a[:]...)
	case string:
		batch.Buf = append(batch.Buf, v...)
	case []byte:
		batch.Buf = append(batch.Buf, v...)
	case Literal:
		batch.Buf = append(batch.Buf, v...)
	default:
		t.Fatalf("%s: a value can't be a %T", k.Name, v)
	}
	batch.Store(row, s, kind, off)
}

func number(v any) (n uint64, ok bool) {
	switch v := v.(type) {
	case bool:
		if v {
			return 1, true
		}
		return 0, true
	case uint8:
		return uint64(v), true
	case uint16:
		return uint64(v), true
	case uint32:
		return uint64(v), true
	case uint64:
		return v, true
	case int8:
		return uint64(v), true
	case int16:
		return uint64(v), true
	case int32:
		return uint64(v), true
	case int64:
		return uint64(v), true
	}
	return 0, false
}

// literal is an event as a map of what it holds. What the plugin has published must be
// what its keys promise; the test's own values, in the slots of given, may be anything.
func literal(t testing.TB, b *event.Batch, keys []event.Bound, given []event.Slot, row event.Event) Event {
	t.Helper()
	e := Event{}
	for _, k := range keys {
		if !row.Has(k.Slot) {
			continue
		}
		v := row[k.Slot]
		if !slices.Contains(given, k.Slot) && !keeps(k.Kind, v) {
			t.Errorf("%s is %#x of kind %v (%d), and its key is of kind %v (%d)", k.Name, v.V, v.K, v.K, k.Kind, k.Kind)
		}
		e[k.Name] = value(b, v)
	}
	return e
}

// keeps tells whether v is of a key's kind, and not larger than that holds.
func keeps(kind event.Kind, v event.Value) bool {
	if kind == event.Addr && v.K == event.IP6 {
		return true
	}
	most := uint64(math.MaxUint64)
	switch kind {
	case event.Bool, event.U8:
		most = math.MaxUint8 // ulogd's booleans have 8 bits, and tcp.res1 uses them
	case event.U16:
		most = math.MaxUint16
	case event.U32, event.IP4:
		most = math.MaxUint32
	}
	return v.K == kind && v.V <= most
}

func value(b *event.Batch, v event.Value) any {
	switch v.K {
	case event.Bool:
		if v.V > 1 {
			return uint8(v.V) // tcp.res1 and tcp.res2
		}
		return v.V == 1
	case event.U8:
		return uint8(v.V)
	case event.U16:
		return uint16(v.V)
	case event.U32:
		return uint32(v.V)
	case event.U64:
		return v.V
	case event.I8:
		return int8(v.V)
	case event.I16:
		return int16(v.V)
	case event.I32:
		return int32(v.V)
	case event.I64:
		return int64(v.V)
	case event.IP4, event.IP6:
		return b.Addr(v)
	case event.String:
		return string(b.Bytes(v))
	case event.Literal:
		return Literal(b.Bytes(v))
	}
	return append([]byte{}, b.Bytes(v)...)
}
