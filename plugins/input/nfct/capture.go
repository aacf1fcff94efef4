package nfct

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
	"golang.org/x/sys/unix"
)

// linkNetlink is the link type of captures of netlink (IANA, PCAP link type registry,
// LINKTYPE_NETLINK). Each record begins with a header of 16 bytes, the last two of which
// are the netlink protocol in network byte order.
const (
	linkNetlink   = layers.LinkType(253)
	netlinkHeader = 16
)

// capture is a file with what the kernel has sent to its listeners.
type capture struct {
	file   *os.File
	reader *pcapgo.Reader
}

func openCapture(path string) (*capture, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	r, err := pcapgo.NewReader(bufio.NewReader(f))
	if err == nil && r.LinkType() != linkNetlink {
		err = fmt.Errorf("link type %v (%d); use a capture of an nlmon device, of type NETLINK", r.LinkType(), r.LinkType())
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("capture = %q: %w", path, err), f.Close())
	}
	return &capture{f, r}, nil
}

// interrupt ends a wait for more, which there is only if the file is a pipe. It may be
// called concurrently.
func (c *capture) interrupt() { _ = c.file.SetReadDeadline(time.Unix(1, 0)) }

func (c *capture) close() error { return c.file.Close() }

// Flags of messages that are no events: requests of processes, and answers to dumps.
const noEvent = unix.NLM_F_REQUEST | unix.NLM_F_MULTI

// replay gets the next datagram of the capture, and the time of the record as ours. It is
// valid until the next.
func (s *source) replay(ctx context.Context) ([]byte, error) {
	for {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		data, info, err := s.capture.reader.ZeroCopyReadPacketData()
		if err != nil && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if errors.Is(err, io.EOF) && info.CaptureLength == 0 {
			return nil, io.EOF
		}
		if err != nil {
			s.env.Log.Error(fmt.Sprintf("capture = %q: the capture is damaged: %v; what follows is not read", s.Capture, err))
			return nil, io.EOF
		}
		if len(data) < netlinkHeader+unix.NLMSG_HDRLEN ||
			binary.BigEndian.Uint16(data[netlinkHeader-2:]) != unix.NETLINK_NETFILTER {
			continue
		}
		datagram := data[netlinkHeader:]
		if binary.NativeEndian.Uint16(datagram[6:])&noEvent != 0 {
			continue
		}
		s.received, s.now = info.Timestamp, info.Timestamp.UnixNano()
		return datagram, nil
	}
}
