package nlsock

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// Many is several datagrams that are received with one system call, each in a piece
// of memory of its own. It is for kinds of datagrams that come one by one, which cost a
// system call each otherwise.
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
	_      [4]byte
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
func (m *Many) Len() int { return len(m.wanted) }

// At is one of them. It is valid until the next are received.
func (m *Many) At(i int) []byte {
	at := m.wanted[i]
	return m.memory[at*m.size:][:m.headers[at].length]
}

// ReceiveMany receives what is there, as Receive does one datagram, and waits for one if
// block is true. There may be none even then, if all were passed over. What Request
// has kept comes by Receive only, and Peek has no meaning here.
func (s *Socket) ReceiveMany(m *Many, block bool) error {
	m.wanted = m.wanted[:0]
	for i := range m.headers {
		m.headers[i].Namelen = unix.SizeofSockaddrNetlink
	}
	for {
		s.many, s.block, s.flags = m.headers, block, unix.MSG_TRUNC|unix.MSG_DONTWAIT
		if err := s.raw.Read(s.readMany); err != nil {
			return err
		}
		switch s.errno {
		case 0:
			s.sort(m)
			return nil
		case unix.EAGAIN:
			return nil
		case unix.ENOBUFS:
			s.Overrun()
		default:
			return s.errno
		}
	}
}

// sort picks what is handed out of the datagrams that were received.
func (s *Socket) sort(m *Many) {
	for i := range s.n {
		switch {
		case m.senders[i].Pid != 0:
			s.Foreign++
		case int(m.headers[i].length) > m.size:
			s.Truncated++
		default:
			m.wanted = append(m.wanted, i)
		}
	}
}

// receiveMany is the callback of raw.Read: it reports whether the wait is over. The
// call never blocks, so the scheduler need not hear of it.
func (s *Socket) receiveMany(fd uintptr) bool {
	for {
		n, _, errno := unix.RawSyscall6(unix.SYS_RECVMMSG, fd,
			uintptr(unsafe.Pointer(unsafe.SliceData(s.many))), uintptr(len(s.many)), s.flags, 0, 0)
		if errno == unix.EINTR {
			continue
		}
		s.n, s.errno = int(n), errno
		return errno != unix.EAGAIN || !s.block
	}
}
