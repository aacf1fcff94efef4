package oprint

import (
	"slices"
	"strings"

	"github.com/ulogd-go/ulogd/pkg/event"
)

// firstKeys are the keys that the plugin BASE of ulogd 1.x registers, in its order
// (reference page "ulogd1", section 4.2). What behind them is not of 1.x has values
// with IPv6 only, which 1.x never saw.
var firstKeys = strings.Fields(`raw.mac raw.pkt raw.pktlen oob.prefix oob.time.sec oob.time.usec oob.mark oob.in oob.out
	ip.saddr ip.daddr ip.protocol ip.tos ip.ttl ip.totlen ip.ihl ip.csum ip.id ip.fragoff
	tcp.sport tcp.dport tcp.seq tcp.ackseq tcp.offset tcp.reserved tcp.window tcp.urg tcp.urgp
	tcp.ack tcp.psh tcp.rst tcp.syn tcp.fin tcp.res1 tcp.res2 tcp.csum
	icmp.type icmp.code icmp.echoid icmp.echoseq icmp.gateway icmp.fragmtu icmp.csum
	udp.sport udp.dport udp.len udp.csum ahesp.spi
	ip6.payloadlen ip6.priority ip6.flowlabel ip6.hoplimit ip6.nexthdr ip6.fragoff ip6.fragid
	icmpv6.type icmpv6.code icmpv6.echoid icmpv6.echoseq icmpv6.csum`)

// firstOrder picks the keys of ulogd 1.x, and puts the last one first. Those of other
// interpreters than BASE stand where they are in the stack.
func firstOrder(all []event.Bound) []event.Bound {
	var keys []event.Bound
	based := false
	for _, k := range all {
		switch {
		case strings.HasPrefix(k.Name, "local.") || strings.HasPrefix(k.Name, "pwsniff."):
			keys = append(keys, k)
		case !based && strings.HasPrefix(k.Name, "ip."):
			based = true
			for _, name := range firstKeys {
				if i := slices.IndexFunc(all, func(k event.Bound) bool { return k.Name == name }); i >= 0 {
					keys = append(keys, all[i])
				}
			}
		}
	}
	slices.Reverse(keys)
	return keys
}

// appendFirst appends a value as ulogd 1.x does: the link-layer header as a text, and
// nothing of the packet.
func (c *column) appendFirst(dst []byte, b *event.Batch, v event.Value) []byte {
	if c.mac && v.K == event.Raw {
		dst = event.AppendMAC(dst, b.Bytes(v))
	} else {
		dst, _ = b.AppendText(dst, v)
	}
	return append(dst, '\n')
}
