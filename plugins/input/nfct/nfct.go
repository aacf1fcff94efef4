package nfct

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/ulogd-go/ulogd/pkg/ctnetlink"
	"github.com/ulogd-go/ulogd/pkg/event"
	"github.com/ulogd-go/ulogd/pkg/logging"
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

	sock      *nlsock.Multicast                // of events; in polling mode nothing comes there
	capture   *capture                         // in place of the socket
	many      *nlsock.Many                     // the datagrams that were received last
	at        int                              // the next of them
	left      [][]byte                         // those that an earlier process has left
	stop      func() bool                      // ends the watch over the context
	listening atomic.Pointer[nlsock.Multicast] // the socket, for Wake
	waited    time.Time                        // when the last wait for an event began
	pending   bool                             // the socket was not found empty at the last look
	wanted    atomic.Bool                      // a dump that resets the counters
	ending    bool                             // only the rest is read, and events are given up if the socket is not kept
	until     time.Time                        // that, if the socket is kept
	kept      bool                             // the socket outlives the process
	numbers   numbers

	received time.Time // when the last datagram was
	now      int64     // that in nanoseconds since 1970
	due      time.Time // of the next dump; zero if there is none to come
	dump     dump

	flow  ctnetlink.Flow // of the message at hand
	attrs []byte         // its attributes

	buffer nlsock.Buffer
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

// Read waits for records, and takes what else is there until the batch is large
// enough.
//
// If the socket is kept for the next process, what was received is too, until its records
// have passed the stacks, which they have when more is wanted. Records that can't be had
// again, of a dump, are in batches of their own, and noted before they pass.
func (s *source) Read(ctx context.Context, b *event.Batch) (err error) {
	if s.stop == nil {
		s.stop = context.AfterFunc(ctx, s.interrupt)
	}
	s.numbers.begin(b)
	s.dump.gave = false
	for more := true; more && err == nil && b.Len() < enough; {
		more, err = s.step(ctx, b)
	}
	b.Now = s.received
	s.numbers.next += uint64(b.Len())
	if s.dump.gave {
		s.numbers.save()
	}
	s.count(b)
	return err
}

// step does what is next. It reports false when the batch has to end.
func (s *source) step(ctx context.Context, b *event.Batch) (more bool, err error) {
	switch s.dump.state {
	case reading, zeroing:
		// Counters that were set to 0 are reported before the end. The rest of the dump
		// is given up for the events that are waiting.
		if ctx.Err() == nil || s.dump.state == zeroing && s.dump.left > 0 {
			s.readDump(b)
			return true, nil
		}
		s.dump.state, s.dump.requests = idle, nil
	case sweeping:
		s.sweep(b)
		return true, nil
	}
	if datagram := s.next(); datagram != nil {
		s.split(b, datagram)
		return true, nil
	}
	if s.kept && b.Len() > 0 {
		return false, nil
	}
	if s.dump.state == idle && ctx.Err() == nil && s.startDue() {
		return true, nil
	}
	return s.more(ctx, b)
}

// more gets more datagrams.
func (s *source) more(ctx context.Context, b *event.Batch) (more bool, err error) {
	if s.capture != nil {
		datagram, err := s.replay(ctx)
		if err == nil {
			s.split(b, datagram)
		}
		return err == nil, err
	}
	s.numbers.advance()
	s.at = 0
	if ctx.Err() != nil && !s.ending {
		if err := s.end(ctx); err != nil {
			return false, err
		}
	}
	if s.ending && s.kept && time.Now().After(s.until) {
		return false, ctx.Err()
	}
	patient := b.Len() == 0 && s.dump.state == idle && !s.ending
	if patient && !s.pending {
		if err := s.wait(); err != nil {
			return false, err
		}
	}
	more, err = s.sock.Receive(s.many)
	// Nothing is there only now, so there was no wait yet.
	again := patient && s.pending && !more
	s.pending = more
	s.tick()
	switch {
	case err != nil:
		return false, fmt.Errorf("receive events: %w", err)
	case !more && s.ending:
		return false, ctx.Err()
	case !more && s.dump.state == draining:
		s.dump.state = sweeping
		return true, nil
	}
	return more || again, nil
}

// next is the next datagram of those that were received, and nil if there is none.
func (s *source) next() (datagram []byte) {
	switch {
	case len(s.left) > 0:
		datagram, s.left = s.left[0], s.left[1:]
	case s.many != nil && s.at < s.many.Len():
		datagram = s.many.At(s.at)
		s.at++
	}
	return datagram
}

// split passes the messages of a datagram on.
func (s *source) split(b *event.Batch, datagram []byte) {
	for len(datagram) > 0 {
		m, rest, ok := nlsock.NextMessage(datagram)
		if !ok {
			s.malformed.Add(1)
			return
		}
		s.event(b, m)
		datagram = rest
	}
}

// gather is how long events gather in the socket when they come one soon after another.
// To be woken for each would cost more than all else.
const gather = 50 * time.Millisecond

// wait waits for an event, for Wake, or until a dump is due. If the last wait was a
// moment ago it has events gather first.
func (s *source) wait() error {
	if left := gather - time.Since(s.waited); left > 0 {
		return s.sock.Rest(left)
	}
	s.waited = time.Now()
	if s.due.IsZero() {
		return s.sock.Wait(-1)
	}
	return s.sock.Wait(max(0, s.due.Sub(s.env.Now())))
}

// tick reads the clock.
func (s *source) tick() {
	s.received = s.env.Now()
	s.now = s.received.UnixNano()
}

// Wake makes a Read that waits return. It may be called concurrently.
func (s *source) Wake() {
	if sock := s.listening.Load(); sock != nil {
		sock.Wake()
	}
}

// interrupt is called when the context ends.
func (s *source) interrupt() {
	s.Wake()
	if s.capture != nil {
		s.capture.interrupt()
	}
}

// lastReading is for how long a socket that is kept is read at the end. What still comes
// then is left to the next process.
const lastReading = time.Second

// end begins the end, when ctx has. What the kernel has handed over by then is still read:
// there may be no next process. The events are given up first, unless the socket is kept.
func (s *source) end(ctx context.Context) error {
	if s.Poll > 0 {
		return ctx.Err()
	}
	s.ending, s.until = true, time.Now().Add(lastReading)
	if s.kept {
		return nil
	}
	for _, group := range s.subscribed().Groups() {
		if err := s.sock.Leave(group); err != nil {
			return err
		}
	}
	return nil
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
