package nfct

import (
	"testing"
	"time"

	"github.com/ulogd-go/ulogd/contrib/lab"
	"github.com/ulogd-go/ulogd/pkg/event"
	"github.com/ulogd-go/ulogd/pkg/plugin"
	"github.com/ulogd-go/ulogd/pkg/plugintest"
)

// reader reads all keys of a source.
type reader struct{ all []event.Bound }

func (r *reader) Bind(b *event.Binder) {
	b.All(&r.all, func(event.Key) bool { return true })
}

// input is a source with what a test reads of it.
type input struct {
	*source
	*reader
	*plugintest.Inside
	clock time.Time // if it is not zero
}

func newInput(t testing.TB, o options, change ...func(*plugin.Env)) *input {
	t.Helper()
	in := &input{reader: new(reader), Inside: plugintest.NewInside("ct1")}
	in.Env.Now = func() time.Time {
		if !in.clock.IsZero() {
			return in.clock
		}
		return time.Now()
	}
	for _, f := range change {
		f(in.Env)
	}
	x, err := open(o, in.Env)
	if err != nil {
		t.Fatal(err)
	}
	in.source = x.(*source)
	in.Connect(t, in.source, in.reader)
	return in
}

// start opens the source inside a namespace.
func (in *input) start(t *testing.T, ns *lab.NS) {
	t.Helper()
	in.Start(t, in.source, ns.Do)
}

// row is a record by the names of its keys, as text.
type row map[string]string

// rows are the records of the batch.
func (in *input) rows() (rows []row) {
	for i := range in.Batch.Len() {
		r := row{}
		for _, k := range in.all {
			if v := in.Batch.At(i)[k.Slot]; v.K != event.None {
				text, _ := in.Batch.AppendText(nil, v)
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
	in.Batch.Reset()
	if err := in.Read(t.Context(), in.Batch); err != nil {
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
