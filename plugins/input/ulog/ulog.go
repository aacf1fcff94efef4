// Package ulog is the input ULOG, which receives the packets that rules with the
// ULOG target log to a group, on kernels that still have it.
package ulog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/ulogd-go/ulogd/pkg/event"
	"github.com/ulogd-go/ulogd/pkg/logging"
	"github.com/ulogd-go/ulogd/pkg/nlsock"
	"github.com/ulogd-go/ulogd/pkg/plugin"
	"github.com/ulogd-go/ulogd/pkg/stats"
	"github.com/ulogd-go/ulogd/pkg/ulog"
)

func init() {
	plugin.Default.Register(plugin.NewSource(plugin.Info{
		Name: "ULOG", Summary: "receives packets from the ULOG target of kernels before 3.17",
		Gives: plugin.Raw,
	}, options{BufSize: 150000, Group: 32, SocketSize: 131071}, open))
}

type options struct {
	BufSize    int `toml:"bufsize" doc:"bytes of memory for one netlink datagram; a longer one would be lost"`
	Group      int `toml:"nlgroup" doc:"number of the netlink group, 1 to 32"`
	SocketSize int `toml:"rmem" doc:"bytes of the socket's receive buffer"`
	Label      int `toml:"numeric_label" doc:"value of raw.label, cut to 8 bits"`
}

// source is the input. All but Wake is called on the pipeline's goroutine.
type source struct {
	options
	ulog.Decoder
	env      *plugin.Env
	protocol int // ulog.Protocol, but for tests
	sock     *nlsock.Socket
	stop     func() bool // ends the watch over the context
	ending   bool        // the group is given up, only the rest is read

	packets, malformed, truncated, foreign, overruns *stats.Counter
	overrun                                          *logging.Tally
}

// minBufSize has room for the longest message of a packet as Ethernet knows it.
const minBufSize = 4096

func open(o options, env *plugin.Env) (plugin.Source, error) {
	if o.BufSize < minBufSize {
		return nil, fmt.Errorf("bufsize = %d: too small for a packet; use at least %d", o.BufSize, minBufSize)
	}
	if o.Group < 1 || o.Group > ulog.Groups {
		return nil, fmt.Errorf("nlgroup = %d: there are the groups 1 to %d", o.Group, ulog.Groups)
	}
	return &source{
		options:   o,
		Decoder:   ulog.Decoder{Label: uint8(o.Label)},
		env:       env,
		protocol:  ulog.Protocol,
		packets:   env.Stats.Counter("packets", "packets received"),
		malformed: env.Stats.Counter("messages_malformed", "messages dropped because their lengths are wrong"),
		truncated: env.Stats.Counter("datagrams_truncated", "datagrams dropped because they were longer than bufsize"),
		foreign:   env.Stats.Counter("datagrams_foreign", "datagrams dropped because a process and not the kernel had sent them"),
		overruns:  env.Stats.Counter("overruns", "times that the kernel found the receive buffer full"),
		overrun: logging.NewTally(env.Log, slog.LevelError,
			fmt.Sprintf("the receive buffer was full %%d times, and packets are lost; raise rmem, which is %d", o.SocketSize)),
	}, nil
}

// Open joins the group.
func (s *source) Open() (err error) {
	if s.sock, err = nlsock.Dial(s.protocol, ""); err != nil {
		return s.explain(err)
	}
	s.sock.AnySender = s.protocol != ulog.Protocol // another one has no kernel behind it
	s.sock.Overrun = func() { s.overruns.Add(1); s.overrun.Add(1) }
	if _, err := s.sock.SetReadBuffer(s.SocketSize); err != nil {
		err = fmt.Errorf("rmem = %d: %w", s.SocketSize, err)
		return errors.Join(err, s.sock.Close())
	}
	if err := s.sock.Join(s.Group); err != nil {
		return errors.Join(s.explain(err), s.sock.Close())
	}
	return nil
}

// explain says what the kernel's refusal means and what to do.
func (s *source) explain(err error) error {
	switch {
	case ulog.Unknown(err):
		return fmt.Errorf("can't create ULOG handle: %w: kernels have no ULOG since Linux 3.17; use NFLOG group %d: "+
			"in the configuration NFLOG with group=%[2]d in place of ULOG with nlgroup=%[2]d, and IFINDEX behind BASE; in the rules "+
			"-j NFLOG --nflog-group %[2]d in place of -j ULOG --ulog-nlgroup %[2]d, or log group %[2]d in nft", err, s.Group)
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("nlgroup = %d: %w: the capability CAP_NET_ADMIN is missing; run as root, or grant it "+
			"(AmbientCapabilities=CAP_NET_ADMIN in the unit, or setcap cap_net_admin+ep on the program)", s.Group, err)
	}
	return fmt.Errorf("nlgroup = %d: %w", s.Group, err)
}

// enough packets for a batch.
const enough = 64

// Read waits for a datagram, and takes what else is there until the batch is large
// enough.
func (s *source) Read(ctx context.Context, b *event.Batch) error {
	if s.stop == nil {
		s.stop = context.AfterFunc(ctx, s.sock.Interrupt)
	}
	defer s.count(b)
	for b.Len() < enough {
		off := len(b.Buf)
		b.Buf = slices.Grow(b.Buf, s.BufSize)
		n, err := s.sock.Receive(b.Buf, b.Len() == 0 && !s.ending)
		if err != nil {
			return s.interrupted(ctx, err)
		}
		if n == 0 {
			if s.ending {
				return ctx.Err()
			}
			return nil
		}
		b.Buf, b.Now = b.Buf[:off+n], s.env.Now()
		s.malformed.Add(uint64(s.Decode(b, off, off+n)))
	}
	return nil
}

// Wake makes a Read that waits return.
func (s *source) Wake() {
	if s.sock != nil {
		s.sock.Interrupt()
	}
}

// interrupted handles the end of a wait: by Wake, or because ctx has ended. Then
// the group is given up, and what was received by then is still read. Any other
// error is one.
func (s *source) interrupted(ctx context.Context, err error) error {
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("receive: %w", err)
	}
	if err := s.sock.Resume(); err != nil {
		return err
	}
	if ctx.Err() == nil || s.ending {
		return nil
	}
	s.ending = true
	return s.sock.Leave(s.Group)
}

func (s *source) count(b *event.Batch) {
	s.packets.Add(uint64(b.Len()))
	s.truncated.Add(s.sock.Truncated - s.truncated.Value())
	s.foreign.Add(s.sock.Foreign - s.foreign.Value())
}

// Close gives the socket up.
func (s *source) Close() error {
	if s.stop != nil {
		s.stop()
	}
	s.overrun.Flush()
	return s.sock.Close()
}
