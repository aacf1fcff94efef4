package event

import (
	"net/netip"
	"testing"
)

func TestBatchGrows(t *testing.T) {
	const slots, rows = 3, 1000
	b := NewBatch(Layout{Width: int(firstSlot) + slots, Source: int(firstSlot) + slots})
	for round := range 3 {
		for i := range rows {
			e := b.Add()
			if e.Has(firstSlot + 1) {
				t.Fatalf("round %d: a new event holds a value of an old one", round)
			}
			e.Set(firstSlot, U32, uint64(i))
			off := len(b.Buf)
			b.Buf = append(b.Buf, byte(i), byte(i>>8))
			b.Store(e, firstSlot+1, Raw, off)
		}
		b.Add()
		b.Drop()
		if b.Len() != rows {
			t.Fatalf("%d events, want %d", b.Len(), rows)
		}
		for i := range rows {
			e := b.At(i)
			if got := b.Bytes(e[firstSlot+1]); e.Uint(firstSlot) != uint64(i) || len(got) != 2 || got[0] != byte(i) || got[1] != byte(i>>8) {
				t.Fatalf("event %d holds %d and %v", i, e.Uint(firstSlot), got)
			}
		}
		b.Reset()
	}
	if b.Len() != 0 || len(b.Buf) != 0 {
		t.Errorf("after Reset %d events, %d bytes", b.Len(), len(b.Buf))
	}
}

// TestBytesIsClipped shows that an append to what Bytes lends can't reach the
// value behind it.
func TestBytesIsClipped(t *testing.T) {
	b := NewBatch(Layout{})
	b.Buf = append(b.Buf, "abcd"...)
	_ = append(b.Bytes(Value{Ref(0, 2), String}), 'X')
	if string(b.Buf) != "abcd" {
		t.Errorf("the buffer became %q", b.Buf)
	}
}

func TestRowsKeep(t *testing.T) {
	b := NewBatch(Layout{Width: int(firstSlot) + 2, Source: int(firstSlot) + 1})
	for i := range 10 {
		b.Add().Set(firstSlot, U8, uint64(i))
	}
	left := func(r *Rows) (list []uint64) {
		for e := range r.All() {
			list = append(list, e.Uint(firstSlot))
		}
		return list
	}
	for range 2 { // the second stack sees all again
		rows := b.Rows()
		if n := rows.Keep(func(e Event) bool { return e.Uint(firstSlot)%3 == 0 }); n != 6 {
			t.Errorf("%d dropped, want 6", n)
		}
		if n := rows.Keep(func(e Event) bool { return e.Uint(firstSlot) != 3 }); n != 1 {
			t.Errorf("%d dropped, want 1", n)
		}
		got := left(rows)
		if len(got) != 3 || got[0] != 0 || got[1] != 6 || got[2] != 9 || rows.Len() != 3 {
			t.Errorf("left are %v, want 0 6 9", got)
		}
	}
	for e := range b.Rows().All() {
		if e.Uint(firstSlot) == 4 {
			break // All stops when it is told to
		}
	}
}

func TestAddr(t *testing.T) {
	b := NewBatch(Layout{})
	want := netip.MustParseAddr("2001:db8::1")
	b.Buf = append(b.Buf, want.AsSlice()...)
	if got := b.Addr(Value{Ref(0, 16), IP6}); got != want {
		t.Errorf("%v, want %v", got, want)
	}
	if got := b.Addr(Value{0xc0000201, IP4}); got != netip.MustParseAddr("192.0.2.1") {
		t.Errorf("%v, want 192.0.2.1", got)
	}
	if got := b.Addr(Value{1, U32}); got.IsValid() {
		t.Errorf("a number is the address %v", got)
	}
}

func TestKindNames(t *testing.T) {
	for k, want := range map[Kind]string{
		Bool: "boolean", U8: "unsigned int 8", U16: "unsigned int 16", U32: "unsigned int 32", U64: "unsigned int 64",
		I8: "int 8", I16: "int 16", I32: "int 32", I64: "int 64", Addr: "IP addr", IP6: "IP addr",
		String: "string", Raw: "raw data", Literal: "Unknown type", None: "Unknown type",
	} {
		if got := k.String(); got != want {
			t.Errorf("kind %d is %q, want %q", uint8(k), got, want)
		}
	}
}

func TestBatchDoesNotAllocate(t *testing.T) {
	b := NewBatch(Layout{Width: 20, Source: 10})
	run := func() {
		b.Reset()
		for range 200 {
			e := b.Add()
			off := len(b.Buf)
			b.Buf = append(b.Buf, "text"...)
			b.Store(e, firstSlot, String, off)
		}
		for range 2 {
			rows := b.Rows()
			rows.Keep(func(e Event) bool { return e.Has(firstSlot) })
			for e := range rows.All() {
				e.Set(12, U8, 1)
			}
		}
	}
	run()
	if n := testing.AllocsPerRun(100, run); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
