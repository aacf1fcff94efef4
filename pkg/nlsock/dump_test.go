package nlsock

import (
	"encoding/binary"
	"errors"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ulogd-go/ulogd/contrib/lab"
)

// TestKernelDump asks for the links of a namespace, of which there is one.
func TestKernelDump(t *testing.T) {
	ns := lab.Test(t)
	var s *Socket
	if err := ns.Do(func() (err error) { s, err = Dial(unix.NETLINK_ROUTE, ""); return err }); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	sequence, err := s.Dump(unix.RTM_GETLINK, make([]byte, unix.SizeofIfInfomsg))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Deadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 64<<10)
	var types []uint16
	for len(types) == 0 || types[len(types)-1] != unix.NLMSG_DONE {
		n, err := s.Receive(buf[:0], true)
		if err != nil {
			t.Fatal(err)
		}
		for b := buf[:n]; len(b) >= unix.NLMSG_HDRLEN; b = b[(binary.NativeEndian.Uint32(b)+3)&^3:] {
			types = append(types, binary.NativeEndian.Uint16(b[4:]))
			if got := binary.NativeEndian.Uint32(b[8:]); got != sequence {
				t.Errorf("sequence number %d, want %d", got, sequence)
			}
		}
	}
	if len(types) < 2 || types[0] != unix.RTM_NEWLINK {
		t.Errorf("messages of types %v, want links and the end", types)
	}
	if err := s.Deadline(time.Now()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Receive(buf[:0], true); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("after the deadline: %v", err)
	}
}
