package unixsock

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ulogd-go/ulogd/pkg/plugin"
	"github.com/ulogd-go/ulogd/pkg/stats"
)

// client is a connection. Its goroutine fills the buffer; from when it is handed
// over until it is taken, the buffer is the pipeline's.
type client struct {
	conn  *net.UnixConn
	name  string // for messages
	buf   []byte
	whole int        // bytes of whole packets at the front of buf
	taken chan error // what was wrong with them
}

// clients are all connections.
type clients struct {
	running sync.WaitGroup // their goroutines, and that which accepts them
	quit    chan struct{}  // closed when nobody takes packets any more
	gone    chan struct{}  // closed when all have ended

	mu     sync.Mutex
	open   map[*client]bool
	ending bool
	told   time.Time // of the last message about a bad client

	env                    *plugin.Env
	accepted, refused, cut *stats.Counter
}

func newClients(env *plugin.Env) *clients {
	return &clients{
		quit: make(chan struct{}), gone: make(chan struct{}), open: make(map[*client]bool), env: env,
		accepted: env.Stats.Counter("clients", "clients that have connected"),
		refused:  env.Stats.Counter("clients_refused", "clients that may not connect by the option allow"),
		cut:      env.Stats.Counter("clients_cut", "clients that were cut off because of what they had sent"),
	}
}

// acceptPause is how long to wait when no connection can be accepted, perhaps for
// want of descriptors.
const acceptPause = 100 * time.Millisecond

// accept lets clients in until the listener is closed, or its deadline is over: then it
// closes that, and has the clients send no more.
func (s *source) accept() {
	failing := false
	for {
		conn, err := s.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			s.listener.Close()
			s.clients.end()
			return
		}
		if err != nil {
			if !failing {
				s.env.Log.Error(fmt.Sprintf("accept a client: %v; trying again", err))
			}
			failing = true
			select {
			case <-s.clients.quit:
			case <-time.After(acceptPause):
			}
			continue
		}
		failing = false
		s.welcome(conn.(*net.UnixConn))
	}
}

// welcome begins to read from a client if it may connect.
func (s *source) welcome(conn *net.UnixConn) {
	who, err := credentials(conn)
	if err != nil {
		s.env.Log.Error(fmt.Sprintf("credentials of a client: %v", err))
		conn.Close()
		return
	}
	name := fmt.Sprintf("process %d of user %d", who.Pid, who.Uid)
	if !s.Allow.allow(who) {
		s.clients.turnAway(s.clients.refused, fmt.Sprintf("rejecting new connection: %s, group %d, is not among those of allow", name, who.Gid))
		conn.Close()
		return
	}
	c := &client{conn: conn, name: name, buf: make([]byte, 0, s.bufSize()), taken: make(chan error, 1)}
	if !s.clients.add(c) {
		conn.Close()
		return
	}
	s.clients.running.Go(func() {
		defer s.clients.remove(c)
		if err := s.serve(c); err != nil {
			s.clients.turnAway(s.clients.cut, fmt.Sprintf("%v, closing socket of %s", err, name))
		}
	})
}

// credentials are who is at the other end: who it was when it connected.
func credentials(conn *net.UnixConn) (who *unix.Ucred, err error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, err
	}
	if e := raw.Control(func(fd uintptr) {
		who, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); e != nil {
		return nil, e
	}
	return who, err
}

// serve reads from a client and hands whole packets over, until it ends. An error
// says what is wrong with what it sent.
func (s *source) serve(c *client) error {
	for {
		// There is room: what is left is less than a packet.
		n, end := c.conn.Read(c.buf[len(c.buf):cap(c.buf)])
		c.buf = c.buf[:len(c.buf)+n]
		var bad error
		if c.whole, bad = wholePackets(c.buf); c.whole > 0 {
			if taken, err := s.handOver(c); !taken {
				return err
			}
		}
		switch {
		case bad != nil:
			return bad
		case end != nil && len(c.buf) > 0 && !errors.Is(end, net.ErrClosed):
			return errors.New("the connection ended in the middle of a packet")
		case end != nil && !errors.Is(end, io.EOF):
			s.env.Log.Debug(fmt.Sprintf("%s: %v", c.name, end))
			return nil
		case end != nil:
			return nil
		}
	}
}

// handOver waits until the whole packets have been taken. It reports false if they
// were not, because one of them is wrong or nobody takes them any more.
func (s *source) handOver(c *client) (taken bool, err error) {
	select {
	case s.ready <- c:
	case <-s.clients.quit:
		return false, nil
	}
	select {
	case err := <-c.taken:
		c.buf = c.buf[:copy(c.buf, c.buf[c.whole:])]
		return err == nil, err
	case <-s.clients.quit:
		return false, nil
	}
}

// add reports false if no client is wanted any more.
func (c *clients) add(x *client) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ending {
		return false
	}
	c.open[x] = true
	c.accepted.Add(1)
	return true
}

func (c *clients) remove(x *client) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.open, x)
	x.conn.Close()
}

// end has the clients send no more. What they have sent is still read; gone is closed
// when it is.
func (c *clients) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ending = true
	for x := range c.open {
		_ = x.conn.CloseRead() // an error means that it has just ended
	}
	go func() {
		c.running.Wait()
		close(c.gone)
	}()
}

// close ends all connections.
func (c *clients) close() {
	close(c.quit)
	c.mu.Lock()
	c.ending = true
	for x := range c.open {
		x.conn.Close()
	}
	c.mu.Unlock()
	c.running.Wait()
}

// turnAway counts a client that is not listened to, and logs why, at most once a second.
func (c *clients) turnAway(counter *stats.Counter, why string) {
	counter.Add(1)
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := time.Now(); now.Sub(c.told) >= time.Second {
		c.told = now
		c.env.Log.Error(fmt.Sprintf("%s (%s so far: %d)", why, counter.Name, counter.Value()))
	}
}
