package nlsock

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// Multicast is a socket for messages that the kernel multicasts one by one, many in a
// short time. It waits by itself: the runtime's poller would be woken by each message,
// whether somebody waits for one or not, and that costs more than to receive it. Its methods
// are for one goroutine, but for Wake.
type Multicast struct {
	// Truncated and Foreign count the datagrams that were not handed out: too
	// long for their piece of memory, or not from the kernel.
	Truncated, Foreign uint64
	// Overrun is called when the kernel reports that it had to drop messages
	// because the receive buffer was full. At first it does nothing.
	Overrun func()

	fd      int
	waits   [2]unix.PollFd // for the socket, and for Wake
	timeout unix.Timespec

	mu     sync.Mutex // guards the descriptor of Wake against Close
	closed bool
}

// Listen opens a socket as Dial does.
func Listen(protocol int, netNSPath string) (*Multicast, error) {
	s, err := Dial(protocol, netNSPath)
	if err != nil {
		return nil, err
	}
	return detach(s)
}

// AdoptMulticast takes over a socket that an earlier process has made. The file is closed.
func AdoptMulticast(f *os.File) (*Multicast, error) {
	s, err := Adopt(f)
	if err != nil {
		return nil, err
	}
	return detach(s)
}

// detach takes a socket away from the runtime's poller.
func detach(s *Socket) (m *Multicast, err error) {
	m = &Multicast{Overrun: func() {}}
	var dupErr error
	err = s.Control(func(fd int) { m.fd, dupErr = unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0) })
	if err = errors.Join(err, dupErr, s.Close()); err != nil {
		return nil, err
	}
	event, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, errors.Join(os.NewSyscallError("eventfd", err), unix.Close(m.fd))
	}
	m.waits = [2]unix.PollFd{{Fd: int32(m.fd), Events: unix.POLLIN}, {Fd: int32(event), Events: unix.POLLIN}}
	return m, nil
}

// FD is the socket's descriptor, which is valid until Close.
func (m *Multicast) FD() int { return m.fd }

// SetReadBuffer sets the size of the receive buffer, as Socket does.
func (m *Multicast) SetReadBuffer(bytes int) (int, error) {
	err := unix.SetsockoptInt(m.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, bytes)
	if err != nil {
		err = unix.SetsockoptInt(m.fd, unix.SOL_SOCKET, unix.SO_RCVBUF, bytes)
	}
	if err != nil {
		return 0, os.NewSyscallError("setsockopt", err)
	}
	n, err := unix.GetsockoptInt(m.fd, unix.SOL_SOCKET, unix.SO_RCVBUF)
	return n, os.NewSyscallError("getsockopt", err)
}

func (m *Multicast) set(option, value int) error {
	return os.NewSyscallError("setsockopt", unix.SetsockoptInt(m.fd, unix.SOL_NETLINK, option, value))
}

// Join subscribes to a group, numbered from 1.
func (m *Multicast) Join(group int) error { return m.set(unix.NETLINK_ADD_MEMBERSHIP, group) }

// Leave ends a subscription. What was received by then is still there.
func (m *Multicast) Leave(group int) error { return m.set(unix.NETLINK_DROP_MEMBERSHIP, group) }

// Reliable has the sender of a message hear that it did not fit the receive buffer, so
// that it may come back to it, in place of this socket.
// See netlink(7), NETLINK_BROADCAST_ERROR and NETLINK_NO_ENOBUFS.
func (m *Multicast) Reliable(on bool) error {
	value := 0
	if on {
		value = 1
	}
	return errors.Join(m.set(unix.NETLINK_BROADCAST_ERROR, value), m.set(unix.NETLINK_NO_ENOBUFS, value))
}

// IsReliable tells whether Reliable is in force, as the socket has it of an earlier process,
// too.
func (m *Multicast) IsReliable() (bool, error) {
	value, err := unix.GetsockoptInt(m.fd, unix.SOL_NETLINK, unix.NETLINK_BROADCAST_ERROR)
	return value != 0, os.NewSyscallError("getsockopt", err)
}

// Filter has the kernel drop the datagrams for which a program returns 0, before
// they take room in the receive buffer. Without a program it drops none.
func (m *Multicast) Filter(program []bpf.RawInstruction) error {
	if len(program) == 0 {
		err := unix.SetsockoptInt(m.fd, unix.SOL_SOCKET, unix.SO_DETACH_FILTER, 0)
		if err == unix.ENOENT {
			return nil
		}
		return os.NewSyscallError("setsockopt", err)
	}
	code := make([]unix.SockFilter, len(program))
	for i, in := range program {
		code[i] = unix.SockFilter{Code: in.Op, Jt: in.Jt, Jf: in.Jf, K: in.K}
	}
	return os.NewSyscallError("setsockopt", unix.SetsockoptSockFprog(m.fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER,
		&unix.SockFprog{Len: uint16(len(code)), Filter: &code[0]}))
}

// memInfo is the answer to SO_MEMINFO (enum sk_meminfo_vars of linux/sock_diag.h).
type memInfo [9]uint32

// memDrops is where the number of drops is (SK_MEMINFO_DROPS).
const memDrops = 8

// Drops is how many messages the kernel could not put into the receive buffer,
// since the socket was made. The number wraps.
func (m *Multicast) Drops() (uint32, error) {
	var info memInfo
	size := uint32(unsafe.Sizeof(info))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(m.fd), unix.SOL_SOCKET, unix.SO_MEMINFO,
		uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0)
	if errno != 0 {
		return 0, os.NewSyscallError("getsockopt", errno)
	}
	return info[memDrops], nil
}

// Wait waits until there is a datagram, or Wake is called, or the time is over. A
// negative time never is.
func (m *Multicast) Wait(d time.Duration) error { return m.poll(m.waits[:], d) }

// Rest waits until Wake is called or the time is over, whatever comes meanwhile.
func (m *Multicast) Rest(d time.Duration) error { return m.poll(m.waits[1:], d) }

func (m *Multicast) poll(waits []unix.PollFd, d time.Duration) error {
	timeout := &m.timeout
	if d < 0 {
		timeout = nil
	} else {
		m.timeout = unix.NsecToTimespec(int64(d))
	}
	if _, err := unix.Ppoll(waits, timeout, nil); err != nil && err != unix.EINTR {
		return os.NewSyscallError("ppoll", err)
	}
	if m.waits[1].Revents != 0 {
		var b [8]byte
		if _, err := unix.Read(int(m.waits[1].Fd), b[:]); err != nil && err != unix.EAGAIN {
			return os.NewSyscallError("read", err)
		}
		m.waits[1].Revents = 0
	}
	return nil
}

// Wake ends the wait of now, or else the next one. It may be called concurrently, and
// after Close it does nothing.
func (m *Multicast) Wake() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.closed {
		var b [8]byte
		binary.NativeEndian.PutUint64(b[:], 1)
		_, _ = unix.Write(int(m.waits[1].Fd), b[:]) // fails only if it was called 2⁶⁴ times
	}
}

// Close closes the socket.
func (m *Multicast) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return os.ErrClosed
	}
	m.closed = true
	if err := errors.Join(unix.Close(m.fd), unix.Close(int(m.waits[1].Fd))); err != nil {
		return fmt.Errorf("close netlink socket: %w", err)
	}
	return nil
}
