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
	output plugin.Output
	env    *plugin.Env
	queue  *queue.Queue
	reopen chan struct{}

	connected bool
	wait      time.Duration // before the next attempt; zero when all is well

	settled int // rows of the present block that were written or rejected
	// accepted = written + rejected + lost + what waits.
	accepted, written, refused, rejected, lost *stats.Counter
	refusing                                   *logging.Tally
}

func newRunner(o plugin.Output, env *plugin.Env) *runner {
	return &runner{
		output:   o,
		env:      env,
		queue:    queue.New(o.Queue()),
		reopen:   make(chan struct{}, 1),
		accepted: env.Stats.Counter("rows", "rows that came down the stack and were taken"),
		written:  env.Stats.Counter("rows_written", "rows delivered"),
		refused:  env.Stats.Counter("rows_refused", "rows not taken because the queue was full"),
		rejected: env.Stats.Counter("rows_rejected", "rows that the receiver will never accept"),
		lost:     env.Stats.Counter("rows_lost", "rows that were still waiting when the daemon ended"),
		refusing: logging.NewTally(env.Log, slog.LevelError,
			"the queue is full, refused %d rows; raise queue_memory, or see why the output is slow"),
	}
}

// encode appends rows to the queue, or counts them as refused.
func (r *runner) encode(rows *event.Rows) {
	if rows.Len() == 0 {
		return
	}
	blk := r.queue.Begin()
	if blk == nil {
		r.refused.Add(uint64(rows.Len()))
		r.refusing.Add(uint64(rows.Len()))
		return
	}
	before := blk.Rows()
	r.output.Encode(blk, rows)
	r.accepted.Add(uint64(blk.Rows() - before))
	r.queue.End()
	if r.queue.Due() >= behind {
		// Where there is one processor for both, the output's goroutine
		// would otherwise have to wait until this one is preempted.
		runtime.Gosched()
	}
}

// behind is how many blocks may be due before the output is given its chance.
const behind = 4

// connect is the first attempt. An error that may go away is left to run.
func (r *runner) connect(ctx context.Context) error {
	err := r.output.Connect(ctx)
	if errors.Is(err, plugin.ErrNotConnected) {
		r.failed(err)
		return nil
	}
	r.connected = err == nil
	return err
}

func (r *runner) close() {
	if err := r.output.Close(); err != nil {
		r.env.Log.Error(fmt.Sprintf("close: %v", err))
	}
}

// run delivers blocks until the queue is closed and empty, or ctx ends.
func (r *runner) run(ctx context.Context) {
	defer r.close()
	for {
		blk, err := r.get(ctx)
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
		r.settled = 0
	}
}

// abandon counts the rows that there is no time left to deliver.
func (r *runner) abandon() {
	n := r.queue.Waiting() - r.settled
	if n > 0 {
		r.lost.Add(uint64(n))
		r.env.Log.Error(fmt.Sprintf("the daemon ends with %d rows undelivered", n))
	}
}

// get waits for a block, and reopens meanwhile if that is asked for.
func (r *runner) get(ctx context.Context) (*queue.Block, error) {
	for {
		blk, err := r.queue.Get(ctx)
		r.maybeReopen()
		if blk != nil || err != nil {
			return blk, err
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

func (r *runner) maybeReopen() {
	select {
	case <-r.reopen:
		r.reopenNow()
	default:
	}
}

func (r *runner) reopenNow() {
	if x, ok := r.output.(plugin.Reopener); ok {
		if err := x.Reopen(); err != nil {
			r.env.Log.Error(err.Error())
		}
	}
}

// deliver writes a block, however long it takes. The error is ctx's.
func (r *runner) deliver(ctx context.Context, blk *queue.Block) error {
	for {
		err := r.attempt(ctx, blk)
		var reject *plugin.RejectError
		switch {
		case err == nil:
			r.settle(blk.Rows(), 0)
			return nil
		case errors.As(err, &reject):
			return r.reject(ctx, blk, reject)
		case errors.Is(err, plugin.ErrNotConnected):
			r.connected = false
		}
		r.failed(err)
		if err := r.pause(ctx); err != nil {
			return err
		}
	}
}

func (r *runner) attempt(ctx context.Context, blk *queue.Block) error {
	if !r.connected {
		if err := r.output.Connect(ctx); err != nil {
			return fmt.Errorf("%w: %w", plugin.ErrNotConnected, err)
		}
		r.connected = true
	}
	return r.output.Write(ctx, blk)
}

// settle counts rows that the receiver has accepted or rejected; in either case
// it works.
func (r *runner) settle(written, rejected int) {
	r.written.Add(uint64(written))
	r.rejected.Add(uint64(rejected))
	r.settled += written + rejected
	if r.wait > 0 {
		r.env.Log.Log(context.Background(), logging.Notice, "the output works again")
	}
	r.wait = 0
}

// reject counts the rows that will never do. If it is not known which, the block
// is halved until they are alone.
func (r *runner) reject(ctx context.Context, blk *queue.Block, e *plugin.RejectError) error {
	n := blk.Rows()
	if len(e.Rows) > 0 || n == 1 {
		bad := max(len(e.Rows), 1)
		r.settle(n-bad, bad)
		r.env.Log.Error(fmt.Sprintf("%d of %d rows were rejected: %v", bad, n, e.Err))
		return nil
	}
	if err := r.deliver(ctx, blk.Slice(0, n/2)); err != nil {
		return err
	}
	return r.deliver(ctx, blk.Slice(n/2, n))
}

// Bounds of the time between attempts.
const (
	minWait = 100 * time.Millisecond
	maxWait = 10 * time.Second
)

// failed notes a failure, and logs it when it is the first of a row.
func (r *runner) failed(err error) {
	if r.wait == 0 {
		r.env.Log.Error(fmt.Sprintf("%v; trying again until it works, up to %s of rows are kept", err, sizeOf(r.output)))
	}
	r.wait = min(max(2*r.wait, minWait), maxWait)
	r.queue.Fail()
}

func sizeOf(o plugin.Output) string {
	options, _ := o.Queue()
	return fmt.Sprintf("%d KiB", options.Memory>>10)
}

// pause waits before the next attempt; a request to reopen ends it early.
func (r *runner) pause(ctx context.Context) error {
	t := time.NewTimer(r.wait)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-r.reopen:
		r.reopenNow()
	case <-t.C:
	}
	return nil
}
