package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"time"

	"github.com/ulogd-go/ulogd/pkg/event"
	"github.com/ulogd-go/ulogd/pkg/logging"
	"github.com/ulogd-go/ulogd/pkg/plugin"
	"github.com/ulogd-go/ulogd/pkg/queue"
	"github.com/ulogd-go/ulogd/pkg/stats"
)

// runner stands between the stack and one output: it encodes on the pipeline's
// goroutine, and delivers, retries and reconnects on a goroutine of its own.
type runner struct {
	output   plugin.Output
	recorder plugin.Recorder // the output, if it is one
	env      *plugin.Env
	reopen   chan struct{}

	// Set by open.
	queue   *queue.Queue
	account account     // the pipeline's
	rejects *rejectFile // of rows that will never do
	spool   bool        // rows outlive the daemon
	maxWait time.Duration

	connected bool
	resumed   bool          // the receiver was asked how far it is
	wait      time.Duration // before the next attempt; zero when all is well
	trouble   string        // the failure that was last logged

	upto uint64 // number of the first row that is not settled
	// Of this run of the daemon. What the queue tallies outlives it.
	accepted, written, refused, rejected, lost *stats.Counter
	refusing                                   *logging.Tally
}

func newRunner(o plugin.Output, env *plugin.Env) *runner {
	r := &runner{
		output:   o,
		env:      env,
		reopen:   make(chan struct{}, 1),
		accepted: env.Stats.Counter("rows", "rows that came down the stack and were taken"),
		written:  env.Stats.Counter("rows_written", "rows delivered"),
		refused:  env.Stats.Counter("rows_refused", "rows not taken because the queue was full"),
		rejected: env.Stats.Counter("rows_rejected", "rows that the receiver will never accept"),
		lost:     env.Stats.Counter("rows_lost", "rows that were still waiting when the daemon ended"),
		refusing: logging.NewTally(env.Log, slog.LevelError,
			"the queue is full, refused %d rows; raise queue_memory or spool_max, or see why the output is slow"),
	}
	r.recorder, _ = o.(plugin.Recorder)
	return r
}

// open opens the queue, with what an earlier run of the daemon has left in it.
func (r *runner) open() error {
	o, b := r.output.Queue()
	dir := r.env.SpoolDir(o)
	q, err := queue.Open(o, b, queue.Place{Dir: dir, Log: r.env.Log, Give: r.env.Files.Give})
	if err != nil && o.Spool == "auto" && !errors.Is(err, queue.ErrLocked) {
		r.env.Log.Warn(fmt.Sprintf("%v; rows wait in memory only, and are lost if the daemon is killed", err))
		dir = ""
		q, err = queue.Open(o, b, queue.Place{})
	}
	if err != nil {
		return err
	}
	if dir == "" && o.Spool == "auto" && r.env.State == "" {
		r.env.Log.Info("no directory for the spool, rows wait in memory only; name one with the option spool")
	}
	r.queue, r.spool, r.maxWait = q, dir != "", b.MaxWait
	r.rejects = newRejectFile(dir, r.env)
	r.account.Progress = q.Progress()
	r.bound()
	return nil
}

// bound tells the queue what the rows are made of from now on.
func (r *runner) bound() {
	if r.recorder != nil {
		r.queue.SetLayout(r.recorder.Layout())
	}
}

// encode appends rows to the queue, or counts them as refused.
func (r *runner) encode(rows *event.Rows) {
	r.account.arrive(rows)
	n := rows.Len()
	if n == 0 {
		r.queue.Note(r.account.Progress)
		return
	}
	blk := r.queue.Begin()
	if blk == nil {
		r.refuse(n)
		return
	}
	before := blk.Rows()
	r.output.Encode(blk, rows)
	taken := blk.Rows() - before
	if !r.queue.End(r.account.with(n - taken)) {
		r.refuse(n)
		return
	}
	r.account.Filtered += uint64(n - taken)
	r.accepted.Add(uint64(taken))
	if r.queue.Due() >= behind {
		// Where there is one processor for both, the output's goroutine
		// would otherwise have to wait until this one is preempted.
		runtime.Gosched()
	}
}

// refuse notes that there is no room for rows.
func (r *runner) refuse(n int) {
	r.account.refused(n)
	r.queue.Note(r.account.Progress)
	r.refused.Add(uint64(n))
	r.refusing.Add(uint64(n))
}

// behind is how many blocks may be due before the output is given its chance.
const behind = 4

// start opens the queue and makes the first attempt to connect.
func (r *runner) start(ctx context.Context) error {
	if err := r.open(); err != nil {
		return err
	}
	err := r.connect(ctx)
	if err != nil {
		_ = r.queue.Release() // the first error says why
	}
	return err
}

// connect is the first attempt. An error that may go away is left to run.
func (r *runner) connect(ctx context.Context) error {
	err := r.reconnect(ctx)
	if errors.Is(err, plugin.ErrNotConnected) {
		r.failed(err)
		return nil
	}
	return err
}

// reconnect connects, and asks a recorder how far it is.
func (r *runner) reconnect(ctx context.Context) error {
	if err := r.output.Connect(ctx); err != nil {
		return err
	}
	if r.recorder != nil {
		upto, err := r.recorder.Resume(ctx, r.queue.Epoch())
		if err != nil {
			return err
		}
		r.resume(upto)
	}
	r.connected = true
	return nil
}

// resume leaves out what the receiver has already.
func (r *runner) resume(upto uint64) {
	if upto = r.queue.Resume(upto); upto > r.upto {
		if r.resumed {
			r.written.Add(upto - r.upto)
		}
		r.upto = upto
	}
	r.resumed = true
}

func (r *runner) close() {
	if err := errors.Join(r.output.Close(), r.queue.Release()); err != nil {
		r.env.Log.Error(fmt.Sprintf("close: %v", err))
	}
}

// run delivers blocks until the queue is closed and empty, or ctx ends.
func (r *runner) run(ctx context.Context) {
	defer r.close()
	err := r.await(ctx)
	for {
		var blk *queue.Block
		if err == nil {
			blk, err = r.get(ctx)
		}
		if err == nil {
			err = r.deliver(ctx, blk)
		}
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			r.abandon()
			return
		}
		r.queue.Done()
	}
}

// await asks a recorder how far it is before rows of an earlier run are looked
// at: those that it has may be missing on disk.
func (r *runner) await(ctx context.Context) error {
	for r.recorder != nil && !r.resumed && r.queue.Waiting() > 0 {
		err := r.reconnect(ctx)
		if err == nil {
			return nil
		}
		r.failed(err)
		if err := r.pause(ctx); err != nil {
			return err
		}
	}
	return nil
}

// abandon counts the rows that there is no time left to deliver.
func (r *runner) abandon() {
	n := r.queue.Waiting()
	switch {
	case n == 0:
	case r.spool:
		r.env.Log.Log(context.Background(), logging.Notice, fmt.Sprintf("the daemon ends with %d rows undelivered, which wait on disk for its next start", n))
	default:
		r.lost.Add(uint64(n))
		r.env.Log.Error(fmt.Sprintf("the daemon ends with %d rows undelivered", n))
	}
}

// get waits for a block, and reopens meanwhile if that is asked for.
func (r *runner) get(ctx context.Context) (*queue.Block, error) {
	for {
		blk, err := r.queue.Get(ctx)
		r.maybeReopen(ctx)
		switch {
		case blk != nil, errors.Is(err, io.EOF):
			return blk, err
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case err != nil:
			r.failed(err)
			if err := r.pause(ctx); err != nil {
				return nil, err
			}
		}
	}
}

// requestReopen asks for the output's file to be opened anew.
func (r *runner) requestReopen() {
	select {
	case r.reopen <- struct{}{}:
	default:
	}
	r.queue.Kick()
}

func (r *runner) maybeReopen(ctx context.Context) {
	select {
	case <-r.reopen:
		r.reopenNow(ctx)
	default:
	}
}

func (r *runner) reopenNow(ctx context.Context) {
	x, ok := r.output.(plugin.Reopener)
	if !ok {
		return
	}
	err := x.Reopen(ctx)
	if err == nil {
		return
	}
	if errors.Is(err, plugin.ErrNotConnected) {
		r.connected = false
	}
	r.env.Log.Error(err.Error())
}

// deliver writes what is not settled of a block, however long it takes. The error
// is ctx's.
func (r *runner) deliver(ctx context.Context, blk *queue.Block) error {
	for {
		left, err := r.attempt(ctx, blk)
		var reject *plugin.RejectError
		switch {
		case err == nil:
			r.settle(left, 0)
			return nil
		case errors.As(err, &reject):
			return r.reject(ctx, left, reject)
		case errors.Is(err, plugin.ErrNotConnected):
			r.connected = false
		}
		r.failed(err)
		if err := r.pause(ctx); err != nil {
			return err
		}
	}
}

// attempt writes the rows of a block that the receiver does not have yet.
func (r *runner) attempt(ctx context.Context, blk *queue.Block) (left *queue.Block, err error) {
	if !r.connected {
		if err := r.reconnect(ctx); err != nil {
			return blk, err
		}
	}
	left = r.unsettled(blk)
	if left.Rows() == 0 {
		return left, nil
	}
	return left, r.output.Write(ctx, left)
}

// unsettled is the rows of a block from r.upto on.
func (r *runner) unsettled(blk *queue.Block) *queue.Block {
	if r.upto <= blk.First {
		return blk
	}
	return blk.Slice(int(min(r.upto-blk.First, uint64(blk.Rows()))), blk.Rows())
}

// settle counts the rows of a block, of which the receiver has rejected some; in
// any case it works.
func (r *runner) settle(blk *queue.Block, rejected int) {
	r.written.Add(uint64(blk.Rows() - rejected))
	r.rejected.Add(uint64(rejected))
	r.upto = max(r.upto, blk.First+uint64(blk.Rows()))
	r.queue.Settle(r.upto, rejected)
	if r.wait > 0 {
		r.env.Log.Log(context.Background(), logging.Notice, "the output works again")
	}
	r.wait = 0
}

// reject keeps and counts the rows that will never do. If it is not known which,
// the block is halved until they are alone.
func (r *runner) reject(ctx context.Context, blk *queue.Block, e *plugin.RejectError) error {
	n := blk.Rows()
	bad := e.Rows
	if len(bad) == 0 && n == 1 {
		bad = []int{0}
	}
	if len(bad) > 0 {
		for _, i := range bad {
			r.keep(blk, i, e.Err)
		}
		r.settle(blk, len(bad))
		r.env.Log.Error(fmt.Sprintf("%d of %d rows were rejected: %v", len(bad), n, e.Err))
		return nil
	}
	if err := r.deliver(ctx, blk.Slice(0, n/2)); err != nil {
		return err
	}
	return r.deliver(ctx, blk.Slice(n/2, n))
}

func (r *runner) keep(blk *queue.Block, i int, reason error) {
	if err := r.rejects.keep(r.output, blk, i, reason); err != nil {
		r.env.Log.Error(fmt.Sprintf("row %d was rejected and can't be kept: %v", blk.First+uint64(i), err))
	}
}

// Bounds of the time between attempts, unless the output has its own.
const (
	minWait = 100 * time.Millisecond
	maxWait = 10 * time.Second
)

// failed notes a failure, and logs it when it is the first of a row, or another than
// before: one cause may hide the next.
func (r *runner) failed(err error) {
	if text := err.Error(); r.wait == 0 || text != r.trouble {
		r.trouble = text
		r.env.Log.Error(fmt.Sprintf("%s; trying again until it works, up to %s", text, r.room()))
	}
	limit := maxWait
	if r.maxWait > 0 {
		limit = r.maxWait
	}
	r.wait = min(max(2*r.wait, minWait), limit)
	r.queue.Fail()
}

// room says how many rows may wait.
func (r *runner) room() string {
	o, _ := r.output.Queue()
	if r.spool {
		return fmt.Sprintf("%v of rows are kept on disk", o.SpoolMax)
	}
	return fmt.Sprintf("%d KiB of rows are kept", o.Memory>>10)
}

// pause waits before the next attempt; a request to reopen ends it early.
func (r *runner) pause(ctx context.Context) error {
	t := time.NewTimer(r.wait)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-r.reopen:
		r.reopenNow(ctx)
	case <-t.C:
	}
	return nil
}
