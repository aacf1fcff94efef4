package base_test

import (
	"encoding/hex"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ulogd-go/ulogd/pkg/event"
	"github.com/ulogd-go/ulogd/pkg/packet"
	"github.com/ulogd-go/ulogd/pkg/plugintest"
	_ "github.com/ulogd-go/ulogd/plugins/filter/base"
)

func logged(t *testing.T, family uint8, etherType uint16, text string) plugintest.Event {
	t.Helper()
	data, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return plugintest.Event{"raw.pkt": data, "raw.pktlen": uint32(len(data)), "oob.family": family, "oob.protocol": etherType}
}

const ping = "45000024 00010000 40010000 c0000202 c0000201  0800beef 12340001"

// TestBASE shows what the decoder is given; what it makes of that is tested in
// package packet.
func TestBASE(t *testing.T) {
	events := []plugintest.Event{
		logged(t, 2, 2048, ping), logged(t, 7, 2048, ping), logged(t, 7, 0x88cc, ping), logged(t, 99, 1, ping),
		{"oob.family": uint8(2), "oob.protocol": uint16(2048)}, // without a payload
	}
	for i, got := range plugintest.Filter(t, "BASE", nil, events...) {
		want := plugintest.Event{"oob.protocol": events[i]["oob.protocol"]}
		if i < 2 {
			want["ip.saddr"], want["icmp.type"] = netip.MustParseAddr("192.0.2.2"), uint8(8)
		}
		for name := range got {
			if name != "oob.protocol" && name != "ip.saddr" && name != "icmp.type" {
				delete(got, name)
			}
		}
		if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
			t.Errorf("event %d (-want +got):\n%s", i, diff)
		}
	}
}

func TestCompat(t *testing.T) {
	headerOnly := logged(t, 2, 2048, ping[:45])
	for compat, want := range map[string]bool{"1": false, "0": true} {
		got := plugintest.Filter(t, "BASE", plugintest.Options{"compat": compat}, headerOnly)[0]
		if _, decoded := got["ip.saddr"]; decoded != want {
			t.Errorf("compat=%s: a header without payload is decoded: %v, want %v", compat, decoded, want)
		}
	}
}

// input publishes what BASE reads, and learns how much of it.
type input struct{ pkt, length int }

func (s *input) Bind(b *event.Binder) {
	for _, name := range []string{"raw.pkt", "raw.pktlen", "oob.family", "oob.protocol"} {
		b.Out(new(event.Slot), event.Key{Name: name})
	}
	b.Extent(&s.pkt, "raw.pkt")
	b.Extent(&s.length, "raw.pktlen")
}

// TestReadsHeaders shows that BASE by itself does not have the kernel copy more
// than headers.
func TestReadsHeaders(t *testing.T) {
	x, env, err := plugintest.Bench{Plugin: "BASE"}.Open(t)
	if err != nil {
		t.Fatal(err)
	}
	s := new(input)
	tree := event.NewTree("source", s)
	if err := tree.Stack([]string{env.Instance}, []event.Bindable{x}); err != nil {
		t.Fatal(err)
	}
	if tree.Layout(); s.pkt != packet.HeaderBytes || s.length != 0 {
		t.Errorf("BASE reads %d bytes of raw.pkt and %d of raw.pktlen, want %d and none", s.pkt, s.length, packet.HeaderBytes)
	}
}

// TestFirst: with generation=1 there is a prefix, fragments are taken for headers, and
// what is there of a header that is cut counts.
func TestFirst(t *testing.T) {
	fragment := logged(t, 2, 2048, "45000020 00010003 40110000 c0000202 c0000201  00010203 04050607")
	cut := logged(t, 2, 2048, "45000028 00010000 40060000 c0000202 c0000201  9c400016 0000")
	cut["oob.prefix"] = "p"
	short := logged(t, 2, 2048, "45000028 0001")
	got := plugintest.Filter(t, "BASE", plugintest.Options{"generation": "1"}, fragment, cut, short)
	for i, want := range []plugintest.Event{
		{"oob.prefix": "", "ip.fragoff": uint16(3), "udp.sport": uint16(1), "udp.dport": uint16(515), "udp.len": uint16(1029), "udp.csum": uint16(1543)},
		{"oob.prefix": "p", "ip.id": uint16(1), "ip.protocol": uint8(6), "tcp.sport": uint16(40000), "tcp.dport": uint16(22), "tcp.seq": nil, "tcp.syn": nil},
		{"oob.prefix": "", "ip.totlen": uint16(40), "ip.id": uint16(1), "ip.ttl": nil, "ip.protocol": nil},
	} {
		for name, v := range want {
			if got[i][name] != v {
				t.Errorf("event %d: %s is %v, want %v", i, name, got[i][name], v)
			}
		}
	}
}
