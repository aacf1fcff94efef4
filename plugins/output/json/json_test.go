package json_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/ulogd-go/ulogd/pkg/event"
	"github.com/ulogd-go/ulogd/pkg/plugin"
	"github.com/ulogd-go/ulogd/pkg/plugintest"
	_ "github.com/ulogd-go/ulogd/plugins/all"
)

type (
	options = plugintest.Options
	e       = plugintest.Event
)

// bare are the options of a record with nothing but dvc and the keys.
var bare = options{"timestamp": "0"}

func key(name string, kind event.Kind) event.Key { return event.Key{Name: name, Kind: kind} }

// record is the one row of one event, without its newline.
func record(t *testing.T, opts options, keys []event.Key, in e) string {
	t.Helper()
	rows := plugintest.Output(t, "JSON", opts, keys, in)
	if len(rows) != 1 {
		t.Fatalf("%d rows, want 1", len(rows))
	}
	row := string(rows[0])
	if !json.Valid(rows[0]) || !strings.HasSuffix(row, "}\n") || strings.Count(row, "\n") != 1 {
		t.Errorf("%q is not an object on a line", row)
	}
	return strings.TrimSuffix(row, "\n")
}

func TestStrings(t *testing.T) {
	f := func(in, want string) {
		t.Helper()
		if want = `{"dvc": "Netfilter", "s": ` + want + `}`; want == `{"dvc": "Netfilter", "s": }` {
			want = `{"dvc": "Netfilter"}`
		}
		if got := record(t, bare, []event.Key{key("s", event.String)}, e{"s": in}); got != want {
			t.Errorf("%q: %s, want %s", in, got, want)
		}
	}
	f("", `""`)
	f("plain /\x7f text", "\"plain /\x7f text\"")
	f(`a"b\c`, `"a\"b\\c"`)
	f("\b\t\n\f\r", `"\b\t\n\f\r"`)
	f("\x01\x0b\x1f", `"\u0001\u000B\u001F"`)
	f("a long text before\na newline and a long text behind it", `"a long text before\na newline and a long text behind it"`)
	f("ä€😀", `"ä€😀"`)
	f("<&>\u2028", "\"<&>\u2028\"")
	// What is not UTF-8 makes the key disappear: latin-1, a cut character, an
	// overlong form, a surrogate, beyond Unicode.
	for _, bad := range []string{"\xe4", "ok so far \xe2\x82", "\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\x80", "\xff"} {
		f(bad, "")
	}
}

// TestRandomStrings takes encoding/json as the oracle of what a string means.
func TestRandomStrings(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	pieces := []string{"a", "plain text ", `"`, `\`, "\n", "\x00", "\x1f", "\x7f", "ä", "€", "😀", "\u2028", "\xff", "\xc3", "/", " "}
	var in []string
	var events []e
	for range 5000 {
		var s strings.Builder
		for range r.IntN(20) {
			s.WriteString(pieces[r.IntN(len(pieces))])
		}
		in = append(in, s.String())
		events = append(events, e{"s": s.String()})
	}
	for i, row := range plugintest.Output(t, "JSON", bare, []event.Key{key("s", event.String)}, events...) {
		var got struct{ S *string }
		if err := json.Unmarshal(row, &got); err != nil {
			t.Fatalf("%q: %v", row, err)
		}
		if valid := utf8.ValidString(in[i]); valid != (got.S != nil) || valid && *got.S != in[i] {
			t.Fatalf("%q became %s", in[i], row)
		}
	}
}

func TestKinds(t *testing.T) {
	keys := []event.Key{
		key("b", event.Bool), key("u8", event.U8), key("u16", event.U16), key("u32", event.U32), key("u64", event.U64),
		key("i8", event.I8), key("i64", event.I64), key("ip", event.Addr), key("raw", event.Raw), key("lit", event.Literal), key("s", event.String), key("none", event.U8),
	}
	in := e{"b": true, "u8": uint8(255), "u16": uint16(65535), "u32": uint32(4294967295), "u64": uint64(1<<64 - 1), "i8": int8(-1), "i64": int64(-1 << 63),
		"ip": netip.MustParseAddr("192.0.2.1"), "raw": []byte{1}, "lit": plugintest.Literal("0x01"), "s": "text"}
	const want = `{"dvc": "Netfilter", "b": 1, "u8": 255, "u16": 65535, "u32": 4294967295, "u64": 18446744073709551615, "i8": -1, "i64": -9223372036854775808, "s": "text"}`
	if got := record(t, bare, keys, in); got != want {
		t.Errorf("%s, want\n%s", got, want)
	}
}

// TestSharedNames has keys that JSON calls by the same name: the last that has a
// value is written, at the place of the first that has one.
func TestSharedNames(t *testing.T) {
	port := func(name string) event.Key { return event.Key{Name: name, Kind: event.U16, JSON: "src_port"} }
	keys := []event.Key{key("a", event.U8), port("tcp.sport"), key("b", event.U8), port("udp.sport"), key("c", event.U8), port("sctp.sport"), key("d", event.U8)}
	f := func(in e, want string) {
		t.Helper()
		for _, name := range []string{"a", "b", "c", "d"} {
			in[name] = uint8(0)
		}
		if got := record(t, bare, keys, in); got != `{"dvc": "Netfilter", `+want+`}` {
			t.Errorf("%v: %s, want %s", in, got, want)
		}
	}
	f(e{}, `"a": 0, "b": 0, "c": 0, "d": 0`)
	f(e{"tcp.sport": uint16(1)}, `"a": 0, "src_port": 1, "b": 0, "c": 0, "d": 0`)
	f(e{"udp.sport": uint16(2)}, `"a": 0, "b": 0, "src_port": 2, "c": 0, "d": 0`)
	f(e{"sctp.sport": uint16(3)}, `"a": 0, "b": 0, "c": 0, "src_port": 3, "d": 0`)
	f(e{"tcp.sport": uint16(1), "udp.sport": uint16(2)}, `"a": 0, "src_port": 2, "b": 0, "c": 0, "d": 0`)
	f(e{"tcp.sport": uint16(1), "udp.sport": uint16(2), "sctp.sport": uint16(3)}, `"a": 0, "src_port": 3, "b": 0, "c": 0, "d": 0`)
	f(e{"udp.sport": uint16(2), "sctp.sport": uint16(3)}, `"a": 0, "b": 0, "src_port": 3, "c": 0, "d": 0`)
}

func TestOptions(t *testing.T) {
	keys := []event.Key{key("oob.time.sec", event.U32), key("oob.time.usec", event.U32), key("raw.label", event.U8), {Name: "oob.physin", Kind: event.String, Extra: true}}
	timed := e{"oob.time.sec": uint32(1795420633), "oob.time.usec": uint32(42), "raw.label": uint8(2), "oob.physin": "vnet0"}
	const rest = `"oob.time.sec": 1795420633, "oob.time.usec": 42, "raw.label": 2`
	f := func(opts options, in e, want string) {
		t.Helper()
		if got := record(t, opts, keys, in); got != want {
			t.Errorf("%v: %s, want\n%s", opts, got, want)
		}
	}
	f(nil, timed, `{"timestamp": "2026-11-23T07:57:13.000042", "dvc": "Netfilter", `+rest+`}`)
	f(options{"eventv1": "1"}, timed, `{"@version": 1, "@timestamp": "2026-11-23T07:57:13.000042", "dvc": "Netfilter", `+rest+`}`)
	f(options{"eventv1": "1", "timestamp": "0"}, timed, `{"@version": 1, "dvc": "Netfilter", `+rest+`}`)
	f(bare, timed, `{"dvc": "Netfilter", `+rest+`}`)
	f(options{"timestamp": "0", "device": `fw "1"`}, timed, `{"dvc": "fw \"1\"", `+rest+`}`)
	f(options{"timestamp": "0", "device": ""}, timed, `{"dvc": "", `+rest+`}`)
	f(options{"timestamp": "0", "device": "M\xfcnchen"}, timed, `{"dvc": "M`+"\ufffd"+`nchen", `+rest+`}`)
	f(options{"timestamp": "0", "extra": "1"}, timed, `{"dvc": "Netfilter", `+rest+`, "oob.physin": "vnet0"}`)

	label := func(n uint8) e { return e{"raw.label": n} }
	labelled := options{"timestamp": "0", "boolean_label": "1"}
	f(labelled, timed, `{"dvc": "Netfilter", "oob.time.sec": 1795420633, "oob.time.usec": 42, "action": "allowed"}`)
	f(labelled, label(0), `{"dvc": "Netfilter", "action": "blocked"}`)
	f(labelled, e{}, `{"dvc": "Netfilter"}`)

	// Without a time of their own, as flows are, events get the clock's, without a fraction.
	f(nil, label(1), `{"timestamp": "2026-11-23T07:57:13", "dvc": "Netfilter", "raw.label": 1}`)
	f(nil, e{"oob.time.sec": uint32(1795420633)}, `{"timestamp": "2026-11-23T07:57:13", "dvc": "Netfilter", "oob.time.sec": 1795420633}`)
}

func TestZone(t *testing.T) {
	for name, offset := range map[string]int{"+0530": 19800, "-0330": -12600} {
		b := plugintest.Bench{Plugin: "JSON", Keys: []event.Key{key("a", event.U8)}, Env: func(env *plugin.Env) { env.Zone = time.FixedZone("x", offset) }}
		got := string(b.Output(t, e{})[0])
		local := time.Unix(1795420633, 0).In(time.FixedZone("x", offset)).Format("2006-01-02T15:04:05")
		if want := `{"timestamp": "` + local + name + `", "dvc": "Netfilter"}` + "\n"; got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// TestNames shows that the name of every key that there is fits.
func TestNames(t *testing.T) {
	for _, name := range plugin.Default.Names() {
		spec, err := plugin.Default.Lookup(name)
		if err != nil {
			t.Fatal(err)
		}
		x, err := spec.Describe()
		if err != nil {
			continue // it can't be made without options
		}
		var b event.Binder
		x.Bind(&b)
		for _, k := range b.Keys() {
			want := k.JSON
			if want == "" {
				want = k.Name
			}
			k.Kind, k.Extra = event.U8, false
			if got := record(t, bare, []event.Key{k}, e{k.Name: 7}); got != fmt.Sprintf(`{"dvc": "Netfilter", "%s": 7}`, want) {
				t.Errorf("%s: %s", k.Name, got)
			}
		}
	}
}

// TestDelivery writes a row in each mode.
func TestDelivery(t *testing.T) {
	dir := t.TempDir()
	f := func(opts options, receive func() string) {
		t.Helper()
		opts["timestamp"] = "0"
		run := plugintest.Bench{Plugin: "JSON", Options: opts, Keys: []event.Key{key("a", event.U8)}}.Start(t, e{"a": uint8(1)})
		out := run.Output(t)
		if err := out.Connect(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := out.Write(t.Context(), run.Encode(t)); err != nil {
			t.Error(err)
		}
		if got, want := receive(), `{"dvc": "Netfilter", "a": 1}`+"\n"; got != want {
			t.Errorf("%v: received %q, want %q", opts, got, want)
		}
		if err := out.Close(); err != nil {
			t.Error(err)
		}
	}
	path := filepath.Join(dir, "log")
	f(options{"file": path}, func() string {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Error(err)
		}
		return string(data)
	})
	stream := func(network, address string) (net.Listener, func() string) {
		l, err := net.Listen(network, address)
		if err != nil {
			t.Fatal(err)
		}
		return l, func() string {
			conn, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			line, err := bufio.NewReader(conn).ReadString('\n')
			if err != nil {
				t.Error(err)
			}
			return line
		}
	}
	l, receive := stream("tcp", "127.0.0.1:0")
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	f(options{"mode": "TCP", "host": "127.0.0.1", "port": port}, receive)
	socket := filepath.Join(dir, "socket")
	u, receive := stream("unix", socket)
	defer u.Close()
	f(options{"mode": "unix", "file": socket}, receive)
	p, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	_, port, _ = net.SplitHostPort(p.LocalAddr().String())
	f(options{"mode": "udp", "port": port}, func() string {
		buf := make([]byte, 1000)
		n, _, err := p.ReadFrom(buf)
		if err != nil {
			t.Error(err)
		}
		return string(buf[:n])
	})
}

// TestImpossibleAddress has receivers that can't be there ever.
func TestImpossibleAddress(t *testing.T) {
	for _, tt := range []struct {
		opts plugintest.Options
		want string
	}{
		{plugintest.Options{"mode": "tcp", "port": "70000"}, `port = "70000"`},
		{plugintest.Options{"mode": "udp", "port": "nonesuch"}, `port = "nonesuch"`},
		{plugintest.Options{"mode": "tcp", "port": "0"}, `port = "0"`},
		{plugintest.Options{"mode": "tcp", "port": ""}, `port = ""`},
		{plugintest.Options{"mode": "unix", "file": "/" + strings.Repeat("x", 107)}, "107 bytes at most"},
		{plugintest.Options{"mode": "unix", "file": ""}, "107 bytes at most"},
	} {
		_, _, err := plugintest.Bench{Plugin: "JSON", Options: tt.opts}.Open(t)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v: %v, want an error with %s", tt.opts, err, tt.want)
		}
	}
	for _, opts := range []plugintest.Options{
		{"mode": "tcp", "port": "http"}, {"mode": "udp", "host": "no.such.host.example", "port": "65535"},
		{"mode": "unix", "file": "/" + strings.Repeat("x", 106)}, {"mode": "file", "port": "nonesuch"},
	} {
		if _, _, err := (plugintest.Bench{Plugin: "JSON", Options: opts}).Open(t); err != nil {
			t.Errorf("%v: %v", opts, err)
		}
	}
}

func TestUnknownMode(t *testing.T) {
	_, _, err := plugintest.Bench{Plugin: "JSON", Options: options{"mode": "http"}}.Open(t)
	if err == nil || !strings.Contains(err.Error(), `"http"; use file, tcp, udp or unix`) {
		t.Errorf("%v, want an error that names the modes", err)
	}
}
