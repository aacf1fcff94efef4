package ipfix

import (
	"maps"
	"net/netip"

	"github.com/ulogd-go/ulogd/pkg/event"
	"github.com/ulogd-go/ulogd/pkg/plugintest"
)

// keyList are the keys of a source of flows.
var keyList = func() (list []event.Key) {
	add := func(kind event.Kind, names ...string) {
		for _, name := range names {
			list = append(list, event.Key{Name: name, Kind: kind})
		}
	}
	for _, dir := range []string{"orig.", "reply."} {
		add(event.Addr, dir+"ip.saddr", dir+"ip.daddr")
		add(event.U8, dir+"ip.protocol")
		add(event.U16, dir+"l4.sport", dir+"l4.dport")
		add(event.U64, dir+"raw.pktlen", dir+"raw.pktcount")
	}
	add(event.U8, "icmp.code", "icmp.type", "icmpv6.code", "icmpv6.type")
	add(event.U32, "ct.mark", "ct.id", "ct.event", "flow.start.sec", "flow.start.usec", "flow.end.sec", "flow.end.usec")
	return list
}()

var addr = netip.MustParseAddr

// translated is a connection whose source was translated.
var translated = plugintest.Event{
	"orig.ip.saddr": addr("192.0.2.2"), "orig.ip.daddr": addr("198.51.100.1"), "orig.ip.protocol": 6,
	"orig.l4.sport": 40000, "orig.l4.dport": 8080, "orig.raw.pktlen": 5 << 32, "orig.raw.pktcount": 6,
	"reply.ip.saddr": addr("198.51.100.1"), "reply.ip.daddr": addr("203.0.113.9"), "reply.ip.protocol": 6,
	"reply.l4.sport": 8080, "reply.l4.dport": 50000, "reply.raw.pktlen": 221, "reply.raw.pktcount": 4,
	"ct.mark": 42, "ct.id": 447838711, "ct.event": 4,
	"flow.start.sec": 1795421690, "flow.start.usec": 801459, "flow.end.sec": 1795421692, "flow.end.usec": 100999,
}

// with is an event with other values.
func with(e, other plugintest.Event) plugintest.Event {
	e = maps.Clone(e)
	maps.Copy(e, other)
	return e
}

// ping is an echo request over IPv4, which has just begun.
var ping = plugintest.Event{
	"orig.ip.saddr": addr("192.0.2.2"), "orig.ip.daddr": addr("192.0.2.1"), "orig.ip.protocol": 1, "orig.raw.pktlen": 0, "orig.raw.pktcount": 0,
	"reply.ip.saddr": addr("192.0.2.1"), "reply.ip.daddr": addr("192.0.2.2"), "reply.ip.protocol": 1, "reply.raw.pktlen": 0, "reply.raw.pktcount": 0,
	"icmp.type": 8, "icmp.code": 0, "ct.mark": 0, "ct.id": 1214506113, "ct.event": 1,
	"flow.start.sec": 1795421690, "flow.start.usec": 801459,
}

// v6 is a flow of UDP over IPv6.
var v6 = plugintest.Event{
	"orig.ip.saddr": addr("2001:db8::2"), "orig.ip.daddr": addr("2001:db8::1"), "orig.ip.protocol": 17,
	"orig.l4.sport": 1111, "orig.l4.dport": 9, "orig.raw.pktlen": 49, "orig.raw.pktcount": 1,
	"reply.ip.saddr": addr("2001:db8::1"), "reply.ip.daddr": addr("2001:db8::2"), "reply.ip.protocol": 17,
	"reply.l4.sport": 9, "reply.l4.dport": 1111, "reply.raw.pktlen": 0, "reply.raw.pktcount": 0,
	"ct.mark": 43, "ct.id": 231050100, "ct.event": 4,
	"flow.start.sec": 1795421690, "flow.start.usec": 5, "flow.end.sec": 1795421692, "flow.end.usec": 6,
}
