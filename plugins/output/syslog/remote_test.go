package syslog

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ulogd-go/ulogd/pkg/event"
	"github.com/ulogd-go/ulogd/pkg/plugin"
	"github.com/ulogd-go/ulogd/pkg/plugintest"
)

var timedKeys = []event.Key{{Name: "print", Kind: event.String}, {Name: "oob.time.sec", Kind: event.U32}, {Name: "oob.time.usec", Kind: event.U32}}

// TestRemoteFormat has messages as RFC 5424, section 6, wants them.
func TestRemoteFormat(t *testing.T) {
	pid := os.Getpid()
	timed := plugintest.Event{"print": "IN=va MARK=0x0 \n", "oob.time.sec": 1795420633, "oob.time.usec": 42}
	tests := []struct {
		name, host string
		zone       int // seconds east
		opts       plugintest.Options
		in         plugintest.Event
		want       string
	}{
		{"the event's time", "fw1.example.net", 0, nil, timed, "<29>1 2026-11-23T07:57:13.000042Z fw1.example.net ulogd %d - - IN=va MARK=0x0 "},
		{"in another zone", "fw1", 19800, nil, timed, "<29>1 2026-11-23T13:27:13.000042+05:30 fw1 ulogd %d - - IN=va MARK=0x0 "},
		{"the clock's time", "fw1", 0, nil, plugintest.Event{"print": "[NEW] ORIG: SRC=192.0.2.2 \n"},
			"<29>1 2026-11-23T07:57:13.000000Z fw1 ulogd %d - - [NEW] ORIG: SRC=192.0.2.2 "},
		{"facility and level", "fw1", 0, plugintest.Options{"facility": "LOG_LOCAL2", "level": "LOG_INFO"}, timed,
			"<150>1 2026-11-23T07:57:13.000042Z fw1 ulogd %d - - IN=va MARK=0x0 "},
		{"no host", "", 0, nil, timed, "<29>1 2026-11-23T07:57:13.000042Z - ulogd %d - - IN=va MARK=0x0 "},
		{"a host that is no name", "f w\x00ä", 0, nil, timed, "<29>1 2026-11-23T07:57:13.000042Z fw ulogd %d - - IN=va MARK=0x0 "},
		{"only the last newline is the text's end", "fw1", 0, nil, plugintest.Event{"print": "a\nb\n\n", "oob.time.sec": 0, "oob.time.usec": 0},
			"<29>1 1970-01-01T00:00:00.000000Z fw1 ulogd %d - - a\nb\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			want := fmt.Sprintf(tt.want, pid)
			for mode, want := range map[string]string{"udp": want, "tcp": strconv.Itoa(len(want)) + " " + want} {
				opts := plugintest.Options{"mode": mode, "host": "192.0.2.1"}
				for k, v := range tt.opts {
					opts[k] = v
				}
				b := plugintest.Bench{Plugin: "SYSLOG", Options: opts, Keys: timedKeys, Env: func(env *plugin.Env) {
					env.Zone, env.Hostname = time.FixedZone("", tt.zone), tt.host
				}}
				rows := b.Output(t, tt.in)
				if len(rows) != 1 {
					t.Fatalf("%d rows, want 1", len(rows))
				}
				if diff := cmp.Diff(want, string(rows[0])); diff != "" {
					t.Errorf("%s (-want +got)\n%s", mode, diff)
				}
			}
		})
	}
}

func TestRemoteEncodeDoesNotAllocate(t *testing.T) {
	for _, mode := range []string{"udp", "tcp"} {
		e := plugintest.Event{"print": "IN=va OUT= \n", "oob.time.sec": 1795420633, "oob.time.usec": 42}
		plugintest.Allocs(t, "SYSLOG", plugintest.Options{"mode": mode, "host": "192.0.2.1"}, timedKeys, e, e)
	}
}

func TestRemoteOptions(t *testing.T) {
	f := func(opts plugintest.Options, want string) {
		t.Helper()
		_, _, err := plugintest.Bench{Plugin: "SYSLOG", Options: opts}.Open(t)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want an error with %q", opts, err, want)
		}
	}
	f(plugintest.Options{"mode": "udp"}, "needs a host")
	f(plugintest.Options{"host": "192.0.2.1"}, "set mode to udp or tcp")
	f(plugintest.Options{"tls": "1"}, "tls=1 needs tcp")
	f(plugintest.Options{"mode": "udp", "host": "192.0.2.1", "tls": "1"}, "tls=1 needs tcp")

	for want, opts := range map[string]plugintest.Options{
		"192.0.2.1:514":      {"mode": "udp", "host": "192.0.2.1"},
		"192.0.2.1:6514":     {"mode": "tcp", "host": "192.0.2.1", "tls": "1"},
		"[2001:db8::1]:601":  {"mode": "tcp", "host": "2001:db8::1", "port": "601"},
		"log.example:syslog": {"mode": "tcp", "host": "log.example", "port": "syslog"},
	} {
		x, _, err := plugintest.Bench{Plugin: "SYSLOG", Options: opts}.Open(t)
		if err != nil {
			t.Fatal(err)
		}
		if got := x.(*syslog).Address; got != want {
			t.Errorf("%v: sends to %s, want %s", opts, got, want)
		}
	}
}

// frame reads a message behind its length (RFC 6587, section 3.4.1).
func frame(t *testing.T, r *bufio.Reader) string {
	t.Helper()
	length, err := r.ReadString(' ')
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(strings.TrimSuffix(length, " "))
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, n)
	if _, err := io.ReadFull(r, buf); err != nil {
		t.Fatal(err)
	}
	return string(buf)
}

// TestRemoteDelivery sends to a daemon by each way, and again after it was away.
func TestRemoteDelivery(t *testing.T) {
	authority := plugintest.NewAuthority(t)
	cert, key := authority.Issue(t)
	secure := plugintest.Options{"mode": "tcp", "tls": "1", "tls_ca": authority.CA, "tls_cert": cert, "tls_key": key}
	f := func(opts plugintest.Options, listen func(address string) net.Listener) {
		t.Helper()
		l := listen("127.0.0.1:0")
		defer func() { l.Close() }()
		opts["host"], opts["port"], _ = net.SplitHostPort(l.Addr().String())
		run := plugintest.Bench{Plugin: "SYSLOG", Options: opts, Keys: timedKeys}.
			Start(t, plugintest.Event{"print": "one\n"}, plugintest.Event{"print": "t\nwo\n"})
		out, blk := run.Output(t), run.Encode(t)
		defer out.Close()
		for range 2 {
			accepted := make(chan net.Conn, 1)
			go func() {
				conn, err := l.Accept()
				if err == nil && opts["tls"] == "1" {
					err = conn.(*tls.Conn).Handshake()
				}
				if err != nil {
					close(accepted)
					return
				}
				accepted <- conn
			}()
			if err := out.Connect(t.Context()); err != nil {
				t.Fatal(err)
			}
			conn, ok := <-accepted
			if !ok {
				t.Fatal("the daemon got no connection")
			}
			if err := errors.Join(conn.SetDeadline(time.Now().Add(10*time.Second)), out.Write(t.Context(), blk)); err != nil {
				t.Fatal(err)
			}
			r := bufio.NewReader(conn)
			for _, want := range []string{" - - one", " - - t\nwo"} {
				if got := frame(t, r); !strings.HasPrefix(got, "<29>1 ") || !strings.HasSuffix(got, want) {
					t.Errorf("%q, want a message with %q", got, want)
				}
			}
			address := l.Addr().String()
			conn.Close()
			l.Close()
			if err := out.Connect(t.Context()); !errors.Is(err, plugin.ErrNotConnected) || !strings.Contains(err.Error(), "takes messages by tcp") {
				t.Errorf("nobody listens: %v, want ErrNotConnected and what to do", err)
			}
			l = listen(address)
		}
	}
	f(plugintest.Options{"mode": "tcp"}, func(address string) net.Listener {
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		return l
	})
	f(secure, func(address string) net.Listener {
		l, err := tls.Listen("tcp", address, authority.Server(t))
		if err != nil {
			t.Fatal(err)
		}
		return l
	})
}

func TestRemoteDatagrams(t *testing.T) {
	peer, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer peer.Close()
	host, port, _ := net.SplitHostPort(peer.LocalAddr().String())
	run := plugintest.Bench{Plugin: "SYSLOG", Options: plugintest.Options{"mode": "udp", "host": host, "port": port}, Keys: timedKeys}.
		Start(t, plugintest.Event{"print": "one\n"}, plugintest.Event{"print": "two\n"})
	out := run.Output(t)
	defer out.Close()
	if err := errors.Join(out.Connect(t.Context()), out.Write(t.Context(), run.Encode(t)), peer.SetDeadline(time.Now().Add(10*time.Second))); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 1000)
	for _, want := range []string{" - - one", " - - two"} {
		n, _, err := peer.ReadFrom(buf)
		if got := string(buf[:n]); err != nil || !strings.HasPrefix(got, "<29>1 ") || !strings.HasSuffix(got, want) {
			t.Errorf("%q, %v; want a message with %q", got, err, want)
		}
	}
}
