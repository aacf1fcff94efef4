package ulog

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/ulogd-go/ulogd/contrib/lab"
	"github.com/ulogd-go/ulogd/pkg/plugintest"
)

// start is a source in a namespace that takes datagrams of a process, as no kernel
// sends them any more.
func start(t *testing.T, opts plugintest.Options) (*plugintest.Reading, *lab.NS) {
	t.Helper()
	ns := lab.Test(t)
	r := plugintest.Bench{Plugin: "ULOG", Options: opts}.Source(t)
	r.Source.(*source).protocol = unix.NETLINK_USERSOCK
	if err := ns.Do(func() error { r.Start(t); return nil }); err != nil {
		t.Fatal(err)
	}
	return r, ns
}

func send(t testing.TB, ns *lab.NS, group int, datagrams ...[]byte) {
	t.Helper()
	if err := ns.SendULOG(group, datagrams...); err != nil {
		t.Fatal(err)
	}
}

// marks are the marks of events, by which tests number their packets.
func marks(events []plugintest.Event) (list []uint32) {
	for _, e := range events {
		list = append(list, e["oob.mark"].(uint32))
	}
	return list
}

func numbered(mark uint32) lab.ULOG { return lab.ULOG{Mark: mark, Packet: make([]byte, 40)} }

// TestKernelPackets has single packets, and batches whose last message is of type
// NLMSG_DONE, from kernels of both word sizes.
func TestKernelPackets(t *testing.T) {
	for _, group := range []int{1, 32} {
		r, ns := start(t, plugintest.Options{"nlgroup": fmt.Sprint(group), "numeric_label": "0x105"})
		full := lab.ULOG{
			Mark: 1, Sec: 1700000000, Usec: 123456, Hook: 2, In: "eth0", Out: "eth1", Prefix: "FW: ",
			MAC: []byte("\x02\x00\x00\x00\x00\x0a\x02\x00\x00\x00\xbe\xef\x08\x00"), Packet: []byte("packet"),
		}
		batch := numbered(2).Append(nil, 4, lab.ULOGEvent, lab.ULOGMulti)
		batch = numbered(3).Append(batch, 4, lab.ULOGEvent, lab.ULOGMulti)
		batch = numbered(4).Append(batch, 4, lab.ULOGDone, 0)
		send(t, ns, group%32+1, numbered(99).Append(nil, 8, lab.ULOGEvent, 0)) // to another group
		send(t, ns, group, full.Append(nil, 8, lab.ULOGEvent, 0), batch, numbered(5).Append(nil, 8, lab.ULOGDone, 0))
		events := r.Events(t, 5)
		if diff := cmp.Diff([]uint32{1, 2, 3, 4, 5}, marks(events)); diff != "" {
			t.Errorf("group %d (-want +got)\n%s", group, diff)
		}
		want := plugintest.Event{
			"raw.mac": full.MAC, "raw.pkt": full.Packet, "raw.pktlen": uint32(6), "raw.pktcount": uint32(1), "oob.prefix": "FW: ",
			"oob.time.sec": uint32(1700000000), "oob.time.usec": uint32(123456), "oob.mark": uint32(1), "oob.in": "eth0", "oob.out": "eth1",
			"oob.hook": uint8(2), "raw.mac_len": uint16(14), "oob.family": uint8(2), "oob.protocol": uint16(0), "raw.label": uint8(5),
		}
		if diff := cmp.Diff(want, events[0]); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
		if n := r.Count("packets"); n != 5 {
			t.Errorf("%d packets counted, want 5", n)
		}
	}
}

func TestKernelBadDatagrams(t *testing.T) {
	r, ns := start(t, plugintest.Options{"nlgroup": "3", "bufsize": "4096"})
	long := lab.ULOG{Packet: make([]byte, 60000)}.Append(nil, 8, lab.ULOGEvent, 0)
	send(t, ns, 3, []byte("nonsense"), long, numbered(1).Append(nil, 8, lab.ULOGEvent, 0))
	r.Events(t, 1)
	if a, b := r.Count("messages_malformed"), r.Count("datagrams_truncated"); a != 1 || b != 1 {
		t.Errorf("%d malformed, %d truncated; want 1 of each", a, b)
	}
	// Only tests take a process for the kernel.
	r.Source.(*source).sock.AnySender = false
	send(t, ns, 3, numbered(2).Append(nil, 8, lab.ULOGEvent, 0))
	plugintest.Await(t, "the datagram of a process is counted", func() bool {
		time.AfterFunc(5*time.Millisecond, r.Source.(*source).Wake)
		if events, err := r.Read(); len(events) > 0 || err != nil {
			t.Fatalf("%v, %v", events, err)
		}
		return r.Count("datagrams_foreign") == 1
	})
}

func TestKernelOverrun(t *testing.T) {
	r, ns := start(t, plugintest.Options{"rmem": "10000"})
	one := numbered(1).Append(nil, 8, lab.ULOGEvent, 0)
	for range 1000 {
		send(t, ns, 32, one)
	}
	got := len(r.Events(t, 1))
	rest := len(r.Rest(t))
	if got+rest >= 1000 || r.Count("overruns") != 1 || r.Count("packets") != uint64(got+rest) {
		t.Errorf("%d packets of 1000 received, %d counted, %d overruns", got+rest, r.Count("packets"), r.Count("overruns"))
	}
	if !strings.Contains(r.Log(), "the receive buffer was full 1 times, and packets are lost; raise rmem, which is 10000") {
		t.Errorf("the log is\n%s", r.Log())
	}
}

// TestKernelNothingIsLostAtTheEnd ends a source that has not read its packets yet.
func TestKernelNothingIsLostAtTheEnd(t *testing.T) {
	r, ns := start(t, nil)
	for i := range 200 {
		send(t, ns, 32, numbered(uint32(i)).Append(nil, 8, lab.ULOGEvent, 0))
	}
	if rest := r.Rest(t); len(rest) != 200 {
		t.Errorf("%d packets of 200", len(rest))
	}
}

func TestKernelWake(t *testing.T) {
	r, ns := start(t, nil)
	time.AfterFunc(10*time.Millisecond, r.Source.(*source).Wake)
	if events, err := r.Read(); len(events) != 0 || err != nil {
		t.Errorf("woken: %v, %v", events, err)
	}
	send(t, ns, 32, numbered(7).Append(nil, 8, lab.ULOGEvent, 0))
	r.Events(t, 1)
}

func TestKernelReadDoesNotAllocate(t *testing.T) {
	r, ns := start(t, plugintest.Options{"rmem": "8000000"})
	one := numbered(1).Append(nil, 8, lab.ULOGEvent, 0)
	for range 70 * enough {
		send(t, ns, 32, one)
	}
	if n := r.Allocs(t, func() {}); n != 0 {
		t.Errorf("%v allocations for a batch", n)
	}
	if n := r.Count("packets"); n != 61*enough {
		t.Errorf("%d packets in 61 batches, want %d in each", n, enough)
	}
}

// TestNoULOG starts on a kernel of today.
func TestNoULOG(t *testing.T) {
	r := plugintest.Bench{Plugin: "ULOG", Options: plugintest.Options{"nlgroup": "2"}}.Source(t)
	err := r.Source.Open()
	if err == nil || !strings.HasPrefix(err.Error(), "can't create ULOG handle: ") || !strings.Contains(err.Error(), "NFLOG with group=2") || !strings.Contains(err.Error(), "-j NFLOG --nflog-group 2") ||
		!strings.Contains(err.Error(), "log group 2") {
		t.Errorf("%v, want an error that says what to do", err)
	}
}

func TestBadOptions(t *testing.T) {
	for option, value := range map[string]string{"nlgroup": "0", "bufsize": "100"} {
		_, _, err := plugintest.Bench{Plugin: "ULOG", Options: plugintest.Options{option: value}}.Open(t)
		if err == nil || !strings.Contains(err.Error(), option+" = "+value) {
			t.Errorf("%s = %s: %v, want an error that names it", option, value, err)
		}
	}
	if _, _, err := (plugintest.Bench{Plugin: "ULOG", Options: plugintest.Options{"nlgroup": "33"}}).Open(t); err == nil {
		t.Error("there is no group 33")
	}
}
