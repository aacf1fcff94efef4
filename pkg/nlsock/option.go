package nlsock

import (
	"errors"
	"os"
	"unsafe"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// Reliable has the sender of a multicast hear that it did not fit the receive
// buffer, so that it may come back to it, in place of this socket.
// See netlink(7), NETLINK_BROADCAST_ERROR and NETLINK_NO_ENOBUFS.
func (s *Socket) Reliable(on bool) error {
	value := 0
	if on {
		value = 1
	}
	if err := s.conn.SetsockoptInt(unix.SOL_NETLINK, unix.NETLINK_BROADCAST_ERROR, value); err != nil {
		return err
	}
	return s.conn.SetsockoptInt(unix.SOL_NETLINK, unix.NETLINK_NO_ENOBUFS, value)
}

// Filter has the kernel drop the datagrams for which a program returns 0, before
// they take room in the receive buffer. Without a program it drops none.
func (s *Socket) Filter(program []bpf.RawInstruction) error {
	if len(program) > 0 {
		return s.conn.SetBPF(program)
	}
	if err := s.conn.RemoveBPF(); !errors.Is(err, unix.ENOENT) {
		return err
	}
	return nil
}

// memInfo is the answer to SO_MEMINFO (enum sk_meminfo_vars of linux/sock_diag.h).
type memInfo [9]uint32

// memDrops is where the number of drops is (SK_MEMINFO_DROPS).
const memDrops = 8

// Drops is how many messages the kernel could not put into the receive buffer,
// since the socket was made. The number wraps.
func (s *Socket) Drops() (n uint32, err error) {
	var info memInfo
	size := uint32(unsafe.Sizeof(info))
	var errno unix.Errno
	err = s.raw.Control(func(fd uintptr) {
		_, _, errno = unix.Syscall6(unix.SYS_GETSOCKOPT, fd, unix.SOL_SOCKET, unix.SO_MEMINFO,
			uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0)
	})
	if err == nil && errno != 0 {
		err = os.NewSyscallError("getsockopt", errno)
	}
	return info[memDrops], err
}
