// Package plugintest runs one filter or output on a few events that are written
// as literals, so that a plugin's test is a table of values in and values, or
// rows, out. It is for tests, where speed does not matter.
package plugintest

import (
	"context"
	"io"
	"log/slog"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/ulogd-go/ulogd/pkg/event"
	"github.com/ulogd-go/ulogd/pkg/option"
	"github.com/ulogd-go/ulogd/pkg/outfile"
	"github.com/ulogd-go/ulogd/pkg/plugin"
	"github.com/ulogd-go/ulogd/pkg/queue"
	"github.com/ulogd-go/ulogd/pkg/stats"
)

// Now is the time of day in tests: Monday, 23 November 2026, 07:57:13 UTC.
var Now = time.Date(2026, time.November, 23, 7, 57, 13, 0, time.UTC)

// Options are the lines of a configuration section.
type Options = map[string]string

// Bench is one instance of a plugin of plugin.Default behind a source of literal
// events.
type Bench struct {
	Plugin  string // its name, such as "MARK"
	Options Options
	// Keys are the source's, in order. When empty they are what the plugin
	// reads and what the events hold, in the order of their names.
	Keys []event.Key
	// Env, if not nil, changes what the instance is lent. Before that the
	// clock stands at Now, the zone is UTC, the host "fw1.example.net", the
	// input raw, and messages go to the test's log.
	Env func(*plugin.Env)
}

// Filter runs the filter of that name on events. The results are the events that
// are left with all their values, the source's included. The test fails if a value is not
// of its key's kind.
func Filter(t testing.TB, name string, opts Options, events ...Event) []Event {
	t.Helper()
	return Bench{Plugin: name, Options: opts}.Filter(t, events...)
}

// Output runs the output of that name on events from a source with those keys.
// The results are the rows that it would write.
func Output(t testing.TB, name string, opts Options, keys []event.Key, events ...Event) [][]byte {
	t.Helper()
	return Bench{Plugin: name, Options: opts, Keys: keys}.Output(t, events...)
}

// Allocs fails the test if the plugin allocates when it works on events for the
// second time.
func Allocs(t testing.TB, name string, opts Options, keys []event.Key, events ...Event) {
	t.Helper()
	Bench{Plugin: name, Options: opts, Keys: keys}.Allocs(t, events...)
}

// Filter is like the function Filter.
func (b Bench) Filter(t testing.TB, events ...Event) []Event {
	t.Helper()
	run := b.Start(t, events...)
	rows := run.batch.Rows()
	run.filter(t).Filter(rows)
	var left []Event
	for e := range rows.All() {
		left = append(left, literal(t, rows.Batch, run.sink.all, run.given, e))
	}
	return left
}

// Output is like the function Output.
func (b Bench) Output(t testing.TB, events ...Event) [][]byte {
	t.Helper()
	blk := b.Start(t, events...).Encode(t)
	rows := make([][]byte, blk.Rows())
	for i := range rows {
		rows[i] = blk.Row(i)
	}
	return rows
}

// Allocs is like the function Allocs.
func (b Bench) Allocs(t testing.TB, events ...Event) {
	t.Helper()
	run := b.Start(t, events...)
	size := len(run.batch.Buf)
	var blk queue.Block
	work := func() {
		run.batch.Buf = run.batch.Buf[:size]
		blk.Reset()
		switch x := run.Instance.(type) {
		case plugin.Filter:
			x.Filter(run.batch.Rows())
		case plugin.Output:
			x.Encode(&blk, run.batch.Rows())
		}
	}
	if n := testing.AllocsPerRun(100, work); n != 0 {
		t.Errorf("%s: %v allocations for %d events, want none", b.Plugin, n, len(events))
	}
}

// Running is an instance with its slots filled in, and the events it may work on.
type Running struct {
	Instance event.Bindable // the plugin.Filter or plugin.Output
	Env      *plugin.Env

	batch *event.Batch
	given []event.Slot // the source's
	sink  *sink
}

// Open makes the instance and returns the error of its options.
func (b Bench) Open(t testing.TB) (event.Bindable, *plugin.Env, error) {
	t.Helper()
	spec, err := plugin.Default.Lookup(b.Plugin)
	if err != nil {
		t.Fatal(err)
	}
	env := &plugin.Env{
		Instance: "test1",
		Log:      slog.New(slog.NewTextHandler(t.Output(), nil)),
		Stats:    &stats.Set{Instance: "test1"},
		Now:      func() time.Time { return Now },
		Zone:     time.UTC,
		Hostname: "fw1.example.net",
		Files:    new(outfile.Set),
		Source:   &source{keys: b.Keys},
		Input:    plugin.Raw,
		Rebind:   func() {},
	}
	if b.Env != nil {
		b.Env(env)
	}
	section := option.Section{Name: env.Instance}
	for _, name := range slices.Sorted(maps.Keys(b.Options)) {
		section.Entries = append(section.Entries, option.Entry{Name: name, Value: b.Options[name]})
	}
	x, _, err := spec.Open(section, true, env)
	return x, env, err
}

// Start makes the instance, binds it, and puts events before it. Any error ends
// the test.
func (b Bench) Start(t testing.TB, events ...Event) *Running {
	t.Helper()
	x, env, err := b.Open(t)
	if err != nil {
		t.Fatal(err)
	}
	src := &source{keys: b.keys(t, x, events)}
	run := &Running{Instance: x, Env: env, sink: new(sink)}
	stack := []event.Bindable{x}
	if _, ok := x.(plugin.Filter); ok {
		stack = append(stack, run.sink)
	}
	tree := event.NewTree("source1", src)
	if err := tree.Stack([]string{env.Instance, "sink1"}[:len(stack)], stack); err != nil {
		t.Fatal(err)
	}
	run.batch, run.given = event.NewBatch(tree.Layout()), src.slots
	run.batch.Now = env.Now()
	for _, e := range events {
		src.add(t, run.batch, e)
	}
	return run
}

// keys are the declared ones, or else all that x reads and that the events hold.
func (b Bench) keys(t testing.TB, x event.Bindable, events []Event) []event.Key {
	t.Helper()
	if len(b.Keys) > 0 {
		return b.Keys
	}
	kinds := map[string]event.Kind{}
	for _, e := range events {
		for name, v := range e {
			kinds[name] = kindOf(v)
		}
	}
	var binder event.Binder
	x.Bind(&binder)
	for _, in := range binder.Inputs() {
		if _, known := kinds[in.Name]; known || !in.Optional {
			kinds[in.Name] = in.Kind
		}
	}
	var keys []event.Key
	for _, name := range slices.Sorted(maps.Keys(kinds)) {
		keys = append(keys, event.Key{Name: name, Kind: kinds[name]})
	}
	return keys
}

// Output is the instance as an output.
func (r *Running) Output(t testing.TB) plugin.Output {
	t.Helper()
	out, ok := r.Instance.(plugin.Output)
	if !ok {
		t.Fatalf("%T is no output", r.Instance)
	}
	return out
}

// Encode is the rows of the events, in a new block.
func (r *Running) Encode(t testing.TB) *queue.Block {
	t.Helper()
	blk := new(queue.Block)
	if x, ok := r.Instance.(plugin.Recorder); ok {
		blk.Layout = x.Layout()
	}
	r.Output(t).Encode(blk, r.batch.Rows())
	return blk
}

func (r *Running) filter(t testing.TB) plugin.Filter {
	t.Helper()
	f, ok := r.Instance.(plugin.Filter)
	if !ok {
		t.Fatalf("%T is no filter", r.Instance)
	}
	return f
}

// source publishes keys. Nobody reads from it: the events are put into the batch.
type source struct {
	keys  []event.Key
	slots []event.Slot
}

func (s *source) Bind(b *event.Binder) {
	s.slots = make([]event.Slot, len(s.keys))
	for i, k := range s.keys {
		b.Out(&s.slots[i], k)
	}
}

func (s *source) Open() error { return nil }

func (s *source) Read(context.Context, *event.Batch) error { return io.EOF }

func (s *source) Close() error { return nil }

// sink reads every key behind a filter.
type sink struct{ all []event.Bound }

func (s *sink) Bind(b *event.Binder) { b.All(&s.all, func(event.Key) bool { return true }) }
