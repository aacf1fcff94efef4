package nfct

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ulogd-go/ulogd/pkg/ctnetlink"
	"github.com/ulogd-go/ulogd/pkg/event"
	"github.com/ulogd-go/ulogd/pkg/nlsock"
)

// kind is what a dump of all connections is for.
type kind uint8

const (
	dumpFirst  kind = iota // to know those that are there at start
	dumpPoll               // at each interval
	dumpResync             // to find what was missed
	dumpReset              // to report all, and set their counters to 0
)

// state is how far a dump is. While its answer is read no event is: an event that is
// waiting may be younger than what the answer says. Before the connections that it
// did not find are taken for ended, the events that are waiting are read, which may
// say so.
type state uint8

const (
	idle     state = iota
	reading        // the answer
	zeroing        // the connections of the answer, one by one
	draining       // the events that were there when it was complete
	sweeping       // the table, for connections that it did not find
)

// dump is a dump of all connections, which has a socket of its own.
type dump struct {
	sock  *nlsock.Socket // nil before Open, and for a capture
	buf   []byte         // for a part of the answer
	state state
	kind
	number   uint32   // of dumps so far; it does not wrap in a lifetime
	sequence uint32   // of the request, or the first of them
	requests [][]byte // to come
	asked    int      // requests that were sent last
	left     int      // those of them without an answer
	cursor   uint32   // entry to sweep next
	gave     bool     // a record for the batch at hand
	begun    uint64   // connections whose beginning was missed
	over     uint64   // connections whose end was missed
}

// answerSize has room for what the kernel puts into a part of the answer, which is up to
// 32 KiB (net/netlink/af_netlink.c, netlink_dump).
const answerSize = 64 << 10

// answerTime is how long the kernel may take for a part of the answer.
const answerTime = 10 * time.Second

// open makes the socket.
func (d *dump) open(netNS string) (err error) {
	d.buf = make([]byte, answerSize)
	if d.sock, err = nlsock.Dial(unix.NETLINK_NETFILTER, netNS); err != nil {
		return fmt.Errorf("netlink socket: %w", err)
	}
	return nil
}

// startDump asks for all connections.
//
// The kernel has a request that does so and sets their counters to 0 as it goes. It must
// not be used: of a connection that does not fit the end of a datagram any more, the counters
// are gone by then, and the next datagram has it with 0. So the connections are listed first,
// and then asked for one by one.
func (s *source) startDump(k kind) (err error) {
	d := &s.dump
	d.kind = k
	if k != dumpFirst { // of which there are no records
		s.numbers.advance()
	}
	if d.sequence, err = d.sock.Dump(ctnetlink.TypeGet, ctnetlink.AllFamilies()); err != nil {
		return fmt.Errorf("dump connections: %w", err)
	}
	d.state, d.begun, d.over, d.cursor = reading, 0, 0, 1
	d.requests, d.asked, d.left = nil, 1, 1
	d.number++
	return nil
}

// startDue starts the dump for which it is time. It reports false if there is none.
func (s *source) startDue() bool {
	k := dumpReset
	switch {
	case s.wanted.Swap(false):
	case s.due.IsZero() || s.received.Before(s.due):
		return false
	case s.Poll > 0:
		k, s.due = dumpPoll, s.received.Add(time.Duration(s.Poll)*time.Second)
	default:
		k, s.due = dumpResync, time.Time{}
	}
	if err := s.startDump(k); err != nil {
		s.dumpFailed(err)
		return false
	}
	return true
}

// dumpFailed gives a dump up. One that is needed is tried again later.
func (s *source) dumpFailed(err error) {
	s.env.Log.Error(fmt.Sprintf("%v; the connections that are followed may be incomplete", err))
	if s.dump.kind == dumpResync {
		s.scheduleResync()
	}
	s.dump.state, s.dump.requests, s.dump.left = idle, nil, 0
}

// readDump reads a part of the answer.
func (s *source) readDump(b *event.Batch) {
	d := &s.dump
	if d.left == 0 {
		s.zeroMore()
		return
	}
	err := d.sock.Deadline(time.Now().Add(answerTime))
	var n int
	if err == nil {
		n, err = d.sock.Receive(d.buf[:0], true)
	}
	s.tick()
	if err != nil {
		s.dumpFailed(fmt.Errorf("dump connections: %w", err))
		return
	}
	for datagram := d.buf[:n]; len(datagram) > 0; {
		m, rest, ok := nlsock.NextMessage(datagram)
		if !ok {
			s.malformed.Add(1)
			return
		}
		datagram = rest
		if m.Seq-d.sequence >= uint32(d.asked) {
			continue
		}
		done, err := m.End()
		switch {
		case d.state == zeroing:
			s.zeroed(b, m, done, err)
		case done:
			s.dumped(err)
		case d.kind != dumpReset:
			s.answer(b, m)
		case s.decode(m) == ctnetlink.Update:
			d.requests = append(d.requests, ctnetlink.One(m.Body))
		}
		d.gave = d.gave || b.Len() > 0
		if d.state != reading && d.state != zeroing {
			return
		}
	}
}

// chunk is how many connections are asked for together.
const chunk = 32

// zeroMore asks for some of the connections that were listed, and sets their counters to 0.
func (s *source) zeroMore() {
	d := &s.dump
	if len(d.requests) == 0 {
		d.state, d.requests = idle, nil
		return
	}
	d.asked = min(chunk, len(d.requests))
	var err error
	if d.sequence, err = d.sock.Query(ctnetlink.TypeGetZero, d.requests[:d.asked]...); err != nil {
		s.resetFailed(err)
		return
	}
	d.requests, d.left = d.requests[d.asked:], d.asked
}

// zeroed deals with the answer for one connection. One that has ended since it was listed
// has an event.
func (s *source) zeroed(b *event.Batch, m nlsock.Message, done bool, err error) {
	s.dump.left--
	switch {
	case !done:
		s.answer(b, m)
	case !errors.Is(err, unix.ENOENT):
		s.resetFailed(err)
	}
}

func (s *source) resetFailed(err error) {
	s.dumpFailed(fmt.Errorf("cannot dump and reset counters: %w", err))
}

// dumped goes on when the answer is complete.
func (s *source) dumped(err error) {
	d := &s.dump
	switch {
	case err != nil && d.kind == dumpReset:
		s.resetFailed(err)
	case err != nil:
		s.dumpFailed(fmt.Errorf("dump connections: %w", err))
	case d.kind == dumpReset:
		d.state, d.left = zeroing, 0
	case d.kind == dumpPoll:
		d.state = sweeping
	case d.kind == dumpResync:
		d.state = draining
	default:
		d.state = idle
	}
}

// sweep reports connections that the dump did not find, up to the end of the table or
// of the batch.
func (s *source) sweep(b *event.Batch) {
	d := &s.dump
	for ; int(d.cursor) <= s.table.used; d.cursor++ {
		if b.Len() >= enough {
			return
		}
		if e := s.table.at(d.cursor); e.seen != 0 && e.seen != d.number {
			d.over++
			s.gone(b, e)
			d.gave = true
		}
	}
	d.state = idle
	if d.kind == dumpResync {
		s.missed.Add(d.begun + d.over)
		s.notice(fmt.Sprintf("resynchronised after a loss of events: %d connections had begun and %d had ended unnoticed", d.begun, d.over))
	}
}

// scheduleResync has all connections dumped after a while, unless that is to be anyway.
func (s *source) scheduleResync() {
	if s.table != nil && s.Poll == 0 && s.due.IsZero() {
		s.due = s.env.Now().Add(time.Duration(s.Resync) * time.Second)
	}
}

// Dump has all connections reported, and their counters set to 0. It may be called
// concurrently.
func (s *source) Dump() {
	if s.Capture != "" {
		return
	}
	s.wanted.Store(true)
	s.Wake()
}

// lost notes what the kernel could not put into the receive buffer, unless it comes again.
func (s *source) lost() {
	n, err := s.sock.Drops()
	again, err2 := s.sock.IsReliable()
	if err := errors.Join(err, err2); err != nil {
		s.env.Log.Error(fmt.Sprintf("how many events were lost is not known: %v", err))
		return
	}
	if again {
		s.numbers.drops = n
	}
	if n != s.numbers.drops {
		s.losses.Add(uint64(n - s.numbers.drops))
		s.losing.Add(uint64(n - s.numbers.drops))
		s.numbers.drops = n
	}
}

// overrun reacts to a full receive buffer as ulogd does: by a larger one, as far as
// that goes, and by a dump later.
func (s *source) overrun() {
	s.overruns.Add(1)
	s.lost()
	s.scheduleResync()
	s.buffer.Grow()
}

// close closes the socket of dumps.
func (d *dump) close() error {
	if d.sock == nil {
		return nil
	}
	return d.sock.Close()
}
