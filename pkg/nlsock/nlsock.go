// Package nlsock reads netlink datagrams as they come, without a copy and
// without an allocation, counts what it could not read, and splits them into
// messages. Dialling, network namespaces and buffer sizes are mdlayher/socket's, below mdlayher/netlink.
package nlsock

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
	"unsafe"

	"github.com/mdlayher/netlink"
	"github.com/mdlayher/socket"
	"golang.org/x/sys/unix"
)

// Socket is a netlink socket whose datagrams are read into the caller's memory.
// It is for one goroutine, but for Interrupt.
type Socket struct {
	// Truncated and Foreign count the datagrams that were not handed out: too
	// long for the caller's buffer, or not from the kernel.
	Truncated, Foreign uint64
	// Overrun is called when the kernel reports that it had to drop messages
	// because the receive buffer was full. At first it does nothing.
	Overrun func()
	// AnySender has Receive hand out datagrams of other processes, too, as those
	// that stand in for a kernel in tests.
	AnySender bool
	// Peek has Receive leave each datagram in the socket until Consume, so that
	// it is not lost with the process.
	Peek bool

	conn   *socket.Conn
	raw    syscall.RawConn
	portID uint32
	seq    uint32   // of requests
	kept   [][]byte // datagrams that came while a request waited for its answer
	handed bool     // the last one that Receive gave was of these

	// The callbacks are made once: a closure for each call would allocate.
	read    func(fd uintptr) bool
	readNow func(fd uintptr)
	dst     []byte
	n       int
	errno   syscall.Errno
	from    unix.RawSockaddrNetlink
	block   bool
	flags   uintptr
}

// Dial opens a socket of a netlink protocol such as unix.NETLINK_NETFILTER. The
// path names a network namespace; empty is the process's own.
func Dial(protocol int, netNSPath string) (*Socket, error) {
	var config socket.Config
	if netNSPath != "" {
		ns, err := os.Open(netNSPath)
		if err != nil {
			return nil, fmt.Errorf("network namespace: %w", err)
		}
		defer ns.Close()
		config.NetNS = int(ns.Fd())
	}
	conn, err := socket.Socket(unix.AF_NETLINK, unix.SOCK_RAW, protocol, "netlink", &config)
	if err != nil {
		return nil, err
	}
	if err := conn.Bind(&unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return newSocket(conn)
}

// Adopt takes over a socket that an earlier process has made. The file is closed.
func Adopt(f *os.File) (*Socket, error) {
	defer f.Close()
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	conn, err := socket.New(fd, "netlink")
	if err != nil {
		return nil, errors.Join(err, unix.Close(fd))
	}
	return newSocket(conn)
}

func newSocket(conn *socket.Conn) (*Socket, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	name, err := conn.Getsockname()
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	addr, ok := name.(*unix.SockaddrNetlink)
	if !ok {
		return nil, errors.Join(errors.New("no netlink socket"), conn.Close())
	}
	s := &Socket{conn: conn, raw: raw, portID: addr.Pid, seq: uint32(time.Now().UnixNano()), Overrun: func() {}}
	s.read = s.receive
	s.readNow = func(fd uintptr) { s.receive(fd) }
	return s, nil
}

// PortID is the socket's own address.
func (s *Socket) PortID() uint32 { return s.portID }

// Control calls f with the socket's descriptor, which is valid until f returns.
func (s *Socket) Control(f func(fd int)) error {
	return s.raw.Control(func(fd uintptr) { f(int(fd)) })
}

// Join has the socket receive what is sent to a multicast group, numbered from 1.
func (s *Socket) Join(group int) error {
	return s.conn.SetsockoptInt(unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, group)
}

// Leave ends Join.
func (s *Socket) Leave(group int) error {
	return s.conn.SetsockoptInt(unix.SOL_NETLINK, unix.NETLINK_DROP_MEMBERSHIP, group)
}

// SetReadBuffer sets the size of the receive buffer, past the system's limit if
// the process may (CAP_NET_ADMIN). The result is what the kernel made of it,
// which counts its own overhead and so is about twice the size asked for.
func (s *Socket) SetReadBuffer(bytes int) (int, error) {
	if err := s.conn.SetReadBuffer(bytes); err != nil {
		return 0, err
	}
	return s.conn.ReadBuffer()
}

// ReadBuffer is the size of the receive buffer as the kernel reports it.
func (s *Socket) ReadBuffer() (int, error) { return s.conn.ReadBuffer() }

// Interrupt makes Receive return os.ErrDeadlineExceeded from now on. It may be
// called concurrently.
func (s *Socket) Interrupt() { _ = s.conn.SetReadDeadline(time.Unix(1, 0)) }

// Resume undoes Interrupt.
func (s *Socket) Resume() error { return s.conn.SetReadDeadline(time.Time{}) }

// Deadline makes Receive return os.ErrDeadlineExceeded at that time; never if it is
// zero. It undoes an earlier Interrupt.
func (s *Socket) Deadline(t time.Time) error { return s.conn.SetReadDeadline(t) }

// Close closes the socket.
func (s *Socket) Close() error { return s.conn.Close() }

// Receive reads one datagram behind the end of buf, in buf's own memory, and
// returns its length. It waits for one if block is true; else it returns 0 if
// there is none. Datagrams that are too long for the room in buf, or that were
// sent by anybody but the kernel, are counted and passed over.
func (s *Socket) Receive(buf []byte, block bool) (int, error) {
	for len(s.kept) > 0 {
		datagram := s.kept[0]
		s.kept, s.handed = s.kept[1:], true
		if n := copy(buf[len(buf):cap(buf)], datagram); n == len(datagram) {
			return n, nil
		}
		s.Truncated++
	}
	s.handed = false
	for {
		n, err := s.next(buf[len(buf):cap(buf)], block)
		switch {
		case err == unix.ENOBUFS:
			s.Overrun()
		case err != nil || n == 0:
			return 0, err
		case s.from.Pid != 0 && !s.AnySender:
			s.Foreign++
			s.consume()
		case n > cap(buf)-len(buf):
			s.Truncated++
			s.consume()
		default:
			return n, nil
		}
	}
}

// consume is Consume for a datagram that is passed over: an error shows again at
// the next Receive.
func (s *Socket) consume() {
	if s.Peek {
		_ = s.Consume()
	}
}

// Consume takes the datagram that was last peeked at out of the socket, whether
// Interrupt was called or not. One that came while a request waited for its answer
// is not there any more.
func (s *Socket) Consume() error {
	if s.handed {
		return nil
	}
	defer func(peek bool) { s.Peek = peek }(s.Peek)
	s.Peek = false
	for {
		_, err := s.there(nil)
		if err != unix.ENOBUFS {
			return err
		}
		s.Overrun() // the datagram is still there
	}
}

// next reads into dst. The length may exceed dst's: then the rest is lost.
func (s *Socket) next(dst []byte, block bool) (int, error) {
	s.prepare(dst, block)
	return s.result(s.raw.Read(s.read))
}

// there is next for what is there, whether Interrupt was called or not.
func (s *Socket) there(dst []byte) (int, error) {
	s.prepare(dst, false)
	return s.result(s.raw.Control(s.readNow))
}

func (s *Socket) prepare(dst []byte, block bool) {
	s.dst, s.block = dst, block
	s.flags = unix.MSG_TRUNC | unix.MSG_DONTWAIT
	if s.Peek {
		s.flags |= unix.MSG_PEEK
	}
}

// result is what the callback has left, unless it was not called.
func (s *Socket) result(err error) (int, error) {
	switch {
	case err != nil:
		return 0, err
	case s.errno == unix.EAGAIN:
		return 0, nil
	case s.errno != 0:
		return 0, s.errno
	}
	return s.n, nil
}

// receive is the callback of raw.Read: it reports whether the wait is over. The
// call never blocks, so the scheduler need not hear of it.
func (s *Socket) receive(fd uintptr) bool {
	for {
		size := uint32(unix.SizeofSockaddrNetlink)
		n, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, fd,
			uintptr(unsafe.Pointer(unsafe.SliceData(s.dst))), uintptr(len(s.dst)), s.flags,
			uintptr(unsafe.Pointer(&s.from)), uintptr(unsafe.Pointer(&size)))
		if errno == unix.EINTR {
			continue
		}
		s.n, s.errno = int(n), errno
		return errno != unix.EAGAIN || !s.block
	}
}

// answerTime is for how long a request is repeated whose answer is lost.
const answerTime = 5 * time.Second

// Request sends a request and reads its acknowledgement, which the kernel has given
// when the system call that sends returns. What else has arrived by then is kept for
// Receive, so that no packet is lost between a group's binding and the answer to it.
// If there was no room for the acknowledgement in the receive buffer, the kernel has
// dropped it, but done what was asked for: the request is sent again, until the answer
// is there. The error is the kernel's syscall.Errno, of the last time that it was sent.
func (s *Socket) Request(typ uint16, body []byte) error {
	defer func(peek bool) { s.Peek = peek }(s.Peek)
	s.Peek = false
	buf := make([]byte, 256<<10)
	for deadline := time.Now().Add(answerTime); ; {
		if err := s.send(typ, netlink.Acknowledge, body); err != nil {
			return err
		}
		if done, err := s.answered(buf); done || err != nil {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("no answer from the kernel for %v: %w", answerTime, os.ErrDeadlineExceeded)
		}
	}
}

// answered reads to the answer of the last request, or to the end of what is there.
func (s *Socket) answered(buf []byte) (done bool, err error) {
	for {
		n, err := s.there(buf)
		switch {
		case err == unix.ENOBUFS:
			s.Overrun()
		case err != nil || n == 0:
			return false, err
		case s.from.Pid != 0:
			s.Foreign++
		case n > len(buf):
			s.Truncated++
		default:
			if done, err := answer(buf[:n], s.seq); done {
				return true, err
			}
			s.kept = append(s.kept, bytes.Clone(buf[:n]))
		}
	}
}

// Dump sends a request for a list. The answer comes by Receive, in messages whose
// sequence number is the result; the last is of type NLMSG_DONE.
func (s *Socket) Dump(typ uint16, body []byte) (sequence uint32, err error) {
	err = s.send(typ, netlink.Dump, body)
	return s.seq, err
}

// Query sends requests, in one datagram, and reads nothing, so that what waits in the
// socket stays there. Answers, if there are any, and errors come by Receive, in
// messages whose sequence numbers begin with the result.
func (s *Socket) Query(typ uint16, bodies ...[]byte) (first uint32, err error) {
	first = s.seq + 1
	return first, s.send(typ, 0, bodies...)
}

// send sends requests, numbered from the next number on.
func (s *Socket) send(typ uint16, flags netlink.HeaderFlags, bodies ...[]byte) error {
	var datagram []byte
	for _, body := range bodies {
		s.seq++
		message, err := netlink.Message{
			Header: netlink.Header{
				Length: uint32(HeaderLen + len(body)), Type: netlink.HeaderType(typ),
				Flags: netlink.Request | flags, Sequence: s.seq, PID: s.portID,
			},
			Data: body,
		}.MarshalBinary()
		if err != nil {
			return err
		}
		datagram = append(datagram, message...)
	}
	return s.conn.Sendto(context.Background(), datagram, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
}

// answer tells whether a datagram is the acknowledgement of the request with
// that sequence number, and what it says.
func answer(datagram []byte, sequence uint32) (done bool, err error) {
	m, _, ok := NextMessage(datagram)
	if !ok || m.Type != TypeError || m.Seq != sequence {
		return false, nil
	}
	return m.End()
}
