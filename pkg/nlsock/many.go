package nlsock

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Many is several datagrams that are received with one system call, each in a piece
// of memory of its own.
type Many struct {
	memory  []byte
	size    int
	headers []messageHeader
	pieces  []unix.Iovec
	senders []unix.RawSockaddrNetlink
	wanted  []int // of those that were received, in order
}

// messageHeader is struct mmsghdr, see recvmmsg(2).
type messageHeader struct {
	unix.Msghdr
	length uint32
}

// NewMany makes room for datagrams of up to size bytes, as many as there is memory
// for, which has to stay where it is. The pieces follow each other.
func NewMany(memory []byte, size int) *Many {
	n := len(memory) / size
	m := &Many{
		memory: memory, size: size, headers: make([]messageHeader, n), pieces: make([]unix.Iovec, n),
		senders: make([]unix.RawSockaddrNetlink, n), wanted: make([]int, 0, n),
	}
	for i := range n {
		m.pieces[i].Base = &memory[i*size]
		m.pieces[i].SetLen(size)
		m.headers[i].Iov, m.headers[i].Iovlen = &m.pieces[i], 1
		m.headers[i].Name = (*byte)(unsafe.Pointer(&m.senders[i]))
	}
	return m
}

// Len is how many datagrams were received last.
func (d *Many) Len() int { return len(d.wanted) }

// At is one of them. It is valid until the next are received.
func (d *Many) At(i int) []byte {
	at := d.wanted[i]
	return d.memory[at*d.size:][:d.headers[at].length]
}

// Receive receives what is there, without waiting. Datagrams that are too long, or that
// were sent by anybody but the kernel, are counted and passed over. It reports whether
// there may be more.
func (m *Multicast) Receive(d *Many) (more bool, err error) {
	d.wanted = d.wanted[:0]
	for i := range d.headers {
		d.headers[i].Namelen = unix.SizeofSockaddrNetlink
	}
	for {
		n, _, errno := unix.RawSyscall6(unix.SYS_RECVMMSG, uintptr(m.fd), uintptr(unsafe.Pointer(unsafe.SliceData(d.headers))),
			uintptr(len(d.headers)), unix.MSG_TRUNC|unix.MSG_DONTWAIT, 0, 0)
		switch errno {
		case 0:
			m.sort(d, int(n))
			return true, nil
		case unix.EAGAIN:
			return false, nil
		case unix.ENOBUFS:
			m.Overrun()
		case unix.EINTR:
		default:
			return false, os.NewSyscallError("recvmmsg", errno)
		}
	}
}

// sort picks what is handed out of the n datagrams that were received.
func (m *Multicast) sort(d *Many, n int) {
	for i := range n {
		switch {
		case d.senders[i].Pid != 0:
			m.Foreign++
		case int(d.headers[i].length) > d.size:
			m.Truncated++
		default:
			d.wanted = append(d.wanted, i)
		}
	}
}
