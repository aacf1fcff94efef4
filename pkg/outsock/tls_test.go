package outsock

import (
	"crypto/tls"
	"errors"
	"net"
	"os"
	"strings"
	"testing"

	"github.com/ulogd-go/ulogd/pkg/plugin"
	"github.com/ulogd-go/ulogd/pkg/plugintest"
)

// serveTLS listens with TLS, and reads what is sent on the first connection.
func serveTLS(t *testing.T, config *tls.Config) (net.Listener, chan string) {
	t.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	read := make(chan string, 10)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			buf := make([]byte, 100)
			n, err := conn.Read(buf)
			if err == nil {
				read <- string(buf[:n])
			}
			conn.Close()
		}
	}()
	return l, read
}

func TestTLS(t *testing.T) {
	ours, theirs := plugintest.NewAuthority(t), plugintest.NewAuthority(t)
	cert, key := ours.Issue(t)
	l, read := serveTLS(t, ours.Server(t))
	tests := []struct {
		name string
		tls  TLS
		want string // of the error, empty if rows arrive
	}{
		{"by address", TLS{On: true, CA: ours.CA, Cert: cert, Key: key}, ""},
		{"by name", TLS{On: true, CA: ours.CA, Cert: cert, Key: key, ServerName: "collector.example"}, ""},
		{"another name", TLS{On: true, CA: ours.CA, Cert: cert, Key: key, ServerName: "other.example"}, "other.example"},
		{"another authority", TLS{On: true, CA: theirs.CA, Cert: cert, Key: key}, "certificate"},
		{"the system's authorities", TLS{On: true, Cert: cert, Key: key}, "certificate"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := &Conn{Network: "tcp", Address: l.Addr().String(), TLS: tt.tls}
			defer c.Close()
			err := c.Connect(t.Context())
			if tt.want != "" {
				if !errors.Is(err, plugin.ErrNotConnected) || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("%v, want ErrNotConnected with %q", err, tt.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Write(t.Context(), block("a\n", "b\n")); err != nil {
				t.Fatal(err)
			}
			if got := <-read; got != "a\nb\n" {
				t.Errorf("the server read %q", got)
			}
		})
	}
}

// TestTLSWithoutClientCertificate: with TLS 1.3 the server refuses only after the
// handshake. That must not look like a connection.
func TestTLSWithoutClientCertificate(t *testing.T) {
	ours := plugintest.NewAuthority(t)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		config := ours.Server(t)
		config.MaxVersion = version
		l, _ := serveTLS(t, config)
		c := &Conn{Network: "tcp", Address: l.Addr().String(), TLS: TLS{On: true, CA: ours.CA}}
		err := c.Connect(t.Context())
		if !errors.Is(err, plugin.ErrNotConnected) || !strings.Contains(err.Error(), "TLS with "+c.Address) {
			t.Errorf("%s: %v, want ErrNotConnected", tls.VersionName(version), err)
		}
		if err := c.Write(t.Context(), block("a\n")); !errors.Is(err, plugin.ErrNotConnected) {
			t.Errorf("%s: Write: %v, want ErrNotConnected", tls.VersionName(version), err)
		}
		_ = c.Close()
	}
}

// TestTLSFiles: files that are missing at start are an error for good; later, what
// was read before stays, and what was renewed is taken.
func TestTLSFiles(t *testing.T) {
	ours := plugintest.NewAuthority(t)
	cert, key := ours.Issue(t)
	l, read := serveTLS(t, ours.Server(t))
	f := func(o TLS, want string) {
		t.Helper()
		c := &Conn{Network: "tcp", Address: l.Addr().String(), TLS: o}
		if err := c.Connect(t.Context()); err == nil || errors.Is(err, plugin.ErrNotConnected) || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want an error with %q that is not ErrNotConnected", o, err, want)
		}
	}
	f(TLS{On: true, CA: "/no/such/file"}, "tls_ca: open /no/such/file")
	f(TLS{On: true, CA: key}, "tls_ca: no certificate (PEM) in "+key)
	f(TLS{On: true, Cert: cert, Key: cert}, "tls_cert, tls_key: ")

	c := &Conn{Network: "tcp", Address: l.Addr().String(), TLS: TLS{On: true, CA: ours.CA, Cert: cert, Key: key}}
	defer c.Close()
	connect(t, c)
	first := c.tls
	if err := os.Remove(key); err != nil {
		t.Fatal(err)
	}
	if err := c.Reopen(t.Context()); err != nil {
		t.Fatal(err)
	}
	if c.tls != first {
		t.Error("the files that can't be read took the place of those that were")
	}
	if err := c.Write(t.Context(), block("a\n")); err != nil {
		t.Fatal(err)
	}
	if got := <-read; got != "a\n" {
		t.Errorf("the server read %q", got)
	}
}

func TestTLSCheck(t *testing.T) {
	f := func(o TLS, network, want string) {
		t.Helper()
		err := o.Check(network)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%+v over %s: %v, want %q", o, network, err, want)
		}
	}
	f(TLS{}, "udp", "")
	f(TLS{On: true}, "tcp", "")
	f(TLS{On: true}, "udp", "can't be used over udp")
	f(TLS{CA: "x"}, "tcp", "set tls=1")
	f(TLS{On: true, Cert: "x"}, "tcp", "need each other")
	f(TLS{On: true, Key: "x"}, "tcp", "need each other")
	f(TLS{On: true, Cert: "x", Key: "y"}, "tcp", "")
}
