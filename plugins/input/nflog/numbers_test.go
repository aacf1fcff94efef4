package nflog

import (
	"log/slog"
	"testing"

	"github.com/ulogd-go/ulogd/pkg/event"
	"github.com/ulogd-go/ulogd/pkg/logging"
	"github.com/ulogd-go/ulogd/pkg/stats"
)

func newNumbers() *numbers {
	n := &numbers{lost: new(stats.Counter), tally: logging.NewTally(slog.New(slog.DiscardHandler), slog.LevelError, "lost %d")}
	n.fresh()
	return n
}

// offer numbers a batch of packets; the result is what was added, and where the
// batch had to end.
func offer(n *numbers, seqs ...uint32) (b *event.Batch, rest []uint32) {
	b = event.NewBatch(event.Layout{})
	n.begin(b)
	for i, seq := range seqs {
		b.Add()
		switch n.add(b, seq) {
		case past:
			b.Drop()
		case behindGap:
			b.Drop()
			return b, seqs[i:]
		}
	}
	return b, nil
}

func TestNumbers(t *testing.T) {
	n := newNumbers()
	check := func(what string, b *event.Batch, first, lost uint64, events int) {
		t.Helper()
		if b.Len() != events || b.First != first || b.Lost != lost || b.Stream != n.stream {
			t.Errorf("%s: %d events from %d on, %d lost; want %d, %d, %d", what, b.Len(), b.First, b.Lost, events, first, lost)
		}
	}
	b, _ := offer(n, 2, 3, 4)
	check("two are missing at first", b, 2, 2, 3)
	b, rest := offer(n, 5, 6, 9, 10)
	check("up to a gap", b, 5, 2, 2)
	b, _ = offer(n, rest...)
	check("behind the gap", b, 9, 4, 2)
	b, rest = offer(n, 8, 9, 10, 11)
	check("some of it is past", b, 11, 4, 1)
	if rest != nil || n.lost.Value() != 4 {
		t.Errorf("rest %v, %d counted", rest, n.lost.Value())
	}
	n.next = 1<<32 - 2
	b, _ = offer(n, 0xfffffffe, 0xffffffff, 0, 1)
	check("the kernel's number wraps", b, 1<<32-2, 4, 4)
	b, _ = offer(n, 4)
	check("and a gap behind that", b, 1<<32+4, 6, 1)
	b, _ = offer(n, 0xffffffff)
	check("and what is past", b, 0, 6, 0)
	b, _ = offer(n, 0x80000006)
	check("more than half of the numbers are missing", b, 1<<32+0x80000006, 6+0x80000001, 1)
}

func TestLoad(t *testing.T) {
	n := newNumbers()
	if n.load(nil) || n.load([]byte("short")) {
		t.Error("loaded from nothing")
	}
}

// TestSocketSizes: a negative limit is none of the first size.
func TestSocketSizes(t *testing.T) {
	for o, want := range map[options][2]int{
		{}:                                  {64 << 20, 128 << 20},
		{SocketMax: 2000}:                   {2000, 2000},
		{SocketMax: -1}:                     {64 << 20, -1},
		{SocketSize: 1000}:                  {1000, 0},
		{SocketSize: 1000, SocketMax: 4000}: {1000, 4000},
	} {
		if size, limit := o.socketSizes(); size != want[0] || limit != want[1] {
			t.Errorf("%d, %d: %d up to %d, want %d up to %d", o.SocketSize, o.SocketMax, size, limit, want[0], want[1])
		}
	}
}
