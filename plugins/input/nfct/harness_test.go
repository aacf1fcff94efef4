package nfct

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/ulogd-go/ulogd/contrib/lab"
	"github.com/ulogd-go/ulogd/pkg/event"
	"github.com/ulogd-go/ulogd/pkg/plugin"
	"github.com/ulogd-go/ulogd/pkg/stats"
)

// logs is a logger's output that a test reads while it is written.
type logs struct{ ch chan string }

func (l logs) Write(p []byte) (int, error) {
	select {
	case l.ch <- string(p):
	default:
	}
	return len(p), nil
}

// await waits for a line with the text.
func (l logs) await(t *testing.T, text string) string {
	t.Helper()
	deadline := time.After(5 * time.Second)
	for {
		select {
		case line := <-l.ch:
			if strings.Contains(line, text) {
				return line
			}
		case <-deadline:
			t.Fatalf("no line with %q in the log", text)
		}
	}
}

// reader reads all keys of a source.
type reader struct{ all []event.Bound }

func (r *reader) Bind(b *event.Binder) {
	b.All(&r.all, func(event.Key) bool { return true })
}

// input is a source with what a test reads of it.
type input struct {
	*source
	*reader
	logs
	set   *stats.Set
	batch *event.Batch
	clock time.Time // if it is not zero
}

func newInput(t testing.TB, o options, change ...func(*plugin.Env)) *input {
	t.Helper()
	in := &input{reader: new(reader), logs: logs{make(chan string, 1000)}, set: new(stats.Set)}
	env := &plugin.Env{
		Instance: "ct1", Log: slog.New(slog.NewTextHandler(in.logs, nil)), Stats: in.set,
		Now: func() time.Time {
			if !in.clock.IsZero() {
				return in.clock
			}
			return time.Now()
		},
	}
	for _, f := range change {
		f(env)
	}
	x, err := open(o, env)
	if err != nil {
		t.Fatal(err)
	}
	in.source = x.(*source)
	tree := event.NewTree("ct1", in.source)
	if err := tree.Stack([]string{"reader"}, []event.Bindable{in.reader}); err != nil {
		t.Fatal(err)
	}
	in.batch = event.NewBatch(tree.Layout())
	return in
}

// start opens the source inside a namespace.
func (in *input) start(t *testing.T, ns *lab.NS) {
	t.Helper()
	if err := ns.Do(in.Open); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.source.Close() })
}

// row is a record by the names of its keys, as text.
type row map[string]string

// rows are the records of the batch.
func (in *input) rows() (rows []row) {
	for i := range in.batch.Len() {
		r := row{}
		for _, k := range in.all {
			if v := in.batch.At(i)[k.Slot]; v.K != event.None {
				text, _ := in.batch.AppendText(nil, v)
				r[k.Name] = string(text)
			}
		}
		rows = append(rows, r)
	}
	return rows
}

// read reads until there are n records, or more, or the time is over.
func (in *input) read(t *testing.T, n int) (rows []row) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); len(rows) < n; {
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d records", len(rows), n)
		}
		rows = append(rows, in.once(t)...)
	}
	return rows
}

// once is one Read, which waits for half a second at most.
func (in *input) once(t *testing.T) []row {
	t.Helper()
	defer time.AfterFunc(500*time.Millisecond, in.Wake).Stop()
	in.batch.Reset()
	if err := in.Read(t.Context(), in.batch); err != nil {
		t.Fatal(err)
	}
	return in.rows()
}

// drain reads what comes within a moment.
func (in *input) drain(t *testing.T) (rows []row) {
	t.Helper()
	for {
		more := in.once(t)
		if len(more) == 0 && in.source.dump.state == idle {
			return rows
		}
		rows = append(rows, more...)
	}
}

func (in *input) counter(name string) uint64 {
	for _, c := range in.set.Counters() {
		if c.Name == name {
			return c.Value()
		}
	}
	return 0
}
