package ip2bin_test

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ulogd-go/ulogd/pkg/plugintest"
	_ "github.com/ulogd-go/ulogd/plugins/filter/ip2bin"
)

var names = []string{"ip.saddr", "ip.daddr", "orig.ip.saddr", "orig.ip.daddr", "reply.ip.saddr", "reply.ip.daddr", "arp.saddr", "arp.daddr"}

func TestIP2BIN(t *testing.T) {
	for in, want := range map[string]plugintest.Literal{
		"10.9.0.2":         "0x00000000000000000000ffff0a090002",
		"::ffff:10.9.0.2":  "0x00000000000000000000ffff0a090002",
		"2001:db8::abcd:1": "0x20010db80000000000000000abcd0001",
		"::":               "0x00000000000000000000000000000000",
	} {
		for _, name := range names {
			got := plugintest.Filter(t, "IP2BIN", nil, plugintest.Event{name: netip.MustParseAddr(in)})[0]
			delete(got, name)
			if diff := cmp.Diff(plugintest.Event{name + ".bin": want}, got); diff != "" {
				t.Errorf("%s=%s (-want +got):\n%s", name, in, diff)
			}
		}
	}
	if got := plugintest.Filter(t, "IP2BIN", nil, plugintest.Event{}); len(got) != 1 || len(got[0]) != 0 {
		t.Errorf("without addresses: %v", got)
	}
}
