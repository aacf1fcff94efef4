// Package outsock delivers rows over sockets.
package outsock

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"time"

	"github.com/ulogd-go/ulogd/pkg/plugin"
	"github.com/ulogd-go/ulogd/pkg/queue"
)

// timeout bounds an attempt to connect and the writing of one block.
const timeout = 10 * time.Second

// Conn is the delivering half of an output that sends to a socket: a stream,
// which receives the rows one behind the other, or a datagram socket, which
// receives each row by itself. It is used by one goroutine.
type Conn struct {
	Network string // "tcp", "udp", "unix" or "unixgram"
	Address string

	conn   net.Conn
	closed *atomic.Bool // by the peer
	sent   int          // rows of the present block that were sent
}

// Connect connects anew. All errors are plugin.ErrNotConnected.
func (c *Conn) Connect(ctx context.Context) error {
	if c.conn != nil {
		c.conn.Close()
		c.conn = nil
	}
	d := net.Dialer{Timeout: timeout}
	conn, err := d.DialContext(ctx, c.Network, c.Address)
	if err != nil {
		return fmt.Errorf("%w: %w", plugin.ErrNotConnected, err)
	}
	c.conn, c.closed = conn, new(atomic.Bool)
	if c.stream() {
		go watch(conn, c.closed)
	}
	return nil
}

func (c *Conn) stream() bool { return c.Network == "tcp" || c.Network == "unix" }

// watch notes when the peer closes, which a writer would learn only after a
// record was sent for nothing. What a peer has to say is ignored.
func watch(conn net.Conn, closed *atomic.Bool) {
	_, _ = io.Copy(io.Discard, conn)
	closed.Store(true)
}

// Write sends a block. After an error the same block is to be given again: it
// goes on with the first row that was not sent whole.
func (c *Conn) Write(_ context.Context, blk *queue.Block) error {
	if c.conn == nil || c.closed.Load() {
		return fmt.Errorf("%w: %s %s: the peer has closed the connection", plugin.ErrNotConnected, c.Network, c.Address)
	}
	if err := c.conn.SetWriteDeadline(time.Now().Add(timeout)); err != nil {
		return fmt.Errorf("%w: %w", plugin.ErrNotConnected, err)
	}
	if err := c.send(blk); err != nil {
		return fmt.Errorf("%w: %w", plugin.ErrNotConnected, err)
	}
	c.sent = 0
	return nil
}

func (c *Conn) send(blk *queue.Block) error {
	if !c.stream() {
		for ; c.sent < blk.Rows(); c.sent++ {
			if _, err := c.conn.Write(blk.Row(c.sent)); err != nil {
				return err
			}
		}
		return nil
	}
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
