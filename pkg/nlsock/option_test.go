package nlsock

import (
	"encoding/binary"
	"errors"
	"os"
	"testing"
	"time"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"github.com/ulogd-go/ulogd/contrib/lab"
)

// connections is a namespace that tracks the connections to itself, and a socket that hears
// of those that begin.
func connections(t *testing.T) (*lab.NS, *Socket) {
	t.Helper()
	ns := lab.Test(t)
	if err := errors.Join(ns.Track(1), ns.Sysctl("net.netfilter.nf_conntrack_events", "1")); err != nil {
		t.Fatal(err)
	}
	s := dial(t, ns)
	if err := s.Join(1); err != nil {
		t.Fatal(err)
	}
	return ns, s
}

// waiting counts the datagrams that are there.
func waiting(t *testing.T, s *Socket) (n int) {
	t.Helper()
	buf := make([]byte, 64<<10)
	for {
		size, err := s.Receive(buf[:0], false)
		if err != nil {
			t.Fatal(err)
		}
		if size == 0 {
			return n
		}
		n++
	}
}

func TestKernelGroupsAndFilter(t *testing.T) {
	ns, s := connections(t)
	none := []bpf.RawInstruction{{Op: unix.BPF_RET}} // returns 0
	for _, tt := range []struct {
		what   string
		change func() error
		want   int
	}{
		{"joined", func() error { return nil }, 1},
		{"filtered", func() error { return s.Filter(none) }, 0},
		{"no more", func() error { return s.Filter(nil) }, 1},
		{"without a filter there is none to remove", func() error { return s.Filter(nil) }, 1},
		{"left", func() error { return s.Leave(1) }, 0},
	} {
		if err := tt.change(); err != nil {
			t.Fatalf("%s: %v", tt.what, err)
		}
		send(t, ns, 1, 10)
		if got := waiting(t, s); got != tt.want {
			t.Errorf("%s: %d datagrams, want %d", tt.what, got, tt.want)
		}
	}
}

// TestKernelDrops: each message that did not fit is counted.
func TestKernelDrops(t *testing.T) {
	ns, s := connections(t)
	overruns := 0
	s.Overrun = func() { overruns++ }
	if _, err := s.SetReadBuffer(8 << 10); err != nil {
		t.Fatal(err)
	}
	const n = 100
	for range n {
		send(t, ns, 1, 10) // each from a port of its own
	}
	dropped, err := s.Drops()
	if err != nil {
		t.Fatal(err)
	}
	if got := waiting(t, s); dropped == 0 || got+int(dropped) != n || overruns == 0 {
		t.Errorf("%d read, %d dropped, %d overruns; want %d in all", got, dropped, overruns, n)
	}
	if err := s.Reliable(true); err != nil {
		t.Fatal(err)
	}
	overruns = 0
	for range n {
		send(t, ns, 1, 10)
	}
	if waiting(t, s); overruns != 0 {
		t.Errorf("%d overruns of a socket that is not to hear of them", overruns)
	}
	if err := s.Reliable(false); err != nil {
		t.Fatal(err)
	}
}

// TestKernelDump asks for the links of a namespace, of which there is one.
func TestKernelDump(t *testing.T) {
	ns := lab.Test(t)
	var s *Socket
	if err := ns.Do(func() (err error) { s, err = Dial(unix.NETLINK_ROUTE, ""); return err }); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	sequence, err := s.Dump(unix.RTM_GETLINK, make([]byte, unix.SizeofIfInfomsg))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Deadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 64<<10)
	var types []uint16
	for len(types) == 0 || types[len(types)-1] != unix.NLMSG_DONE {
		n, err := s.Receive(buf[:0], true)
		if err != nil {
			t.Fatal(err)
		}
		for b := buf[:n]; len(b) >= unix.NLMSG_HDRLEN; b = b[(binary.NativeEndian.Uint32(b)+3)&^3:] {
			types = append(types, binary.NativeEndian.Uint16(b[4:]))
			if got := binary.NativeEndian.Uint32(b[8:]); got != sequence {
				t.Errorf("sequence number %d, want %d", got, sequence)
			}
		}
	}
	if len(types) < 2 || types[0] != unix.RTM_NEWLINK {
		t.Errorf("messages of types %v, want links and the end", types)
	}
	if err := s.Deadline(time.Now()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Receive(buf[:0], true); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("after the deadline: %v", err)
	}
}
