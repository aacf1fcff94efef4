package nlsock

import (
	"encoding/binary"
	"syscall"
)

// Types of messages that every netlink protocol has (linux/netlink.h).
const (
	TypeNoop  = 1 // NLMSG_NOOP
	TypeError = 2 // NLMSG_ERROR
	TypeDone  = 3 // NLMSG_DONE, which ends each datagram of several messages
)

// HeaderLen is the size of a message's header in bytes (struct nlmsghdr).
const HeaderLen = 16

// Message is one netlink message; Body is what follows its header.
type Message struct {
	Type  uint16
	Flags uint16
	Seq   uint32
	Body  []byte
}

// NextMessage splits the first message off a datagram. It reports false at the
// end of the datagram, and if what is there is not a whole message: then rest
// is not empty.
func NextMessage(datagram []byte) (m Message, rest []byte, ok bool) {
	if len(datagram) < HeaderLen {
		return Message{}, datagram, false
	}
	n := int(binary.NativeEndian.Uint32(datagram))
	if n < HeaderLen || n > len(datagram) {
		return Message{}, datagram, false
	}
	m = Message{
		Type:  binary.NativeEndian.Uint16(datagram[4:]),
		Flags: binary.NativeEndian.Uint16(datagram[6:]),
		Seq:   binary.NativeEndian.Uint32(datagram[8:]),
		Body:  datagram[HeaderLen:n],
	}
	return m, datagram[min(align(n), len(datagram)):], true
}

// End tells whether m ends the answer to a request: that for a list with its last
// message, or any with an error, which is a syscall.Errno.
func (m Message) End() (done bool, err error) {
	if m.Type != TypeDone && m.Type != TypeError {
		return false, nil
	}
	if len(m.Body) >= 4 {
		if code := int32(binary.NativeEndian.Uint32(m.Body)); code != 0 {
			err = syscall.Errno(-code)
		}
	}
	return true, err
}

// align rounds up to the boundary at which messages begin.
func align(n int) int { return (n + 3) &^ 3 }

// AppendMessage appends a netlink message with the given body, as the kernel
// sends them.
func AppendMessage(dst []byte, typ uint16, seq uint32, body []byte) []byte {
	dst = binary.NativeEndian.AppendUint32(dst, uint32(HeaderLen+len(body)))
	dst = binary.NativeEndian.AppendUint16(dst, typ)
	dst = binary.NativeEndian.AppendUint16(dst, 0)
	dst = binary.NativeEndian.AppendUint32(dst, seq)
	dst = binary.NativeEndian.AppendUint32(dst, 0)
	dst = append(dst, body...)
	return append(dst, make([]byte, align(len(body))-len(body))...)
}
