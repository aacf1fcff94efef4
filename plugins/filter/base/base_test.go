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
