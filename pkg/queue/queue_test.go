package queue

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// offer gives rows to the queue as one encoder would, and tells whether they were taken.
func offer(q *Queue, rows ...string) bool {
	blk := q.Begin()
	if blk == nil {
		return false
	}
	for _, row := range rows {
		blk.Data = append(blk.Data, row...)
		blk.End()
	}
	return q.End(Progress{})
}

// done settles a block.
func done(q *Queue, blk *Block) {
	q.Settle(blk.First+uint64(blk.Rows()), 0)
	q.Done()
}

// take gets a block and returns its rows.
func take(t *testing.T, q *Queue) []string {
	t.Helper()
	blk, err := q.Get(t.Context())
	if err != nil || blk == nil {
		t.Fatalf("Get: %v, %v", blk, err)
	}
	defer done(q, blk)
	return rowsOf(blk)
}

func rowsOf(blk *Block) (rows []string) {
	for i := range blk.Rows() {
		rows = append(rows, string(blk.Row(i)))
	}
	return rows
}

func TestBlock(t *testing.T) {
	var blk Block
	for _, row := range []string{"a", "", "bcd", "ef"} {
		blk.Data = append(blk.Data, row...)
		blk.End()
	}
	for _, tt := range []struct{ i, j int }{{0, 4}, {0, 2}, {1, 3}, {2, 4}, {3, 4}} {
		s := blk.Slice(tt.i, tt.j)
		if diff := cmp.Diff(rowsOf(&blk)[tt.i:tt.j], rowsOf(s)); diff != "" || string(s.Data) != strings.Join(rowsOf(s), "") {
			t.Errorf("rows %d to %d, data %q:\n%s", tt.i, tt.j, s.Data, diff)
		}
	}
	if blk.Reset(); blk.Rows() != 0 || len(blk.Data) != 0 {
		t.Errorf("after Reset: %+v", blk)
	}
}

func TestBatching(t *testing.T) {
	tests := []struct {
		name     string
		batching Batching
		offered  [][]string
		want     [][]string
		after    time.Duration // until the last of them was due
	}{
		{"at once", Batching{}, [][]string{{"a"}, {"b"}}, [][]string{{"a", "b"}}, 0},
		{"by age", Batching{Age: time.Second}, [][]string{{"a"}, {"b"}}, [][]string{{"a", "b"}}, time.Second},
		{"by rows", Batching{Rows: 2, Age: time.Minute}, [][]string{{"a"}, {"b"}, {"c"}}, [][]string{{"a", "b"}, {"c"}}, time.Minute / pauses},
		{"by bytes", Batching{Bytes: 3, Age: time.Minute}, [][]string{{"aa"}, {"b"}, {"cccc"}, {"d"}}, [][]string{{"aa", "b"}, {"cccc"}, {"d"}}, time.Minute / pauses},
		{"one event with many rows stays whole", Batching{Rows: 2, Age: time.Minute}, [][]string{{"a", "b", "c"}}, [][]string{{"a", "b", "c"}}, 0},
		{"no rows make no block", Batching{Rows: 1, Age: time.Minute}, [][]string{{}, {"a"}}, [][]string{{"a"}}, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := newQueue(Defaults, tt.batching)
				start := time.Now()
				for _, rows := range tt.offered {
					offer(q, rows...)
				}
				var got [][]string
				for range tt.want {
					got = append(got, take(t, q))
				}
				if diff := cmp.Diff(tt.want, got); diff != "" {
					t.Errorf("blocks (-want +got):\n%s", diff)
				}
				if d := time.Since(start); d != tt.after || q.Waiting() != 0 {
					t.Errorf("took %v, %d rows waiting; want %v and none", d, q.Waiting(), tt.after)
				}
			})
		})
	}
}

// TestAgeIsThatOfTheFirstRow has rows come while the block waits.
func TestAgeIsThatOfTheFirstRow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(Defaults, Batching{Age: time.Second})
		start := time.Now()
		go func() {
			for range 3 {
				time.Sleep(400 * time.Millisecond)
				offer(q, "a")
			}
		}()
		if rows := take(t, q); len(rows) != 3 || time.Since(start) != 1400*time.Millisecond {
			t.Errorf("%d rows after %v, want 3 after 1.4s", len(rows), time.Since(start))
		}
	})
}

// TestRestOfBurst has rows follow a full block at a steady pace, and then no more.
func TestRestOfBurst(t *testing.T) {
	const pause = 10 * time.Millisecond
	type block struct {
		rows int
		at   time.Duration
	}
	tests := []struct {
		name string
		pace time.Duration // of the four rows that follow
		want []block
	}{
		{"faster than a pause", pause / 2, []block{{5, 0}, {4, 3 * pause}}},
		{"slower than a pause", 2 * pause, []block{{5, 0}, {1, 3 * pause}, {3, 4*pause + pauses*pause}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := newQueue(Defaults, Batching{Rows: 5, Age: pauses * pause})
				start := time.Now()
				offer(q, "a", "b", "c", "d", "e")
				go func() {
					for range 4 {
						time.Sleep(tt.pace)
						offer(q, "f")
					}
				}()
				var got []block
				for range tt.want {
					got = append(got, block{len(take(t, q)), time.Since(start)})
				}
				if !slices.Equal(tt.want, got) {
					t.Errorf("blocks %v, want %v", got, tt.want)
				}
			})
		})
	}
}

func TestKickAndContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(Defaults, Batching{Age: time.Minute})
		time.AfterFunc(time.Second, q.Kick)
		start := time.Now()
		if blk, err := q.Get(t.Context()); blk != nil || err != nil || time.Since(start) != time.Second {
			t.Errorf("after Kick: %v, %v, %v", blk, err, time.Since(start))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if blk, err := q.Get(ctx); blk != nil || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("after the context's end: %v, %v", blk, err)
		}
		offer(q, "a")
		q.Close()
		if blk, err := q.Get(ctx); blk != nil || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("with a block due after the context's end: %v, %v", blk, err)
		}
		if q.Waiting() != 1 {
			t.Errorf("%d rows are waiting, want the one that was not delivered", q.Waiting())
		}
	})
}

func TestCloseDrains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(Defaults, Batching{Rows: 2, Age: time.Hour})
		offer(q, "a", "b")
		offer(q, "c")
		time.AfterFunc(time.Second, q.Close)
		start := time.Now()
		got := [][]string{take(t, q), take(t, q)}
		if diff := cmp.Diff([][]string{{"a", "b"}, {"c"}}, got); diff != "" || time.Since(start) != time.Second {
			t.Errorf("after %v (-want +got):\n%s", time.Since(start), diff)
		}
		if blk, err := q.Get(t.Context()); blk != nil || err != io.EOF {
			t.Errorf("at the end: %v, %v, want EOF", blk, err)
		}
		if offer(q, "d") {
			t.Error("a closed queue takes rows")
		}
	})
}

// small is a queue for ten bytes, in blocks of five.
func small(p Policy) *Queue {
	return newQueue(Options{Memory: 10, OnFull: p}, Batching{Bytes: 5})
}

// fill offers blocks of five bytes until one is refused.
func fill(q *Queue) (taken int) {
	for offer(q, "12345") {
		taken++
	}
	return taken
}

func TestFullRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := small(Refuse)
		start := time.Now()
		if n := fill(q); n != 3 || time.Since(start) != 0 {
			t.Errorf("%d blocks were taken in %v, want 3 at once", n, time.Since(start))
		}
		take(t, q)
		if !offer(q, "12345") {
			t.Error("there is room, and the rows are refused")
		}
	})
}

func TestFullWaitsWhileThereIsProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Hour) // away from the queue's beginning
		q := small(Wait)
		time.Sleep(time.Hour) // an idle output has not been standing still
		go func() {
			for range 20 {
				blk, err := q.Get(context.Background())
				if err != nil {
					t.Error(err)
				}
				time.Sleep(900 * time.Millisecond) // as long as the delivery takes
				done(q, blk)
			}
		}()
		for i := range 20 {
			if !offer(q, "12345") {
				t.Errorf("block %d was refused", i)
			}
		}
		synctest.Wait()
		time.Sleep(time.Minute)
	})
}

func TestFullRefusesWhenTheOutputStandsStill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := small(Wait)
		time.Sleep(time.Hour)
		start := time.Now()
		if n := fill(q); n != 3 || time.Since(start) < patience || time.Since(start) > patience+patience/5 {
			t.Errorf("%d blocks were taken in %v, want 3 and a wait of %v", n, time.Since(start), patience)
		}
		start = time.Now()
		if offer(q, "12345") || time.Since(start) != 0 {
			t.Errorf("the next block is refused after %v, want at once", time.Since(start))
		}
	})
}

func TestFailingRefusesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := small(Wait)
		time.AfterFunc(300*time.Millisecond, q.Fail)
		start := time.Now()
		if n := fill(q); n != 3 || time.Since(start) != 300*time.Millisecond {
			t.Errorf("%d blocks in %v, want 3 and the wait ended by Fail", n, time.Since(start))
		}
		take(t, q)
		if !offer(q, "12345") {
			t.Error("rows are refused although delivery works again")
		}
		time.AfterFunc(300*time.Millisecond, q.Close)
		start = time.Now()
		if offer(q, "12345") || time.Since(start) != 300*time.Millisecond {
			t.Errorf("the wait ended after %v, want by Close", time.Since(start))
		}
	})
}

// TestLittleMemory has a queue that is full before its block is due otherwise.
func TestLittleMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(Options{Memory: 10, OnFull: Refuse}, Batching{Age: time.Minute})
		if n := fill(q); n < 2 || n > 3 {
			t.Errorf("%d blocks were taken, want about ten bytes", n)
		}
		start := time.Now()
		if take(t, q); time.Since(start) != 0 {
			t.Errorf("the full block was due after %v, want at once", time.Since(start))
		}
	})
}

func TestPolicy(t *testing.T) {
	var p Policy
	if err := p.UnmarshalText([]byte("refuse")); err != nil || p != Refuse {
		t.Errorf("refuse is %q, %v", p, err)
	}
	if err := p.UnmarshalText([]byte("drop")); err == nil || !strings.Contains(err.Error(), `use "wait" or "refuse"`) {
		t.Errorf("drop: %v, want an error that names the policies", err)
	}
	if text, err := Wait.MarshalText(); string(text) != "wait" || err != nil {
		t.Errorf("%q, %v", text, err)
	}
}

// TestEveryRowOnce runs a producer and a consumer on goroutines of their own.
func TestEveryRowOnce(t *testing.T) {
	const rows = 200000
	for _, b := range []Batching{{}, {Rows: 7, Age: time.Millisecond}, {Bytes: 100, Age: time.Millisecond}} {
		q := newQueue(Options{Memory: 4096, OnFull: Wait}, b)
		go func() {
			for n := uint32(0); n < rows; {
				blk := q.Begin()
				if blk == nil {
					runtime.Gosched()
					continue
				}
				for range n%5 + 1 {
					if n < rows {
						blk.Data = binary.BigEndian.AppendUint32(blk.Data, n)
						blk.End()
						n++
					}
				}
				q.End(Progress{})
				if n%1000 == 0 {
					q.Kick()
				}
			}
			q.Close()
		}()
		next := uint32(0)
		for {
			blk, err := q.Get(t.Context())
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if blk == nil {
				continue
			}
			for i := range blk.Rows() {
				if got := binary.BigEndian.Uint32(blk.Row(i)); got != next {
					t.Fatalf("%+v: row %d came, want %d", b, got, next)
				}
				next++
			}
			done(q, blk)
		}
		if next != rows || q.Waiting() != 0 {
			t.Errorf("%+v: %d rows came, %d are waiting; want %d and none", b, next, q.Waiting(), rows)
		}
	}
}

func TestQueueDoesNotAllocate(t *testing.T) {
	q := newQueue(Defaults, Batching{})
	run := func() {
		offer(q, "a", "b")
		if _, err := q.Get(t.Context()); err != nil {
			t.Fatal(err)
		}
		q.Done()
	}
	run()
	if n := testing.AllocsPerRun(100, run); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
