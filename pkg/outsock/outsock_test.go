package outsock

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ulogd-go/ulogd/pkg/plugin"
	"github.com/ulogd-go/ulogd/pkg/queue"
)

func block(rows ...string) *queue.Block {
	blk := new(queue.Block)
	for _, row := range rows {
		blk.Data = append(blk.Data, row...)
		blk.End()
	}
	return blk
}

// wait is how long a test waits for what has to come, on a machine that may be busy.
const wait = 2 * time.Minute

// listen is a stream receiver and the output that sends to it. The address can
// be listened on again after Close.
func listen(t *testing.T, network string) (net.Listener, *Conn) {
	t.Helper()
	address := "127.0.0.1:0"
	if network == "unix" {
		address = filepath.Join(t.TempDir(), "socket")
	}
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	c := &Conn{Network: network, Address: l.Addr().String(), limit: wait}
	t.Cleanup(func() { c.Close() })
	return l, c
}

func accept(t *testing.T, l net.Listener) net.Conn {
	t.Helper()
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(wait)); err != nil {
		t.Fatal(err)
	}
	return conn
}

func connect(t *testing.T, c *Conn) {
	t.Helper()
	if err := c.Connect(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// expect reads what is wanted, and nothing more if the connection ends there.
func expect(t *testing.T, r io.Reader, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if n, err := io.ReadFull(r, got); string(got[:n]) != want {
		t.Fatalf("read %q, %v; want %q", got[:n], err, want)
	}
}

func TestStream(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			l, c := listen(t, network)
			connect(t, c)
			peer := accept(t, l)
			for _, rows := range [][]string{{"a\n", "b\n"}, {"c\n"}} {
				if err := c.Write(t.Context(), block(rows...)); err != nil {
					t.Error(err)
				}
			}
			if err := c.Close(); err != nil {
				t.Error(err)
			}
			if got, err := io.ReadAll(peer); string(got) != "a\nb\nc\n" || err != nil {
				t.Errorf("the peer read %q, %v", got, err)
			}
		})
	}
}

// datagrams is a receiver of datagrams and the output that sends to it.
func datagrams(t *testing.T, network string) (net.PacketConn, *Conn) {
	t.Helper()
	address := "127.0.0.1:0"
	if network == "unixgram" {
		address = filepath.Join(t.TempDir(), "socket")
	}
	peer, err := net.ListenPacket(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { peer.Close() })
	c := &Conn{Network: network, Address: peer.LocalAddr().String(), limit: wait}
	t.Cleanup(func() { c.Close() })
	return peer, c
}

func receive(t *testing.T, peer net.PacketConn, n int) (rows []string) {
	t.Helper()
	if err := peer.SetDeadline(time.Now().Add(wait)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 1<<16)
	for range n {
		n, _, err := peer.ReadFrom(buf)
		if err != nil {
			t.Fatalf("after %q: %v", rows, err)
		}
		rows = append(rows, string(buf[:n]))
	}
	return rows
}

// TestDatagrams shows that each row is a datagram, and that one that is too long
// does not keep the others.
func TestDatagrams(t *testing.T) {
	for _, network := range []string{"udp", "unixgram"} {
		t.Run(network, func(t *testing.T) {
			peer, c := datagrams(t, network)
			connect(t, c)
			if err := c.Write(t.Context(), block("a\n", "b\n")); err != nil {
				t.Error(err)
			}
			long := strings.Repeat("x", 16<<20)
			err := c.Write(t.Context(), block("c\n", long, "d\n", long))
			var reject *plugin.RejectError
			if !errors.As(err, &reject) || cmp.Diff([]int{1, 3}, reject.Rows) != "" || !strings.Contains(err.Error(), c.Address) {
				t.Errorf("rows that are too long: %v, want a RejectError of rows 1 and 3", err)
			}
			if err := c.Write(t.Context(), block("e\n")); err != nil {
				t.Error(err)
			}
			if diff := cmp.Diff([]string{"a\n", "b\n", "c\n", "d\n", "e\n"}, receive(t, peer, 5)); diff != "" {
				t.Errorf("datagrams (-want +got):\n%s", diff)
			}
		})
	}
}

func TestNobodyListens(t *testing.T) {
	l, c := listen(t, "tcp")
	l.Close()
	for _, err := range []error{
		c.Write(t.Context(), block("a\n")),
		c.Connect(t.Context()),
		c.Write(t.Context(), block("a\n")),
		(&Conn{Network: "unixgram", Address: filepath.Join(t.TempDir(), "none")}).Connect(t.Context()),
	} {
		if !errors.Is(err, plugin.ErrNotConnected) {
			t.Errorf("%v, want ErrNotConnected", err)
		}
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

// awaitClosed waits until the output knows that its peer has gone.
func awaitClosed(t *testing.T, c *Conn) {
	t.Helper()
	select {
	case <-c.closed:
	case <-time.After(wait):
		t.Fatal("the output does not notice that the peer has closed")
	}
}

// TestPeerComesBack has the peer close between two blocks, and listen again
// later. The row that is written meanwhile, which ulogd loses, arrives once.
func TestPeerComesBack(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			l, c := listen(t, network)
			connect(t, c)
			peer := accept(t, l)
			for i := range 5 {
				row := fmt.Sprintf("row %d\n", i)
				if err := c.Write(t.Context(), block(row)); err != nil {
					t.Fatal(err)
				}
				expect(t, peer, row)
				peer.Close()
				l.Close()
				awaitClosed(t, c)
				missed := block("missed 1\n", "missed 2\n")
				for _, err := range []error{c.Write(t.Context(), missed), c.Connect(t.Context()), c.Write(t.Context(), missed)} {
					if !errors.Is(err, plugin.ErrNotConnected) {
						t.Fatalf("while the peer is away: %v", err)
					}
				}
				var err error
				if l, err = net.Listen(network, c.Address); err != nil {
					t.Fatal(err)
				}
				defer l.Close()
				connect(t, c)
				peer = accept(t, l)
				if err := c.Write(t.Context(), missed); err != nil {
					t.Fatal(err)
				}
				expect(t, peer, string(missed.Data))
			}
		})
	}
}

// TestConnectionBreaks has the peer go in the middle of a block. On the next
// connection the rows begin with a whole one, and none is there twice. What the
// kernel had taken and the peer had not read is lost: over a stream the sender
// can't know of it.
func TestConnectionBreaks(t *testing.T) {
	const rows, size = 300, 100 << 10
	blk := new(queue.Block)
	for i := range rows {
		blk.Data = fmt.Appendf(blk.Data, "%0*d\n", size-1, i)
		blk.End()
	}
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			l, c := listen(t, network)
			connect(t, c)
			first := accept(t, l)
			go func() {
				_, _ = io.CopyN(io.Discard, first, 10*size+size/2)
				first.Close() // with data unread, which resets the connection
			}()
			if err := c.Write(t.Context(), blk); !errors.Is(err, plugin.ErrNotConnected) {
				t.Fatalf("Write to a peer that goes: %v", err)
			}
			connect(t, c)
			peer := accept(t, l)
			done := make(chan error)
			go func() { done <- errors.Join(c.Write(t.Context(), blk), c.Close()) }()
			got, err := io.ReadAll(peer)
			if err := errors.Join(err, <-done); err != nil {
				t.Fatal(err)
			}
			if len(got)%size != 0 || len(got) == 0 || !bytes.HasSuffix(blk.Data, got) {
				t.Fatalf("%d bytes on the new connection, want the last rows of %d bytes, whole", len(got), size)
			}
			if row := rows - len(got)/size; row < 10 {
				t.Errorf("the new connection begins with row %d, which was delivered before", row)
			}
		})
	}
}

// TestUDPReceiverComesBack shows what a sender of datagrams can know: the first
// one to a closed port is lost, the next is refused and kept.
func TestUDPReceiverComesBack(t *testing.T) {
	peer, c := datagrams(t, "udp")
	connect(t, c)
	peer.Close()
	blk := block("lost\n", "kept\n")
	if err := c.Write(t.Context(), blk); !errors.Is(err, plugin.ErrNotConnected) {
		t.Fatalf("Write to a closed port: %v", err)
	}
	peer, err := net.ListenPacket("udp", c.Address)
	if err != nil {
		t.Fatal(err)
	}
	defer peer.Close()
	connect(t, c)
	if err := c.Write(t.Context(), blk); err != nil {
		t.Fatal(err)
	}
	if got := receive(t, peer, 1); got[0] != "kept\n" {
		t.Errorf("received %q", got)
	}
}

// TestContextEndsWrite has a peer that does not read. Nothing but the context can end
// the write while the test waits.
func TestContextEndsWrite(t *testing.T) {
	l, c := listen(t, "unix")
	c.limit = 2 * wait
	connect(t, c)
	accept(t, l)
	blk := block(strings.Repeat("x", 16<<20))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- c.Write(ctx, blk) }()
	select {
	case err := <-done:
		t.Fatalf("%v before the context ended", err)
	case <-time.After(50 * time.Millisecond):
	}
	cancel()
	select {
	case err := <-done:
		if !errors.Is(err, plugin.ErrNotConnected) || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("the write ends with %v, want its deadline", err)
		}
	case <-time.After(wait):
		t.Error("the write did not end with its context")
	}
}

// TestPeerMayTalk shows that what the peer says does no harm.
func TestPeerMayTalk(t *testing.T) {
	l, c := listen(t, "tcp")
	connect(t, c)
	peer := accept(t, l)
	go func() { _, _ = peer.Write(make([]byte, 8<<20)) }()
	lines := bufio.NewReader(peer)
	for range 100 {
		if err := c.Write(t.Context(), block("a\n")); err != nil {
			t.Fatal(err)
		}
		expect(t, lines, "a\n")
	}
}
