package nflog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ulogd-go/ulogd/pkg/event"
	"github.com/ulogd-go/ulogd/pkg/link"
	"github.com/ulogd-go/ulogd/pkg/logging"
	"github.com/ulogd-go/ulogd/pkg/nflog"
	"github.com/ulogd-go/ulogd/pkg/nlsock"
	"github.com/ulogd-go/ulogd/pkg/plugin"
	"github.com/ulogd-go/ulogd/pkg/stats"
)

// source is the input. All but Links is called on the pipeline's goroutine.
type source struct {
	options
	nflog.Decoder
	env   *plugin.Env
	links *link.Table // nil unless somebody asks for names
	sock  *nlsock.Socket
	stop  func() bool // ends the watch over the context

	ending   bool      // only the rest is read, and the group is given up if the socket is not kept
	gathered time.Time // if the socket is kept: when the kernel has handed over what it gathered by the end
	until    time.Time // and when reading ends, whatever still comes
	woken    atomic.Bool
	buf      []byte    // for one datagram
	datagram []byte    // what is left of the one that was received last
	peeked   bool      // that one is still in the socket, too
	received time.Time // when that was
	copied   int       // bytes of each packet that were asked for

	numbers numbers

	buffer nlsock.Buffer
	counters
}

// counters are what becomes of the kernel's messages.
type counters struct {
	packets, malformed, truncated, foreign, overruns *stats.Counter
	seenTruncated, seenForeign                       uint64
}

func open(o options, env *plugin.Env) (plugin.Source, error) {
	if o.BufSize < minBufSize {
		return nil, fmt.Errorf("bufsize = %d: too small for a packet; use at least %d", o.BufSize, minBufSize)
	}
	if o.DatagramSize > nflog.MaxBufferSize {
		env.Log.Warn(fmt.Sprintf("nlbufsiz = %d: the kernel takes %d at most, which is used", o.DatagramSize, nflog.MaxBufferSize))
	}
	if int(uint16(o.Group)) != o.Group {
		env.Log.Warn(fmt.Sprintf("group = %d: groups are 0 to 65535, this one stands for %d as in ulogd; write that", o.Group, uint16(o.Group)))
	}
	s := &source{options: o, env: env, buf: make([]byte, max(o.BufSize, longestDatagram))}
	s.Decoder = nflog.Decoder{Label: uint8(o.Label), SeqLocal: o.SeqLocal, SeqGlobal: o.SeqGlobal}
	s.numbers = numbers{
		lost:  env.Stats.Counter("packets_lost", "packets that the kernel numbered and could not hand over"),
		tally: logging.NewTally(env.Log, slog.LevelError, fmt.Sprintf("lost %%d packets of group %d", uint16(o.Group))),
	}
	s.counters = counters{
		packets:   env.Stats.Counter("packets", "packets received"),
		malformed: env.Stats.Counter("messages_malformed", "messages dropped because their lengths are wrong"),
		truncated: env.Stats.Counter("datagrams_truncated", "datagrams dropped because they were longer than bufsize"),
		foreign:   env.Stats.Counter("datagrams_foreign", "datagrams dropped because a process and not the kernel had sent them"),
		overruns:  env.Stats.Counter("overruns", "times that the kernel found the receive buffer full"),
	}
	return s, nil
}

// minBufSize has room for the smallest datagram that is any use.
const minBufSize = 4096

// longestDatagram is the most that the kernel puts into one: what it sets aside, up to
// nflog.MaxBufferSize, it rounds up to a power of 2, and it fills all of that.
const longestDatagram = 256 << 10

// Links is the table of the interfaces in the network namespace that is listened in.
func (s *source) Links() *link.Table {
	if s.links == nil {
		s.links = link.NewTable(nil)
	}
	return s.links
}

// Read waits for a datagram, and takes what else is there until the batch is
// large enough. What is left of a datagram then goes into the next batch: batches
// of a size that stays in the processor's cache are worth the copy.
//
// A datagram that is to survive the process stays in the socket until all of its
// packets have passed the stacks, which they have when the next one is wanted; so
// a batch has packets of one only.
func (s *source) Read(ctx context.Context, b *event.Batch) error {
	if s.stop == nil {
		s.stop = context.AfterFunc(ctx, s.sock.Interrupt)
	}
	defer s.count(b)
	s.numbers.begin(b)
	if err := s.adjust(); err != nil {
		return err
	}
	for b.Len() < enough {
		if len(s.datagram) == 0 {
			if s.peeked && b.Len() > 0 {
				return nil
			}
			n, err := s.receive(ctx, b.Len() == 0 && !s.ending)
			if err != nil || n == 0 {
				return err
			}
			s.datagram, s.received = s.buf[:n], s.env.Now()
		}
		b.Now = s.received
		if !s.decode(b) {
			return nil
		}
	}
	return nil
}

// enough packets for a batch.
const enough = 64

// receive gets a datagram, after the one before was taken out of the socket. There
// is none if n is 0.
func (s *source) receive(ctx context.Context, block bool) (n int, err error) {
	if err := s.consume(); err != nil {
		return 0, err
	}
	for {
		if s.ending {
			now := time.Now()
			if s.sock.Peek && now.After(s.until) {
				return 0, ctx.Err()
			}
			block = s.sock.Peek && now.Before(s.gathered)
		}
		n, err = s.sock.Receive(s.buf[:0], block)
		if err == nil {
			s.peeked = s.sock.Peek && n > 0
			if n == 0 && s.ending && !block {
				return 0, ctx.Err()
			}
			return n, nil
		}
		if woken, err := s.interrupted(ctx, err); woken || err != nil {
			return 0, err
		}
	}
}

// consume takes the datagram whose packets have passed out of the socket. That
// they have is noted before: else they would be missed if the process ended between.
func (s *source) consume() error {
	if !s.peeked {
		return nil
	}
	s.peeked = false
	s.numbers.save()
	return s.sock.Consume()
}

// Wake makes a Read that waits return.
func (s *source) Wake() {
	s.woken.Store(true)
	if s.sock != nil {
		s.sock.Interrupt()
	}
}

// lastReading is for how long a socket that is kept is read at the end, at most, after the
// kernel has handed over what it had gathered. What still comes then is left to the next
// process.
const lastReading = time.Second

// interrupted handles the end of a wait: by Wake, or because ctx has ended. Then
// what the kernel has by then is still read. The group is given up first, upon which the
// kernel hands over what it has gathered; but not if the socket is kept, though there may
// be no next process: then it is waited for. Any other error is one.
func (s *source) interrupted(ctx context.Context, err error) (woken bool, _ error) {
	if s.woken.Swap(false) && errors.Is(err, os.ErrDeadlineExceeded) {
		if err := s.sock.Resume(); err != nil || ctx.Err() == nil {
			return true, err
		}
		// The context has ended meanwhile, and its interruption is undone.
	}
	if s.ending && errors.Is(err, os.ErrDeadlineExceeded) {
		return false, s.goOn() // the watch over the context was late, or nothing came
	}
	if ctx.Err() == nil || s.ending {
		return false, fmt.Errorf("group %d: receive: %w", uint16(s.Group), err)
	}
	s.ending = true
	if !s.sock.Peek {
		return false, errors.Join(s.sock.Resume(), s.unbind())
	}
	gathers := time.Duration(s.group(0).Timeout) * 10 * time.Millisecond
	s.gathered = time.Now().Add(gathers + gathers/8 + gatherSlack)
	s.until = s.gathered.Add(lastReading)
	return false, s.goOn()
}

// gatherSlack is how much longer than it should the kernel may gather on a busy machine,
// beside the eighth by which its timers may be late (kernel/time/timer.c).
const gatherSlack = 100 * time.Millisecond

// goOn lets reads wait again, at the end for what the kernel gathers at most.
func (s *source) goOn() error {
	if s.sock.Peek && time.Now().Before(s.gathered) {
		return s.sock.Deadline(s.gathered)
	}
	return s.sock.Resume()
}

// unbind gives the group up. It may be given up already when the request had to be sent
// again.
func (s *source) unbind() error {
	err := s.sock.Request(nflog.TypeConfig, nflog.Group{Number: uint16(s.Group)}.Unbind())
	if errors.Is(err, unix.ENODEV) {
		return nil
	}
	return err
}

// adjust asks for more or less of each packet when other keys are read than before.
func (s *source) adjust() error {
	want := s.bytesWanted(s.Extent)
	if want == s.copied {
		return nil
	}
	if err := s.reconfigure(want); err != nil {
		return s.explain(fmt.Sprintf("unable to configure log group %d", uint16(s.Group)), err)
	}
	s.copied = want
	return nil
}

// reconfigure changes how much of each packet is copied. What waits in a socket that
// is kept has to stay there meanwhile.
func (s *source) reconfigure(bytes int) (err error) {
	request := s.group(bytes).Configure()
	if s.sock.Peek {
		_, err = s.sock.Query(nflog.TypeConfig, request)
		return err
	}
	return s.sock.Request(nflog.TypeConfig, request)
}

// decode moves messages from the datagram to the batch until that has enough. It
// is false if the batch has to end before a gap.
func (s *source) decode(b *event.Batch) bool {
	for len(s.datagram) > 0 && b.Len() < enough {
		m, rest, ok := nlsock.NextMessage(s.datagram)
		if !ok {
			s.malformed.Add(1)
			rest = nil
		}
		if ok && m.Type == nlsock.TypeError {
			if _, err := m.End(); err != nil {
				s.refused(err)
			}
		}
		if ok && m.Type == nflog.TypePacket {
			off := len(b.Buf)
			b.Buf = append(b.Buf, m.Body...)
			if !s.packet(b, off, len(b.Buf)) {
				b.Buf = b.Buf[:off]
				return false
			}
		}
		s.datagram = rest
	}
	return true
}

// refused deals with an answer of the kernel, that it does not configure the group anew.
func (s *source) refused(err error) {
	if errors.Is(err, unix.EOPNOTSUPP) && s.Conntrack {
		s.withoutConntrack(err)
		if _, err = s.sock.Query(nflog.TypeConfig, s.group(s.copied).Configure()); err == nil {
			return
		}
	}
	s.env.Log.Error(fmt.Sprintf("group %d goes on as it was configured before: %v", uint16(s.Group), err))
}

// packet adds an event. It is false, and there is none, if a gap is before it.
func (s *source) packet(b *event.Batch, off, end int) bool {
	if err := s.Decode(b, off, end); err != nil {
		s.malformed.Add(1)
		return true
	}
	if !s.HasSeq {
		return true
	}
	switch s.numbers.add(b, s.Seq) {
	case past:
		b.Drop()
	case behindGap:
		b.Drop()
		return false
	}
	return true
}

func (s *source) count(b *event.Batch) {
	s.packets.Add(uint64(b.Len()))
	if n := s.sock.Truncated; n != s.seenTruncated {
		s.truncated.Add(n - s.seenTruncated)
		s.seenTruncated = n
	}
	if n := s.sock.Foreign; n != s.seenForeign {
		s.foreign.Add(n - s.seenForeign)
		s.seenForeign = n
	}
}

// overrun reacts to ENOBUFS as ulogd does: by a larger buffer, as far as that goes.
func (s *source) overrun() {
	s.overruns.Add(1)
	s.buffer.Grow()
}

func (s *source) notice(text string) {
	s.env.Log.Log(context.Background(), logging.Notice, text)
}

// Close ends the group and gives the socket up.
func (s *source) Close() error {
	if s.stop != nil {
		s.stop()
	}
	s.numbers.tally.Flush()
	s.closeLinks()
	return errors.Join(s.numbers.close(), s.sock.Close())
}
