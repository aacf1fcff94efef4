package nlsock

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ulogd-go/ulogd/contrib/lab"
	"github.com/ulogd-go/ulogd/pkg/nflog"
)

// bind is a request that has the kernel send each packet of a group at once.
func bind(group uint16) []byte {
	return nflog.Group{Number: group, CopyRange: 0xffff, QThreshold: 1, Flags: nflog.FlagSeq}.Bind()
}

// listen is a namespace that logs the UDP packets it sends to itself to group 1,
// and a socket that has bound it.
func listen(t *testing.T) (*lab.NS, *Socket) {
	t.Helper()
	ns := lab.Test(t)
	if _, err := ns.Log(lab.Rule{Family: "ip", Hook: "output", Protocol: unix.IPPROTO_UDP, Groups: []uint16{1}}); err != nil {
		t.Fatal(err)
	}
	s := dial(t, ns)
	if err := s.Request(nflog.TypeConfig, bind(1)); err != nil {
		t.Fatal(err)
	}
	return ns, s
}

// dial makes a socket of which no test waits for ever.
func dial(t *testing.T, ns *lab.NS) (s *Socket) {
	t.Helper()
	if err := ns.Do(func() (err error) {
		s, err = Dial(unix.NETLINK_NETFILTER, "")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	guard := time.AfterFunc(20*time.Second, s.Interrupt)
	t.Cleanup(func() {
		guard.Stop()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// send sends UDP packets of the given size to nobody.
func send(t *testing.T, ns *lab.NS, packets, size int) {
	t.Helper()
	if err := ns.Do(func() error {
		conn, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		defer conn.Close()
		to := &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 9}
		for range packets {
			if _, err := conn.WriteTo(make([]byte, size), to); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

// numbers are the sequence numbers of the packets in a datagram.
func numbers(t *testing.T, datagram []byte) (list []uint32) {
	t.Helper()
	for {
		m, rest, ok := NextMessage(datagram)
		if !ok {
			return list
		}
		datagram = rest
		if m.Type != nflog.TypePacket {
			continue
		}
		for attrs := m.Body[nflog.FamilyHeaderLen:]; ; {
			typ, value, rest, ok := nflog.Next(attrs)
			if !ok {
				break
			}
			if attrs = rest; typ == nflog.AttrSeq {
				list = append(list, binary.BigEndian.Uint32(value))
			}
		}
	}
}

// next receives a datagram with the packet of that number.
func next(t *testing.T, s *Socket, number uint32) {
	t.Helper()
	buf := append(make([]byte, 0, 1<<17), "before"...)
	n, err := s.Receive(buf, true)
	if err != nil {
		t.Fatal(err)
	}
	buf = buf[:len(buf)+n]
	if got := numbers(t, buf[len("before"):]); len(got) != 1 || got[0] != number || !bytes.HasPrefix(buf, []byte("before")) {
		t.Fatalf("received the packets %v, want %d", got, number)
	}
}

func TestKernelReceive(t *testing.T) {
	ns, s := listen(t)
	buf := make([]byte, 0, 1<<17)
	if n, err := s.Receive(buf, false); n != 0 || err != nil {
		t.Errorf("nothing is there, and Receive says %d, %v", n, err)
	}
	send(t, ns, 3, 100)
	for i := range 3 {
		next(t, s, uint32(i))
	}
	if n := testing.AllocsPerRun(100, func() {
		if n, err := s.Receive(buf, false); n != 0 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// foreign sends a datagram to a socket from another process's address.
func foreign(t *testing.T, ns *lab.NS, to uint32, data []byte) {
	t.Helper()
	if err := ns.Do(func() error {
		fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		return unix.Sendto(fd, data, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Pid: to})
	}); err != nil {
		t.Fatal(err)
	}
}

// TestKernelForeignSender forges a packet, and the answer to a request.
func TestKernelForeignSender(t *testing.T) {
	ns, s := listen(t)
	for range 3 {
		foreign(t, ns, s.PortID(), AppendMessage(nil, nflog.TypePacket, 0, []byte{2, 0, 0, 1}))
	}
	send(t, ns, 1, 100)
	next(t, s, 0)
	if s.Foreign != 3 {
		t.Errorf("%d foreign datagrams were counted, want 3", s.Foreign)
	}
	foreign(t, ns, s.PortID(), AppendMessage(nil, TypeError, 1, make([]byte, 20)))
	if err := s.Request(nflog.TypeConfig, nflog.Group{Number: 5}.Unbind()); !errors.Is(err, unix.ENODEV) || s.Foreign != 4 {
		t.Errorf("the request says %v, and %d foreign datagrams were counted; want the kernel's ENODEV and 4", err, s.Foreign)
	}
}

func TestKernelTruncation(t *testing.T) {
	ns, s := listen(t)
	send(t, ns, 2, 1000)
	send(t, ns, 1, 10)
	n, err := s.Receive(make([]byte, 0, 600), true)
	if err != nil || n == 0 || n > 600 || s.Truncated != 2 {
		t.Errorf("%d bytes, %v, %d truncated; want the short packet, and 2", n, err, s.Truncated)
	}
}

func TestKernelOverrun(t *testing.T) {
	ns, s := listen(t)
	overruns := 0
	s.Overrun = func() { overruns++ }
	size, err := s.SetReadBuffer(1)
	if got, err2 := s.ReadBuffer(); err != nil || err2 != nil || got != size || size > 8192 {
		t.Fatalf("buffer of %d or %d bytes, %v, %v", size, got, err, err2)
	}
	send(t, ns, 100, 100)
	if size, err = s.SetReadBuffer(1 << 20); err != nil || size < 1<<20 {
		t.Fatalf("buffer of %d bytes, %v", size, err)
	}
	buf := make([]byte, 0, 1<<17)
	received := 0
	for {
		n, err := s.Receive(buf, false)
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			break
		}
		received++
	}
	if overruns == 0 || received > 90 {
		t.Errorf("%d overruns, %d packets; want some of both to be lost", overruns, received)
	}
	send(t, ns, 1, 100)
	next(t, s, 100) // and the kernel goes on
}

// TestKernelKeepsPackets has packets come before the answer to a request.
func TestKernelKeepsPackets(t *testing.T) {
	ns, s := listen(t)
	send(t, ns, 5, 100)
	send(t, ns, 1, 1000)
	send(t, ns, 1, 100)
	if err := s.Request(nflog.TypeConfig, bind(2)); err != nil {
		t.Fatal(err)
	}
	send(t, ns, 1, 100)
	for i := range 5 {
		next(t, s, uint32(i))
	}
	if n, err := s.Receive(make([]byte, 0, 600), true); err != nil || n == 0 || s.Truncated != 1 {
		t.Errorf("%d bytes, %v, %d truncated; want the packet behind the long one", n, err, s.Truncated)
	}
	next(t, s, 7)
}

// TestKernelConsume: what is peeked at stays in the socket until Consume, which takes
// no other packet for one that a request has taken out before; and Query takes none.
func TestKernelConsume(t *testing.T) {
	ns, s := listen(t)
	send(t, ns, 2, 100)
	if err := s.Request(nflog.TypeConfig, bind(2)); err != nil {
		t.Fatal(err)
	}
	s.Peek = true
	send(t, ns, 2, 100)
	if _, err := s.Query(nflog.TypeConfig, bind(3)); err != nil {
		t.Fatal(err)
	}
	for i := range 4 {
		next(t, s, uint32(i))
		if i >= 2 {
			next(t, s, uint32(i)) // is still there
		}
		if err := s.Consume(); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := s.Receive(make([]byte, 0, 600), false); n != 0 || err != nil {
		t.Errorf("%d bytes more, %v", n, err)
	}
}

func TestKernelRequestErrors(t *testing.T) {
	ns, s := listen(t)
	if err := dial(t, ns).Request(nflog.TypeConfig, bind(1)); !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.EBUSY) {
		t.Errorf("a group that is bound: %v", err)
	}
	if err := s.Request(nflog.TypeConfig, bind(3)); err != nil {
		t.Errorf("after that: %v", err)
	}
}

func TestKernelInterrupt(t *testing.T) {
	ns, s := listen(t)
	buf := make([]byte, 0, 1<<17)
	time.AfterFunc(10*time.Millisecond, s.Interrupt)
	for _, block := range []bool{true, true, false} {
		if n, err := s.Receive(buf, block); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("Receive after Interrupt: %d, %v", n, err)
		}
	}
	if err := s.Resume(); err != nil {
		t.Fatal(err)
	}
	send(t, ns, 1, 100)
	next(t, s, 0)
}

func TestKernelNamespacePath(t *testing.T) {
	ns := lab.Test(t)
	s, err := Dial(unix.NETLINK_NETFILTER, fmt.Sprintf("/proc/self/fd/%d", ns.FD()))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Request(nflog.TypeConfig, bind(9)); err != nil {
		t.Fatal(err)
	}
	if list, err := ns.Listeners(); err != nil || len(list) != 1 || list[0].PortID != s.PortID() {
		t.Errorf("bound in the namespace are %+v, %v; want our socket", list, err)
	}
	if _, err := Dial(unix.NETLINK_NETFILTER, "/nonexistent"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a namespace that is not there: %v", err)
	}
	if _, err := Dial(unix.NETLINK_NETFILTER, "/dev/null"); err == nil {
		t.Error("no error for a path that is no namespace")
	}
}

// TestKernelRequestFindsBufferFull has no room for the answer to a request, which the
// kernel then drops. The request is sent again, and of the packets none is lost by it.
func TestKernelRequestFindsBufferFull(t *testing.T) {
	for _, noticed := range []bool{false, true} {
		ns, s := listen(t)
		overruns := 0
		s.Overrun = func() { overruns++ }
		if _, err := s.SetReadBuffer(8 << 10); err != nil {
			t.Fatal(err)
		}
		send(t, ns, 100, 100)
		buf, received := make([]byte, 0, 1<<17), 0
		if noticed { // the kernel reports one overrun only, until the buffer is empty
			if n, err := s.Receive(buf, false); n == 0 || err != nil || overruns == 0 {
				t.Fatalf("%d bytes, %v, %d overruns", n, err, overruns)
			}
			received++
		}
		began := time.Now()
		if err := s.Request(nflog.TypeConfig, nflog.Group{Number: 1, CopyRange: 64, QThreshold: 1, Flags: nflog.FlagSeq}.Configure()); err != nil {
			t.Errorf("overrun noticed before %v: %v, after %v", noticed, err, time.Since(began))
		}
		if list, err := ns.Listeners(); err != nil || len(list) != 1 || list[0].CopyRange != 64 {
			t.Errorf("in force: %+v, %v; want a range of 64", list, err)
		}
		for {
			n, err := s.Receive(buf, false)
			if err != nil {
				t.Fatal(err)
			}
			if n == 0 {
				break
			}
			received++
		}
		if received == 0 || received == 100 || overruns == 0 {
			t.Errorf("%d of 100 packets, %d overruns; want some of them", received, overruns)
		}
	}
}

// TestKernelRequestKeepsInterrupt: a request does not undo an interruption.
func TestKernelRequestKeepsInterrupt(t *testing.T) {
	_, s := listen(t)
	s.Interrupt()
	if err := s.Request(nflog.TypeConfig, bind(2)); err != nil {
		t.Fatal(err)
	}
	guard := time.AfterFunc(5*time.Second, func() { t.Error("Receive waits"); s.Interrupt() })
	defer guard.Stop()
	if n, err := s.Receive(make([]byte, 0, 600), true); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("Receive after Interrupt: %d, %v", n, err)
	}
}

// TestKernelConsumeInterrupted: what was peeked at can be taken out of the socket also
// after an interruption, which stays in force.
func TestKernelConsumeInterrupted(t *testing.T) {
	ns, s := listen(t)
	s.Peek = true
	send(t, ns, 2, 100)
	next(t, s, 0)
	s.Interrupt()
	if err := s.Consume(); err != nil {
		t.Errorf("consume: %v", err)
	}
	if n, err := s.Receive(make([]byte, 0, 600), true); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("Receive after Interrupt: %d, %v", n, err)
	}
	if err := s.Resume(); err != nil {
		t.Fatal(err)
	}
	next(t, s, 1)
}
