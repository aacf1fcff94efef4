// Package queue is what stands between a stack and the delivery of its rows: a
// line of blocks of bytes, filled on the pipeline's goroutine and taken on the
// output's. Rows wait in memory, and with a spool on disk too, so that they
// outlive the process.
//
// A spool is a directory. Each batch of rows is appended as a record, with a
// checksum, to the newest of a few segment files before it counts as taken. Rows
// are read back only if there was no room for them in memory, or after a restart.
// A small file that is mapped into memory notes what was dealt with. All numbers
// in files are in little-endian order; see record, segment and state.
package queue

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// patience is how long a full queue waits for an output that stands still.
const patience = time.Second

// Queue is a line of blocks for one output. One goroutine fills it (Begin, End,
// Note, SetLayout), one empties it (Get, Settle, Resume, Done, Release); the other
// methods may be called by any.
type Queue struct {
	options  Options
	batching Batching
	reader   reader // the consumer's
	got      *Block // the block last got, the consumer's

	mu       sync.Mutex
	spool    *spool // nil for memory only
	state    state
	layout   string
	tail     *Block // being filled
	born     time.Time
	grown    time.Time // when rows last came into the tail, if there is a burst
	burst    int       // blocks that were full, less those that were due at a pause
	begun    int       // rows in the tail before Begin
	full     []*Block  // due, oldest first
	free     []*Block
	bytes    int    // in full
	spilled  bool   // rows go to disk only, until the consumer has come to their end
	read     uint64 // number of the row from which on the consumer reads the disk, if spilled
	closed   bool
	kicked   bool
	failing  bool
	progress time.Time // when a block was last delivered, or came into the empty queue
	due      chan struct{}
	space    chan struct{}
}

// Place is where a queue keeps its spool.
type Place struct {
	Dir  string                  // of this queue alone; empty for memory only
	Log  *slog.Logger            // not needed for memory only
	Give func(path string) error // leaves a file to the user that the daemon becomes; nil to keep it
}

// Open makes a queue, with the rows that an earlier process has left in its
// place. Zero limits in b mean 64 KiB and no limit of rows. The error is ErrLocked,
// or that of a file; there is none without a place.
func Open(o Options, b Batching, p Place) (*Queue, error) {
	q := newQueue(o, b)
	if p.Dir == "" {
		return q, nil
	}
	dir, err := openDirectory(p.Dir, p.Give)
	if err == nil {
		err = q.open(dir, p.Log)
	}
	if err != nil {
		return nil, fmt.Errorf("spool %s: %w", p.Dir, err)
	}
	return q, nil
}

func newQueue(o Options, b Batching) *Queue {
	return &Queue{
		options:  o,
		batching: b.limits(int(o.Memory)),
		state:    state{epoch: newEpoch()},
		tail:     new(Block),
		due:      make(chan struct{}, 1),
		space:    make(chan struct{}, 1),
	}
}

func (q *Queue) open(f files, log *slog.Logger) (err error) {
	if q.spool, q.state, err = openSpool(f, q.options, log); err != nil {
		return err
	}
	q.read, q.spilled = q.state.cursor, q.state.cursor < q.state.taken
	return nil
}

// Epoch names the numbering of the rows.
func (q *Queue) Epoch() string {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.state.epoch
}

// Progress is what was last given to End or Note, by an earlier process perhaps.
func (q *Queue) Progress() Progress {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.state.progress
}

// Tally is what became of the rows.
func (q *Queue) Tally() Tally {
	q.mu.Lock()
	defer q.mu.Unlock()
	t := Tally{
		Taken: q.state.taken, Written: q.state.written, Rejected: q.state.rejected, Lost: q.state.lost,
		Waiting: q.state.taken - q.state.cursor,
	}
	if q.spool != nil {
		t.SpoolBytes = q.spool.bytes
	}
	return t
}

// SetLayout says what the rows are made of that are appended from now on. A block
// is never of two layouts.
func (q *Queue) SetLayout(layout string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if layout != q.layout && q.tail.Rows() > 0 {
		q.seal()
		signal(q.due)
	}
	q.layout = layout
}

// Begin locks the queue and lends the block to which rows are to be appended,
// until End. It returns nil, and the queue is not locked, if the rows have to be
// refused because the queue is full or closed.
func (q *Queue) Begin() *Block {
	q.mu.Lock()
	for !q.closed && !q.hasRoom() {
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
	if q.begun = q.tail.Rows(); q.begun == 0 {
		q.born = time.Now()
		q.tail.Epoch, q.tail.First, q.tail.Layout = q.state.epoch, q.state.taken, q.layout
	}
	return q.tail
}

// hasRoom tells whether rows can be taken. When memory is full, and there is
// room on disk, they go there.
func (q *Queue) hasRoom() bool {
	if !q.spilled && q.bytes+len(q.tail.Data) <= int(q.options.Memory) {
		return true
	}
	if q.spool == nil || q.spool.failing && !q.spilled || !q.spool.hasRoom() {
		return false
	}
	if !q.spilled {
		q.spill()
	}
	return true
}

// spill has rows go to disk only from now on.
func (q *Queue) spill() {
	if q.tail.Rows() > 0 {
		q.seal()
		signal(q.due)
	}
	q.spilled, q.read = true, q.state.taken
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

// End gives the block back, notes p, and wakes the consumer if the block is due,
// or if it is the first that will be due in time. With a spool the rows are on
// disk when it returns, or in memory if that fails. If there is no room there
// either, the rows are refused: the result is false, and p is not noted.
func (q *Queue) End(p Progress) bool {
	defer q.mu.Unlock()
	rows := q.tail.Rows() - q.begun
	if rows == 0 {
		q.note(p)
		return true
	}
	if !q.store(p) {
		q.tail.cut(q.begun)
		return false
	}
	q.state.taken += uint64(rows)
	q.tail.Lost = p.Lost + p.Refused
	q.note(p)
	if q.spilled {
		q.tail.Reset()
		signal(q.due)
		return true
	}
	wake := q.begun == 0
	if q.tail.Rows() >= q.batching.Rows || len(q.tail.Data) >= q.batching.Bytes {
		q.seal()
		q.burst, wake = min(q.burst+1, maxBurst), true
	} else if q.burst > 0 {
		q.grown = time.Now()
	}
	if wake {
		signal(q.due)
	}
	return true
}

// store writes what was appended to disk. What can't be written may stay in
// memory, but only if nothing before it is on disk alone.
func (q *Queue) store(p Progress) bool {
	if q.spool == nil {
		return true
	}
	return q.spool.append(q.tail, q.begun, p) == nil || !q.spilled
}

// Note notes progress that comes without rows.
func (q *Queue) Note(p Progress) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.note(p)
}

func (q *Queue) note(p Progress) {
	q.state.progress = p
	q.save()
}

func (q *Queue) save() {
	if q.spool != nil {
		q.spool.page.store(&q.state)
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
	q.tail = q.empty(q.tail)
}

// empty is a block to fill, which is likely to grow as large as like.
func (q *Queue) empty(like *Block) *Block {
	if n := len(q.free); n > 0 {
		b := q.free[n-1]
		q.free = q.free[:n-1]
		return b
	}
	return &Block{Data: make([]byte, 0, cap(like.Data)), Ends: make([]uint32, 0, cap(like.Ends))}
}

// Get waits for a block to be due. The block is the caller's until Done. It is
// nil if the wait was ended by Kick. The error is io.EOF after Close when
// everything was delivered, or ctx's, and then blocks may be left; or that of
// reading the disk, and the same may work later.
func (q *Queue) Get(ctx context.Context) (*Block, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		b, wait := q.next()
		if b == nil && wait == onDisk {
			var err error
			if b, err = q.fetch(); err != nil {
				return nil, err
			}
			if b == nil {
				continue
			}
		}
		if b != nil || wait == 0 {
			q.got = b
			return b, nil
		}
		if wait == never {
			return nil, io.EOF
		}
		if err := q.sleep(ctx, wait); err != nil {
			return nil, err
		}
	}
}

// idle is how long a consumer sleeps when there is nothing that time alone would
// make due.
const idle = 10 * time.Second

// Waits that are none.
const (
	never  time.Duration = -1 // no block will ever come
	onDisk time.Duration = -2 // the next one has to be read
)

// next is the oldest block in memory that is due; else how long to wait for one:
// zero after Kick.
func (q *Queue) next() (b *Block, wait time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.kicked {
		q.kicked = false
		return nil, 0
	}
	wait = idle
	if q.tail.Rows() > 0 && len(q.full) == 0 {
		if wait = q.untilDue(); wait <= 0 || q.closed {
			q.seal()
			q.burst = max(q.burst-1, 0)
		}
	}
	if len(q.full) > 0 {
		return q.full[0], 0
	}
	if q.spilled {
		return nil, onDisk
	}
	if q.closed {
		return nil, never
	}
	if time.Since(q.progress) > idle {
		q.shrink()
	}
	return nil, wait
}

// untilDue is how long the tail has to wait if it does not grow. The rest of a burst
// is not worth waiting for others: behind full blocks the tail is due at a pause,
// which costs at most one small block for each full one.
func (q *Queue) untilDue() time.Duration {
	wait := q.batching.Age - time.Since(q.born)
	if q.burst > 0 {
		wait = min(wait, q.batching.Age/pauses-time.Since(q.grown))
	}
	return wait
}

// pauses is how many pauses that end a burst an Age has, and maxBurst how many of
// them a burst may have.
const (
	pauses   = 64
	maxBurst = 8
)

// fetch reads a block from disk. It is nil if the end was reached: then memory
// follows.
func (q *Queue) fetch() (*Block, error) {
	q.mu.Lock()
	q.read = max(q.read, q.state.cursor)
	b, from, epoch := q.empty(q.tail), q.read, q.state.epoch
	q.mu.Unlock()
	b.Reset()
	b.Epoch = epoch
	err := q.reader.read(q.spool, q.findLocked, q.afterLocked, b, from, q.batching)
	for removed := (*removedError)(nil); errors.As(err, &removed); {
		q.forgetLocked(removed.first)
		err = q.reader.read(q.spool, q.findLocked, q.afterLocked, b, from, q.batching)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if b.Rows() == 0 {
		q.free = append(q.free, b)
		if q.isRead() {
			q.missing(q.state.taken)
			q.spilled = false
			q.reader.close()
		}
		return nil, nil
	}
	q.missing(b.First)
	q.read = b.First + uint64(b.Rows())
	return b, nil
}

// isRead tells whether the consumer has seen all that is on disk. Nothing was
// found at the last look; since then rows may have come.
func (q *Queue) isRead() bool {
	g := q.spool.last()
	return g == nil || q.reader.file != nil && q.reader.seg.first == g.first && q.reader.off >= g.size
}

// missing counts the rows before number n that are not on disk as lost. All
// earlier blocks are done by then.
func (q *Queue) missing(n uint64) {
	if q.state.cursor >= n {
		return
	}
	lost := n - q.state.cursor
	q.state.lost += lost
	q.state.cursor, q.read = n, n
	q.save()
	q.spool.log.Error(fmt.Sprintf("spool: %d rows are not on disk any more, and are lost", lost))
}

func (q *Queue) forgetLocked(first uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.spool.forget(first)
}

func (q *Queue) findLocked(n uint64) (segment, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.spool.find(n)
}

func (q *Queue) afterLocked(first uint64) (segment, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.spool.after(first)
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

// Settle says that the rows before number upto are dealt with for good, of which
// the receiver has rejected some.
func (q *Queue) Settle(upto uint64, rejected int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.advance(upto, uint64(rejected))
}

// Resume says that the receiver has all rows of the epoch before number upto. The
// result is before which number they need not be sent.
//
// A receiver that has more than earlier processes have taken, as far as the spool
// knows, has rows that a power cut took from it, or a backup does not have. Rows
// that came since have the numbers of those, so they go on in an epoch of their own.
// Since came those, too, of processes that the receiver was away from.
func (q *Queue) Resume(upto uint64) uint64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	first := !q.state.resumed
	if first && upto > q.state.opened {
		upto = q.state.opened
		q.beginEpoch()
	}
	q.state.resumed = true
	upto = min(upto, q.state.taken)
	q.advance(upto, 0)
	if first {
		q.save()
		if q.spool != nil {
			q.spool.keep()
		}
	}
	return upto
}

// beginEpoch gives the rows from opened on a new epoch. All before them are with the
// receiver.
func (q *Queue) beginEpoch() {
	q.state.former, q.state.epoch = q.state.epoch, newEpoch()
	for _, b := range append([]*Block{q.tail, q.got}, q.full...) {
		if b != nil {
			b.Epoch = q.state.epoch
		}
	}
	if q.spool != nil {
		q.spool.log.Warn("spool: the receiver has more rows than are known here, as after a power cut or from a backup; new rows are numbered anew")
		q.spool.epoch = q.state.epoch
		q.spool.leave()
	}
}

func (q *Queue) advance(upto, rejected uint64) {
	if upto <= q.state.cursor {
		return
	}
	q.state.rejected += rejected
	q.state.written += upto - q.state.cursor - rejected
	q.state.cursor = upto
	q.progress = time.Now()
	q.failing = false
	q.save()
	if q.spool != nil {
		q.spool.trim(q.state.cursor, q.state.taken)
	}
	signal(q.space)
}

// maxFree is how many empty blocks are kept for reuse while there is work: as
// many as a burst fills before the output gets to run, so that a flood is no work
// for the garbage collector. An idle queue keeps minFree.
const (
	maxFree = 256
	minFree = 2
)

// Done says that the block last got is no longer needed. All its rows are settled.
func (q *Queue) Done() {
	q.mu.Lock()
	defer q.mu.Unlock()
	b := q.got
	if len(q.full) > 0 && q.full[0] == b {
		q.full = slices.Delete(q.full, 0, 1)
		q.bytes -= len(b.Data)
	}
	q.got = nil
	if len(q.free) < maxFree {
		b.Reset()
		q.free = append(q.free, b)
	}
	signal(q.space)
}

// Fail says that delivery fails, so that a full queue refuses rows at once,
// until the next Settle.
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

// Release gives the spool up, with the rows that are still in it. The queue is of
// no more use.
func (q *Queue) Release() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.reader.close()
	if q.spool == nil {
		return nil
	}
	s := q.spool
	q.spool = nil
	return s.close()
}

// Waiting is the number of rows that are not dealt with.
func (q *Queue) Waiting() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return int(q.state.taken - q.state.cursor)
}

// Due is the number of blocks that Get would return at once.
func (q *Queue) Due() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.full)
}
