package generator

import (
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// message is struct mmsghdr of sendmmsg(2).
type message struct {
	header unix.Msghdr
	sent   uint32
}

// train is a ring of messages that are sent over and over.
type train struct {
	messages []message
	next     int
}

func newTrain(frames [][]byte) *train {
	t := &train{messages: make([]message, len(frames))}
	for i, f := range frames {
		data := &unix.Iovec{Base: &f[0]}
		data.SetLen(len(f))
		t.messages[i].header.Iov = data
		t.messages[i].header.SetIovlen(1)
	}
	return t
}

// send sends up to n of the next messages with one system call, and returns
// how many.
func (t *train) send(fd, n int) (int, error) {
	n = min(n, len(t.messages)-t.next)
	if n == 0 {
		return 0, nil
	}
	first := uintptr(unsafe.Pointer(&t.messages[t.next]))
	sent, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(fd), first, uintptr(n), 0, 0, 0)
	switch {
	case errno == unix.EINTR:
		return 0, nil
	case errno != 0:
		return 0, fmt.Errorf("sendmmsg: %w", error(errno))
	case sent == 0:
		return 0, errors.New("sendmmsg sent nothing")
	}
	t.next = (t.next + int(sent)) % len(t.messages)
	return int(sent), nil
}
