package nfacct

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ulogd-go/ulogd/pkg/event"
	"github.com/ulogd-go/ulogd/pkg/nfacct"
	"github.com/ulogd-go/ulogd/pkg/nlsock"
)

func dial(netNS string) (*nlsock.Socket, error) {
	sock, err := nlsock.Dial(unix.NETLINK_NETFILTER, netNS)
	if err != nil {
		return nil, fmt.Errorf("cannot open netlink socket: %w", err)
	}
	if _, err := sock.SetReadBuffer(receiveBuffer); err != nil {
		return nil, errors.Join(fmt.Errorf("receive buffer of %d bytes: %w", receiveBuffer, err), sock.Close())
	}
	return sock, nil
}

// poll adds an event for each object.
//
// The kernel has a request that dumps all objects and sets their counters to 0 as it
// goes. It must not be used: of an object that does not fit the end of a datagram
// any more, the counters are gone by then, and the next datagram has it with 0. So
// the objects are listed first, and then asked for one by one.
func (s *source) poll(b *event.Batch) {
	s.polls.Add(1)
	b.Now = s.env.Now()
	err := s.list(b)
	for requests := range slices.Chunk(s.names, chunk) {
		if err == nil {
			err = s.zero(b, requests)
		}
	}
	s.names = s.names[:0]
	s.objects.Add(uint64(b.Len()))
	s.report(err)
}

// report logs an error when it begins, and when it is over.
func (s *source) report(err error) {
	if err == nil {
		if s.failing != "" {
			s.env.Log.Info("accounting objects can be read again")
		}
		s.failing = ""
		return
	}
	s.failed.Add(1)
	if text := explain(err).Error(); text != s.failing {
		s.failing = text
		s.env.Log.Error(text)
	}
}

// explain says what the kernel's refusal means and what to do.
func explain(err error) error {
	switch {
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("read accounting objects: %w: the capability CAP_NET_ADMIN is missing; run as root, or grant it "+
			"(AmbientCapabilities=CAP_NET_ADMIN in the unit, or setcap cap_net_admin+ep on the program)", err)
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.EOPNOTSUPP):
		return fmt.Errorf("read accounting objects: %w; the kernel may lack them: modprobe nfnetlink_acct", err)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("read accounting objects: the kernel has not answered within %v", answerTime)
	}
	return fmt.Errorf("read accounting objects: %w", err)
}

// list dumps all objects. Those whose counters are to be set to 0 are only noted.
func (s *source) list(b *event.Batch) (err error) {
	sequence, err := s.sock.Dump(nfacct.TypeGet, nfacct.AllObjects())
	if err != nil {
		return err
	}
	var refused error
	for done := false; !done && err == nil; {
		err = s.receive(b, func(m nlsock.Message, off, end int) {
			if m.Seq != sequence || done {
				return
			}
			if done, refused = m.End(); !done {
				s.object(b, off, end)
			}
		})
	}
	return cmp.Or(err, refused)
}

// chunk is how many requests are sent together.
const chunk = 32

// zero asks for some objects, and sets their counters to 0. An object that has gone
// since it was listed is none any more.
func (s *source) zero(b *event.Batch, requests [][]byte) error {
	first, err := s.sock.Query(nfacct.TypeGetZero, requests...)
	if err != nil {
		return err
	}
	var refused error
	for left := len(requests); left > 0 && err == nil; {
		err = s.receive(b, func(m nlsock.Message, off, end int) {
			if m.Seq-first >= uint32(len(requests)) {
				return
			}
			left--
			switch done, err := m.End(); {
			case !done:
				s.event(b, off, end)
			case !errors.Is(err, unix.ENOENT):
				refused = err
			}
		})
	}
	return cmp.Or(err, refused)
}

// answerTime is how long the kernel may take for a datagram of an answer. It has all
// of it ready when the request's system call returns.
const answerTime = 5 * time.Second

// datagramSize is the most that the kernel puts into a datagram of an answer.
const datagramSize = 64 << 10

// receive reads a datagram to the end of b's buffer, and hands out its messages with
// the place of their bodies.
func (s *source) receive(b *event.Batch, each func(m nlsock.Message, off, end int)) error {
	if err := s.sock.Deadline(time.Now().Add(answerTime)); err != nil {
		return err
	}
	b.Buf = slices.Grow(b.Buf, datagramSize)
	n, err := s.sock.Receive(b.Buf, true)
	if err != nil {
		return err
	}
	b.Buf = b.Buf[:len(b.Buf)+n]
	for rest := b.Buf[len(b.Buf)-n:]; len(rest) > 0; {
		end := len(b.Buf) - len(rest)
		m, next, ok := nlsock.NextMessage(rest)
		if !ok {
			s.malformed.Add(1)
			return nil
		}
		off := end + nlsock.HeaderLen
		rest = next
		each(m, off, off+len(m.Body))
	}
	return nil
}

// object deals with an object that was listed.
func (s *source) object(b *event.Batch, off, end int) {
	if !s.Zero {
		s.event(b, off, end)
		return
	}
	o, ok := nfacct.Decode(b, off, end)
	if !ok {
		s.malformed.Add(1)
		return
	}
	s.names = append(s.names, nfacct.ByName(b.Bytes(o.Name)))
}

// event adds an event.
func (s *source) event(b *event.Batch, off, end int) {
	o, ok := nfacct.Decode(b, off, end)
	if !ok {
		s.malformed.Add(1)
		return
	}
	e := b.Add()
	e[s.name] = o.Name
	e.Set(s.packets, event.U64, o.Packets)
	e.Set(s.bytes, event.U64, o.Bytes)
	e.Set(s.sum, event.Raw, event.Ref(off, end-off))
	if s.Stamp {
		e.Set(s.sec, event.U32, uint64(uint32(b.Now.Unix())))
		e.Set(s.usec, event.U32, uint64(b.Now.Nanosecond()/1000))
	}
}
