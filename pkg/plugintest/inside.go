package plugintest

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/ulogd-go/ulogd/pkg/event"
	"github.com/ulogd-go/ulogd/pkg/plugin"
	"github.com/ulogd-go/ulogd/pkg/stats"
)

// Inside is what a test of a source lends it that is in the source's own package, and
// looks into it. Other tests have Reading.
type Inside struct {
	Env   *plugin.Env
	Batch *event.Batch // for Read, when the source is bound
	log   chan string
}

// NewInside makes an environment with the time of day. Its log is for Await, and has room
// for a thousand lines.
func NewInside(instance string) *Inside {
	in := &Inside{log: make(chan string, 1000)}
	in.Env = &plugin.Env{
		Instance: instance, Log: slog.New(slog.NewTextHandler(in, nil)), Stats: new(stats.Set), Now: time.Now,
	}
	return in
}

// Write takes a line of the log. It may be called concurrently.
func (in *Inside) Write(line []byte) (int, error) {
	select {
	case in.log <- string(line):
	default:
	}
	return len(line), nil
}

// Await waits for a line with the text, and is that. Lines before it are not there any
// more.
func (in *Inside) Await(t testing.TB, text string) string {
	t.Helper()
	deadline := time.After(patience)
	for {
		select {
		case line := <-in.log:
			if strings.Contains(line, text) {
				return line
			}
		case <-deadline:
			t.Fatalf("no line with %q in the log", text)
		}
	}
}

// Connect binds the source, and what reads its keys.
func (in *Inside) Connect(t testing.TB, source, reader event.Bindable) {
	t.Helper()
	tree := event.NewTree(in.Env.Instance, source)
	if err := tree.Stack([]string{"reader"}, []event.Bindable{reader}); err != nil {
		t.Fatal(err)
	}
	in.Batch = event.NewBatch(tree.Layout())
}

// Start opens the source by way of do, such as lab.NS.Do, and closes it when the test
// ends.
func (in *Inside) Start(t testing.TB, source plugin.Source, do func(func() error) error) {
	t.Helper()
	if err := do(source.Open); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = source.Close() }) // which the test may have done
}

// Counter is a counter of the source.
func (in *Inside) Counter(name string) uint64 {
	for _, c := range in.Env.Stats.Counters() {
		if c.Name == name {
			return c.Value()
		}
	}
	return 0
}
