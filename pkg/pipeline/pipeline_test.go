package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ulogd-go/ulogd/pkg/config"
	"github.com/ulogd-go/ulogd/pkg/event"
	"github.com/ulogd-go/ulogd/pkg/plugin"
	"github.com/ulogd-go/ulogd/pkg/queue"
	"github.com/ulogd-go/ulogd/pkg/stats"
)

// counting is a source of numbered events.
type counting struct {
	events   int
	endless  bool  // waits for the context when all are read, in place of ending
	fails    error // of Open
	broken   error // of Read when all are read
	n        int
	opened   int
	closed   int
	slot, no event.Slot
}

func (s *counting) Bind(b *event.Binder) {
	b.Out(&s.slot, event.Key{Name: "n", Kind: event.U32})
	b.Out(&s.no, event.Key{Name: "unread", Kind: event.U32})
}

func (s *counting) Open() error  { s.opened++; return s.fails }
func (s *counting) Close() error { s.closed++; return nil }

func (s *counting) Read(ctx context.Context, b *event.Batch) error {
	if s.n == s.events {
		if s.endless {
			<-ctx.Done()
			return ctx.Err()
		}
		if s.broken != nil {
			return s.broken
		}
		return io.EOF
	}
	for range min(10, s.events-s.n) {
		b.Add().Set(s.slot, event.U32, uint64(s.n))
		s.n++
	}
	return nil
}

// even is a filter that keeps even numbers.
type even struct{ n event.Slot }

func (f *even) Bind(b *event.Binder) { b.In(&f.n, "n", event.U32) }
func (f *even) Filter(rows *event.Rows) {
	rows.Keep(func(e event.Event) bool { return e.Uint(f.n)%2 == 0 })
}

// double is a filter that publishes a key.
type double struct{ n, twice event.Slot }

func (f *double) Bind(b *event.Binder) {
	b.In(&f.n, "n", event.U32)
	b.Out(&f.twice, event.Key{Name: "twice", Kind: event.U32})
}

func (f *double) Filter(rows *event.Rows) {
	for e := range rows.All() {
		e.Set(f.twice, event.U32, 2*e.Uint(f.n))
	}
}

// fake is an output that writes the number in a key, and does as it is told.
type fake struct {
	key      string
	options  queue.Options
	batching queue.Batching
	connect  func(attempt int) error
	write    func(attempt int, rows []string) error
	stuck    bool // Reopen takes as long as it may

	slot                              event.Slot
	connects, writes, closes, reopens int
	got                               []string
}

func (o *fake) Bind(b *event.Binder)                   { b.In(&o.slot, o.key, event.U32) }
func (o *fake) Queue() (queue.Options, queue.Batching) { return o.options, o.batching }
func (o *fake) Close() error                           { o.closes++; return nil }
func (o *fake) Reopen(ctx context.Context) error {
	o.reopens++
	if o.stuck {
		<-ctx.Done()
	}
	return errors.New("reopen is of no use")
}

func (o *fake) Encode(blk *queue.Block, rows *event.Rows) {
	for e := range rows.All() {
		blk.Data = strconv.AppendUint(blk.Data, e.Uint(o.slot), 10)
		blk.End()
	}
}

func (o *fake) Connect(context.Context) error {
	o.connects++
	if o.connect == nil {
		return nil
	}
	return o.connect(o.connects)
}

func (o *fake) Write(_ context.Context, blk *queue.Block) error {
	o.writes++
	var rows []string
	for i := range blk.Rows() {
		rows = append(rows, string(blk.Row(i)))
	}
	if o.write != nil {
		err := o.write(o.writes, rows)
		var reject *plugin.RejectError
		if errors.As(err, &reject) && len(reject.Rows) > 0 {
			for _, i := range slices.Backward(reject.Rows) {
				rows = slices.Delete(rows, i, i+1)
			}
		} else if err != nil {
			return err
		}
		o.got = append(o.got, rows...)
		return err
	}
	o.got = append(o.got, rows...)
	return nil
}

// lines is a log that several goroutines write.
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

// bench is plugins by the names of their types, and what a run logs and counts.
type bench struct {
	registry plugin.Registry
	log      lines
	stats    stats.Registry
	*Pipeline
	state string // directory of spools
}

func newBench(sources map[string]*counting, outputs map[string]*fake) *bench {
	b := new(bench)
	type none = plugin.NoOptions
	for name, s := range sources {
		b.registry.Register(plugin.NewSource(plugin.Info{Name: name, Gives: plugin.Raw}, none{}, func(none, *plugin.Env) (plugin.Source, error) { return s, nil }))
	}
	for name, o := range outputs {
		if o.key == "" {
			o.key = "n"
		}
		if o.options.Memory == 0 {
			o.options = queue.Defaults
		}
		b.registry.Register(plugin.NewOutput(plugin.Info{Name: name, Takes: plugin.Raw}, none{}, func(none, *plugin.Env) (plugin.Output, error) { return o, nil }))
	}
	b.registry.Register(plugin.NewFilter(plugin.Info{Name: "EVEN", Takes: plugin.Raw, Gives: plugin.Raw}, none{}, func(none, *plugin.Env) (plugin.Filter, error) { return new(even), nil }))
	b.registry.Register(plugin.NewFilter(plugin.Info{Name: "DOUBLE", Takes: plugin.Raw, Gives: plugin.Packet}, none{}, func(none, *plugin.Env) (plugin.Filter, error) { return new(double), nil }))
	b.registry.Register(plugin.NewFilter(plugin.Info{Name: "PICKY", Takes: plugin.Flow, Gives: plugin.Flow}, none{}, func(none, *plugin.Env) (plugin.Filter, error) { return new(even), nil }))
	return b
}

func (b *bench) build(t *testing.T, stacks ...string) error {
	t.Helper()
	f, err := config.Parse("ulogd.conf", []byte("[global]\nstack="+strings.Join(stacks, "\nstack=")+"\n"))
	if err != nil {
		t.Fatal(err)
	}
	b.Pipeline, err = Build(f, &b.registry, Env{
		Log: slog.New(slog.NewTextHandler(&b.log, nil)), Stats: &b.stats, Now: time.Now, Zone: time.UTC, Hostname: "fw1", State: b.state,
	})
	return err
}

// run builds the stacks and runs them until ctx or the sources end.
func (b *bench) run(t *testing.T, ctx context.Context, stacks ...string) {
	t.Helper()
	err := b.build(t, stacks...)
	if err == nil {
		err = b.Start(ctx)
	}
	if err == nil {
		err = b.Run(ctx)
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, &b.log)
	}
}

// count is a counter of an instance.
func (b *bench) count(instance, name string) uint64 {
	for _, s := range b.stats.Sets() {
		if s.Instance == instance {
			return s.Counter(name, "").Value()
		}
	}
	return 0
}

func numbers(n, step int) (list []string) {
	for i := 0; i < n; i += step {
		list = append(list, strconv.Itoa(i))
	}
	return list
}

func same(t *testing.T, name string, want, got []string) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

// TestStacks has two stacks share a source, with filters and several outputs.
func TestStacks(t *testing.T) {
	a, b, c := new(fake), new(fake), &fake{key: "twice"}
	source := &counting{events: 25}
	p := newBench(map[string]*counting{"SRC": source}, map[string]*fake{"A": a, "B": b, "C": c})
	p.run(t, t.Context(), "s1:SRC,a1:A,e1:EVEN,b1:B", "s1:SRC,d1:DOUBLE,c1:C")
	same(t, "before the filter", numbers(25, 1), a.got)
	same(t, "behind the filter", numbers(25, 2), b.got)
	same(t, "the other stack", numbers(49, 2), c.got)
	if source.opened != 1 || source.closed != 1 || a.connects != 1 || a.closes != 1 || c.closes != 1 {
		t.Errorf("opened %d, closed %d; connected %d, closed %d, %d: want each once", source.opened, source.closed, a.connects, a.closes, c.closes)
	}
	var report strings.Builder
	if p.Report(&report); report.String() != "stack ok: s1:SRC,a1:A,e1:EVEN,b1:B\nstack ok: s1:SRC,d1:DOUBLE,c1:C\n0 stack(s) failed\n" {
		t.Errorf("report:\n%s", &report)
	}
}

// dumping is a source that gives its next event when it is asked to.
type dumping struct {
	counting
	asked chan struct{}
}

func (s *dumping) Dump() { s.asked <- struct{}{} }

func (s *dumping) Read(ctx context.Context, b *event.Batch) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-s.asked:
		b.Add().Set(s.slot, event.U32, 7)
		return nil
	}
}

// TestDump asks a source that two stacks share, beside one that can't be asked.
func TestDump(t *testing.T) {
	a, b, c := new(fake), new(fake), new(fake)
	p := newBench(map[string]*counting{"SRC": {events: 1, endless: true}}, map[string]*fake{"A": a, "B": b, "C": c})
	source := &dumping{asked: make(chan struct{}, 1)}
	p.registry.Register(plugin.NewSource(plugin.Info{Name: "DUMPING", Gives: plugin.Raw}, plugin.NoOptions{},
		func(plugin.NoOptions, *plugin.Env) (plugin.Source, error) { return source, nil }))
	if err := p.build(t, "s1:SRC,c1:C", "d1:DUMPING,a1:A", "d1:DUMPING,b1:B"); err != nil {
		t.Fatal(err)
	}
	if err := p.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.Dump()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- p.Run(ctx) }()
	for deadline := time.Now().Add(10 * time.Second); p.count("b1", "rows") == 0 && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	same(t, "the first stack", []string{"7"}, a.got)
	same(t, "the second stack", []string{"7"}, b.got)
	same(t, "the other source", []string{"0"}, c.got)
}

// TestTroubles has an output fail in all ways there are: each row arrives once,
// or is counted.
func TestTroubles(t *testing.T) {
	poison := func(rows []string) int { return slices.Index(rows, "7") }
	flaky := func(err error) func(int, []string) error {
		return func(attempt int, _ []string) error {
			if attempt%3 != 0 {
				return err
			}
			return nil
		}
	}
	tests := []struct {
		name     string
		o        fake
		rejected uint64
		logged   string
	}{
		{"not connected at first", fake{connect: func(n int) error {
			if n < 4 {
				return fmt.Errorf("%w: nobody listens", plugin.ErrNotConnected)
			}
			return nil
		}}, 0, "nobody listens; trying again"},
		{"connection lost", fake{write: flaky(plugin.ErrNotConnected)}, 0, "not connected; trying again"},
		{"other errors", fake{write: flaky(errors.New("disk full"))}, 0, "disk full; trying again"},
		{"connecting again fails for good", fake{write: flaky(plugin.ErrNotConnected), connect: func(n int) error {
			if n > 1 && n%2 == 0 {
				return errors.New("no permission")
			}
			return nil
		}}, 0, "trying again"},
		{"a known bad row", fake{write: func(_ int, rows []string) error {
			if i := poison(rows); i >= 0 {
				return &plugin.RejectError{Rows: []int{i}, Err: errors.New("too long")}
			}
			return nil
		}}, 1, "rows were rejected: too long"},
		{"an unknown bad row", fake{write: func(_ int, rows []string) error {
			if poison(rows) >= 0 {
				return &plugin.RejectError{Err: errors.New("bad value")}
			}
			return nil
		}}, 1, "1 of 1 rows were rejected: bad value"},
		{"an unknown bad row, and a bad connection", fake{write: func(n int, rows []string) error {
			switch {
			case n%2 == 0:
				return plugin.ErrNotConnected
			case poison(rows) >= 0:
				return &plugin.RejectError{Err: errors.New("bad value")}
			}
			return nil
		}}, 1, "1 of 1 rows were rejected: bad value"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newBench(map[string]*counting{"SRC": {events: 100}}, map[string]*fake{"OUT": &tt.o})
				p.run(t, t.Context(), "s1:SRC,o1:OUT")
				want := numbers(100, 1)
				if tt.rejected > 0 {
					want = slices.Delete(want, 7, 8)
				}
				same(t, "rows", want, tt.o.got)
				if p.count("o1", "rows") != 100 || p.count("o1", "rows_written") != uint64(len(want)) || p.count("o1", "rows_rejected") != tt.rejected || p.count("o1", "rows_lost") != 0 {
					t.Errorf("taken %d, written %d, rejected %d, lost %d", p.count("o1", "rows"), p.count("o1", "rows_written"), p.count("o1", "rows_rejected"), p.count("o1", "rows_lost"))
				}
				if !strings.Contains(p.log.String(), tt.logged) {
					t.Errorf("the log lacks %q:\n%s", tt.logged, &p.log)
				}
			})
		})
	}
}

// TestEndWithRowsLeft has an output that never works: the daemon ends all the
// same, and says what is lost.
func TestEndWithRowsLeft(t *testing.T) {
	for name, endless := range map[string]bool{"the source has ended": false, "the source goes on": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := &fake{write: func(int, []string) error { return errors.New("disk full") }}
				p := newBench(map[string]*counting{"SRC": {events: 30, endless: endless}}, map[string]*fake{"OUT": o})
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				start := time.Now()
				p.run(t, ctx, "s1:SRC,o1:OUT")
				if d := time.Since(start); d < time.Minute || d > time.Minute+drainTime {
					t.Errorf("it took %v, want a minute and at most %v", d, drainTime)
				}
				if p.count("o1", "rows_lost") != 30 || !strings.Contains(p.log.String(), "the daemon ends with 30 rows undelivered") {
					t.Errorf("%d rows counted as lost:\n%s", p.count("o1", "rows_lost"), &p.log)
				}
			})
		})
	}
}

// TestEndWithinABlock has a bad row in a block, and the output break down behind
// it: each row is counted once.
func TestEndWithinABlock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &fake{write: func(_ int, rows []string) error {
			switch {
			case slices.Contains(rows, "7"):
				return &plugin.RejectError{Err: errors.New("bad value")}
			case slices.Contains(rows, "8"):
				return errors.New("disk full")
			}
			return nil
		}}
		p := newBench(map[string]*counting{"SRC": {events: 10}}, map[string]*fake{"OUT": o})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		p.run(t, ctx, "s1:SRC,o1:OUT")
		for name, want := range map[string]uint64{"rows": 10, "rows_written": 7, "rows_rejected": 1, "rows_lost": 2} {
			if got := p.count("o1", name); got != want {
				t.Errorf("%s: %d, want %d", name, got, want)
			}
		}
	})
}

// TestDrains has an output that is slow when the daemon ends.
func TestDrains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &fake{batching: queue.Batching{Rows: 10, Age: time.Hour}, write: func(int, []string) error { time.Sleep(drainTime / 8); return nil }}
		p := newBench(map[string]*counting{"SRC": {events: 55, endless: true}}, map[string]*fake{"OUT": o})
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		p.run(t, ctx, "s1:SRC,o1:OUT")
		same(t, "rows", numbers(55, 1), o.got)
	})
}

// TestRefuses has one output stand still: the other goes on, and what the first
// does not take is counted.
func TestRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stuck := &fake{options: queue.Options{Memory: 20, OnFull: queue.Refuse}, write: func(int, []string) error { time.Sleep(time.Hour); return nil }}
		good := new(fake)
		p := newBench(map[string]*counting{"SRC": {events: 100}}, map[string]*fake{"STUCK": stuck, "GOOD": good})
		p.run(t, t.Context(), "s1:SRC,o1:STUCK,o2:GOOD")
		same(t, "the good output", numbers(100, 1), good.got)
		taken, refused := p.count("o1", "rows"), p.count("o1", "rows_refused")
		if taken+refused != 100 || refused == 0 || len(stuck.got) != int(taken) || !strings.Contains(p.log.String(), "the queue is full, refused") {
			t.Errorf("taken %d, refused %d, written %d:\n%s", taken, refused, len(stuck.got), &p.log)
		}
	})
}

func TestReopen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		idle := &fake{batching: queue.Batching{Age: time.Hour}}
		failing := &fake{write: func(n int, _ []string) error {
			if n < 20 {
				return errors.New("disk full")
			}
			return nil
		}}
		p := newBench(map[string]*counting{"SRC": {events: 10, endless: true}}, map[string]*fake{"IDLE": idle, "FAILING": failing})
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour/2)
		defer cancel()
		for i := range 3 {
			time.AfterFunc(time.Duration(i+1)*time.Minute, func() { p.Reopen() })
		}
		p.run(t, ctx, "s1:SRC,o1:IDLE,o2:FAILING")
		if idle.reopens != 3 || failing.reopens != 3 || !strings.Contains(p.log.String(), "reopen is of no use") {
			t.Errorf("reopened %d and %d times, want 3 each:\n%s", idle.reopens, failing.reopens, &p.log)
		}
		same(t, "the idle output", numbers(10, 1), idle.got)
		same(t, "the failing output", numbers(10, 1), failing.got)
	})
}

// TestReopenEnds: what opens anew when the daemon ends has no more time than the rest.
func TestReopenEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stuck := &fake{stuck: true}
		p := newBench(map[string]*counting{"SRC": {events: 10, endless: true}}, map[string]*fake{"STUCK": stuck})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		time.AfterFunc(30*time.Second, func() { p.Reopen() })
		begin := time.Now()
		p.run(t, ctx, "s1:SRC,o1:STUCK")
		if took := time.Since(begin) - time.Minute; stuck.reopens != 1 || took > 2*drainTime {
			t.Errorf("reopened %d times, and ended after %v", stuck.reopens, took)
		}
	})
}

func TestSourceBreaks(t *testing.T) {
	a, b := new(fake), new(fake)
	p := newBench(map[string]*counting{"BAD": {events: 10, broken: errors.New("socket gone")}, "GOOD": {events: 50}}, map[string]*fake{"A": a, "B": b})
	p.run(t, t.Context(), "s1:BAD,a1:A", "s2:GOOD,b1:B")
	same(t, "the source that breaks", numbers(10, 1), a.got)
	same(t, "the other", numbers(50, 1), b.got)
	if !strings.Contains(p.log.String(), "the source ends: socket gone") {
		t.Errorf("log:\n%s", &p.log)
	}
}

func TestStartErrors(t *testing.T) {
	refusing := func() *fake { return &fake{connect: func(int) error { return errors.New("no such directory") }} }
	t.Run("one stack of two", func(t *testing.T) {
		bad, good, source := refusing(), new(fake), &counting{events: 10}
		p := newBench(map[string]*counting{"SRC": source}, map[string]*fake{"BAD": bad, "GOOD": good})
		p.run(t, t.Context(), "s1:SRC,o1:BAD", "s1:SRC,o2:GOOD")
		same(t, "the other stack", numbers(10, 1), good.got)
		if p.Failed() != 1 || !strings.Contains(p.log.String(), "error starting `o1': no such directory") {
			t.Errorf("%d stacks failed:\n%s", p.Failed(), &p.log)
		}
	})
	t.Run("the second output of a stack", func(t *testing.T) {
		bad, first, source := refusing(), new(fake), &counting{events: 10}
		p := newBench(map[string]*counting{"SRC": source}, map[string]*fake{"BAD": bad, "FIRST": first})
		if err := p.build(t, "s1:SRC,o1:FIRST,o2:BAD"); err != nil {
			t.Fatal(err)
		}
		if err := p.Start(t.Context()); !errors.Is(err, ErrNoStack) || first.closes != 1 || source.closed != 1 {
			t.Errorf("%v; the first output was closed %d times, the source %d; want once each", err, first.closes, source.closed)
		}
	})
	t.Run("the source", func(t *testing.T) {
		o, source := new(fake), &counting{fails: errors.New("group in use")}
		p := newBench(map[string]*counting{"SRC": source}, map[string]*fake{"OUT": o})
		if err := p.build(t, "s1:SRC,o1:OUT"); err != nil {
			t.Fatal(err)
		}
		if err := p.Start(t.Context()); !errors.Is(err, ErrNoStack) || o.connects != 0 || !strings.Contains(p.log.String(), "error starting `s1': group in use") {
			t.Errorf("%v; connected %d times:\n%s", err, o.connects, &p.log)
		}
	})
}

func TestBuildErrors(t *testing.T) {
	f := func(stack, want string) {
		t.Helper()
		p := newBench(map[string]*counting{"SRC": {}}, map[string]*fake{"OUT": {}, "TWICE": {key: "twice"}, "NEVER": {key: "never"}})
		if err := p.build(t, stack); !errors.Is(err, ErrNoStack) || !strings.Contains(strings.ReplaceAll(p.log.String(), `\"`, `"`), want) {
			t.Errorf("%s: %v, want a log with %q:\n%s", stack, err, want, &p.log)
		}
	}
	f("s1:SRC,o1:NOSUCH", "can't find requested plugin NOSUCH; known are DOUBLE, EVEN, NEVER, OUT, PICKY, SRC, TWICE")
	f("s1:SRC,e1:EVEN", "last plugin in stack has to be output plugin: EVEN is none")
	f("e1:EVEN,o1:OUT", "first plugin in stack has to be source plugin: EVEN is none")
	f("s1:SRC,s2:SRC,o1:OUT", "source plugin SRC has to be the first in its stack")
	f("s1:SRC,o1:TWICE", "o1: cannot find key `twice' in stack: no plugin before TWICE provides it; add DOUBLE")
	f("s1:SRC,o1:NEVER", "o1: cannot find key `never' in stack: no plugin provides it")

	// ulogd logs a mismatch of types as an error, and the stack works.
	o := new(fake)
	p := newBench(map[string]*counting{"SRC": {events: 10}}, map[string]*fake{"OUT": o})
	p.run(t, t.Context(), "s1:SRC,x1:PICKY,o1:OUT")
	same(t, "mismatching types", numbers(10, 2), o.got)
	if !strings.Contains(p.log.String(), "type mismatch between PICKY and SRC in stack") {
		t.Errorf("log:\n%s", &p.log)
	}
}

// TestQueueNames: no two outputs have the queue of one name, whatever they are called.
func TestQueueNames(t *testing.T) {
	for _, names := range [][]string{
		{"pg1", "pg1", "pg1.2", "pg1"}, {"pg1.2", "pg1", "pg1"}, {"a/b", "a_b"}, {".a", "_.a", ".a"}, {"..", ".", "_."},
	} {
		p, taken := Pipeline{queues: map[string]bool{}}, map[string]bool{}
		for _, name := range names {
			q := p.queueName(name)
			if taken[q] || q[0] == '.' || strings.Contains(q, "/") {
				t.Errorf("%q: the queue of %q is %q", names, name, q)
			}
			taken[q] = true
		}
	}
}
