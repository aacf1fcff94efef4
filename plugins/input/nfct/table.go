package nfct

import (
	"hash/maphash"

	"github.com/ulogd-go/ulogd/pkg/ctnetlink"
)

// table holds the connections that are followed. It grows with them up to a limit,
// in pieces that are never copied, and keeps what it has for those to come.
type table struct {
	limit   int
	seed    maphash.Seed // so that nobody can choose connections that share a chain
	buckets []uint32     // first entry of each chain, by number; their count is a power of two
	chunks  [][]entry
	used    int    // entries that were ever used
	free    uint32 // first of those that are free again
	n       int    // connections
}

// entry is a connection that is followed. Entries are numbered from 1 on.
type entry struct {
	ctnetlink.Flow        // Start is when it began, by the kernel or by our clock
	hash           uint32 // of its tuples
	next           uint32 // in the chain, or in the list of free entries
	seen           uint32 // number of the dump that saw it last; 0 if it is free
	announced      bool   // its beginning was reported
}

const chunkSize = 1024

// newTable makes an empty table with that many chains at least.
func newTable(buckets, limit int) *table {
	n := 1
	for n < buckets {
		n *= 2
	}
	return &table{limit: limit, seed: maphash.MakeSeed(), buckets: make([]uint32, n)}
}

// at is an entry by its number.
func (t *table) at(i uint32) *entry { return &t.chunks[(i-1)/chunkSize][(i-1)%chunkSize] }

// hashOf is the hash of a connection. The tuple of its first packet is enough: hardly
// any two connections share that.
func (t *table) hashOf(f *ctnetlink.Flow) uint32 {
	return uint32(maphash.Comparable(t.seed, f.Orig))
}

// find is the entry of a connection, and nil if it is not followed.
func (t *table) find(f *ctnetlink.Flow) *entry { return t.look(f, true) }

// other is the entry of another connection with the same addresses and ports, and nil if
// there is none.
func (t *table) other(f *ctnetlink.Flow) *entry { return t.look(f, false) }

// look finds an entry by addresses and ports, whose number is that of the connection or
// not.
func (t *table) look(f *ctnetlink.Flow, same bool) *entry {
	hash := t.hashOf(f)
	for i := t.buckets[hash&uint32(len(t.buckets)-1)]; i != 0; {
		e := t.at(i)
		if e.hash == hash && e.Orig == f.Orig && e.Reply == f.Reply && e.Zone == f.Zone && (e.ID == f.ID) == same {
			return e
		}
		i = e.next
	}
	return nil
}

// add follows a connection. It is nil if the table is full.
func (t *table) add(f *ctnetlink.Flow) *entry {
	if t.n >= t.limit {
		return nil
	}
	if t.n >= len(t.buckets) {
		t.grow()
	}
	i := t.take()
	e := t.at(i)
	*e = entry{Flow: *f, hash: t.hashOf(f)}
	head := &t.buckets[e.hash&uint32(len(t.buckets)-1)]
	e.next, *head = *head, i
	t.n++
	return e
}

// take is the number of an entry that is free.
func (t *table) take() uint32 {
	if i := t.free; i != 0 {
		t.free = t.at(i).next
		return i
	}
	if t.used == len(t.chunks)*chunkSize {
		t.chunks = append(t.chunks, make([]entry, chunkSize))
	}
	t.used++
	return uint32(t.used)
}

// remove follows a connection no longer.
func (t *table) remove(e *entry) {
	link := &t.buckets[e.hash&uint32(len(t.buckets)-1)]
	for t.at(*link) != e {
		link = &t.at(*link).next
	}
	i := *link
	*link = e.next
	*e = entry{next: t.free}
	t.free = i
	t.n--
}

// grow doubles the number of chains.
func (t *table) grow() {
	old := t.buckets
	t.buckets = make([]uint32, 2*len(old))
	for _, i := range old {
		for i != 0 {
			e := t.at(i)
			next := e.next
			head := &t.buckets[e.hash&uint32(len(t.buckets)-1)]
			e.next, *head = *head, i
			i = next
		}
	}
}
