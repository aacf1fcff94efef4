package ip2hbin_test

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ulogd-go/ulogd/pkg/plugintest"
	_ "github.com/ulogd-go/ulogd/plugins/filter/ip2hbin"
)

func TestIP2HBIN(t *testing.T) {
	names := map[string]string{
		"ip.saddr": "ip.hsaddr", "ip.daddr": "ip.hdaddr", "orig.ip.saddr": "orig.ip.hsaddr", "orig.ip.daddr": "orig.ip.hdaddr",
		"reply.ip.saddr": "reply.ip.hsaddr", "reply.ip.daddr": "reply.ip.hdaddr", "arp.saddr": "arp.hsaddr", "arp.daddr": "arp.hdaddr",
	}
	for in, want := range map[string]string{"10.9.0.2": "2.0.9.10", "0.0.0.0": "0.0.0.0", "2001:db8::1": "2001:db8::1"} {
		for name, out := range names {
			got := plugintest.Filter(t, "IP2HBIN", nil, plugintest.Event{name: netip.MustParseAddr(in)})[0]
			delete(got, name)
			if diff := cmp.Diff(plugintest.Event{out: netip.MustParseAddr(want)}, got, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
				t.Errorf("%s=%s (-want +got):\n%s", name, in, diff)
			}
		}
	}
	if got := plugintest.Filter(t, "IP2HBIN", nil, plugintest.Event{}); len(got) != 1 || len(got[0]) != 0 {
		t.Errorf("without addresses: %v", got)
	}
}
