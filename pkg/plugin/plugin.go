// Package plugin is what the engine and its plugins agree on. A plugin is a
// source, a filter or an output; it declares its keys in Bind, its options in a
// struct, and itself in a registry.
package plugin

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/ulogd-go/ulogd/pkg/event"
	"github.com/ulogd-go/ulogd/pkg/outfile"
	"github.com/ulogd-go/ulogd/pkg/queue"
	"github.com/ulogd-go/ulogd/pkg/stats"
)

// A Source fills batches. Its methods are called by one goroutine at a time.
type Source interface {
	event.Bindable
	// Open acquires what the source reads from. It is called once, after Bind
	// and when all slots are known.
	Open() error
	// Read blocks until b holds at least one event, ctx ends, or the source
	// does (io.EOF). It never keeps b. Any other error ends the source too:
	// what a source can survive, it counts and survives.
	Read(ctx context.Context, b *event.Batch) error
	// Close releases what Open acquired.
	Close() error
}

// A Waker is a source whose Read can be made to return soon, without an event and
// without an error. Wake may be called concurrently.
type Waker interface{ Wake() }

// A Dumper is a source that can give at once what it would else give later, such
// as all counters at their present value. The daemon asks for it on SIGUSR2. Dump
// only notes that, and Read does it. It may be called concurrently, and before
// Open and after Close it does nothing.
type Dumper interface{ Dump() }

// A Filter works on rows in place: it sets slots, or keeps only some rows. It
// is never called concurrently, must not block, and keeps nothing of rows.
type Filter interface {
	event.Bindable
	Filter(rows *event.Rows)
}

// An Output turns rows into bytes, and delivers bytes. Encode is called on the
// pipeline's goroutine, the other methods on the output's own; so Encode shares
// nothing with them but what does not change after Connect was first called.
type Output interface {
	event.Bindable
	// Queue says how rows wait for delivery. It is called once, before Connect.
	Queue() (queue.Options, queue.Batching)
	// Encode appends rows to blk, ending each with blk.End. It does not block
	// or do I/O, and keeps nothing of rows.
	Encode(blk *queue.Block, rows *event.Rows)
	// Connect is called once at start and again after ErrNotConnected. An
	// error that is ErrNotConnected means that it may work later; any other
	// keeps the stack from starting.
	Connect(ctx context.Context) error
	// Write delivers one block, or says why not: ErrNotConnected (connect and
	// try this block again), *RejectError (some rows will never do), anything
	// else (try again later).
	Write(ctx context.Context, blk *queue.Block) error
	Close() error
}

// A Reopener is an output that opens its file anew on SIGHUP. It is called on
// the output's goroutine, and has to end with ctx; on an error the output goes on as
// before.
type Reopener interface {
	Reopen(ctx context.Context) error
}

// A Recorder is an output whose receiver notes, in one transaction with the rows,
// how far it has come in a queue, so that each row is stored exactly once. Its
// rows may be written by a later run of the daemon than has encoded them.
type Recorder interface {
	Output
	// Layout says what rows are made of. It is kept with them in
	// queue.Block.Layout. It is called on the pipeline's goroutine, after Bind.
	Layout() string
	// Resume is the number of the first row of the queue with that epoch that
	// the receiver does not have yet. It is called after Connect.
	Resume(ctx context.Context, epoch string) (upto uint64, err error)
	// AppendRow appends row i of blk to dst as a JSON object, for the file of
	// rejected rows.
	AppendRow(dst []byte, blk *queue.Block, i int) []byte
}

// ErrNotConnected says that an output has lost, or does not yet have, what it
// delivers to.
var ErrNotConnected = errors.New("not connected")

// A RejectError names the rows of a block that will never be accepted, the
// others being delivered. With no Rows nothing was delivered, and the caller
// halves the block to find the culprit.
type RejectError struct {
	Rows []int
	Err  error
}

func (e *RejectError) Error() string { return e.Err.Error() }

// Unwrap is the reason.
func (e *RejectError) Unwrap() error { return e.Err }

// Type is a set of the sorts of data that a plugin takes or gives, as in ulogd.
type Type uint8

// The sorts of data.
const (
	Raw    Type = 1 << iota // packets as they were captured
	Packet                  // decoded packets
	Flow                    // connections
	Sum                     // accounting objects
)

// Store keeps descriptors for the next process. Package fdstore has one.
type Store interface {
	// Take hands out the descriptors that an earlier process has kept under a
	// name, in their order. They are the caller's.
	Take(name string) []*os.File
	// Keep stores descriptors under a name, in place of those that it had.
	Keep(name string, fds ...int) error
}

// Env is what the daemon lends an instance. The fields are set before the
// instance is opened and do not change.
type Env struct {
	Instance string       // such as "log1"
	Log      *slog.Logger // already carries the instance
	Stats    *stats.Set
	Now      func() time.Time // the wall clock
	Zone     *time.Location   // for times in text
	Hostname string           // as the system has it, perhaps with a domain
	Files    *outfile.Set     // the files that outputs append to
	Source   Source           // at the head of the stack; nil for a source itself
	Input    Type             // what that source gives
	Store    Store            // where sockets are kept for the next process; nil if nowhere
	State    string           // directory for what outlives the daemon; empty if there is none
	Queue    string           // name of the output's queue, which no other output of the daemon has
	// Rebind makes the pipeline call Bind of all instances again, soon, for an
	// output whose columns have changed. It may be called concurrently; it is
	// nil for an instance that does not run.
	Rebind func()
}

// SpoolDir is where the queue of the instance keeps its rows; it is empty for
// none.
func (e *Env) SpoolDir(o queue.Options) string {
	base := o.Spool
	switch base {
	case "none", "":
		return ""
	case "auto":
		base = e.State
	}
	if base == "" || e.Queue == "" {
		return ""
	}
	return filepath.Join(base, e.Queue)
}
