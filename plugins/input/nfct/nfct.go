package nfct

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"github.com/ulogd-go/ulogd/pkg/ctnetlink"
	"github.com/ulogd-go/ulogd/pkg/event"
	"github.com/ulogd-go/ulogd/pkg/logging"
	"github.com/ulogd-go/ulogd/pkg/nflog"
	"github.com/ulogd-go/ulogd/pkg/nlsock"
	"github.com/ulogd-go/ulogd/pkg/plugin"
	"github.com/ulogd-go/ulogd/pkg/stats"
)

// source is the input. All but Wake and Dump is called on the pipeline's goroutine.
type source struct {
	options
	keys
	env     *plugin.Env
	reports ctnetlink.Event // events that are reported
	table   *table          // nil without hash_enable

	sock    *nlsock.Socket // of events; in polling mode nothing comes there
	capture *capture       // in place of the socket
	buf     []byte         // for one datagram
	stop    func() bool    // ends the watch over the context
	woken   atomic.Bool
	wanted  atomic.Bool // a dump that resets the counters
	ending  bool        // events are given up, only the rest is read
	peeked  int         // length of the datagram that is still in the socket, too; 0 if none is
	numbers numbers

	received time.Time // when the last datagram was
	now      int64     // that in nanoseconds since 1970
	due      time.Time // of the next dump; zero if there is none to come
	dump     dump

	flow  ctnetlink.Flow // of the message at hand
	attrs []byte         // its attributes

	size, limit int // of the receive buffer
	full        bool
	drops       uint32 // of the socket, as far as they are counted
	counters
}

// counters are what becomes of the kernel's messages.
type counters struct {
	events, records, malformed, truncated, foreign, overruns, losses, missed, refused *stats.Counter
	losing, refusing                                                                  *logging.Tally
	seenTruncated, seenForeign                                                        uint64
}

func open(o options, env *plugin.Env) (plugin.Source, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	s := &source{options: o, env: env, reports: o.reported()}
	s.counters = counters{
		events:    env.Stats.Counter("events", "events received that the filters let pass"),
		records:   env.Stats.Counter("records", "records reported"),
		malformed: env.Stats.Counter("messages_malformed", "messages dropped because their lengths are wrong"),
		truncated: env.Stats.Counter("datagrams_truncated", "datagrams dropped because they were too long"),
		foreign:   env.Stats.Counter("datagrams_foreign", "datagrams dropped because a process and not the kernel had sent them"),
		overruns:  env.Stats.Counter("overruns", "times that the kernel found the receive buffer full"),
		losses:    env.Stats.Counter("events_lost", "events that the kernel could not put into the receive buffer"),
		missed:    env.Stats.Counter("flows_missed", "connections whose beginning or end was not seen, and found later"),
		refused:   env.Stats.Counter("flows_refused", "connections that found the table full, so that their beginning is not remembered"),
		losing:    logging.NewTally(env.Log, slog.LevelError, "lost %d events"),
		refusing:  logging.NewTally(env.Log, slog.LevelError, "the table is full, %d connections are not followed; raise hash_max_entries"),
	}
	return s, nil
}

// enough records for a batch.
const enough = 64

// bufferSize has room for what the kernel puts into a datagram: one event, or up to
// 32 KiB of a dump (net/netlink/af_netlink.c, netlink_dump).
const bufferSize = 64 << 10

// Read waits for records, and takes what else is there until the batch is large
// enough.
//
// A datagram that is to survive the process stays in the socket until its records have
// passed the stacks, which they have when the next one is wanted; so a batch has those of
// one only. Other records can't be had again: they are noted before they pass.
func (s *source) Read(ctx context.Context, b *event.Batch) (err error) {
	if s.stop == nil {
		s.stop = context.AfterFunc(ctx, s.Wake)
	}
	s.numbers.begin(b)
	for more := true; more && err == nil && b.Len() < enough; {
		more, err = s.step(ctx, b)
	}
	b.Now = s.received
	s.numbers.next += uint64(b.Len())
	if s.peeked == 0 && b.Len() > 0 {
		s.numbers.save()
	}
	s.count(b)
	return err
}

// step does what is next. It reports false when the batch has to end.
func (s *source) step(ctx context.Context, b *event.Batch) (more bool, err error) {
	switch s.dump.state {
	case reading:
		if ctx.Err() != nil {
			return false, errors.Join(ctx.Err(), s.consume())
		}
		s.readDump(b)
		return true, nil
	case sweeping:
		s.sweep(b)
		return true, nil
	case idle:
		if !s.ending && s.startDue() {
			return true, nil
		}
	}
	if s.capture == nil && s.sock.Peek && b.Len() > 0 {
		return false, nil
	}
	n, err := s.receive(ctx, b.Len() == 0 && s.dump.state == idle && !s.ending)
	switch {
	case errors.Is(err, errInterrupted):
		return false, nil
	case err != nil:
		return false, err
	case n > 0:
		s.split(b, s.buf[:n])
		return true, nil
	case s.dump.state == draining:
		s.dump.state = sweeping
		return true, nil
	}
	return false, nil
}

// split passes the messages of a datagram on.
func (s *source) split(b *event.Batch, datagram []byte) {
	for len(datagram) > 0 {
		m, rest, ok := nflog.NextMessage(datagram)
		if !ok {
			s.malformed.Add(1)
			return
		}
		s.event(b, m)
		datagram = rest
	}
}

// errInterrupted says that a wait has ended for something else to be done.
var errInterrupted = errors.New("interrupted")

// receive gets a datagram. There is none if n is 0.
func (s *source) receive(ctx context.Context, block bool) (n int, err error) {
	if s.capture != nil {
		return s.replay(ctx)
	}
	if err := s.consume(); err != nil {
		return 0, err
	}
	if block {
		if err := s.sock.Deadline(s.due); err != nil {
			return 0, err
		}
		if s.woken.Load() || ctx.Err() != nil {
			return 0, s.interrupted(ctx) // what Wake did is undone
		}
	}
	n, err = s.sock.Receive(s.buf[:0], block)
	s.tick()
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return 0, s.interrupted(ctx)
	case err != nil:
		return 0, fmt.Errorf("receive events: %w", err)
	case n == 0 && s.ending:
		return 0, ctx.Err()
	case s.sock.Peek && n > 0:
		s.peeked = n
		if s.numbers.seen(s.buf[:n]) {
			return s.receive(ctx, block)
		}
	}
	return n, nil
}

// tick reads the clock.
func (s *source) tick() {
	s.received = s.env.Now()
	s.now = s.received.UnixNano()
}

// consume takes the datagram whose records have passed out of the socket.
func (s *source) consume() error {
	if s.peeked == 0 {
		return nil
	}
	s.numbers.note(s.buf[:s.peeked])
	s.peeked = 0
	return s.sock.Consume()
}

// Wake makes a Read that waits return. It may be called concurrently.
func (s *source) Wake() {
	s.woken.Store(true)
	if s.sock != nil {
		s.sock.Interrupt()
	}
}

// interrupted handles the end of a wait: by Wake, because a dump is due, or because
// ctx has ended. Then a socket that is kept is left as it is for the next process; else
// the events are given up, and what the kernel has handed over by then is still read.
func (s *source) interrupted(ctx context.Context) error {
	s.tick()
	s.woken.Store(false)
	if err := s.sock.Deadline(time.Time{}); err != nil {
		return err
	}
	if ctx.Err() == nil || s.ending {
		return errInterrupted
	}
	if s.sock.Peek || s.Poll > 0 {
		return ctx.Err()
	}
	s.ending = true
	for _, group := range s.subscribed().Groups() {
		if err := s.sock.Leave(group); err != nil {
			return err
		}
	}
	return errInterrupted
}

func (s *source) count(b *event.Batch) {
	s.records.Add(uint64(b.Len()))
	if s.sock == nil {
		return
	}
	if n := s.sock.Truncated; n != s.seenTruncated {
		s.truncated.Add(n - s.seenTruncated)
		s.seenTruncated = n
	}
	if n := s.sock.Foreign; n != s.seenForeign {
		s.foreign.Add(n - s.seenForeign)
		s.seenForeign = n
	}
}

func (s *source) notice(text string) {
	s.env.Log.Log(context.Background(), logging.Notice, text)
}

// Close gives the sockets up.
func (s *source) Close() error {
	if s.stop != nil {
		s.stop()
	}
	s.losing.Flush()
	s.refusing.Flush()
	err := s.dump.close()
	if s.capture != nil {
		return errors.Join(err, s.capture.close())
	}
	return errors.Join(err, s.numbers.close(), s.sock.Close())
}
