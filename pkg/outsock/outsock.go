// Package outsock delivers rows over sockets, for all outputs that do.
package outsock

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"time"

	"github.com/ulogd-go/ulogd/pkg/plugin"
	"github.com/ulogd-go/ulogd/pkg/queue"
)

// timeout bounds an attempt to connect and the writing of one block.
const timeout = 10 * time.Second

// Conn is the delivering half of an output that sends to a socket: a stream,
// which receives the rows one behind the other, or a datagram socket, which
// receives each row by itself. It is all of plugin.Output but Bind and Encode, and
// a plugin.Reopener; it is embedded. It is used by one goroutine.
type Conn struct {
	Network      string // "tcp", "udp", "unix" or "unixgram"
	Address      string
	TLS          TLS // over "tcp"
	QueueOptions queue.Options
	Batching     queue.Batching // the zero Batching sends each batch at once

	limit   time.Duration // of the writing of one block; 0 stands for timeout
	conn    net.Conn
	tls     *tls.Config   // as last loaded
	closed  chan struct{} // closed when the peer has closed the connection
	sent    int           // rows of the present block that were dealt with
	tooLong []int         // those among them that no datagram can hold
}

// maxPath is how long the path of a socket may be, in bytes (unix(7)).
const maxPath = 107

// Check tells whether the options of TLS fit together, and whether there can ever be a
// receiver at the address.
func (c *Conn) Check() error {
	if err := c.TLS.Check(c.Network); err != nil {
		return err
	}
	if c.Network == "unix" || c.Network == "unixgram" {
		if n := len(c.Address); n == 0 || n > maxPath {
			return fmt.Errorf("%q can't be a socket: its path has 107 bytes at most, and one at least", c.Address)
		}
		return nil
	}
	_, port, err := net.SplitHostPort(c.Address)
	if err != nil {
		return err
	}
	if n, err := net.LookupPort(c.Network, port); err != nil || n == 0 {
		return fmt.Errorf("port = %q: there is no such port; use a number from 1 to 65535 or the name of a service", port)
	}
	return nil
}

// Queue says how rows wait.
func (c *Conn) Queue() (queue.Options, queue.Batching) { return c.QueueOptions, c.Batching }

// Connect connects anew. All errors are plugin.ErrNotConnected, but for files of TLS
// that could not be read yet.
func (c *Conn) Connect(ctx context.Context) error {
	if c.conn != nil {
		c.conn.Close()
		c.conn = nil
	}
	if err := c.loadTLS(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if err := c.dial(ctx); err != nil {
		return fmt.Errorf("%w: %w", plugin.ErrNotConnected, err)
	}
	return nil
}

func (c *Conn) dial(ctx context.Context) error {
	conn, err := new(net.Dialer).DialContext(ctx, c.Network, c.Address)
	if err != nil {
		return err
	}
	c.conn, c.closed = conn, make(chan struct{})
	if !c.stream() {
		return nil
	}
	judged := true
	if c.TLS.On {
		if c.conn, judged, err = c.secure(ctx, conn); err != nil {
			return err
		}
	}
	go watch(c.conn, c.closed)
	if !judged {
		return c.awaitVerdict()
	}
	return nil
}

// Reopen connects anew, as ulogd does on SIGHUP.
func (c *Conn) Reopen(ctx context.Context) error { return c.Connect(ctx) }

func (c *Conn) stream() bool { return c.Network == "tcp" || c.Network == "unix" }

// watch notes when the peer closes, which a writer would learn only after a
// record was sent for nothing. What a peer has to say is ignored.
func watch(conn net.Conn, closed chan struct{}) {
	_, _ = io.Copy(io.Discard, conn)
	close(closed)
}

func (c *Conn) hasClosed() bool {
	select {
	case <-c.closed:
		return true
	default:
		return false
	}
}

// Write sends a block, until ctx ends. After plugin.ErrNotConnected the same block
// is to be given again: it goes on with the first row that was not sent whole.
// Rows that are longer than a datagram may be are a *plugin.RejectError.
func (c *Conn) Write(ctx context.Context, blk *queue.Block) error {
	if c.conn == nil || c.hasClosed() {
		return fmt.Errorf("%w: %s %s: the peer has closed the connection", plugin.ErrNotConnected, c.Network, c.Address)
	}
	if err := c.conn.SetWriteDeadline(time.Now().Add(cmp.Or(c.limit, timeout))); err != nil {
		return fmt.Errorf("%w: %w", plugin.ErrNotConnected, err)
	}
	conn := c.conn
	stop := context.AfterFunc(ctx, func() { _ = conn.SetWriteDeadline(time.Unix(1, 0)) })
	defer stop()
	if err := c.send(blk); err != nil {
		return fmt.Errorf("%w: %w", plugin.ErrNotConnected, err)
	}
	err := c.rejected()
	c.sent, c.tooLong = 0, nil
	return err
}

// Abandon gives up a block of which Write has sent only a part, so that the next
// block may be another one. It says how many rows were dealt with. It is for rows
// that are never too long to be sent.
func (c *Conn) Abandon() (sent int) {
	sent = c.sent
	c.sent, c.tooLong = 0, nil
	return sent
}

func (c *Conn) rejected() error {
	if len(c.tooLong) == 0 {
		return nil
	}
	return &plugin.RejectError{Rows: c.tooLong, Err: fmt.Errorf("%s %s: %w", c.Network, c.Address, syscall.EMSGSIZE)}
}

func (c *Conn) send(blk *queue.Block) error {
	if c.stream() {
		return c.sendStream(blk)
	}
	for ; c.sent < blk.Rows(); c.sent++ {
		_, err := c.conn.Write(blk.Row(c.sent))
		if errors.Is(err, syscall.EMSGSIZE) {
			c.tooLong = append(c.tooLong, c.sent)
			continue
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *Conn) sendStream(blk *queue.Block) error {
	from := 0
	if c.sent > 0 {
		from = int(blk.Ends[c.sent-1])
	}
	n, err := c.conn.Write(blk.Data[from:])
	for c.sent < blk.Rows() && int(blk.Ends[c.sent]) <= from+n {
		c.sent++
	}
	return err
}

// Close ends the connection.
func (c *Conn) Close() error {
	if c.conn == nil {
		return nil
	}
	err := c.conn.Close()
	c.conn = nil
	return err
}
