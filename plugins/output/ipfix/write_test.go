package ipfix

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/ulogd-go/ulogd/pkg/plugin"
	"github.com/ulogd-go/ulogd/pkg/plugintest"
	"github.com/ulogd-go/ulogd/pkg/queue"
)

const wait = time.Minute

// address is where a listener can be reached, as options.
func address(t testing.TB, a net.Addr) plugintest.Options {
	t.Helper()
	host, port, err := net.SplitHostPort(a.String())
	if err != nil {
		t.Fatal(err)
	}
	return plugintest.Options{"host": host, "port": port}
}

func join(all ...plugintest.Options) plugintest.Options {
	o := plugintest.Options{}
	for _, m := range all {
		for k, v := range m {
			o[k] = v
		}
	}
	return o
}

// receive reads messages of a TCP connection until it ends, or limit records are read.
func (s *stream) receive(r io.Reader, limit int) error {
	for len(s.rows) < limit {
		header := make([]byte, 4)
		if _, err := io.ReadFull(r, header); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		rest := make([]byte, max(0, int(binary.BigEndian.Uint16(header[2:]))-len(header)))
		if _, err := io.ReadFull(r, rest); err != nil {
			return err
		}
		if err := s.read(append(header, rest...)); err != nil {
			return err
		}
	}
	return nil
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

// TestReconnect has the collector go in the middle of a block, several times. On each
// connection the templates come first and numbers begin at 0; the records go on with
// the first that was not sent whole, and none is there twice.
func TestReconnect(t *testing.T) {
	small := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) (err error) {
		failed := raw.Control(func(fd uintptr) { err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4096) })
		return errors.Join(err, failed)
	}}
	l, err := small.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	x, first := start(t, join(address(t, l.Addr()), plugintest.Options{"proto": "tcp"}), many(100)...)
	blk := new(queue.Block) // more than the sockets' buffers hold
	for i := range 60_000 {
		row := first.Row(i % 100)
		blk.Data = append(blk.Data, row...)
		binary.BigEndian.PutUint32(blk.Data[len(blk.Data)-4:], uint32(i)) // ct.id
		blk.End()
	}
	if err := x.Connect(t.Context()); err != nil {
		t.Fatal(err)
	}
	next := 0
	for round := range 2 {
		peer := accept(t, l)
		go func() {
			s := new(stream)
			_ = s.receive(peer, 3_000)
			peer.Close() // with data unread, which resets the connection
		}()
		if err := x.Write(t.Context(), blk); !errors.Is(err, plugin.ErrNotConnected) {
			t.Fatalf("Write to a collector that goes: %v", err)
		}
		if x.done < next+3_000 {
			t.Errorf("round %d: %d records count as sent, want %d at least", round, x.done, next+3_000)
		}
		next = x.done
		if err := x.Connect(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	peer := accept(t, l)
	done := make(chan error, 1)
	go func() { done <- errors.Join(x.Write(t.Context(), blk), x.Close()) }()
	s := new(stream)
	if err := errors.Join(s.receive(peer, blk.Rows()), <-done); err != nil {
		t.Fatal(err)
	}
	if len(s.rows) != blk.Rows()-next || s.announced != 2 {
		t.Fatalf("%d records and %d templates on the last connection, want %d and 2", len(s.rows), s.announced, blk.Rows()-next)
	}
	for i, row := range s.rows {
		if !bytes.Equal(row, blk.Row(next+i)) {
			t.Fatalf("record %d is %x, want %x", next+i, row, blk.Row(next+i))
		}
	}
	if x.done != 0 {
		t.Errorf("%d records of the next block count as sent", x.done)
	}
}

// TestUDPCollectorComesBack: the numbers go on, so that the collector can tell what it
// has missed, and the templates come again.
func TestUDPCollectorComesBack(t *testing.T) {
	peer, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	x, blk := start(t, address(t, peer.LocalAddr()), many(50)...)
	if err := x.Connect(t.Context()); err != nil {
		t.Fatal(err)
	}
	s := new(stream)
	datagrams := func(until int) {
		t.Helper()
		buf := make([]byte, 1<<16)
		for len(s.rows) < until {
			n, _, err := peer.ReadFrom(buf)
			if err == nil {
				err = s.read(bytes.Clone(buf[:n]))
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	for round := range 3 {
		if err := errors.Join(peer.SetDeadline(time.Now().Add(wait)), x.Write(t.Context(), blk)); err != nil {
			t.Fatal(err)
		}
		datagrams(len(s.rows) + 50)
		if want := 2 * (round + 1); s.announced != want {
			t.Errorf("%d templates, want %d", s.announced, want)
		}
		peer.Close()
		before := x.seq
		if err := x.Write(t.Context(), blk); !errors.Is(err, plugin.ErrNotConnected) {
			t.Fatalf("Write to a closed port: %v", err)
		}
		missed := int(x.seq - before) // the first message finds out
		if missed == 0 || missed != x.done {
			t.Errorf("%d records are numbered as sent, %d count as such", missed, x.done)
		}
		if peer, err = net.ListenPacket("udp", x.Address); err != nil {
			t.Fatal(err)
		}
		defer peer.Close()
		s.next += uint32(missed)
		if err := errors.Join(peer.SetDeadline(time.Now().Add(wait)), x.Connect(t.Context()), x.Write(t.Context(), blk)); err != nil {
			t.Fatal(err)
		}
		datagrams(len(s.rows) + 50 - missed)
		s.announced = 2 * (round + 1)
		x.begin(false) // as if the collector had been restarted unnoticed, and the time had come
	}
}

// TestTLS sends over TLS (RFC 7011, section 11.1), which SIGHUP makes anew.
func TestTLS(t *testing.T) {
	authority := plugintest.NewAuthority(t)
	cert, key := authority.Issue(t)
	l, err := tls.Listen("tcp", "127.0.0.1:0", authority.Server(t))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	x, blk := start(t, join(address(t, l.Addr()), plugintest.Options{"proto": "tcp", "tls": "1", "tls_ca": authority.CA, "tls_cert": cert, "tls_key": key}), many(100)...)
	for _, connect := range []func(context.Context) error{x.Connect, x.Reopen} {
		s, read := new(stream), make(chan error, 1)
		go func() {
			conn, err := l.Accept()
			if err == nil {
				defer conn.Close()
				err = errors.Join(conn.SetDeadline(time.Now().Add(wait)), s.receive(conn, 100))
			}
			read <- err
		}()
		if err := connect(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := x.Write(t.Context(), blk); err != nil {
			t.Fatal(err)
		}
		if err := <-read; err != nil || len(s.rows) != 100 || s.announced != 2 {
			t.Errorf("%d records and %d templates, %v; want 100 and 2", len(s.rows), s.announced, err)
		}
	}
}
