package queue

import (
	"context"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/ulogd-go/ulogd/pkg/option"
)

// Options are what a user may say of an output's queue. Outputs embed them in
// their own options.
type Options struct {
	Memory option.Size `toml:"queue_memory" extra:"true" doc:"how much may wait in memory for this output, in bytes (16MiB and so on are understood)"`
	OnFull Policy      `toml:"on_full" extra:"true" doc:"what to do when that much waits: \"wait\" holds the packets in the kernel's buffer while the output is slow, and refuses rows once it has stood still for a second; \"refuse\" refuses rows at once. Refused rows are counted"`
	Spool  string      `toml:"spool" extra:"true" doc:"directory in which rows wait on disk, auto for one in the daemon's state directory, or none"`
}

// Defaults are the options of a queue that nobody configured.
var Defaults = Options{Memory: 16 << 20, OnFull: Wait, Spool: "none"}

// Policy is what happens to rows that find the queue full.
type Policy string

// The policies.
const (
	Wait   Policy = "wait"   // hold up the pipeline while the output makes progress
	Refuse Policy = "refuse" // drop and count the newest rows
)

// UnmarshalText accepts the name of a policy.
func (p *Policy) UnmarshalText(text []byte) error {
	switch Policy(text) {
	case Wait, Refuse:
		*p = Policy(text)
		return nil
	}
	return fmt.Errorf("unknown policy %q: use %q or %q", text, Wait, Refuse)
}

// MarshalText is the inverse of UnmarshalText.
func (p Policy) MarshalText() ([]byte, error) { return []byte(p), nil }

// Batching is how an output likes its blocks. A block is due when it holds Rows
// rows or Bytes bytes or is Age old; the zero Age makes every block due at once.
type Batching struct {
	Rows  int
	Bytes int
	Age   time.Duration
	// MaxWait is the longest wait between two attempts of delivery; zero
	// leaves it to the caller.
	MaxWait time.Duration
}

// patience is how long a full queue waits for an output that stands still.
const patience = time.Second

// Queue is a line of blocks for one output. One goroutine fills it (Begin, End),
// one empties it (Get, Done); the other methods may be called by any.
type Queue struct {
	options  Options
	batching Batching

	mu       sync.Mutex
	tail     *Block // being filled
	born     time.Time
	fresh    bool     // the tail was empty before Begin
	full     []*Block // due, oldest first
	free     []*Block
	bytes    int // in full
	closed   bool
	kicked   bool
	failing  bool
	progress time.Time // when a block was last delivered, or came into the empty queue
	due      chan struct{}
	space    chan struct{}
}

// New makes an empty queue. Zero limits in b mean 64 KiB and no limit of rows.
func New(o Options, b Batching) *Queue {
	if b.Bytes == 0 {
		b.Bytes = 64 << 10
	}
	// A block that fills the memory must not wait for its age: nothing else
	// would find room meanwhile.
	b.Bytes = max(1, min(b.Bytes, int(o.Memory)))
	if b.Rows == 0 {
		b.Rows = int(^uint(0) >> 1)
	}
	return &Queue{
		options:  o,
		batching: b,
		tail:     new(Block),
		due:      make(chan struct{}, 1),
		space:    make(chan struct{}, 1),
	}
}

// Begin locks the queue and lends the block to which rows are to be appended,
// until End. It returns nil, and the queue is not locked, if the rows have to be
// refused because the queue is full or closed.
func (q *Queue) Begin() *Block {
	q.mu.Lock()
	for !q.closed && q.bytes+len(q.tail.Data) > int(q.options.Memory) {
		if !q.mayWait() {
			q.mu.Unlock()
			return nil
		}
		q.mu.Unlock()
		q.await(q.space, patience/10)
		q.mu.Lock()
	}
	if q.closed {
		q.mu.Unlock()
		return nil
	}
	if q.fresh = q.tail.Rows() == 0; q.fresh {
		q.born = time.Now()
	}
	return q.tail
}

func (q *Queue) mayWait() bool {
	return q.options.OnFull != Refuse && !q.failing && time.Since(q.progress) < patience
}

// await blocks until c is signalled, at most for d.
func (q *Queue) await(c chan struct{}, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-c:
	case <-t.C:
	}
}

// End gives the block back and wakes the reader if the block is due, or if it is
// the first that will be due in time.
func (q *Queue) End() {
	rows := q.tail.Rows()
	wake := q.fresh && rows > 0
	if rows >= q.batching.Rows || len(q.tail.Data) >= q.batching.Bytes {
		q.seal()
		wake = true
	}
	q.mu.Unlock()
	if wake {
		signal(q.due)
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// seal makes the block that is being filled due.
func (q *Queue) seal() {
	if len(q.full) == 0 {
		q.progress = time.Now()
	}
	q.full = append(q.full, q.tail)
	q.bytes += len(q.tail.Data)
	if n := len(q.free); n > 0 {
		q.tail, q.free = q.free[n-1], q.free[:n-1]
		return
	}
	// The next block is likely to grow as large as this one.
	q.tail = &Block{Data: make([]byte, 0, cap(q.tail.Data)), Ends: make([]uint32, 0, cap(q.tail.Ends))}
}

// Get waits for a block to be due. The block is the caller's until Done. It is
// nil if the wait was ended by Kick. The error is io.EOF after Close when
// everything was delivered, or ctx's, and then blocks may be left.
func (q *Queue) Get(ctx context.Context) (*Block, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		b, wait := q.next()
		if b != nil || wait == 0 {
			return b, nil
		}
		if wait < 0 {
			return nil, io.EOF
		}
		if err := q.sleep(ctx, wait); err != nil {
			return nil, err
		}
	}
}

// idle is how long a reader sleeps when there is nothing that time alone would
// make due.
const idle = 10 * time.Second

// next is the oldest block that is due; else how long to wait for one: zero
// after Kick, negative if none will ever come.
func (q *Queue) next() (b *Block, wait time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.kicked {
		q.kicked = false
		return nil, 0
	}
	wait = idle
	if q.tail.Rows() > 0 && len(q.full) == 0 {
		wait = q.batching.Age - time.Since(q.born)
		if wait <= 0 || q.closed {
			q.seal()
		}
	}
	if len(q.full) > 0 {
		return q.full[0], 0
	}
	if q.closed {
		return nil, -1
	}
	if time.Since(q.progress) > idle {
		q.shrink()
	}
	return nil, wait
}

// shrink gives back the memory of a burst that is over.
func (q *Queue) shrink() {
	if len(q.free) > minFree {
		clear(q.free[minFree:])
		q.free = q.free[:minFree]
	}
}

func (q *Queue) sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-q.due:
	case <-t.C:
	}
	return nil
}

// Kick ends the wait of a Get.
func (q *Queue) Kick() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.kicked = true
	signal(q.due)
}

// maxFree is how many empty blocks are kept for reuse while there is work: as
// many as a burst fills before the output gets to run, so that a flood is no work
// for the garbage collector. An idle queue keeps minFree.
const (
	maxFree = 256
	minFree = 2
)

// Done says that the block last got is no longer needed.
func (q *Queue) Done() {
	q.mu.Lock()
	defer q.mu.Unlock()
	b := q.full[0]
	q.full = slices.Delete(q.full, 0, 1)
	q.bytes -= len(b.Data)
	q.progress = time.Now()
	q.failing = false
	if len(q.free) < maxFree {
		b.Reset()
		q.free = append(q.free, b)
	}
	signal(q.space)
}

// Fail says that delivery fails, so that a full queue refuses rows at once,
// until the next Done.
func (q *Queue) Fail() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.failing = true
	signal(q.space)
}

// Close says that no more rows come. What is in the queue can still be got.
func (q *Queue) Close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	signal(q.due)
	signal(q.space)
}

// Waiting is the number of rows that are not delivered.
func (q *Queue) Waiting() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := q.tail.Rows()
	for _, b := range q.full {
		n += b.Rows()
	}
	return n
}

// Due is the number of blocks that Get would return at once.
func (q *Queue) Due() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.full)
}
