package nfct

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ulogd-go/ulogd/pkg/fdstore"
	"github.com/ulogd-go/ulogd/pkg/nlsock"
)

// Open subscribes to events, or takes over the socket that an earlier process has
// kept, which has.
func (s *source) Open() (err error) {
	if s.HashEnable {
		s.table = newTable(s.HashBuckets, s.HashMax)
	}
	if s.Capture != "" {
		s.capture, err = openCapture(s.Capture)
		return err
	}
	adopted := s.Poll == 0 && s.adopt()
	if !adopted {
		if s.sock, err = nlsock.Listen(unix.NETLINK_NETFILTER, s.NetNS); err != nil {
			return fmt.Errorf("netlink socket: %w", err)
		}
	}
	defer func() {
		if err != nil {
			_ = errors.Join(s.sock.Close(), s.dump.close(), s.numbers.close()) // the first error says why
		}
	}()
	if err := s.dump.open(s.NetNS); err != nil {
		return err
	}
	s.wanted.Store(false)
	s.tick() // what an earlier process has left is read first
	if s.Poll == 0 && !adopted {
		s.keep()
	}
	s.listening.Store(s.sock)
	s.many = nlsock.NewMany(s.numbers.room(), pieceSize)
	if s.Poll > 0 {
		s.notice("NFCT working in polling mode")
		s.due = time.Now().Add(time.Duration(s.Poll) * time.Second)
		return nil
	}
	return s.listen()
}

// listen subscribes to the events.
func (s *source) listen() (err error) {
	s.sock.Overrun = s.overrun
	s.lost() // while no process was there
	size, limit := s.socketSizes()
	s.buffer = nlsock.Buffer{Socket: s.sock, Input: "NFCT", Size: size, Limit: limit, Log: s.env.Log}
	if err := s.buffer.Set(); err != nil {
		return err
	}
	if err := s.sock.Reliable(s.Reliable); err != nil {
		return fmt.Errorf("reliable: %w", err)
	}
	if s.Reliable {
		s.notice("NFCT reliable logging has been enabled.")
	}
	// The filter comes first: an event that was received stays.
	if err := s.sock.Filter(s.program()); err != nil {
		return fmt.Errorf("error creating NFCT filter: %w", err)
	}
	for group := 1; group <= 3; group++ {
		if err := s.subscribe(group); err != nil {
			return explain(err)
		}
	}
	s.notice("NFCT plugin working in event mode")
	if s.table == nil {
		return nil
	}
	return s.startDump(dumpFirst)
}

// subscribe joins a group whose events are wanted, and leaves another one, which
// an earlier process may have wanted.
func (s *source) subscribe(group int) error {
	for _, g := range s.subscribed().Groups() {
		if g == group {
			return s.sock.Join(group)
		}
	}
	return s.sock.Leave(group)
}

// explain says what the kernel's refusal means and what to do.
func explain(err error) error {
	switch {
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("error opening ctnetlink: %w: the capability CAP_NET_ADMIN is missing; run as root, or grant it "+
			"(AmbientCapabilities=CAP_NET_ADMIN in the unit, or setcap cap_net_admin+ep on the program)", err)
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOENT), errors.Is(err, unix.EOPNOTSUPP):
		return fmt.Errorf("error opening ctnetlink: %w; the kernel may lack it: modprobe nf_conntrack_netlink", err)
	}
	return fmt.Errorf("error opening ctnetlink: %w", err)
}

// storeName is the socket's name in the store, the same in the next process.
func (s *source) storeName() string {
	return fdstore.Name(fmt.Sprintf("nfct %s %s", s.NetNS, s.env.Instance))
}

// keep stores the socket for the next process. Without it the socket ends with this
// one.
func (s *source) keep() {
	if s.env.Store == nil {
		return
	}
	files, err := s.numbers.fresh()
	if err == nil {
		err = s.env.Store.Keep(s.storeName(), s.sock.FD(), int(files[0].Fd()), int(files[1].Fd()))
	}
	if err != nil {
		s.env.Log.Warn(fmt.Sprintf("keep the socket for the next process: %v", err))
		return
	}
	s.kept = true
}

// adopt takes over a socket, and the numbering that goes with it. What has happened to
// the connections that the earlier process has followed, the first dump and the events in
// the socket tell.
func (s *source) adopt() bool {
	if s.env.Store == nil {
		return false
	}
	files := s.env.Store.Take(s.storeName())
	if len(files) == 0 {
		return false
	}
	if err := s.adoptFiles(files); err != nil {
		s.env.Log.Warn(fmt.Sprintf("the socket of an earlier process is of no use: %v; what it has received is lost", err))
		return false
	}
	s.notice("going on with the socket of an earlier process")
	return true
}

func (s *source) adoptFiles(files []*os.File) error {
	if len(files) != 3 {
		for _, f := range files {
			_ = f.Close() // it was not used
		}
		return fmt.Errorf("%d descriptors in place of 3", len(files))
	}
	sock, err := nlsock.AdoptMulticast(files[0])
	if err != nil {
		return errors.Join(err, files[1].Close(), files[2].Close())
	}
	if err := nlsock.CheckNetNS(sock.FD(), s.NetNS); err != nil {
		return errors.Join(err, sock.Close(), files[1].Close(), files[2].Close())
	}
	if s.left, err = s.numbers.open(files[1], files[2]); err != nil {
		return errors.Join(err, sock.Close())
	}
	s.sock, s.kept = sock, true
	return nil
}
