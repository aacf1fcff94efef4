package nlsock

import (
	"errors"
	"net"
	"os"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"github.com/ulogd-go/ulogd/contrib/lab"
)

// connections is a namespace that tracks the connections to itself, and a socket that hears
// of those that begin.
func connections(t *testing.T) (*lab.NS, *Multicast) {
	t.Helper()
	ns := lab.Test(t)
	if err := errors.Join(ns.Track(1), ns.Sysctl("net.netfilter.nf_conntrack_events", "1")); err != nil {
		t.Fatal(err)
	}
	var m *Multicast
	if err := ns.Do(func() (err error) { m, err = Listen(unix.NETLINK_NETFILTER, ""); return err }); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	if err := m.Join(1); err != nil {
		t.Fatal(err)
	}
	return ns, m
}

// begin begins n connections, each from a port that no other test of the namespace has.
func begin(t *testing.T, ns *lab.NS, from, n int) {
	t.Helper()
	if err := ns.Do(func() error {
		for i := range n {
			c, err := net.DialUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: from + i}, &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 9})
			if err != nil {
				return err
			}
			_, err = c.Write([]byte("hello"))
			if err = errors.Join(err, c.Close()); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

// waiting counts the datagrams that are there.
func waiting(t *testing.T, s *Multicast) (n int) {
	t.Helper()
	many := NewMany(make([]byte, 7<<10), 1<<10)
	for {
		more, err := s.Receive(many)
		if err != nil {
			t.Fatal(err)
		}
		if !more {
			return n
		}
		n += many.Len()
	}
}

func TestKernelGroupsAndFilter(t *testing.T) {
	ns, s := connections(t)
	none := []bpf.RawInstruction{{Op: unix.BPF_RET}} // returns 0
	for i, tt := range []struct {
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
		begin(t, ns, 20000+i, 1)
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
	begin(t, ns, 20000, n)
	got, dropped := 0, uint32(0)
	for deadline := time.Now().Add(time.Minute); got+int(dropped) < n && time.Now().Before(deadline); {
		got += waiting(t, s)
		var err error
		if dropped, err = s.Drops(); err != nil {
			t.Fatal(err)
		}
	}
	if dropped == 0 || got+int(dropped) != n || overruns == 0 {
		t.Errorf("%d read, %d dropped, %d overruns; want %d in all", got, dropped, overruns, n)
	}
	if err := s.Reliable(true); err != nil {
		t.Fatal(err)
	}
	if on, err := s.IsReliable(); !on || err != nil {
		t.Errorf("reliable: %v, %v", on, err)
	}
	overruns = 0
	begin(t, ns, 30000, n)
	if waiting(t, s); overruns != 0 {
		t.Errorf("%d overruns of a socket that is not to hear of them", overruns)
	}
	if err := s.Reliable(false); err != nil {
		t.Fatal(err)
	}
	if on, err := s.IsReliable(); on || err != nil {
		t.Errorf("reliable no more: %v, %v", on, err)
	}
}

// TestKernelMany: what is not the kernel's, or too long, is passed over.
func TestKernelMany(t *testing.T) {
	ns, s := connections(t)
	many := NewMany(make([]byte, 4<<10+100), 1<<10)
	begin(t, ns, 20000, 10)
	for _, want := range []int{4, 4, 2, 0} {
		if more, err := s.Receive(many); more != (want > 0) || err != nil || many.Len() != want {
			t.Fatalf("%d datagrams, %v, %v; want %d", many.Len(), more, err, want)
		}
		for i := range many.Len() {
			if m, rest, ok := NextMessage(many.At(i)); !ok || len(rest) > 0 || m.Type != 1<<8 {
				t.Errorf("message %+v, %v, %d bytes behind it", m, ok, len(rest))
			}
		}
	}
	small := NewMany(make([]byte, 256), 64)
	begin(t, ns, 21000, 1)
	if more, err := s.Receive(small); !more || err != nil || small.Len() != 0 || s.Truncated != 1 {
		t.Errorf("%d datagrams, %d truncated, %v; want one that is", small.Len(), s.Truncated, err)
	}
	name, err := unix.Getsockname(s.FD())
	if err != nil {
		t.Fatal(err)
	}
	foreign(t, ns, name.(*unix.SockaddrNetlink).Pid, AppendMessage(nil, 1<<8, 0, []byte{2, 0, 0, 1}))
	if more, err := s.Receive(many); !more || err != nil || many.Len() != 0 || s.Foreign != 1 {
		t.Errorf("%d datagrams, %d foreign, %v; want one that is", many.Len(), s.Foreign, err)
	}
	begin(t, ns, 30000, 100)
	if n := testing.AllocsPerRun(20, func() {
		if _, err := s.Receive(many); err != nil {
			t.Error(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

// TestKernelWait ends waits in all ways there are.
func TestKernelWait(t *testing.T) {
	ns, s := connections(t)
	took := func(what string, f func() error, least, most time.Duration) {
		t.Helper()
		began := time.Now()
		if err := f(); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		if d := time.Since(began); d < least || d > most {
			t.Errorf("%s: %v, want %v to %v", what, d, least, most)
		}
	}
	const long = 20 * time.Second
	took("a time", func() error { return s.Wait(20 * time.Millisecond) }, 20*time.Millisecond, long)
	s.Wake()
	took("woken before", func() error { return s.Wait(-1) }, 0, long)
	time.AfterFunc(20*time.Millisecond, s.Wake)
	took("woken", func() error { return s.Wait(-1) }, 0, long)
	time.AfterFunc(20*time.Millisecond, s.Wake)
	took("woken from a rest", func() error { return s.Rest(2 * long) }, 0, long)
	begin(t, ns, 22001, 1)
	took("a datagram", func() error { return s.Wait(-1) }, 0, long)
	took("a rest, in spite of a datagram", func() error { return s.Rest(20 * time.Millisecond) }, 20*time.Millisecond, long)
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	s.Wake() // does nothing
	if err := s.Close(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("closed again: %v", err)
	}
}

// TestKernelAdoptMulticast goes on with a socket, and what it has received.
func TestKernelAdoptMulticast(t *testing.T) {
	ns, s := connections(t)
	begin(t, ns, 22002, 1)
	fd, err := unix.FcntlInt(uintptr(s.FD()), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	next, err := AdoptMulticast(os.NewFile(uintptr(fd), "socket"))
	if err != nil {
		t.Fatal(err)
	}
	defer next.Close()
	begin(t, ns, 22003, 1)
	if n := waiting(t, next); n != 2 {
		t.Errorf("%d datagrams, want 2", n)
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := AdoptMulticast(null); err == nil {
		t.Error("no socket is no error")
	}
	if _, err := Listen(unix.NETLINK_NETFILTER, "/nonexistent"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a namespace that is not there: %v", err)
	}
}

// An array of struct mmsghdr has no gaps but those that alignment makes: 64 bytes each
// where a pointer has 8, and 32 where it has 4. Otherwise this does not compile.
var _ [8 * unsafe.Sizeof(uintptr(0))]byte = [unsafe.Sizeof(messageHeader{})]byte{}
