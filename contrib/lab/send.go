package lab

import (
	"fmt"
	"net"

	"golang.org/x/sys/unix"
)

// SendFrames sends Ethernet frames, from the destination address on and
// without checksum, out of a link of the namespace. A frame has at least the
// 14 bytes of its header.
func (ns *NS) SendFrames(link string, frames ...[]byte) error {
	return ns.Do(func() error {
		ifi, err := net.InterfaceByName(link)
		if err != nil {
			return fmt.Errorf("send frames on %s: %w", link, err)
		}
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("send frames on %s: open packet socket: %w", link, err)
		}
		defer unix.Close(fd)
		to := &unix.SockaddrLinklayer{Ifindex: ifi.Index}
		for i, frame := range frames {
			if err := unix.Sendto(fd, frame, 0, to); err != nil {
				return fmt.Errorf("send frame %d (%d bytes) on %s: %w", i, len(frame), link, err)
			}
		}
		return nil
	})
}
