// Package packet decodes network and transport headers into events: IPv4, IPv6
// and its extension headers, TCP, UDP, ICMP, ICMPv6, SCTP, AH, ESP and ARP.
//
// Each header is a table of its fields, which is at once their declaration as
// keys, their documentation and their decoder. Fields that nobody reads are cut
// out of the tables once, at start.
package packet

import (
	"encoding/binary"

	"github.com/ulogd-go/ulogd/pkg/event"
)

// header is a group of fields that are valid together.
type header uint8

const (
	ipv4 header = iota
	ipv6
	ip6Fragment
	tcp
	tcpUrgent
	udp
	sctp
	icmp
	icmpEcho
	icmpGateway
	icmpMTU
	icmp6
	icmp6Echo
	ahesp
	arp
	headers
)

// load is how a field is read.
type load uint8

const (
	u8     load = iota
	u16         // in network byte order
	u32         // in network byte order
	host16      // as it lies in memory: what ulogd never converted
	ip4
	ip6
	mac6 // 6 bytes
	zero // 0 whatever the packet holds
)

// field is where a value lies in a header.
type field struct {
	off   uint8
	load  load
	shift uint8
	mask  uint32 // zero means all bits
	kind  event.Kind
	slot  *event.Slot
}

// bound is a field that somebody reads.
type bound struct {
	field
	slot event.Slot
}

func (f *bound) store(b *event.Batch, e event.Event, pos int) {
	data := b.Buf[pos+int(f.off):]
	var v uint64
	switch f.load {
	case u8:
		v = uint64(data[0])
	case u16:
		v = uint64(binary.BigEndian.Uint16(data))
	case u32, ip4:
		v = uint64(binary.BigEndian.Uint32(data))
	case host16:
		v = uint64(binary.NativeEndian.Uint16(data))
	case ip6:
		v = event.Ref(pos+int(f.off), 16)
	case mac6:
		v = event.Ref(pos+int(f.off), 6)
	}
	if f.mask != 0 {
		v = v >> f.shift & uint64(f.mask)
	}
	e[f.slot] = event.Value{V: v, K: f.kind}
}

// sizes are the bytes that each way of reading looks at.
var sizes = [...]int{u8: 1, u16: 2, u32: 4, host16: 2, ip4: 4, ip6: 16, mac6: 6, zero: 0}

// within tells whether all of the field is in what is left of the packet, of which
// its header is the beginning.
func (f *bound) within(s span) bool { return int(f.off)+sizes[f.load] <= s.len() }

// declare declares the keys in ulogd's order, and gathers each header's fields.
func (d *Decoder) declare(b *event.Binder) {
	key := func(name string, kind event.Kind, doc string, ipfix uint16, at ...place) {
		slot := new(event.Slot)
		k := event.Key{Name: name, Kind: kind, Doc: doc, IPFIX: event.Field{ID: ipfix}, JSON: jsonNames[name]}
		b.Out(slot, k)
		for _, p := range at {
			p.slot, p.kind = slot, kind
			if p.load == ip6 {
				p.kind = event.IP6
			}
			d.declared[p.header] = append(d.declared[p.header], p.field)
		}
	}
	// set is a key that is no copy of a field.
	set := func(slot *event.Slot, name string, kind event.Kind, doc string, ipfix uint16) {
		b.Out(slot, event.Key{Name: name, Kind: kind, Doc: doc, IPFIX: event.Field{ID: ipfix}})
	}
	offset, reserved, csum := zero, zero, host16
	if !d.Compat {
		offset, reserved, csum = u8, u8, u16
	}

	key("ip.saddr", event.Addr, "source address", 8, at(ipv4, 12, ip4), at(ipv6, 8, ip6))
	key("ip.daddr", event.Addr, "destination address", 12, at(ipv4, 16, ip4), at(ipv6, 24, ip6))
	set(&d.protocol, "ip.protocol", event.U8, "transport protocol; not set for IPv6 fragments but the first", 4)
	key("ip.tos", event.U8, "type of service", 5, at(ipv4, 1, u8))
	key("ip.ttl", event.U8, "time to live", 192, at(ipv4, 8, u8))
	key("ip.totlen", event.U16, "total length as the header says", 190, at(ipv4, 2, u16))
	key("ip.ihl", event.U8, "header length in 32-bit words", 207, at(ipv4, 0, u8).bits(0, 15))
	key("ip.csum", event.U16, "header checksum", 0, at(ipv4, 10, u16))
	key("ip.id", event.U16, "identification", 54, at(ipv4, 4, u16))
	key("ip.fragoff", event.U16, "the 16 bits of flags and fragment offset", 88, at(ipv4, 6, u16))
	key("ip6.payloadlen", event.U16, "payload length as the header says", 191, at(ipv6, 4, u16))
	key("ip6.priority", event.U8, "traffic class", 0, at(ipv6, 0, u16).bits(4, 0xff))
	key("ip6.flowlabel", event.U32, "flow label", 31, at(ipv6, 0, u32).bits(0, 0xfffff))
	key("ip6.hoplimit", event.U8, "hop limit", 0, at(ipv6, 7, u8))
	set(&d.nexthdr, "ip6.nexthdr", event.U8, "number of the last header reached", 193)
	key("ip6.fragoff", event.U16, "fragment offset in bytes", 0, at(ip6Fragment, 2, u16).bits(0, 0xfff8))
	key("ip6.fragid", event.U32, "fragment identification", 0, at(ip6Fragment, 4, u32))

	key("tcp.sport", event.U16, "source port", 182, at(tcp, 0, u16))
	key("tcp.dport", event.U16, "destination port", 183, at(tcp, 2, u16))
	key("tcp.seq", event.U32, "sequence number", 184, at(tcp, 4, u32))
	key("tcp.ackseq", event.U32, "acknowledgement number", 185, at(tcp, 8, u32))
	key("tcp.window", event.U16, "window", 186, at(tcp, 14, u16))
	key("tcp.offset", event.U8, "header length in 32-bit words; 0 with compat", 0, at(tcp, 12, offset).bits(4, 15))
	key("tcp.reserved", event.U8, "reserved bits; 0 with compat", 0, at(tcp, 12, reserved).bits(0, 15))
	key("tcp.urg", event.Bool, "flag URG", 0, at(tcp, 13, u8).bits(5, 1))
	key("tcp.urgp", event.U16, "urgent pointer, if URG is set", 187, at(tcpUrgent, 18, u16))
	key("tcp.ack", event.Bool, "flag ACK", 0, at(tcp, 13, u8).bits(4, 1))
	key("tcp.psh", event.Bool, "flag PSH", 0, at(tcp, 13, u8).bits(3, 1))
	key("tcp.rst", event.Bool, "flag RST", 0, at(tcp, 13, u8).bits(2, 1))
	key("tcp.syn", event.Bool, "flag SYN", 0, at(tcp, 13, u8).bits(1, 1))
	key("tcp.fin", event.Bool, "flag FIN", 0, at(tcp, 13, u8).bits(0, 1))
	key("tcp.res1", event.Bool, "the 4 reserved bits, 0 to 15", 0, at(tcp, 12, u8).bits(0, 15))
	key("tcp.res2", event.Bool, "ECE (1) and CWR (2)", 0, at(tcp, 13, u8).bits(6, 3))
	key("tcp.csum", event.U16, "checksum", 0, at(tcp, 16, u16))

	key("udp.sport", event.U16, "source port", 180, at(udp, 0, u16))
	key("udp.dport", event.U16, "destination port", 181, at(udp, 2, u16))
	key("udp.len", event.U16, "length as the header says", 0, at(udp, 4, u16))
	key("udp.csum", event.U16, "checksum", 0, at(udp, 6, u16))

	key("icmp.type", event.U8, "ICMP type", 176, at(icmp, 0, u8))
	key("icmp.code", event.U8, "ICMP code", 177, at(icmp, 1, u8))
	key("icmp.echoid", event.U16, "identifier of an echo", 0, at(icmpEcho, 4, u16))
	key("icmp.echoseq", event.U16, "sequence number of an echo", 0, at(icmpEcho, 6, u16))
	key("icmp.gateway", event.Addr, "bytes 4 to 7 of types 5 and 12", 0, at(icmpGateway, 4, ip4))
	key("icmp.fragmtu", event.U16, "MTU of type 3 code 4", 0, at(icmpMTU, 6, u16))
	key("icmp.csum", event.U16, "checksum; with compat in the order of memory", 0, at(icmp, 2, csum))

	key("icmpv6.type", event.U8, "ICMPv6 type", 178, at(icmp6, 0, u8))
	key("icmpv6.code", event.U8, "ICMPv6 code", 179, at(icmp6, 1, u8))
	key("icmpv6.echoid", event.U16, "identifier of an echo", 0, at(icmp6Echo, 4, u16))
	key("icmpv6.echoseq", event.U16, "sequence number of an echo", 0, at(icmp6Echo, 6, u16))
	key("icmpv6.csum", event.U16, "checksum; with compat in the order of memory", 0, at(icmp6, 2, csum))

	set(&d.spi, "ahesp.spi", event.U32, "security parameter index of AH and ESP; never with compat", 0)
	set(&d.oobProtocol, "oob.protocol", event.U16, "EtherType, a copy of the source's", 0)

	key("arp.hwtype", event.U16, "type of hardware address", 0, at(arp, 0, u16))
	key("arp.protocoltype", event.U16, "type of protocol address", 0, at(arp, 2, u16))
	key("arp.operation", event.U16, "1 request, 2 reply", 0, at(arp, 6, u16))
	key("arp.shwaddr", event.Raw, "sender hardware address", 0, at(arp, 8, mac6))
	key("arp.saddr", event.Addr, "sender protocol address", 0, at(arp, 14, ip4))
	key("arp.dhwaddr", event.Raw, "target hardware address", 0, at(arp, 18, mac6))
	key("arp.daddr", event.Addr, "target protocol address", 0, at(arp, 24, ip4))

	key("sctp.sport", event.U16, "source port", 0, at(sctp, 0, u16))
	key("sctp.dport", event.U16, "destination port", 0, at(sctp, 2, u16))
	key("sctp.csum", event.U32, "checksum", 0, at(sctp, 8, u32))
}

// jsonNames are the keys that JSON calls by another name.
var jsonNames = map[string]string{
	"tcp.sport": "src_port", "udp.sport": "src_port", "sctp.sport": "src_port",
	"tcp.dport": "dest_port", "udp.dport": "dest_port", "sctp.dport": "dest_port",
}

// place is a field of a certain header.
type place struct {
	field
	header header
}

func at(h header, off uint8, l load) place { return place{field{off: off, load: l}, h} }

// bits narrows the field to the bits of mask, after a shift to the right.
func (p place) bits(shift uint8, mask uint32) place {
	p.shift, p.mask = shift, mask
	return p
}
