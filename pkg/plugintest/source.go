package plugintest

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ulogd-go/ulogd/pkg/event"
	"github.com/ulogd-go/ulogd/pkg/plugin"
	"github.com/ulogd-go/ulogd/pkg/stats"
)

// patience is how long a test waits for what has to come.
const patience = 20 * time.Second

// Reading is a source of which every key is read.
type Reading struct {
	Source plugin.Source
	Env    *plugin.Env
	// Stop ends the context that Read gets.
	Stop context.CancelFunc

	t     testing.TB
	ctx   context.Context
	sink  *sink
	batch *event.Batch
	log   lines
	stats *stats.Set
}

// lines is a log that is read while it is written.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// Source makes the instance and binds it. It is not open yet. Any error ends the
// test. Its messages go to Log.
func (b Bench) Source(t testing.TB) *Reading {
	t.Helper()
	r := &Reading{t: t, sink: new(sink)}
	change := b.Env
	b.Env = func(env *plugin.Env) {
		env.Log = slog.New(slog.NewTextHandler(io.MultiWriter(&r.log, t.Output()), nil))
		if change != nil {
			change(env)
		}
	}
	x, env, err := b.Open(t)
	if err != nil {
		t.Fatal(err)
	}
	var ok bool
	if r.Source, ok = x.(plugin.Source); !ok {
		t.Fatalf("%T is no source", x)
	}
	r.Env, r.stats = env, env.Stats
	r.ctx, r.Stop = context.WithCancel(t.Context())
	t.Cleanup(r.Stop)
	tree := event.NewTree(env.Instance, r.Source)
	if err := tree.Stack([]string{"sink1"}, []event.Bindable{r.sink}); err != nil {
		t.Fatal(err)
	}
	r.batch = event.NewBatch(tree.Layout())
	return r
}

// Start opens the source, and closes it when the test ends.
func (r *Reading) Start(t testing.TB) {
	t.Helper()
	if err := r.Source.Open(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Source.Close(); err != nil {
			t.Error(err)
		}
	})
}

// Read reads once. The test fails if a value is not of its key's kind.
func (r *Reading) Read() (events []Event, err error) {
	r.batch.Reset()
	err = r.Source.Read(r.ctx, r.batch)
	for e := range r.batch.Rows().All() {
		events = append(events, literal(r.t, r.batch, r.sink.all, nil, e))
	}
	return events, err
}

// Events reads until there are n events.
func (r *Reading) Events(t testing.TB, n int) (events []Event) {
	t.Helper()
	guard := time.AfterFunc(patience, r.Stop)
	defer guard.Stop()
	for len(events) < n {
		got, err := r.Read()
		events = append(events, got...)
		if err != nil {
			t.Fatalf("%d of %d events, then %v", len(events), n, err)
		}
	}
	return events
}

// Rest ends the context, and reads until the source has ended for that.
func (r *Reading) Rest(t testing.TB) (events []Event) {
	t.Helper()
	r.Stop()
	for {
		got, err := r.Read()
		events = append(events, got...)
		if errors.Is(err, context.Canceled) {
			return events
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// Allocs is how many allocations there are in the work that feed and one Read
// after it do, when both have been done before. Feed must not allocate itself.
func (r *Reading) Allocs(t testing.TB, feed func()) float64 {
	t.Helper()
	step := func() {
		feed()
		r.batch.Reset()
		if err := r.Source.Read(r.ctx, r.batch); err != nil {
			t.Fatal(err)
		}
	}
	for range 10 {
		step() // buffers grow to their size
	}
	return testing.AllocsPerRun(50, step)
}

// Log is what the instance has logged.
func (r *Reading) Log() string { return r.log.String() }

// Await polls until ok.
func Await(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// Count is a counter of the instance.
func (r *Reading) Count(name string) uint64 { return r.stats.Counter(name, "").Value() }
