package all

import (
	"net/netip"
	"testing"

	"github.com/ulogd-go/ulogd/pkg/plugintest"
)

// TestFiltersDoNotAllocate has the filters whose own tests do not look at that.
func TestFiltersDoNotAllocate(t *testing.T) {
	type e = plugintest.Event
	ip4, ip6 := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")
	header, tooLong := make([]byte, 14), make([]byte, 43)
	for name, events := range map[string][]e{
		"BASE":    {{"raw.pkt": make([]byte, 60), "oob.family": uint8(2)}, {"raw.pkt": make([]byte, 60), "oob.family": uint8(10)}},
		"HWHDR":   {{"raw.mac": header, "raw.mac.saddr": header[:6], "raw.type": uint16(1)}, {"raw.mac": tooLong}},
		"IFINDEX": {{"oob.ifindex_in": uint32(1)}},
		"IP2BIN":  {{"ip.saddr": ip4, "ip.daddr": ip6}},
		"IP2HBIN": {{"ip.saddr": ip4, "ip.daddr": ip6}},
		"IP2STR":  {{"ip.saddr": ip4, "ip.daddr": ip6}},
		"MARK":    {{"ct.mark": uint32(1)}, {"oob.mark": uint32(0)}},
		"PRINTPKT": {
			{"oob.family": uint8(2), "ip.protocol": uint8(1), "icmp.type": uint8(8), "icmp.code": uint8(5), "raw.mac": header, "oob.prefix": "drop: "},
			{"oob.family": uint8(10), "ip6.nexthdr": uint8(17), "ip6.fragoff": uint16(0), "ip6.fragid": uint32(7), "udp.sport": uint16(53)},
		},
	} {
		plugintest.Allocs(t, name, nil, nil, events...)
	}
}
