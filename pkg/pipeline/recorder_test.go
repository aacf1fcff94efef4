package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ulogd-go/ulogd/pkg/event"
	"github.com/ulogd-go/ulogd/pkg/plugin"
	"github.com/ulogd-go/ulogd/pkg/queue"
)

// base is a database in a few words: rows, and how far each epoch is in them.
type base struct {
	rows   []string
	ledger map[string]uint64
}

// recorder writes to a base, which outlives it.
type recorder struct {
	*fake
	base *base
	// between is called with each block, before and after the commit.
	between func(write int, committed bool, rows []string) error
}

func (o *recorder) Layout() string { return "n" }

func (o *recorder) Resume(_ context.Context, epoch string) (uint64, error) {
	return o.base.ledger[epoch], nil
}

func (o *recorder) AppendRow(dst []byte, blk *queue.Block, i int) []byte {
	return append(append(append(dst, `{"n":`...), blk.Row(i)...), '}')
}

func (o *recorder) Write(_ context.Context, blk *queue.Block) error {
	o.writes++
	var rows []string
	for i := range blk.Rows() {
		rows = append(rows, string(blk.Row(i)))
	}
	if err := o.between(o.writes, false, rows); err != nil {
		return err
	}
	o.base.rows = append(o.base.rows, rows...)
	o.base.ledger[blk.Epoch] = blk.First + uint64(blk.Rows())
	return o.between(o.writes, true, rows)
}

// runRecorder runs 100 numbers into the base.
func runRecorder(t *testing.T, state string, source *counting, o *recorder) *bench {
	t.Helper()
	b := newBench(map[string]*counting{"SRC": source}, nil)
	o.key, o.options, o.batching = "n", queue.Defaults, queue.Batching{Rows: 10}
	o.options.Spool = queue.Auto
	b.registry.Register(plugin.NewOutput(plugin.Info{Name: "DB", Takes: plugin.Raw}, plugin.NoOptions{},
		func(plugin.NoOptions, *plugin.Env) (plugin.Output, error) { return o, nil }))
	b.state = state
	b.run(t, t.Context(), "s1:SRC,db1:DB")
	return b
}

// TestExactlyOnce: whatever a connection does around a commit, each row is there
// once.
func TestExactlyOnce(t *testing.T) {
	cut := fmt.Errorf("%w: cut", plugin.ErrNotConnected)
	tests := map[string]func(write int, committed bool, rows []string) error{
		"nothing happens": func(int, bool, []string) error { return nil },
		"cut before each second commit": func(write int, committed bool, _ []string) error {
			if !committed && write%2 == 0 {
				return cut
			}
			return nil
		},
		"cut after each commit": func(_ int, committed bool, _ []string) error {
			if committed {
				return cut
			}
			return nil
		},
		"cut before and after, and a row that will never do": func(write int, committed bool, rows []string) error {
			switch {
			case !committed && slices.Contains(rows, "42"):
				return &plugin.RejectError{Err: errors.New("no 42")}
			case committed && write%3 == 0 || !committed && write%5 == 0:
				return cut
			}
			return nil
		},
	}
	for name, between := range tests {
		t.Run(name, func(t *testing.T) {
			state := t.TempDir()
			o := &recorder{fake: new(fake), base: &base{ledger: map[string]uint64{}}, between: between}
			b := runRecorder(t, state, &counting{events: 100}, o)
			want := numbers(100, 1)
			rejected := 0
			if strings.Contains(name, "never") {
				want = slices.DeleteFunc(want, func(s string) bool { return s == "42" })
				rejected = 1
			}
			same(t, name, want, o.base.rows)
			if n := b.count("db1", "rows_written"); n != uint64(100-rejected) {
				t.Errorf("%d rows counted as written", n)
			}
			status := fmt.Sprintf("db1: packets 100 = written %d + rejected %d + waiting 0 + filtered 0 + refused 0 + lost 0", 100-rejected, rejected)
			if got := b.Status(); !slices.Equal(got, []string{status}) {
				t.Errorf("status %q, want %q", got, status)
			}
			rejects, err := os.ReadFile(filepath.Join(state, "db1", rejectName))
			if rejected == 0 {
				if !errors.Is(err, os.ErrNotExist) {
					t.Errorf("a file of rejected rows: %s, %v", rejects, err)
				}
				return
			}
			var line rejected1
			if err := json.Unmarshal(rejects, &line); err != nil || line.Values.N != 42 || line.Row != 42 || line.Error != "no 42" || line.Output != "db1" {
				t.Errorf("rejected: %s (%v)", rejects, err)
			}
		})
	}
}

// rejected1 is a line of the file of rejected rows.
type rejected1 struct {
	Row           uint64
	Output, Error string
	Values        struct{ N int }
}

// TestNextRun: what one run of the daemon leaves, the next one writes.
func TestNextRun(t *testing.T) {
	state := t.TempDir()
	db := &base{ledger: map[string]uint64{}}
	down := func(int, bool, []string) error { return fmt.Errorf("%w: down", plugin.ErrNotConnected) }
	b := newBench(map[string]*counting{"SRC": {events: 100}}, nil)
	o := &recorder{fake: new(fake), base: db, between: down}
	o.key, o.options, o.batching = "n", queue.Defaults, queue.Batching{Rows: 10}
	o.options.Spool = queue.Auto
	b.registry.Register(plugin.NewOutput(plugin.Info{Name: "DB", Takes: plugin.Raw}, plugin.NoOptions{},
		func(plugin.NoOptions, *plugin.Env) (plugin.Output, error) { return o, nil }))
	b.state = state
	if err := b.build(t, "s1:SRC,db1:DB"); err != nil {
		t.Fatal(err)
	}
	// The first run ends in the middle: rows were taken, none was delivered.
	tree := b.trees[0]
	run := tree.stacks[0].runners[0]
	if err := run.open(); err != nil {
		t.Fatal(err)
	}
	if err := run.reconnect(t.Context()); err != nil {
		t.Fatal(err)
	}
	batch := event.NewBatch(tree.layout)
	for range 3 {
		if err := tree.source.Read(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
		tree.pass(batch)
		batch.Reset()
	}
	if err := run.queue.Release(); err != nil {
		t.Fatal(err)
	}
	db.rows, db.ledger[run.queue.Epoch()] = numbers(5, 1), 5 // which it could not note

	next := &recorder{fake: new(fake), base: db, between: func(int, bool, []string) error { return nil }}
	second := runRecorder(t, state, &counting{events: 100, n: 30}, next)
	same(t, "rows", numbers(100, 1), db.rows)
	if got, want := second.Status(), "db1: packets 100 = written 100 + rejected 0 + waiting 0 + filtered 0 + refused 0 + lost 0"; got[0] != want {
		t.Errorf("status %q, want %q", got, want)
	}
}

// TestOldSpool: a power cut can take rows from the spool that the database has, and a
// backup is older than it. What comes after is stored all the same.
func TestOldSpool(t *testing.T) {
	for _, failures := range []int{0, 3} {
		t.Run(fmt.Sprintf("%d failures to connect", failures), func(t *testing.T) {
			state, db := t.TempDir(), &base{ledger: map[string]uint64{}}
			run := func(from, to, failures int, between func(int, bool, []string) error) *bench {
				o := &recorder{fake: new(fake), base: db, between: between}
				o.connect = func(attempt int) error {
					if attempt <= failures {
						return fmt.Errorf("%w: down", plugin.ErrNotConnected)
					}
					return nil
				}
				return runRecorder(t, state, &counting{events: to, n: from}, o)
			}
			smooth := func(int, bool, []string) error { return nil }
			run(0, 10, 0, smooth)
			old := t.TempDir()
			if err := os.CopyFS(old, os.DirFS(state)); err != nil {
				t.Fatal(err)
			}
			run(10, 60, 0, smooth)
			state = old
			b := run(60, 80, failures, func(write int, committed bool, _ []string) error {
				if committed && write == 1 {
					return fmt.Errorf("%w: cut", plugin.ErrNotConnected)
				}
				return nil
			})
			run(80, 100, failures, smooth)
			same(t, "rows", numbers(100, 1), db.rows)
			if got, want := b.Status(), "db1: packets 30 = written 30 + rejected 0 + waiting 0 + filtered 0 + refused 0 + lost 0"; got[0] != want {
				t.Errorf("status %q, want %q", got, want)
			}
		})
	}
}

// stream is a batch of numbered events.
func stream(id byte, first, lost uint64, n int) *event.Batch {
	b := event.NewBatch(event.Layout{})
	b.Stream, b.First, b.Lost = [16]byte{id}, first, lost
	for range n {
		b.Add()
	}
	return b
}

// TestAccount: packets are counted once, whoever sees them twice, and those that
// are missing are, too.
func TestAccount(t *testing.T) {
	var a account
	arrive := func(b *event.Batch, keep int) int {
		rows := b.Rows()
		i := 0
		rows.Keep(func(event.Event) bool { i++; return i <= keep })
		a.arrive(rows)
		return rows.Len()
	}
	check := func(what string, left, wantLeft int, want queue.Progress) {
		t.Helper()
		a.Stream = [16]byte{}
		if left != wantLeft || a.Progress != want {
			t.Errorf("%s: %d left, %+v; want %d, %+v", what, left, a.Progress, wantLeft, want)
		}
		a.Stream = [16]byte{1}
	}
	n := arrive(stream(1, 2, 2, 10), 7)
	check("two were lost at first, three are filtered", n, 7, queue.Progress{Next: 12, StreamLost: 2, Packets: 12, Lost: 2, Filtered: 3})
	n = arrive(stream(1, 8, 2, 10), 10)
	check("four come again", n, 6, queue.Progress{Next: 18, StreamLost: 2, Packets: 18, Lost: 2, Filtered: 3})
	n = arrive(stream(1, 10, 2, 5), 5)
	check("all come again", n, 0, queue.Progress{Next: 18, StreamLost: 2, Packets: 18, Lost: 2, Filtered: 3})
	n = arrive(stream(1, 25, 9, 5), 5)
	check("a gap of seven", n, 5, queue.Progress{Next: 30, StreamLost: 9, Packets: 30, Lost: 9, Filtered: 3})
	n = arrive(stream(2, 100, 40, 5), 5)
	check("another stream, in the middle", n, 5, queue.Progress{Next: 105, StreamLost: 40, Packets: 35, Lost: 9, Filtered: 3})
}

// TestUnnumbered: a source without numbers is counted all the same.
func TestUnnumbered(t *testing.T) {
	var a account
	b := stream(0, 0, 0, 10)
	a.arrive(b.Rows())
	a.arrive(b.Rows())
	if want := (queue.Progress{Packets: 20}); a.Progress != want {
		t.Errorf("%+v, want %+v", a.Progress, want)
	}
}
