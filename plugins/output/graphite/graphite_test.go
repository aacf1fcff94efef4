package graphite_test

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ulogd-go/ulogd/pkg/event"
	"github.com/ulogd-go/ulogd/pkg/plugintest"
	_ "github.com/ulogd-go/ulogd/plugins/output/graphite"
)

type (
	e       = plugintest.Event
	options = plugintest.Options
)

var keys = []event.Key{
	{Name: "sum.name", Kind: event.String}, {Name: "sum.pkts", Kind: event.U64}, {Name: "sum.bytes", Kind: event.U64},
	{Name: "oob.time.sec", Kind: event.U32},
}

// server is where nobody connects to.
var server = options{"host": "192.0.2.1", "port": "2003"}

func with(o, other options) options {
	all := options{}
	for _, m := range []options{o, other} {
		for k, v := range m {
			all[k] = v
		}
	}
	return all
}

func object(name string) e { return e{"sum.name": name, "sum.pkts": 1, "sum.bytes": 33} }

func TestLines(t *testing.T) {
	const now = " 1795420633\n" // plugintest.Now
	prefix := options{"prefix": "netfilter.nfacct"}
	tests := []struct {
		name string
		opts options
		in   e
		want string
	}{
		{"with a time", prefix, e{"sum.name": "http-in", "sum.pkts": 1, "sum.bytes": 33, "oob.time.sec": 1795420769},
			"netfilter.nfacct.http-in.pkts 1 1795420769\nnetfilter.nfacct.http-in.bytes 33 1795420769\n"},
		{"without a time", prefix, object("http-in"), "netfilter.nfacct.http-in.pkts 1" + now + "netfilter.nfacct.http-in.bytes 33" + now},
		{"time 0", prefix, e{"sum.name": "a", "sum.pkts": 0, "sum.bytes": 0, "oob.time.sec": 0},
			"netfilter.nfacct.a.pkts 0" + now + "netfilter.nfacct.a.bytes 0" + now},
		{"no prefix", nil, object("a"), ".a.pkts 1" + now + ".a.bytes 33" + now},
		{"64 bits", nil, e{"sum.name": "a", "sum.pkts": uint64(1<<64 - 1), "sum.bytes": uint64(1 << 63)},
			".a.pkts 18446744073709551615" + now + ".a.bytes 9223372036854775808" + now},
		{"a name with dots makes levels", prefix, object("in.http"), "netfilter.nfacct.in.http.pkts 1" + now + "netfilter.nfacct.in.http.bytes 33" + now},
		{"or none", options{"prefix": "p.q", "flat": "1"}, object("in.http"), "p.q.in_http.pkts 1" + now + "p.q.in_http.bytes 33" + now},
		{"a name that would be two lines", nil, object("a 1 2\nb\t\r\x00\x7f"), ".a_1_2_b____.pkts 1" + now + ".a_1_2_b____.bytes 33" + now},
		{"other spaces, at which Carbon splits too", nil, object("a\u00a0b\u2003c\u0085d"), ".a_b_c_d.pkts 1" + now + ".a_b_c_d.bytes 33" + now},
		{"a name that is not UTF-8", nil, object("\xe4\xc3é\ufffd"), ".__é\ufffd.pkts 1" + now + ".__é\ufffd.bytes 33" + now},
		{"longer than ulogd's 255 bytes", options{"prefix": strings.Repeat("p", 300)}, object("a"),
			strings.Repeat("p", 300) + ".a.pkts 1" + now + strings.Repeat("p", 300) + ".a.bytes 33" + now},
	}
	for _, tt := range tests {
		rows := plugintest.Output(t, "GRAPHITE", with(server, tt.opts), keys, tt.in)
		if len(rows) != 1 {
			t.Fatalf("%s: %d rows, want 1", tt.name, len(rows))
		}
		if diff := cmp.Diff(tt.want, string(rows[0])); diff != "" {
			t.Errorf("%s (-want +got)\n%s", tt.name, diff)
		}
	}
}

// FuzzName: whatever an object is called, it is two lines of three words.
func FuzzName(f *testing.F) {
	f.Add("http-in", false)
	f.Add("a 1 2\nb.\xff", true)
	f.Add("a\u00a0b", false)
	f.Fuzz(func(t *testing.T, name string, flat bool) {
		opts := with(server, options{"prefix": "p", "flat": map[bool]string{true: "1", false: "0"}[flat]})
		row := plugintest.Output(t, "GRAPHITE", opts, keys, object(name))[0]
		lines := bytes.SplitAfter(row, []byte{'\n'})
		if len(lines) != 3 || len(lines[2]) != 0 {
			t.Fatalf("%q: %d lines, want 2", row, len(lines)-1)
		}
		for _, line := range lines[:2] {
			if len(bytes.Fields(line)) != 3 {
				t.Fatalf("%q has not three words", line)
			}
			if flat && bytes.Count(line, []byte{'.'}) != 2 {
				t.Fatalf("%q has more levels than prefix, name and counter", line)
			}
		}
	})
}

func TestAllocs(t *testing.T) {
	plugintest.Allocs(t, "GRAPHITE", server, keys, object("http-in"), object("a.b c"))
}

func TestOptions(t *testing.T) {
	f := func(opts options, want string) {
		t.Helper()
		_, _, err := plugintest.Bench{Plugin: "GRAPHITE", Options: opts}.Open(t)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want an error with %q", opts, err, want)
		}
	}
	f(options{"port": "2003"}, "host: mandatory option is missing")
	f(options{"host": "a"}, "port: mandatory option is missing")
	f(with(server, options{"host": ""}), `host = "": needs another value`)
	f(with(server, options{"tls_ca": "x"}), "set tls=1")
	f(with(server, options{"port": "nonesuch"}), `port = "nonesuch"`)
}

// TestDelivery sends to a server, with TLS and without.
func TestDelivery(t *testing.T) {
	f := func(l net.Listener, opts options) {
		t.Helper()
		defer l.Close()
		host, port, err := net.SplitHostPort(l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		opts = with(opts, options{"host": host, "port": port, "prefix": "p"})
		run := plugintest.Bench{Plugin: "GRAPHITE", Options: opts, Keys: keys}.Start(t, object("a"), object("b"))
		out := run.Output(t)
		received := make(chan string, 1)
		go func() {
			conn, err := l.Accept()
			if err != nil {
				received <- err.Error()
				return
			}
			defer conn.Close()
			data, _ := io.ReadAll(conn) // it ends with the connection
			received <- string(data)
		}()
		blk := run.Encode(t)
		if err := out.Connect(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := out.Write(t.Context(), blk); err != nil {
			t.Error(err)
		}
		if err := out.Close(); err != nil {
			t.Error(err)
		}
		select {
		case got := <-received:
			if got != string(blk.Data) {
				t.Errorf("%v: received %q, want %q", opts, got, blk.Data)
			}
		case <-time.After(10 * time.Second):
			t.Errorf("%v: nothing received", opts)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f(l, nil)

	authority := plugintest.NewAuthority(t)
	cert, key := authority.Issue(t)
	if l, err = tls.Listen("tcp", "127.0.0.1:0", authority.Server(t)); err != nil {
		t.Fatal(err)
	}
	f(l, options{"tls": "1", "tls_ca": authority.CA, "tls_cert": cert, "tls_key": key, "tls_server_name": "collector.example"})
}
