package dbtest

import (
	"bytes"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// Proxy stands between clients and a server, and cuts connections around a
// COMMIT, as a network may at any moment.
type Proxy struct {
	Socket string // for clients; for PostgreSQL its directory

	server  *Server
	mu      sync.Mutex
	commits int
	cut     func(commit int) Cut
}

// Cut is what is done to a connection at a COMMIT.
type Cut int

// The cuts.
const (
	No     Cut = iota
	Before     // the server does not get to see the COMMIT
	After      // the client does not get to see the answer
)

// NewProxy makes a proxy that asks what to do at each COMMIT, counted from 1.
func NewProxy(t testing.TB, s *Server, cut func(commit int) Cut) *Proxy {
	t.Helper()
	p := &Proxy{server: s, cut: cut, Socket: t.TempDir()}
	path := filepath.Join(p.Socket, filepath.Base(s.socketFile()))
	if s.Engine == MySQL {
		p.Socket = path
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o777); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go p.accept(l)
	return p
}

// accept serves clients until the listener is closed.
func (p *Proxy) accept(l net.Listener) {
	for {
		client, err := l.Accept()
		if err != nil {
			return
		}
		go p.serve(client)
	}
}

// socketFile is the path of the server's socket.
func (s *Server) socketFile() string {
	if s.Engine == PostgreSQL {
		return filepath.Join(s.Dir, ".s.PGSQL.5432")
	}
	return s.Socket
}

func (p *Proxy) serve(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("unix", p.server.socketFile())
	if err != nil {
		return // as if there were no server
	}
	defer server.Close()
	var deaf sync.Mutex // held while the client gets nothing
	go func() {
		defer client.Close()
		_, _ = io.Copy(&hearing{client, &deaf}, server) // until either side ends
	}()
	buf := make([]byte, 64<<10)
	for {
		n, err := client.Read(buf)
		if err != nil {
			return
		}
		cut := p.at(buf[:n])
		if cut == Before {
			return
		}
		if cut == After {
			deaf.Lock()
		}
		if _, err := server.Write(buf[:n]); err != nil {
			return
		}
		if cut == After {
			p.finish(server)
			return
		}
	}
}

// at tells what to do about bytes of a client.
func (p *Proxy) at(b []byte) Cut {
	if !bytes.Contains(bytes.ToLower(b), []byte("commit")) {
		return No
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.commits++
	return p.cut(p.commits)
}

// finish says goodbye for the client, and waits until the server has done all it
// was told: it ends the connection then.
func (p *Proxy) finish(server net.Conn) {
	if c, ok := server.(*net.UnixConn); ok {
		_ = c.CloseWrite()
	}
}

// hearing passes an answer on unless the client is not to hear it.
type hearing struct {
	net.Conn
	deaf *sync.Mutex
}

func (h *hearing) Write(b []byte) (int, error) {
	if !h.deaf.TryLock() {
		return len(b), nil
	}
	defer h.deaf.Unlock()
	return h.Conn.Write(b)
}
