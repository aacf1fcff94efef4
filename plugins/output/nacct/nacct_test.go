package nacct_test

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ulogd-go/ulogd/pkg/event"
	"github.com/ulogd-go/ulogd/pkg/plugintest"
	_ "github.com/ulogd-go/ulogd/plugins/output/nacct"
)

type e = plugintest.Event

var keys = []event.Key{
	{Name: "orig.ip.saddr", Kind: event.Addr},
	{Name: "orig.ip.saddr.str", Kind: event.String}, {Name: "orig.ip.daddr.str", Kind: event.String},
	{Name: "orig.ip.protocol", Kind: event.U8}, {Name: "orig.l4.sport", Kind: event.U16}, {Name: "orig.l4.dport", Kind: event.U16},
	{Name: "reply.raw.pktlen", Kind: event.U64}, {Name: "reply.raw.pktcount", Kind: event.U64},
	{Name: "icmp.code", Kind: event.U8}, {Name: "icmp.type", Kind: event.U8},
	{Name: "flow.start.sec", Kind: event.U32}, {Name: "flow.end.sec", Kind: event.U32},
}

// v4 and v6 are the addresses of a flow.
var (
	v4 = e{"orig.ip.saddr.str": "192.0.2.2", "orig.ip.daddr.str": "192.0.2.1"}
	v6 = e{"orig.ip.saddr.str": "2001:db8::2", "orig.ip.daddr.str": "2001:db8::1"}
)

func flow(parts ...e) e {
	all := e{}
	for _, p := range parts {
		for k, v := range p {
			all[k] = v
		}
	}
	return all
}

// tests have lines that ulogd 2.0.8 has written.
var tests = []struct {
	name string
	in   e
	want string
}{
	{"TCP that has ended", flow(v4, e{"orig.ip.protocol": 6, "orig.l4.sport": 40000, "orig.l4.dport": 8080,
		"reply.raw.pktlen": 273, "reply.raw.pktcount": 5, "flow.start.sec": 1795421690, "flow.end.sec": 1795421692}),
		"1795421692\t6\t192.0.2.2\t40000\t192.0.2.1\t8080\t5\t273\n"},
	{"TCP that has begun", flow(v4, e{"orig.ip.protocol": 6, "orig.l4.sport": 40000, "orig.l4.dport": 8080,
		"reply.raw.pktlen": 0, "reply.raw.pktcount": 0, "flow.start.sec": 1795421690}),
		"0\t6\t192.0.2.2\t40000\t192.0.2.1\t8080\t0\t0\n"},
	{"UDP over IPv6", flow(v6, e{"orig.ip.protocol": 17, "orig.l4.sport": 1111, "orig.l4.dport": 9,
		"reply.raw.pktlen": 0, "reply.raw.pktcount": 0, "flow.end.sec": 1795421692}),
		"1795421692\t17\t2001:db8::2\t1111\t2001:db8::1\t9\t0\t0\n"},
	{"ICMP", flow(v4, e{"orig.ip.protocol": 1, "icmp.type": 8, "icmp.code": 0,
		"reply.raw.pktlen": 31, "reply.raw.pktcount": 1, "flow.end.sec": 1795421692}),
		"1795421692\t1\t192.0.2.2\t8\t192.0.2.1\t0\t1\t31\n"},
	{"ICMPv6, whose type stands nowhere", flow(v6, e{"orig.ip.protocol": 58,
		"reply.raw.pktlen": 48, "reply.raw.pktcount": 1, "flow.end.sec": 1795421692}),
		"1795421692\t58\t2001:db8::2\t0\t2001:db8::1\t0\t1\t48\n"},
	{"64 bits", flow(v4, e{"orig.ip.protocol": uint8(255), "reply.raw.pktlen": uint64(1<<64 - 1), "reply.raw.pktcount": uint64(1 << 40)}),
		"0\t255\t192.0.2.2\t0\t192.0.2.1\t0\t1099511627776\t18446744073709551615\n"},
	{"nothing", e{}, "0\t0\t\t0\t\t0\t0\t0\n"},
}

func TestLines(t *testing.T) {
	for _, tt := range tests {
		rows := plugintest.Output(t, "NACCT", nil, keys, tt.in)
		if len(rows) != 1 {
			t.Fatalf("%s: %d rows, want 1", tt.name, len(rows))
		}
		if diff := cmp.Diff(tt.want, string(rows[0])); diff != "" {
			t.Errorf("%s (-want +got)\n%s", tt.name, diff)
		}
	}
}

// TestFile appends to what is there.
func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "nacct.log")
	if err := os.WriteFile(path, []byte("before\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	run := plugintest.Bench{Plugin: "NACCT", Options: plugintest.Options{"file": path, "sync": "1"}, Keys: keys}.
		Start(t, tests[0].in, tests[1].in)
	out := run.Output(t)
	if err := errors.Join(out.Connect(t.Context()), out.Write(t.Context(), run.Encode(t)), out.Close()); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(path)
	if want := "before\n" + tests[0].want + tests[1].want; string(got) != want || err != nil {
		t.Errorf("%q, %v; want %q", got, err, want)
	}
}

func TestAllocs(t *testing.T) {
	in := flow(tests[0].in, e{"orig.ip.saddr": netip.MustParseAddr("192.0.2.2")})
	plugintest.Allocs(t, "NACCT", nil, keys, in, tests[2].in)
}
