package event

import (
	"encoding/binary"
	"iter"
	"net/netip"
	"time"
)

// Batch is a reusable set of events and the bytes that they refer to. It is
// used by one goroutine at a time.
type Batch struct {
	// Buf holds the bytes that values refer to. Sources read into it and
	// filters append to it; offsets stay valid when it grows.
	Buf []byte
	// Now is the time at which the source received the batch. It stands in
	// for the time of an event that carries none.
	Now time.Time

	// Stream is the identity of the source's numbering of what it reads; zero
	// if it does not number. First is the number of the batch's first event, and
	// those behind it follow without a gap. Lost is how many numbers, from the
	// beginning of the stream on, belong to no event in this batch or before.
	// The source sets them for each batch.
	Stream      [16]byte
	First, Lost uint64

	values []Value
	width  int // values in a row
	shared int // values at the front of a row that belong to the source
	n      int // rows
	rows   Rows
}

// NewBatch makes an empty batch for events of the given shape.
func NewBatch(l Layout) *Batch {
	return &Batch{width: max(l.Width, int(firstSlot)), shared: max(l.Source, int(firstSlot))}
}

// Add appends an event that has no values yet. Only the source's own slots are
// cleared; those of the stacks are by Rows.
func (b *Batch) Add() Event {
	from := b.n * b.width
	end := from + b.width
	if end > len(b.values) {
		b.values = append(b.values, make([]Value, max(end, 2*len(b.values))-len(b.values))...)
	}
	b.n++
	e := Event(b.values[from:end:end])
	clear(e[:b.shared])
	return e
}

// Drop takes the last added event back.
func (b *Batch) Drop() { b.n-- }

// Len is the number of events.
func (b *Batch) Len() int { return b.n }

// At is event number i.
func (b *Batch) At(i int) Event {
	from := i * b.width
	return b.values[from : from+b.width : from+b.width]
}

// Reset empties the batch and keeps its memory.
func (b *Batch) Reset() { b.n, b.Buf = 0, b.Buf[:0] }

// Rows makes all events alive again with nothing but the source's keys, for the
// next stack to work on. The result is valid until the next call.
func (b *Batch) Rows() *Rows {
	b.rows.Batch = b
	b.rows.alive = b.rows.alive[:0]
	for i := range b.n {
		b.rows.alive = append(b.rows.alive, uint32(i))
		clear(b.At(i)[b.shared:])
	}
	return &b.rows
}

// Bytes is what v refers to. It is valid until the batch is reset, and must not
// be kept across an append to Buf.
func (b *Batch) Bytes(v Value) []byte {
	off, end := v.span()
	return b.Buf[off:end:end]
}

// Addr is the address in v, which is of kind IP4 or IP6; the zero Addr otherwise.
func (b *Batch) Addr(v Value) netip.Addr {
	switch v.K {
	case IP4:
		var a [4]byte
		binary.BigEndian.PutUint32(a[:], uint32(v.V))
		return netip.AddrFrom4(a)
	case IP6:
		return netip.AddrFrom16([16]byte(b.Bytes(v)))
	}
	return netip.Addr{}
}

// Store puts the bytes that were appended to Buf since it had length off into
// slot s of e as a value of kind k. A batch whose buffer would exceed what an
// offset can hold is never built: sources end batches long before.
func (b *Batch) Store(e Event, s Slot, k Kind, off int) {
	e[s] = Value{Ref(off, len(b.Buf)-off), k}
}

// Rows are the events of a batch that are still alive in one stack.
type Rows struct {
	*Batch
	alive []uint32
}

// Len is the number of events that are alive.
func (r *Rows) Len() int { return len(r.alive) }

// All walks the events that are alive, oldest first.
func (r *Rows) All() iter.Seq[Event] {
	return func(yield func(Event) bool) {
		for _, i := range r.alive {
			if !yield(r.At(int(i))) {
				return
			}
		}
	}
}

// Skip drops the events that are numbered below n, in this stack only.
func (r *Rows) Skip(n uint64) {
	i := 0
	for i < len(r.alive) && r.First+uint64(r.alive[i]) < n {
		i++
	}
	r.alive = r.alive[i:]
}

// Keep drops the events for which keep says no, in this stack only. The result
// is how many were dropped.
func (r *Rows) Keep(keep func(Event) bool) int {
	before, kept := len(r.alive), r.alive[:0]
	for _, i := range r.alive {
		if keep(r.At(int(i))) {
			kept = append(kept, i)
		}
	}
	r.alive = kept
	return before - len(kept)
}
