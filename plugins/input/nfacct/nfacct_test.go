package nfacct

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ulogd-go/ulogd/contrib/lab"
	"github.com/ulogd-go/ulogd/pkg/nfacct"
	"github.com/ulogd-go/ulogd/pkg/plugin"
	"github.com/ulogd-go/ulogd/pkg/plugintest"
)

// start is a source in a namespace, with the clock of plugintest. Tests ask it for
// polls, so that they need not wait.
func start(t *testing.T, opts plugintest.Options) (*plugintest.Reading, *lab.NS) {
	t.Helper()
	ns := lab.Test(t)
	opts["pollinterval"] = "3600"
	r := plugintest.Bench{Plugin: "NFACCT", Options: opts}.Source(t)
	if err := ns.Do(func() error { r.Start(t); return nil }); err != nil {
		t.Fatal(err)
	}
	return r, ns
}

func account(t *testing.T, ns *lab.NS, name string, packets, bytes uint64) {
	t.Helper()
	if err := ns.Account(name, packets, bytes); err != nil {
		t.Fatal(err)
	}
}

// poll asks for a poll and reads it. The results are the objects as text.
func poll(t *testing.T, r *plugintest.Reading) (objects []string) {
	t.Helper()
	r.Source.(plugin.Dumper).Dump()
	events, err := r.Read()
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events {
		objects = append(objects, fmt.Sprintf("%s %d %d", e["sum.name"], e["sum.pkts"], e["sum.bytes"]))
	}
	return objects
}

func same(t *testing.T, what string, want, got []string) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got)\n%s", what, diff)
	}
}

func TestKernelZero(t *testing.T) {
	r, ns := start(t, plugintest.Options{})
	same(t, "no objects", nil, poll(t, r))
	odd := "<\xff\n,=&\x01 ü" + strings.Repeat("n", 31-11)
	account(t, ns, "web", 3, 1234)
	account(t, ns, odd, 1<<63, 1<<64-1)
	same(t, "first", []string{"web 3 1234", odd + " 9223372036854775808 18446744073709551615"}, poll(t, r))
	same(t, "second", []string{"web 0 0", odd + " 0 0"}, poll(t, r))
	if err := ns.DeleteAccount("web"); err != nil {
		t.Fatal(err)
	}
	same(t, "one object has gone", []string{odd + " 0 0"}, poll(t, r))
	if n := r.Count("objects"); n != 5 {
		t.Errorf("%d objects counted, want 5", n)
	}
}

func TestKernelTotals(t *testing.T) {
	r, ns := start(t, plugintest.Options{"zerocounter": "0"})
	account(t, ns, "web", 3, 1234)
	same(t, "first", []string{"web 3 1234"}, poll(t, r))
	same(t, "second", []string{"web 3 1234"}, poll(t, r))
}

// TestKernelKeys has all keys of an event, the time among them.
func TestKernelKeys(t *testing.T) {
	for _, zero := range []string{"0", "1"} {
		r, ns := start(t, plugintest.Options{"timestamp": "1", "zerocounter": zero})
		account(t, ns, "web", 3, 1234)
		r.Source.(plugin.Dumper).Dump()
		events := r.Events(t, 1)
		sum := events[0]["sum"].([]byte)
		delete(events[0], "sum")
		want := []plugintest.Event{{
			"sum.name": "web", "sum.pkts": uint64(3), "sum.bytes": uint64(1234),
			"oob.time.sec": uint32(plugintest.Now.Unix()), "oob.time.usec": uint32(plugintest.Now.Nanosecond() / 1000),
		}}
		if diff := cmp.Diff(want, events); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
		if text := string(sum); !strings.Contains(text, "web\x00") || len(sum) < 4+8+12+12 {
			t.Errorf("sum is %q, want the kernel's message", text)
		}
	}
}

// TestKernelManyObjects has more than fit in a datagram: with the kernel's own
// request that dumps and resets, some would be lost.
func TestKernelManyObjects(t *testing.T) {
	r, ns := start(t, plugintest.Options{})
	var want, after []string
	for i := range 1500 {
		name := fmt.Sprintf("object-%d", i)
		account(t, ns, name, uint64(i)+1, 100)
		want, after = append(want, fmt.Sprintf("%s %d 100", name, i+1)), append(after, name+" 0 0")
	}
	began := time.Now()
	same(t, "first", want, poll(t, r))
	t.Logf("%v for %d objects", time.Since(began), len(want))
	same(t, "second", after, poll(t, r))
}

// TestKernelVanished asks for objects of which one has gone since it was listed.
func TestKernelVanished(t *testing.T) {
	r, ns := start(t, plugintest.Options{})
	account(t, ns, "web", 3, 1234)
	s := r.Source.(*source)
	s.names = [][]byte{nfacct.ByName([]byte("gone")), nfacct.ByName([]byte("gone, too"))}
	same(t, "beside the one that is there", []string{"web 3 1234"}, poll(t, r))
	if r.Count("polls_failed") != 0 || r.Log() != "" {
		t.Errorf("that is no failure:\n%s", r.Log())
	}
}

func TestKernelClock(t *testing.T) {
	ns := lab.Test(t)
	account(t, ns, "web", 3, 1234)
	r := plugintest.Bench{Plugin: "NFACCT", Options: plugintest.Options{
		"pollinterval": "1", "zerocounter": "0", "network_namespace_path": fmt.Sprintf("/proc/self/fd/%d", ns.FD()),
	}}.Source(t)
	began := time.Now()
	r.Start(t)
	r.Events(t, 2)
	if d := time.Since(began); d < 1900*time.Millisecond {
		t.Errorf("two polls after %v, want one after each second", d)
	}
}

func TestKernelEnd(t *testing.T) {
	r, ns := start(t, plugintest.Options{})
	account(t, ns, "web", 3, 1234)
	if rest := r.Rest(t); len(rest) != 0 {
		t.Errorf("%v at the end, want nothing: the kernel still has it", rest)
	}
	r, ns = start(t, plugintest.Options{"poll_at_end": "1"})
	account(t, ns, "web", 3, 1234)
	r.Stop()
	if events, err := r.Read(); len(events) != 1 || err != context.Canceled {
		t.Errorf("%v, %v; want a last poll", events, err)
	}
}

func TestKernelWake(t *testing.T) {
	r, ns := start(t, plugintest.Options{})
	account(t, ns, "web", 3, 1234)
	r.Source.(plugin.Waker).Wake()
	if events, err := r.Read(); len(events) != 0 || err != nil {
		t.Errorf("%v, %v; want nothing", events, err)
	}
	// Two requests for a dump that nobody has answered yet are one.
	r.Source.(plugin.Dumper).Dump()
	same(t, "dump", []string{"web 3 1234"}, poll(t, r))
}

// TestKernelFailure reports an error once, and its end.
func TestKernelFailure(t *testing.T) {
	r, ns := start(t, plugintest.Options{})
	account(t, ns, "web", 3, 1234)
	s := r.Source.(*source)
	for _, want := range []string{"web 3 1234", "web 0 0"} {
		s.names = [][]byte{nfacct.AllObjects()} // without a name
		same(t, "beside a request that fails", []string{want}, poll(t, r))
	}
	if n, told := r.Count("polls_failed"), strings.Count(r.Log(), "level=ERROR"); n != 2 || told != 1 || !strings.Contains(r.Log(), "modprobe nfnetlink_acct") {
		t.Errorf("%d failures, %d lines:\n%s", n, told, r.Log())
	}
	same(t, "afterwards", []string{"web 0 0"}, poll(t, r))
	if !strings.Contains(r.Log(), "accounting objects can be read again") {
		t.Errorf("the log is\n%s", r.Log())
	}
}

func TestBadInterval(t *testing.T) {
	for _, opts := range []plugintest.Options{nil, {"pollinterval": "0"}, {"pollinterval": "-1"}} {
		if _, _, err := (plugintest.Bench{Plugin: "NFACCT", Options: opts}).Open(t); err == nil || !strings.Contains(err.Error(), "pollinterval = ") {
			t.Errorf("%v: %v, want an error that names pollinterval", opts, err)
		}
	}
}
