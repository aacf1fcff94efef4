package nfct

import (
	"strconv"
	"testing"
	"time"
)

// TestKernelDumpCountsAll: no connection loses its counters with a dump that sets them
// to 0, wherever the parts of the answer end. How large they are depends on how much memory
// the kernel finds.
func TestKernelDumpCountsAll(t *testing.T) {
	ns := host(t)
	for size := 8000; size < 8300; size += 30 {
		in := newInput(t, defaults)
		in.start(t, ns)
		in.dump.buf = make([]byte, size)
		talk(t, ns, 20000, 200, "192.0.2.1:9")
		in.drain(t)
		in.Dump()
		rows := in.read(t, 200)
		each(t, rows, "2", 200)
		for _, r := range rows {
			if r["orig.raw.pktcount"] != "1" {
				t.Errorf("in parts of %d bytes: %v; want 1 packet", size, r)
			}
		}
		flush(t, ns)
		each(t, in.read(t, 200), "4", 200)
		if err := in.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestKernelDumpCountsOnce: what a dump that sets counters to 0 has reported is not
// reported again with the end of a connection that only polling finds.
func TestKernelDumpCountsOnce(t *testing.T) {
	ns := host(t)
	o := defaults
	o.Poll = 3600
	in := newInput(t, o)
	in.start(t, ns)
	talk(t, ns, 20000, 10, "192.0.2.1:9")
	in.Dump()
	rows := in.read(t, 10)
	each(t, rows, "2", 10)
	flush(t, ns)
	in.due = time.Now()
	rows = append(rows, in.read(t, 10)...)
	packets := map[string]int{}
	for _, r := range rows {
		n, err := strconv.Atoi(r["orig.raw.pktcount"])
		if err != nil {
			t.Fatal(err)
		}
		packets[r["orig.l4.sport"]] += n
	}
	if len(rows) != 20 || len(packets) != 10 {
		t.Errorf("%d records of %d connections, want 2 of each of 10", len(rows), len(packets))
	}
	for port, n := range packets {
		if n != 1 {
			t.Errorf("port %s: %d packets in all, want the one that was sent", port, n)
		}
	}
}
