// Package ulog is the wire format of the kernel's first packet logger, the ULOG
// target (linux/netfilter_ipv4/ipt_ULOG.h), which kernels have lost with Linux
// 3.17: netlink messages, one or more in a datagram, with a packet in each. It has
// no socket.
//
// All numbers are in the byte order and the word size of the kernel, which need not
// be the program's. See reference page "ulogd1", section 10.
package ulog

import (
	"encoding/binary"
	"errors"

	"golang.org/x/sys/unix"
)

// Protocol is the netlink protocol, NETLINK_NFLOG. It is not that of package
// nflog, in spite of its name.
const Protocol = 5

// Groups is how many multicast groups there are, numbered from 1.
const Groups = 32

// Supported tells whether this kernel has the protocol.
func Supported() bool {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, Protocol)
	if err == nil {
		_ = unix.Close(fd) // nothing was done with it
	}
	return !Unknown(err)
}

// Unknown tells whether the error of opening a socket says that the kernel does not
// have the protocol.
func Unknown(err error) bool {
	return errors.Is(err, unix.EPROTONOSUPPORT) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EAFNOSUPPORT)
}

// Sizes and numbers of struct nlmsghdr (linux/netlink.h).
const (
	headerLen = 16
	align     = 4

	typeNoop  = 1
	typeError = 2
	typeDone  = 3 // on the last message of a batch, which holds a packet like the others

	flagMulti = 2 // on all messages of a batch but the last
)

// Lengths of fields, the same for all kernels.
const (
	nameLen   = 16 // IFNAMSIZ
	prefixLen = 32
	macLen    = 80
)

// layout is where struct ulog_packet_msg has its fields. The payload begins before
// the end of the structure, so that there are meaningless bytes behind it.
type layout struct {
	word                                            int // bytes of a long
	sec, usec, hook, in, out, length, prefix, macAt int
	payload, size                                   int
}

var (
	layout64 = layout{word: 8, sec: 8, usec: 16, hook: 24, in: 28, out: 44, length: 64, prefix: 72, macAt: 104, payload: 185, size: 192}
	layout32 = layout{word: 4, sec: 4, usec: 8, hook: 12, in: 16, out: 32, length: 48, prefix: 52, macAt: 84, payload: 165, size: 168}
)

// number reads a long.
func (l *layout) number(msg []byte, at int) uint64 {
	if l.word == 8 {
		return binary.NativeEndian.Uint64(msg[at:])
	}
	return uint64(binary.NativeEndian.Uint32(msg[at:]))
}

// captured is the number of bytes of the packet in msg. It reports false if msg is
// not of this layout: the kernel makes a message as long as structure and packet
// together, perhaps rounded up to what netlink aligns to, which is true of one layout
// only but by a rare chance.
func (l *layout) captured(msg []byte) (n int, ok bool) {
	rest := len(msg) - l.size
	if rest < 0 {
		return 0, false
	}
	long := l.number(msg, l.length)
	return int(long), long <= uint64(rest) && uint64(rest)-long < align
}

// detect finds out which kernel a message, without its header, is from; nil if none.
// A packet of 24 bytes from one kernel looks like no packet from the other, so that
// counts only if nothing else fits.
func detect(msg []byte) (found *layout, captured int) {
	for _, l := range [...]*layout{&layout64, &layout32} {
		if n, ok := l.captured(msg); ok && (found == nil || captured == 0) {
			found, captured = l, n
		}
	}
	return found, captured
}
