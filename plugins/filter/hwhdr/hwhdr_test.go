package hwhdr_test

import (
	"bytes"
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ulogd-go/ulogd/pkg/plugin"
	"github.com/ulogd-go/ulogd/pkg/plugintest"
	"github.com/ulogd-go/ulogd/pkg/stats"
	_ "github.com/ulogd-go/ulogd/plugins/filter/hwhdr"
)

type e = plugintest.Event

var (
	header = []byte{2, 0, 0, 0, 0, 0x0a, 2, 0, 0, 0, 0xbe, 0xef, 0x86, 0xdd}
	source = []byte{2, 0, 0, 0, 0xca, 0xfe}
)

const text = "02:00:00:00:00:0a:02:00:00:00:be:ef:86:dd"

// TestHWHDR has the steps of reference page "ulogd2-core", section 7.3.
func TestHWHDR(t *testing.T) {
	proto := e{"oob.protocol": uint16(2048)}
	tests := []struct {
		name string
		in   e
		want e // without what goes in, unless it is replaced
	}{
		{"nothing", e{}, e{}},
		{"only the protocol", proto, proto},
		{"only an address", with(proto, e{"raw.mac.saddr": source}), with(proto, e{"mac.saddr.str": "02:00:00:00:ca:fe", "raw.type": uint16(65535)})},
		{"Ethernet", with(proto, e{"raw.type": uint16(1), "raw.mac": header}),
			e{"raw.type": uint16(1), "oob.protocol": uint16(0x86dd), "mac.saddr.str": "02:00:00:00:be:ef", "mac.daddr.str": "02:00:00:00:00:0a", "mac.str": text}},
		{"Ethernet with an address", with(proto, e{"raw.type": uint16(1), "raw.mac": header, "raw.mac.saddr": source}),
			e{"raw.type": uint16(1), "oob.protocol": uint16(0x86dd), "mac.saddr.str": "02:00:00:00:ca:fe", "mac.daddr.str": "02:00:00:00:00:0a", "mac.str": text}},
		{"without a type, 14 bytes", with(proto, e{"raw.mac": header}),
			e{"raw.type": uint16(1), "oob.protocol": uint16(0x86dd), "mac.saddr.str": "02:00:00:00:be:ef", "mac.daddr.str": "02:00:00:00:00:0a", "mac.str": text}},
		{"without a type, 13 bytes", with(proto, e{"raw.mac": header[:13]}), with(proto, e{"raw.type": uint16(65535), "mac.str": text[:38]})},
		{"loopback", with(proto, e{"raw.type": uint16(772), "raw.mac": header, "raw.mac.saddr": source}),
			with(proto, e{"raw.type": uint16(772), "mac.saddr.str": "02:00:00:00:ca:fe", "mac.str": text})},
		{"Ethernet, too short", with(proto, e{"raw.type": uint16(1), "raw.mac": header[:13]}), with(proto, e{"raw.type": uint16(1), "mac.str": text[:38]})},
		{"empty header", with(proto, e{"raw.type": uint16(772), "raw.mac": []byte{}}), with(proto, e{"raw.type": uint16(772), "mac.str": ""})},
		{"42 bytes", with(proto, e{"raw.type": uint16(772), "raw.mac": make([]byte, 42)}),
			with(proto, e{"raw.type": uint16(772), "mac.str": strings.Repeat("00:", 41) + "00"})},
	}
	for _, tt := range tests {
		got := plugintest.Filter(t, "HWHDR", nil, tt.in)
		if len(got) != 1 {
			t.Errorf("%s: %d events, want 1", tt.name, len(got))
			continue
		}
		delete(got[0], "raw.mac")
		delete(got[0], "raw.mac.saddr")
		if diff := cmp.Diff(tt.want, got[0]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}

func with(a, b e) e {
	c := maps.Clone(a)
	maps.Copy(c, b)
	return c
}

// TestTooLong shows that an event with more than 42 bytes ends here, counted.
func TestTooLong(t *testing.T) {
	long := bytes.Repeat([]byte{1}, 43)
	set := new(stats.Set)
	b := plugintest.Bench{Plugin: "HWHDR", Env: func(env *plugin.Env) { env.Stats = set }}
	got := b.Filter(t, e{"raw.mac": long}, e{"raw.mac.saddr": long}, e{"raw.mac": header})
	if len(got) != 1 || got[0]["mac.str"] != text {
		t.Errorf("left are %v, want the one with the short header", got)
	}
	if n := set.Counter("header_too_long", "").Value(); n != 2 {
		t.Errorf("%d events were counted, want 2", n)
	}
}
