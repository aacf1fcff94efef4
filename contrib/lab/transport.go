package lab

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"
)

// transport is what an IP packet carries, and its protocol number.
func (m *Maker) transport(src, dst netip.Addr) (proto byte, load []byte) {
	switch n := m.rnd.IntN(100); {
	case n < 32:
		return unix.IPPROTO_TCP, m.tcp(src, dst)
	case n < 56:
		return unix.IPPROTO_UDP, m.udp(src, dst)
	case n < 76:
		return m.icmp(src, dst)
	case n < 81:
		return unix.IPPROTO_SCTP, m.sctp()
	case n < 85:
		return unix.IPPROTO_ESP, m.bytes(8 + m.rnd.IntN(40))
	case n < 89:
		return unix.IPPROTO_AH, m.ah(src, dst)
	case n < 93:
		return unix.IPPROTO_GRE, m.gre()
	case n < 96:
		return unix.IPPROTO_IGMP, m.igmp()
	case n < 98:
		return unix.IPPROTO_UDPLITE, m.udp(src, dst)
	}
	// OSPF, PIM, VRRP, or a number that nobody has assigned.
	return pick(m, byte(89), 103, 112, byte(150+m.rnd.IntN(100))), m.bytes(m.rnd.IntN(40))
}

// tcp is a TCP segment (RFC 9293) with likely and unlikely flags.
func (m *Maker) tcp(src, dst netip.Addr) []byte {
	options := m.optionsTCP()
	flags := pick(m, byte(0x02), 0x12, 0x10, 0x18, 0x11, 0x04, 0x14, byte(m.rnd.Uint32()))
	offset := byte(5+len(options)/4) << 4
	if m.chance(10) {
		offset |= byte(m.rnd.IntN(16))
	}
	if m.bad && m.chance(20) {
		offset = byte(m.rnd.Uint32())
	}
	b := be32(be32(m.ports(), m.number()), m.number())
	b = be16(append(b, offset, flags), uint16(m.rnd.Uint32()))
	b = be16(be16(b, 0), pick(m, 0, 0, 0, uint16(m.rnd.Uint32())))
	b = append(append(b, options...), m.bytes(pick(m, 0, 0, m.rnd.IntN(200)))...)
	return m.seal(b, 16, src, dst, unix.IPPROTO_TCP)
}

func (m *Maker) optionsTCP() []byte {
	switch m.rnd.IntN(4) {
	case 0:
		return []byte{2, 4, 5, 0xb4}
	case 1:
		return append([]byte{2, 4, 5, 0xb4, 4, 2, 8, 10}, append(m.bytes(8), 1, 3, 3, 7)...)
	}
	if m.bad && m.chance(20) {
		return m.bytes(4 * m.rnd.IntN(11))
	}
	return nil
}

// udp is a UDP datagram (RFC 768), sometimes without a checksum.
func (m *Maker) udp(src, dst netip.Addr) []byte {
	data := m.bytes(m.rnd.IntN(120))
	b := be16(be16(m.ports(), m.lie(8+len(data))), 0)
	b = append(b, data...)
	if src.Is4() && m.chance(10) {
		return b
	}
	return m.seal(b, 6, src, dst, unix.IPPROTO_UDP)
}

// icmp is an ICMP (RFC 792) or ICMPv6 (RFC 4443) message. Errors quote a packet.
func (m *Maker) icmp(src, dst netip.Addr) (proto byte, load []byte) {
	if src.Is4() {
		kind := pick(m, byte(8), 8, 0, 0, 3, 3, 5, 11, 12, 13, 14, 17, byte(m.rnd.Uint32()))
		b := m.message(kind, kind == 3 || kind == 5 || kind == 11 || kind == 12)
		binary.BigEndian.PutUint16(b[2:], checksum(0, b))
		return unix.IPPROTO_ICMP, b
	}
	kind := pick(m, byte(128), 128, 129, 129, 1, 2, 3, 4, 133, 134, 135, 136, 143, byte(m.rnd.Uint32()))
	b := m.message(kind, kind < 128)
	return unix.IPPROTO_ICMPV6, m.seal(b, 2, src, dst, unix.IPPROTO_ICMPV6)
}

func (m *Maker) message(kind byte, quotes bool) []byte {
	b := append([]byte{kind, pick(m, byte(0), 0, 0, 1, 2, 3, 4, 5, 12, byte(m.rnd.Uint32())), 0, 0}, m.bytes(4)...)
	if quotes {
		quoted := m.quote()
		return append(b, quoted[:pick(m, len(quoted), len(quoted), 20, m.rnd.IntN(len(quoted)))]...)
	}
	return append(b, m.bytes(m.rnd.IntN(64))...)
}

// quote is the beginning of an IPv4 packet: header and eight bytes.
func (m *Maker) quote() []byte {
	b := be16([]byte{0x45, 0}, 48)
	b = be16(be16(be16(b, uint16(m.rnd.Uint32())), 0x4000), 0x4011)
	b = append(append(be16(b, 0), m.addr4().AsSlice()...), m.addr4().AsSlice()...)
	binary.BigEndian.PutUint16(b[10:], checksum(0, b))
	return be16(be16(append(b, m.ports()...), 28), 0)
}

// sctp is a common header (RFC 9260), with an INIT chunk or without.
func (m *Maker) sctp() []byte {
	b := append(m.ports(), m.bytes(8)...)
	if m.chance(50) {
		b = append(append(b, 1, 0, 0, 20), m.bytes(16)...)
	}
	return b
}

// ah is an authentication header (RFC 4302) before TCP.
func (m *Maker) ah(src, dst netip.Addr) []byte {
	b := append([]byte{unix.IPPROTO_TCP, 4, 0, 0}, m.bytes(20)...)
	return append(b, m.tcp(src, dst)...)
}

// gre is a GRE header (RFC 2784), some with a key (RFC 2890).
func (m *Maker) gre() []byte {
	if m.chance(50) {
		return append([]byte{0x20, 0, 8, 0}, append(m.bytes(4), m.quote()...)...)
	}
	return append([]byte{0, 0, 8, 0}, m.quote()...)
}

// igmp is an IGMPv2 message (RFC 2236).
func (m *Maker) igmp() []byte {
	b := append([]byte{pick(m, byte(0x11), 0x16, 0x17), 100, 0, 0}, 239, 1, 1, byte(m.rnd.Uint32()))
	binary.BigEndian.PutUint16(b[2:], checksum(0, b))
	return b
}

// ports are a source and a destination port, half of the latter well known.
func (m *Maker) ports() []byte {
	known := pick(m, uint16(22), 25, 53, 80, 123, 443, 5353, 0)
	return be16(be16(nil, uint16(m.rnd.Uint32())), pick(m, known, uint16(m.rnd.Uint32())))
}

// number is a sequence number, often at an end of its range.
func (m *Maker) number() uint32 { return pick(m, 0, 1, 0xffffffff, m.rnd.Uint32(), m.rnd.Uint32()) }

// seal writes the checksum with its pseudo header (RFC 8200, 8.1) at b[at:].
func (m *Maker) seal(b []byte, at int, src, dst netip.Addr, proto uint32) []byte {
	pseudo := addWords(addWords(uint32(len(b))+proto, src.AsSlice()), dst.AsSlice())
	sum := checksum(pseudo, b)
	if sum == 0 {
		sum = 0xffff
	}
	if m.bad && m.chance(10) {
		sum++
	}
	binary.BigEndian.PutUint16(b[at:], sum)
	return b
}
