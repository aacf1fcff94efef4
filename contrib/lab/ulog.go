package lab

import (
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// ULOG is a packet as the ULOG target of kernels before 3.17 hands it over. No
// kernel of today does, so tests send it from process to process.
type ULOG struct {
	Mark            uint32
	Sec, Usec       uint32
	Hook            uint32
	In, Out, Prefix string
	MAC, Packet     []byte
}

// Types and flags of its netlink messages (linux/netlink.h).
const (
	ULOGEvent = 111 // a message
	ULOGDone  = 3   // the last message of a batch
	ULOGMulti = 2   // flag of all messages of a batch but the last
)

// Append appends the message of a kernel whose long has that many bytes, 4 or 8,
// with the padding behind it.
func (u ULOG) Append(dst []byte, long int, typ, flags uint16) []byte {
	size, room := 192, 60
	if long == 4 {
		size, room = 168, 48
	}
	msg := make([]byte, size+len(u.Packet))
	number := func(at int, n uint32) {
		if long == 8 {
			binary.NativeEndian.PutUint64(msg[at:], uint64(n))
		} else {
			binary.NativeEndian.PutUint32(msg[at:], n)
		}
	}
	number(0, u.Mark)
	number(long, u.Sec)
	number(2*long, u.Usec)
	binary.NativeEndian.PutUint32(msg[3*long:], u.Hook)
	copy(msg[3*long+4:][:16], u.In)
	copy(msg[3*long+20:][:16], u.Out)
	at := (room + long - 1) / long * long // of the packet's length
	number(at, uint32(len(u.Packet)))
	at += long
	copy(msg[at:][:32], u.Prefix)
	msg[at+32] = byte(len(u.MAC))
	copy(msg[at+33:][:80], u.MAC)
	copy(msg[at+113:], u.Packet)
	// What is behind the packet has no meaning.
	for i := at + 113 + len(u.Packet); i < len(msg); i++ {
		msg[i] = 0xee
	}
	dst = binary.NativeEndian.AppendUint32(dst, uint32(16+len(msg)))
	dst = binary.NativeEndian.AppendUint16(dst, typ)
	dst = binary.NativeEndian.AppendUint16(dst, flags)
	dst = append(dst, make([]byte, 8)...) // sequence and port id
	dst = append(dst, msg...)
	return append(dst, make([]byte, -len(msg)&3)...)
}

// SendULOG sends datagrams to a multicast group, numbered from 1, of the netlink
// protocol NETLINK_USERSOCK, which is there for processes.
func (ns *NS) SendULOG(group int, datagrams ...[]byte) error {
	return ns.Do(func() error {
		fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_USERSOCK)
		if err != nil {
			return fmt.Errorf("send ULOG messages: %w", err)
		}
		defer unix.Close(fd)
		to := &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: 1 << (group - 1)}
		for i, d := range datagrams {
			// The kernel, to whom each is sent too, does not listen.
			if err := unix.Sendto(fd, d, 0, to); err != nil && !errors.Is(err, unix.ECONNREFUSED) {
				return fmt.Errorf("send ULOG message %d (%d bytes): %w", i, len(d), err)
			}
		}
		return nil
	})
}
