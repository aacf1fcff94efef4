package pipeline

import (
	"github.com/ulogd-go/ulogd/pkg/event"
	"github.com/ulogd-go/ulogd/pkg/queue"
)

// account keeps the books of what comes down to one output, so that for each
// packet that the source has numbered it is known what became of it. It is the
// pipeline's.
type account struct {
	queue.Progress
}

// arrive takes a batch, of which some events may have been filtered out, into the
// books, and drops the events that the queue has from before a restart.
func (a *account) arrive(rows *event.Rows) {
	offered := uint64(rows.Batch.Len())
	if rows.Stream != [16]byte{} {
		a.follow(rows.Batch)
		if rows.First < a.Next {
			rows.Skip(a.Next)
			offered -= min(offered, a.Next-rows.First)
		}
		a.Next = max(a.Next, rows.First+uint64(rows.Batch.Len()))
	}
	a.Packets += offered
	a.Filtered += offered - uint64(rows.Len())
}

// follow notes the packets that the source has lost since the last batch. A queue
// that meets a stream in the middle does not answer for what was lost before.
func (a *account) follow(b *event.Batch) {
	if a.Stream != b.Stream {
		a.Stream, a.Next, a.StreamLost = b.Stream, b.First, 0
		if b.First != b.Lost {
			a.StreamLost = b.Lost
		}
	}
	if b.Lost <= a.StreamLost {
		return
	}
	lost := b.Lost - a.StreamLost
	a.StreamLost = b.Lost
	a.Lost += lost
	a.Packets += lost
}

// with is the books if n more events were filtered out.
func (a *account) with(n int) queue.Progress {
	p := a.Progress
	p.Filtered += uint64(n)
	return p
}

// refused notes that n events found no room.
func (a *account) refused(n int) { a.Refused += uint64(n) }
