package nflog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

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

	ending   bool      // the group is given up, only the rest is read
	buf      []byte    // for one datagram
	datagram []byte    // what is left of the one that was received last
	received time.Time // when that was

	size, limit int // of the receive buffer
	full        bool
	gaps        gaps
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
	s := &source{options: o, env: env, buf: make([]byte, o.BufSize)}
	s.Decoder = nflog.Decoder{Label: uint8(o.Label), SeqLocal: o.SeqLocal, SeqGlobal: o.SeqGlobal}
	s.gaps = gaps{
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
func (s *source) Read(ctx context.Context, b *event.Batch) error {
	if s.stop == nil {
		s.stop = context.AfterFunc(ctx, s.sock.Interrupt)
	}
	defer s.count(b)
	for b.Len() < enough {
		if len(s.datagram) == 0 {
			n, err := s.sock.Receive(s.buf[:0], b.Len() == 0 && !s.ending)
			if err != nil {
				if err := s.interrupted(ctx, err); err != nil {
					return err
				}
				continue
			}
			if n == 0 {
				return s.end(ctx)
			}
			s.datagram, s.received = s.buf[:n], s.env.Now()
		}
		b.Now = s.received
		s.decode(b)
	}
	return nil
}

// enough packets for a batch.
const enough = 64

// interrupted begins the end when ctx has ended: the group is given up, and what
// the kernel has handed over by then is still read. Any other error is one.
func (s *source) interrupted(ctx context.Context, err error) error {
	if ctx.Err() == nil || s.ending {
		return fmt.Errorf("group %d: receive: %w", uint16(s.Group), err)
	}
	s.ending = true
	unbind := nflog.Group{Number: uint16(s.Group)}.Unbind()
	return errors.Join(s.sock.Resume(), s.sock.Request(nflog.TypeConfig, unbind))
}

// end is what Read returns when the socket is empty.
func (s *source) end(ctx context.Context) error {
	if s.ending {
		return ctx.Err()
	}
	return nil
}

// decode moves messages from the datagram to the batch until that has enough.
func (s *source) decode(b *event.Batch) {
	for len(s.datagram) > 0 && b.Len() < enough {
		m, rest, ok := nflog.NextMessage(s.datagram)
		if !ok {
			s.malformed.Add(1)
			rest = nil
		}
		s.datagram = rest
		if ok && m.Type == nflog.TypePacket {
			off := len(b.Buf)
			b.Buf = append(b.Buf, m.Body...)
			s.packet(b, off, len(b.Buf))
		}
	}
}

func (s *source) packet(b *event.Batch, off, end int) {
	if err := s.Decode(b, off, end); err != nil {
		s.malformed.Add(1)
		return
	}
	if s.HasSeq {
		s.gaps.next(s.Seq)
	}
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

// gaps finds the packets that are missing in the sequence.
type gaps struct {
	expected uint32 // 0 at first: the kernel counts from there
	lost     *stats.Counter
	tally    *logging.Tally
}

func (g *gaps) next(seq uint32) {
	missing := seq - g.expected
	g.expected = seq + 1
	if missing == 0 {
		return
	}
	g.lost.Add(uint64(missing))
	g.tally.Add(uint64(missing))
}

// overrun reacts to ENOBUFS as ulogd does: by a larger buffer, as far as that goes.
func (s *source) overrun() {
	s.overruns.Add(1)
	if s.full {
		return
	}
	if 2*s.size > s.limit {
		s.full = true
		s.notice(fmt.Sprintf("Maximum buffer size (%d) in NFLOG has been reached. Please, consider rising "+
			"`netlink_socket_buffer_size` and `netlink_socket_buffer_maxsize` clauses.", s.limit))
		return
	}
	s.size *= 2
	got, err := s.sock.SetReadBuffer(s.size)
	if err != nil {
		s.full = true
		s.env.Log.Error(fmt.Sprintf("receive buffer of %d bytes: %v", s.size, err))
		return
	}
	s.notice(fmt.Sprintf("We are losing events, increasing buffer size to %d", got))
}

func (s *source) notice(text string) {
	s.env.Log.Log(context.Background(), logging.Notice, text)
}

// Close ends the group and gives the socket up.
func (s *source) Close() error {
	if s.stop != nil {
		s.stop()
	}
	s.gaps.tally.Flush()
	s.closeLinks()
	return s.sock.Close()
}
