package lab

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Timestamps makes the kernel stamp every packet as it is received, once for
// all readers, until the returned value is closed: without it nobody gets
// NFULA_TIMESTAMP, and two daemons log the same packet with the clocks of
// their own. It returns when stamping is in force. Packets of the OUTPUT hook
// are not received and stay without a stamp.
func (ns *NS) Timestamps() (io.Closer, error) {
	var socket *os.File
	err := ns.Do(func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		socket = os.NewFile(uintptr(fd), "time stamps")
		return waitStamped(fd)
	})
	if err != nil {
		if socket != nil {
			err = errors.Join(err, socket.Close())
		}
		return nil, fmt.Errorf("switch receive time stamps on: %w", err)
	}
	return socket, nil
}

// waitStamped sends packets to itself until one has a stamp older than the end
// of its sending. The kernel switches stamping on a little after the request,
// and until then stamps a packet only when it is read (see net_enable_timestamp
// in the kernel's net/core/dev.c).
func waitStamped(fd int) error {
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMP, 1); err != nil {
		return err
	}
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 1}); err != nil {
		return err
	}
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return err
	}
	self, err := unix.Getsockname(fd)
	if err != nil {
		return err
	}
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); {
		ok, err := stamped(fd, self)
		if ok || err != nil {
			return err
		}
	}
	return errors.New("packets still carry no stamp after 5 s")
}

// stamped sends one packet and tells whether it was stamped on its way. The
// loopback device delivers within Sendto, so a stamp of the way is older.
func stamped(fd int, self unix.Sockaddr) (bool, error) {
	if err := unix.Sendto(fd, []byte{0}, 0, self); err != nil {
		return false, err
	}
	sent := time.Now()
	time.Sleep(100 * time.Microsecond)
	oob := make([]byte, unix.CmsgSpace(16))
	_, n, _, _, err := unix.Recvmsg(fd, make([]byte, 1), oob, 0)
	if err != nil {
		return false, err
	}
	at, err := stampOf(oob[:n])
	return at.Before(sent), err
}

func stampOf(oob []byte) (time.Time, error) {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return time.Time{}, err
	}
	for _, m := range messages {
		if m.Header.Level != unix.SOL_SOCKET || m.Header.Type != unix.SO_TIMESTAMP || len(m.Data) < 16 {
			continue
		}
		sec := int64(binary.NativeEndian.Uint64(m.Data))
		usec := int64(binary.NativeEndian.Uint64(m.Data[8:]))
		return time.Unix(sec, usec*1000), nil
	}
	return time.Time{}, errors.New("the kernel sent no time stamp")
}
