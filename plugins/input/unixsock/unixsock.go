// Package unixsock is the input UNIXSOCK, to which programs send packets through a
// Unix socket.
package unixsock

import (
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"time"

	"github.com/ulogd-go/ulogd/pkg/event"
	"github.com/ulogd-go/ulogd/pkg/logging"
	"github.com/ulogd-go/ulogd/pkg/plugin"
	"github.com/ulogd-go/ulogd/pkg/stats"
)

func init() {
	plugin.Default.Register(plugin.NewSource(plugin.Info{
		Name: "UNIXSOCK", Summary: "receives packets that programs send through a Unix socket",
		Gives: plugin.Raw,
	}, options{Path: "/var/run/ulogd/ulogd2.sock", Perms: 0o600}, open))
}

type options struct {
	Path    string `toml:"socket_path" doc:"path of the socket, 107 bytes at most"`
	BufSize int    `toml:"bufsize" doc:"bytes of memory for what each client has sent, at least 65539, the longest packet; 0 stands for 212992"`
	Perms   int    `toml:"perms" doc:"mode of the socket file, in octal with a leading 0; 384 is 0600"`
	Owner   string `toml:"owner" doc:"user whom the socket file is given to, by name or number; empty leaves it"`
	Group   string `toml:"group" doc:"group that the socket file is given to, by name or number; empty leaves it"`
	Allow   peers  `toml:"allow" extra:"true" doc:"users, and with an @ before them groups, whose processes may connect, as root,nufw,@wheel; empty for all whom the mode of the file lets"`
}

// Validate refuses users and groups that there are not.
func (o options) Validate() error {
	if _, err := userID(o.Owner); o.Owner != "" && err != nil {
		return fmt.Errorf("owner = %q: Invalid owner specified for unix socket (%s): %w", o.Owner, o.Owner, err)
	}
	if _, err := groupID(o.Group); o.Group != "" && err != nil {
		return fmt.Errorf("group = %q: Invalid group specified for unix socket (%s): %w", o.Group, o.Group, err)
	}
	return nil
}

// defaultBufSize is the size of a socket's receive buffer on Linux, which ulogd takes.
const defaultBufSize = 212992

func (o options) bufSize() int {
	if o.BufSize == 0 {
		return defaultBufSize
	}
	return max(o.BufSize, maxPacket)
}

// source is the input. Each client has a goroutine that reads from it, and hands
// whole packets over to Read.
type source struct {
	options
	keys
	env      *plugin.Env
	listener *net.UnixListener
	made     fs.FileInfo // of the socket file
	clients  *clients

	ready   chan *client // has whole packets
	wake    chan struct{}
	ending  bool
	current *client // whose packets are being taken, from pos on
	pos     int

	packets *stats.Counter
	unknown *logging.Tally // options
}

func open(o options, env *plugin.Env) (plugin.Source, error) {
	packets := env.Stats.Counter("packets", "packets received")
	return &source{
		options: o,
		env:     env,
		packets: packets,
		clients: newClients(env),
		ready:   make(chan *client),
		wake:    make(chan struct{}, 1),
		unknown: logging.NewTally(env.Log, slog.LevelWarn, "ulogd2: skipped %d options whose number is not known"),
	}, nil
}

// Open makes the socket. Clients may connect from now on.
func (s *source) Open() (err error) {
	if s.listener, s.made, err = s.listen(); err != nil {
		return err
	}
	s.clients.running.Go(s.accept)
	return nil
}

// enough packets for a batch.
const enough = 64

// Read waits for a client that has sent a packet, and takes what else is there until
// the batch is large enough.
func (s *source) Read(ctx context.Context, b *event.Batch) error {
	for b.Len() < enough {
		if s.current == nil {
			c, err := s.next(ctx, b.Len() == 0)
			if c == nil {
				return err
			}
			s.current, s.pos = c, 0
			b.Now = s.env.Now()
		}
		s.take(b)
	}
	return nil
}

// lastCall is for how long clients are let in at the end. Some may have connected, and
// sent all they have, who were not let in yet.
const lastCall = 10 * time.Millisecond

// next is a client that has packets; nil if there is none. When ctx has ended, soon no
// client can send any more, and what they have sent is still taken.
func (s *source) next(ctx context.Context, wait bool) (*client, error) {
	if !wait {
		select {
		case c := <-s.ready:
			return c, nil
		default:
			return nil, nil
		}
	}
	for {
		done := ctx.Done()
		if s.ending {
			done = nil
		}
		select {
		case c := <-s.ready:
			return c, nil
		case <-s.wake:
			return nil, nil
		case <-done:
			s.ending = true
			_ = s.listener.SetDeadline(time.Now().Add(lastCall)) // fails only after Close
		case <-s.clients.gone:
			return nil, ctx.Err()
		}
	}
}

// take adds the next packet of the current client. One that sends nonsense is not
// listened to any more.
func (s *source) take(b *event.Batch) {
	c := s.current
	n, _ := packetLen(c.buf[s.pos:]) // it is whole
	off := len(b.Buf)
	b.Buf = append(b.Buf, c.buf[s.pos:s.pos+n]...)
	s.pos += n
	unknown, err := s.decode(b, off, len(b.Buf))
	if unknown > 0 {
		s.unknown.Add(uint64(unknown))
	}
	if err == nil {
		s.packets.Add(1)
	}
	if err != nil || s.pos == c.whole {
		s.current = nil
		c.taken <- err
	}
}

// Wake makes a Read that waits return.
func (s *source) Wake() {
	select {
	case s.wake <- struct{}{}:
	default: // it is noted already
	}
}

// Close ends all connections, and removes the socket file.
func (s *source) Close() error {
	s.listener.Close()
	s.clients.close()
	s.unknown.Flush()
	return remove(s.Path, s.made)
}
