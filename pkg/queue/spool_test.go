package queue

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ulogd-go/ulogd/pkg/option"
)

// spooled are the options of a small spool: a segment is full after some records.
var spooled = Options{Memory: 1 << 20, OnFull: Refuse, Spool: "x", SpoolMax: 1 << 20, Durability: Process}

// openOn opens a queue on a disk.
func openOn(t testing.TB, d *disk, o Options) *Queue {
	t.Helper()
	q := newQueue(o, Batching{Rows: 50})
	if err := q.open(d, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	return q
}

// producer appends rows that hold their own number, with progress that counts them.
type producer struct {
	q    *Queue
	next uint64
}

// offer appends n rows, padded to size bytes.
func (p *producer) offer(n, size int) bool {
	blk := p.q.Begin()
	if blk == nil {
		return false
	}
	for i := range n {
		blk.Data = binary.BigEndian.AppendUint64(blk.Data, p.next+uint64(i))
		blk.Data = append(blk.Data, make([]byte, size)...)
		blk.End()
	}
	progress := p.q.state.progress
	progress.Packets += uint64(n)
	progress.Next += uint64(n)
	if !p.q.End(progress) {
		return false
	}
	p.next += uint64(n)
	return true
}

// drainAll gets what there is without waiting, and settles it if told so.
func drainAll(t testing.TB, q *Queue, settle bool) (rows []uint64) {
	t.Helper()
	q.Close()
	for {
		blk, err := q.Get(context.Background())
		if errors.Is(err, io.EOF) {
			return rows
		}
		if err != nil {
			t.Fatal(err)
		}
		for i := range blk.Rows() {
			n := binary.BigEndian.Uint64(blk.Row(i))
			if n != blk.First+uint64(i) {
				t.Fatalf("row %d is numbered %d", n, blk.First+uint64(i))
			}
			rows = append(rows, n)
		}
		if !settle {
			// A consumer that is killed before it has settled anything gets no
			// further.
			return rows
		}
		done(q, blk)
	}
}

func upTo(from, to uint64) (rows []uint64) {
	for n := from; n < to; n++ {
		rows = append(rows, n)
	}
	return rows
}

// balanced checks the equation.
func balanced(t testing.TB, q *Queue) {
	t.Helper()
	a := q.Tally()
	if a.Taken != a.Written+a.Rejected+a.Lost+a.Waiting {
		t.Errorf("the tally does not add up: %+v", a)
	}
}

func TestSpoolOutlivesTheProcess(t *testing.T) {
	d := newDisk()
	q := openOn(t, d, spooled)
	p := producer{q: q}
	p.offer(30, 10)
	p.offer(30, 10)
	blk, err := q.Get(t.Context())
	if err != nil || blk.Rows() != 60 {
		t.Fatalf("got %d rows, %v; want 60", blk.Rows(), err)
	}
	q.Settle(20, 1)
	p.offer(5, 10)
	epoch := q.Epoch()

	q = openOn(t, d.restart(), spooled) // the first was killed
	if q.Epoch() != epoch || q.Progress().Next != 65 || q.Waiting() != 45 {
		t.Errorf("epoch %s, progress %+v, %d waiting; want those of before", q.Epoch(), q.Progress(), q.Waiting())
	}
	p = producer{q: q, next: 65}
	p.offer(5, 10)
	q.Resume(25)
	rows := drainAll(t, q, true)
	// Records are read whole: the consumer leaves out what it has.
	if !slices.Equal(rows, upTo(0, 70)) {
		t.Errorf("rows %v", rows)
	}
	if a := q.Tally(); a.Written != 69 || a.Rejected != 1 || a.Waiting != 0 || a.Lost != 0 {
		t.Errorf("%+v, want 69 written and 1 rejected", a)
	}
	balanced(t, q)
}

// TestMemoryIsBounded has a backlog that is many times the memory.
func TestMemoryIsBounded(t *testing.T) {
	o := spooled
	o.Memory, o.SpoolMax = 4096, 64<<20
	d := newDisk()
	q := openOn(t, d, o)
	p := producer{q: q}
	for range 3000 {
		if !p.offer(10, 100) {
			t.Fatal("refused")
		}
		if n := q.bytes + len(q.tail.Data); n > 3*4096 {
			t.Fatalf("%d bytes in memory", n)
		}
	}
	rows := drainAll(t, q, true)
	if !slices.Equal(rows, upTo(0, 30000)) {
		t.Errorf("%d rows, want 30000 in order", len(rows))
	}
	balanced(t, q)
	if n := len(q.spool.segments); n > 1 {
		t.Errorf("%d segments are left", n)
	}
}

// TestCatchUp has the consumer catch up with a producer that goes on.
func TestCatchUp(t *testing.T) {
	o := spooled
	o.Memory, o.SpoolMax = 4096, 64<<20
	q := openOn(t, newDisk(), o)
	p := producer{q: q}
	rnd := rand.New(rand.NewPCG(1, 2))
	var want uint64
	for i := range 20000 {
		if rnd.IntN(3) > 0 || i < 200 {
			p.offer(1+rnd.IntN(5), 50)
		}
		if rnd.IntN(2) > 0 && i > 200 && q.Waiting() > 0 {
			blk, err := q.Get(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if blk.First != want {
				t.Fatalf("block begins with %d, want %d", blk.First, want)
			}
			want += uint64(blk.Rows())
			done(q, blk)
		}
	}
	rows := drainAll(t, q, true)
	if !slices.Equal(rows, upTo(want, p.next)) {
		t.Errorf("rows %d to %d came, want %d to %d", rows[0], rows[len(rows)-1], want, p.next)
	}
	balanced(t, q)
}

// TestCrashAtEveryStep ends the process, or the power, at each change of the
// disk. What was acknowledged is there, once and in order.
func TestCrashAtEveryStep(t *testing.T) {
	for _, durability := range []Durability{Process, Power} {
		o := spooled
		o.Durability, o.SpoolMax, o.Memory = durability, 64*1024*8, 8000
		total := crashRun(t, o, 0)
		if total < 50 {
			t.Fatalf("only %d steps", total)
		}
		for step := 1; step <= total; step++ {
			crashRun(t, o, step)
		}
	}
}

// crashRun produces and consumes until the crash, and checks what is found after it.
func crashRun(t *testing.T, o Options, step int) (steps int) {
	t.Helper()
	d := newDisk()
	d.crash = step
	q := newQueue(o, Batching{Rows: 50})
	var p producer
	var settled uint64
	if err := q.open(d, slog.New(slog.DiscardHandler)); err == nil {
		p.q = q
		settled = work(t, d, q, &p)
	}
	steps = d.steps
	left := d.restart()
	if o.Durability == Power {
		left = d.cut()
	}
	q = openOn(t, left, o)
	if o.Durability == Process && q.Tally().Written != settled {
		t.Fatalf("step %d: %d written, want %d", step, q.Tally().Written, settled)
	}
	first := q.Tally().Written
	rows := drainAll(t, q, true)
	// A record that was being written may be there, too.
	if len(rows) > 0 {
		first = rows[0]
	}
	last := first + uint64(len(rows))
	if !slices.Equal(rows, upTo(first, last)) || last < p.next && len(rows) > 0 || first > settled || len(rows) == 0 && settled < p.next {
		t.Fatalf("%s, step %d: rows %d to %d came; %d were acknowledged and %d settled", o.Durability, step, first, last, p.next, settled)
	}
	balanced(t, q)
	return steps
}

// work is what goes on until the crash.
func work(t *testing.T, d *disk, q *Queue, p *producer) (settled uint64) {
	t.Helper()
	for i := range 60 {
		if d.crash > 0 && d.steps >= d.crash {
			return settled // the process is gone
		}
		if i == 30 {
			q.SetLayout("other")
		}
		before := p.next
		p.offer(20, 200)
		if d.crash > 0 && d.steps >= d.crash {
			p.next = before // it was gone before End could return
			return settled
		}
		if i%3 == 2 && i > 12 {
			blk, err := q.Get(t.Context())
			if err != nil {
				return settled
			}
			settled = blk.First + uint64(blk.Rows())
			done(q, blk)
		}
	}
	return settled
}

// TestFullDisk: what finds no room on disk waits in memory, and is there; what
// finds none there either is refused.
func TestFullDisk(t *testing.T) {
	for name, full := range map[string]func(*disk, *Options){
		"disk":      func(d *disk, _ *Options) { d.room = 40000 },
		"spool_max": func(_ *disk, o *Options) { o.SpoolMax = 40000 },
	} {
		t.Run(name, func(t *testing.T) {
			d, o := newDisk(), spooled
			full(d, &o)
			q := openOn(t, d, o)
			p := producer{q: q}
			refused := 0
			for range 2000 {
				if !p.offer(10, 100) {
					refused += 10
				}
			}
			if refused == 0 || p.next < 5000 {
				t.Errorf("%d taken, %d refused; memory has room for more than 5000", p.next, refused)
			}
			d.room, q.spool.max = 0, 64<<20
			if !p.offer(10, 100) && q.spilled {
				t.Error("there is room again, and rows are refused")
			}
			rows := drainAll(t, q, true)
			if !slices.Equal(rows, upTo(0, p.next)) {
				t.Errorf("%d rows came, want %d", len(rows), p.next)
			}
			balanced(t, q)
		})
	}
}

// TestKilledWhileTheDiskIsFull: rows that were in memory only are counted as lost.
func TestKilledWhileTheDiskIsFull(t *testing.T) {
	d := newDisk()
	q := openOn(t, d, spooled)
	p := producer{q: q}
	p.offer(10, 100)
	d.fails = errors.New("input/output error")
	p.offer(7, 100)
	d.fails = nil
	p.offer(10, 100)
	d.fails = errors.New("input/output error")
	p.offer(3, 100)
	q = openOn(t, d.restart(), spooled)
	rows := drainAll(t, q, true)
	if !slices.Equal(rows, append(upTo(0, 10), upTo(17, 27)...)) {
		t.Errorf("rows %v", rows)
	}
	if a := q.Tally(); a.Lost != 10 || a.Taken != 30 {
		t.Errorf("%+v, want 10 lost of 30", a)
	}
	balanced(t, q)
}

// TestCorruption flips bytes all over the segments: no row comes that is not
// right, and those that don't come are counted.
func TestCorruption(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	for range 300 {
		d := newDisk()
		q := openOn(t, d, spooled)
		p := producer{q: q}
		for range 40 {
			p.offer(1+rnd.IntN(20), rnd.IntN(400))
		}
		for name, c := range d.files {
			if !strings.HasSuffix(name, segmentEnd) {
				continue
			}
			for range 1 + rnd.IntN(5) {
				c.data[rnd.IntN(len(c.data))] ^= byte(1 + rnd.IntN(255))
			}
			if rnd.IntN(4) == 0 {
				c.data = c.data[:rnd.IntN(len(c.data))]
			}
		}
		q = openOn(t, d.restart(), spooled)
		if a := q.Tally(); a.Taken != p.next {
			t.Fatalf("%d rows were taken, want %d", a.Taken, p.next)
		}
		n := producer{q: q, next: p.next}
		n.offer(5, 10)
		rows := drainAll(t, q, true)
		if !slices.IsSorted(rows) || !slices.Equal(rows[len(rows)-5:], upTo(p.next, p.next+5)) {
			t.Fatalf("rows %v", rows)
		}
		if a := q.Tally(); a.Lost != p.next+5-uint64(len(rows)) {
			t.Fatalf("%d lost, and %d of %d rows came", a.Lost, len(rows), p.next+5)
		}
		balanced(t, q)
	}
}

// TestLostState: without the state file rows come again from the oldest segment on.
func TestLostState(t *testing.T) {
	d := newDisk()
	q := openOn(t, d, spooled)
	p := producer{q: q}
	for range 10 {
		p.offer(10, 100)
	}
	epoch := q.Epoch()
	clear(d.files[stateName].data)
	q = openOn(t, d.restart(), spooled)
	if q.Epoch() != epoch {
		t.Errorf("epoch %s, want %s", q.Epoch(), epoch)
	}
	if rows := drainAll(t, q, true); !slices.Equal(rows, upTo(0, 100)) {
		t.Errorf("rows %v", rows)
	}
	balanced(t, q)
}

func TestLayouts(t *testing.T) {
	d := newDisk()
	q := openOn(t, d, spooled)
	p := producer{q: q}
	for _, layout := range []string{"a", "a\x00b", "a\x00b", "c"} {
		q.SetLayout(layout)
		p.offer(3, 10)
	}
	check := func(q *Queue) {
		t.Helper()
		var got []string
		for q.Waiting() > 0 {
			blk, err := q.Get(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, fmt.Sprintf("%q %d", blk.Layout, blk.Rows()))
			done(q, blk)
		}
		if want := []string{`"a" 3`, `"a\x00b" 6`, `"c" 3`}; !slices.Equal(got, want) {
			t.Errorf("blocks %v, want %v", got, want)
		}
	}
	check(openOn(t, d.restart(), spooled))
	check(q)
}

// TestRealFiles is a spool in a real directory: killed, locked, with strangers.
func TestRealFiles(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made", "for", "it")
	var given []string
	var log bytes.Buffer
	place := Place{Dir: dir, Log: slog.New(slog.NewTextHandler(&log, nil)), Give: func(path string) error {
		given = append(given, path)
		return nil
	}}
	q, err := Open(spooled, Batching{}, place)
	if err != nil {
		t.Fatal(err)
	}
	p := producer{q: q}
	p.offer(10, 100)
	if _, err := Open(spooled, Batching{}, place); !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), dir) {
		t.Errorf("a second queue there: error %v", err)
	}
	if err := q.Release(); err != nil {
		t.Fatal(err)
	}
	if len(given) < 5 {
		t.Errorf("given %q, want directories and files", given)
	}
	if err := os.WriteFile(filepath.Join(dir, "notes.txt"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if q, err = Open(spooled, Batching{}, place); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(log.String(), "notes.txt does not belong here") {
		t.Errorf("log:\n%s", &log)
	}
	if rows := drainAll(t, q, true); !slices.Equal(rows, upTo(0, 10)) {
		t.Errorf("rows %v", rows)
	}
	if err := q.Release(); err != nil {
		t.Fatal(err)
	}
}

// TestSpoolDoesNotAllocate guards the way of a batch to disk.
// A spool that an earlier process has left as another user is given with all that
// is in it, and so are the directories that are made; those that were there are not.
func TestGive(t *testing.T) {
	base := t.TempDir()
	dir := filepath.Join(base, "made", "spool")
	var given []string
	place := Place{Dir: dir, Log: slog.New(slog.DiscardHandler), Give: func(path string) error {
		name, err := filepath.Rel(base, path)
		given = append(given, name)
		return err
	}}
	for _, want := range [][]string{
		{"made", "made/spool"},
		{"made/spool/lock", "made/spool/state", "made/spool"},
	} {
		given = nil
		q, err := Open(spooled, Batching{}, place)
		if err != nil {
			t.Fatal(err)
		}
		if got := given[:len(want)]; !slices.Equal(got, want) {
			t.Errorf("given were first %q, want %q", got, want)
		}
		if err := q.Release(); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]os.FileMode{"made": 0o755, "made/spool": 0o750} {
		info, err := os.Stat(filepath.Join(base, name))
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got&^want != 0 {
			t.Errorf("%s has mode %v, want %v", name, got, want)
		}
	}
}

func TestSpoolDoesNotAllocate(t *testing.T) {
	q, err := Open(Options{Memory: 64 << 20, SpoolMax: 1 << 30, Spool: "x"}, Batching{Bytes: 1 << 30, Age: time.Hour}, Place{Dir: t.TempDir(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer q.Release()
	row := make([]byte, 150)
	fill := func() {
		blk := q.Begin()
		if len(blk.Data) > 1<<20 {
			blk.Reset() // the test's own way to stay in memory that is there
		}
		for range 64 {
			blk.Data = append(blk.Data, row...)
			blk.End()
		}
		q.begun = max(0, blk.Rows()-64)
		q.End(Progress{})
	}
	for range 1000 {
		fill()
	}
	if n := testing.AllocsPerRun(1000, fill); n > 0.1 {
		t.Errorf("%v allocations for a batch", n)
	}
}

// FuzzSegment: no bytes make the reader panic, or deliver rows out of order.
func FuzzSegment(f *testing.F) {
	d := newDisk()
	q := newQueue(spooled, Batching{Rows: 50})
	if err := q.open(d, slog.New(slog.DiscardHandler)); err != nil {
		f.Fatal(err)
	}
	p := producer{q: q}
	p.offer(3, 5)
	p.offer(2, 5)
	f.Add(d.files[segmentName(0)].data)
	f.Add([]byte{})
	state := d.files[stateName].data
	f.Fuzz(func(t *testing.T, segment []byte) {
		d := newDisk()
		d.files[stateName] = &content{data: slices.Clone(state)}
		d.files[segmentName(0)] = &content{data: segment}
		q := newQueue(spooled, Batching{Rows: 50})
		if err := q.open(d, slog.New(slog.DiscardHandler)); err != nil {
			return
		}
		q.Close()
		next := uint64(0)
		for {
			blk, err := q.Get(context.Background())
			if err != nil {
				break
			}
			if blk.First < next {
				t.Fatalf("row %d after %d", blk.First, next)
			}
			next = blk.First + uint64(blk.Rows())
			done(q, blk)
		}
		balanced(t, q)
	})
}

func BenchmarkSpool(b *testing.B) {
	q, err := Open(Options{Memory: 1 << 20, SpoolMax: 1 << 40, Spool: "x"}, Batching{Bytes: 1 << 20}, Place{Dir: b.TempDir(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	defer q.Release()
	row := make([]byte, 150)
	b.SetBytes(64 * 150)
	for b.Loop() {
		blk := q.Begin()
		for range 64 {
			blk.Data = append(blk.Data, row...)
			blk.End()
		}
		q.End(Progress{})
		if q.Waiting() > 100000 {
			blk, _ := q.Get(b.Context())
			done(q, blk)
		}
	}
}

// TestNoRoomForASegment: a disk that is full just when a segment is, and everything
// delivered from memory.
func TestNoRoomForASegment(t *testing.T) {
	d := newDisk()
	q := openOn(t, d, spooled)
	p := producer{q: q}
	for q.spool.last() == nil || q.spool.last().size < q.spool.segmentSize {
		p.offer(10, 1000)
	}
	d.fails = errors.New("no space left on device")
	p.offer(10, 1000)
	d.fails = nil
	rows := drainSome(t, q)
	p.offer(10, 1000)
	rows = append(rows, drainAll(t, q, true)...)
	if !slices.Equal(rows, upTo(0, p.next)) {
		t.Errorf("rows %v, want %d", rows, p.next)
	}
	balanced(t, q)
	if q = openOn(t, d.restart(), spooled); q.Waiting() != 0 {
		t.Errorf("%d rows wait after a restart", q.Waiting())
	}
}

// drainSome gets and settles all that waits.
func drainSome(t testing.TB, q *Queue) (rows []uint64) {
	t.Helper()
	for q.Waiting() > 0 {
		blk, err := q.Get(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for i := range blk.Rows() {
			rows = append(rows, binary.BigEndian.Uint64(blk.Row(i)))
		}
		done(q, blk)
	}
	return rows
}

// TestTruncated: what somebody cuts off a segment while the queue reads it is lost,
// and the rest comes.
func TestTruncated(t *testing.T) {
	for _, cut := range []int{200, 500, 5000, 60000} {
		d := newDisk()
		o := spooled
		o.Memory = 1000
		q := openOn(t, d, o)
		p := producer{q: q}
		for range 60 {
			p.offer(10, 100)
		}
		for name, c := range d.files {
			if strings.HasSuffix(name, segmentEnd) {
				c.data = c.data[:len(c.data)-min(cut, len(c.data))]
			}
		}
		before := p.next
		p.offer(10, 100)
		rows := drainAll(t, q, true)
		if !slices.IsSorted(rows) || len(rows) < 10 || !slices.Equal(rows[len(rows)-10:], upTo(before, p.next)) {
			t.Errorf("cut %d: rows %v", cut, rows)
		}
		if a := q.Tally(); a.Lost == 0 || a.Lost != p.next-uint64(len(rows)) {
			t.Errorf("cut %d: %d rows came of %d, %d lost", cut, len(rows), p.next, a.Lost)
		}
		balanced(t, q)
	}
}

// TestReceiverIsAhead: a receiver has rows that the spool does not know of. Those that
// come now are others, whatever their numbers, and survive the process as before.
func TestReceiverIsAhead(t *testing.T) {
	d := newDisk()
	q := openOn(t, d, spooled)
	q.Resume(0)
	p := producer{q: q}
	p.offer(50, 10)
	drainAll(t, q, true)
	old := q.Epoch()

	q = openOn(t, d.restart(), spooled)
	p.q = q
	p.offer(10, 10)
	if n := q.Resume(80); n != 50 || q.Epoch() == old {
		t.Errorf("resumed at %d in epoch %s, want 50 and another than %s", n, q.Epoch(), old)
	}
	p.offer(10, 10)
	epoch := q.Epoch()

	q = openOn(t, d.restart(), spooled)
	if n := q.Resume(0); n != 0 || q.Epoch() != epoch {
		t.Errorf("resumed at %d in epoch %s, want 0 and %s", n, q.Epoch(), epoch)
	}
	if rows := drainAll(t, q, true); !slices.Equal(rows, upTo(50, 70)) {
		t.Errorf("rows %v", rows)
	}
	if a := q.Tally(); a.Taken != 70 || a.Written != 70 {
		t.Errorf("%+v, want 70 written", a)
	}
}

// TestSegmentMadeAgain: a segment without a record, which the consumer has open, gets
// another layout.
func TestSegmentMadeAgain(t *testing.T) {
	d := newDisk()
	q := openOn(t, d, spooled)
	q.SetLayout("a")
	p := producer{q: q}
	q.mu.Lock()
	err := q.spool.begin(0, "a") // and the disk was full for the record
	q.mu.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	q.spilled = true
	blk := new(Block)
	if err := q.reader.read(q.spool, q.findLocked, q.afterLocked, blk, 0, q.batching); err != nil || blk.Rows() != 0 {
		t.Fatalf("%d rows, %v", blk.Rows(), err)
	}
	q.SetLayout("a\x00longer")
	p.offer(3, 10)
	if blk, err := q.Get(t.Context()); err != nil || blk.Layout != "a\x00longer" || blk.Rows() != 3 {
		t.Errorf("block %+v, %v; want three rows of the new layout", blk, err)
	}
}

// TestRemovedSegment: rows of a segment that somebody has removed under the running
// daemon count as lost, and those around it and after it are delivered.
func TestRemovedSegment(t *testing.T) {
	for name, which := range map[string]func(names []string) []string{
		"the first":    func(names []string) []string { return names[:1] },
		"one between":  func(names []string) []string { return names[1:2] },
		"the last":     func(names []string) []string { return names[len(names)-1:] },
		"all of them":  func(names []string) []string { return names },
		"the last two": func(names []string) []string { return names[len(names)-2:] },
	} {
		t.Run(name, func(t *testing.T) {
			d, o := newDisk(), spooled
			o.Memory, o.SpoolMax = 4096, 8*segmentMin
			q := openOn(t, d, o)
			p := producer{q: q}
			for len(q.spool.segments) < 4 {
				if !p.offer(20, 1000) {
					t.Fatal("refused")
				}
			}
			var names []string
			for _, g := range q.spool.segments {
				names = append(names, segmentName(g.first))
			}
			for _, n := range which(names) {
				delete(d.files, n)
			}
			got := map[uint64]bool{}
			take := func(want uint64) {
				t.Helper()
				for deadline := time.Now().Add(5 * time.Second); q.Tally().Waiting > 0; {
					ctx, stop := context.WithTimeout(t.Context(), 100*time.Millisecond)
					blk, err := q.Get(ctx)
					stop()
					if err == nil {
						for i := range blk.Rows() {
							got[binary.BigEndian.Uint64(blk.Row(i))] = true
						}
						done(q, blk)
					}
					if time.Now().After(deadline) {
						t.Fatalf("%+v", q.Tally())
					}
				}
				if a := q.Tally(); a.Taken != want || a.Written != uint64(len(got)) || a.Lost != want-uint64(len(got)) {
					t.Errorf("%+v, and %d rows", a, len(got))
				}
				balanced(t, q)
			}
			take(p.next)
			if lost := q.Tally().Lost; lost == 0 || lost > p.next-20 && name != "all of them" {
				t.Errorf("%d of %d rows lost", lost, p.next)
			}
			first := p.next
			for range 3 {
				p.offer(20, 1000)
			}
			take(p.next)
			for n := first; n < p.next; n++ {
				if !got[n] {
					t.Fatalf("row %d of after is not there", n)
				}
			}
			if left := q.spool.bytes; left < 0 || left > int64(d.used()) {
				t.Errorf("%d bytes are said to be used, of %d", left, d.used())
			}
		})
	}
}

// TestLittleSpool: a spool that is smaller than a segment takes rows again once the
// consumer has what it held.
func TestLittleSpool(t *testing.T) {
	for _, limit := range []int{1 << 10, 64 << 10, 100 << 10} {
		o := spooled
		o.SpoolMax = option.Size(limit)
		d := newDisk()
		q := openOn(t, d, o)
		p := producer{q: q}
		for range 3 * limit / 100 {
			if !p.offer(1, 100) {
				t.Fatalf("spool_max=%d: refused", limit)
			}
			q.mu.Lock()
			failing := q.spool.failing
			q.mu.Unlock()
			if failing {
				t.Fatalf("spool_max=%d: full with %d bytes, of which all are delivered", limit, q.Tally().SpoolBytes)
			}
			blk, err := q.Get(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			done(q, blk)
		}
	}
}

// TestReceiverIsAheadLater: a power cut has taken the last rows, which the receiver has,
// and the receiver is away until the process after the next.
func TestReceiverIsAheadLater(t *testing.T) {
	d := newDisk()
	q := openOn(t, d, spooled)
	p := producer{q: q}
	p.offer(50, 10)
	q.Resume(0)
	q.Settle(50, 0)
	// The receiver has 80 rows, of which the last 30 are not known here any more.
	q = openOn(t, d.restart(), spooled)
	old := q.Epoch()
	p.q = q
	p.offer(40, 10)

	q = openOn(t, d.restart(), spooled)
	p.q = q
	p.offer(10, 10)
	if n := q.Resume(80); n != 50 || q.Epoch() == old {
		t.Errorf("resumed at %d in epoch %s, want 50 and another than %s", n, q.Epoch(), old)
	}
	if rows := drainAll(t, q, true); !slices.Equal(rows, upTo(50, 100)) {
		t.Errorf("rows %v", rows)
	}
}

// TestPowerCutAfterResume: what the receiver was asked, and the epoch that began
// then, are known after a power cut, too.
func TestPowerCutAfterResume(t *testing.T) {
	o := spooled
	o.Durability = Power
	for _, ahead := range []uint64{0, 30} {
		d := newDisk()
		q := openOn(t, d, o)
		q.Resume(0)
		p := producer{q: q}
		p.offer(50, 10)
		q.Settle(50, 0)

		d = d.restart()
		q = openOn(t, d, o)
		p.q = q
		p.offer(10, 10)
		q.Resume(50 + ahead)
		p.offer(10, 10)
		q.Settle(65, 0)
		epoch := q.Epoch()

		d = d.cut()
		q = openOn(t, d, o)
		if q.Epoch() != epoch {
			t.Errorf("%d rows ahead: epoch %s after the power cut, want %s", ahead, q.Epoch(), epoch)
		}
		if n := q.Resume(65); n != 65 || q.Epoch() != epoch {
			t.Errorf("%d rows ahead: resumed at %d in epoch %s, want 65 and %s", ahead, n, q.Epoch(), epoch)
		}
		rows := drainAll(t, q, true)
		if n := len(rows); n < 5 || !slices.Equal(rows[n-5:], upTo(65, 70)) {
			t.Errorf("%d rows ahead: rows %v, want those to 69", ahead, rows)
		}
		if a := q.Tally(); a.Taken != 70 || a.Lost != 0 {
			t.Errorf("%d rows ahead: %+v, want 70 taken and none lost", ahead, a)
		}
	}
}

// TestReceiverIsAheadAgain: the receiver is ahead twice, and no row came in between.
// A segment of the first epoch takes no rows of the second.
func TestReceiverIsAheadAgain(t *testing.T) {
	d := newDisk()
	q := openOn(t, d, spooled)
	q.Resume(0)
	p := producer{q: q}
	p.offer(10, 10)
	q.Settle(10, 0)
	q = openOn(t, d.restart(), spooled)
	q.Resume(20)
	q = openOn(t, d.restart(), spooled)
	p.q = q
	p.offer(10, 10)
	q.Resume(20)
	q = openOn(t, d.restart(), spooled)
	if rows := drainAll(t, q, true); !slices.Equal(rows, upTo(10, 20)) {
		t.Errorf("rows %v, want 10 to 19", rows)
	}
}

// TestPowerCutAfterKill: the rows that are found after the end of a process, wherever it
// was killed, survive a power cut from then on.
func TestPowerCutAfterKill(t *testing.T) {
	o := spooled
	o.Durability = Power
	for step := 1; ; step++ {
		d := newDisk()
		d.crash, d.whole = step, true
		q := newQueue(o, Batching{Rows: 50})
		if q.open(d, slog.New(slog.DiscardHandler)) == nil {
			p := producer{q: q}
			for range 2 {
				noted := slices.Clone(d.files[stateName].data)
				p.offer(10, 10)
				if d.steps == step { // it was gone before it could note that
					copy(d.files[stateName].data, noted)
					break
				}
			}
		}
		over := d.steps < step

		d = d.restart()
		q = openOn(t, d, o)
		taken := q.Tally().Taken
		q.SetLayout("other")
		p := producer{q: q, next: taken}
		p.offer(10, 10)
		q = openOn(t, d.cut(), o)
		if rows := drainAll(t, q, true); !slices.Equal(rows, upTo(0, taken+10)) {
			t.Errorf("step %d: rows %v, want those to %d", step, rows, taken+9)
		}
		if over {
			return
		}
	}
}

// TestStateCannotBeSynced: on a file system that can't sync, rows survive the process all
// the same.
func TestStateCannotBeSynced(t *testing.T) {
	d := newDisk()
	q := openOn(t, d, spooled)
	q.spool.page.sync = func() error { return errors.New("invalid argument") }
	q.Resume(0)
	p := producer{q: q}
	p.offer(10, 10)
	q.Settle(5, 0)
	d = d.restart()
	d.crash = 1 // the first step is the sync
	d.steps = 1
	q = newQueue(spooled, Batching{Rows: 50})
	var logs strings.Builder
	if err := q.open(d, slog.New(slog.NewTextHandler(&logs, nil))); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(logs.String(), "rows may be sent twice") || q.Waiting() != 5 {
		t.Errorf("%d rows are waiting, want 5; the log is %s", q.Waiting(), logs.String())
	}
}
