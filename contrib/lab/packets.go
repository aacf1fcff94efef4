package lab

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"

	"golang.org/x/sys/unix"
)

// Maker makes random Ethernet frames with IPv4, IPv6, ARP and other packets
// inside. The same seed and settings give the same frames in the same order.
// It is for one goroutine.
type Maker struct {
	Dst, Src  [6]byte // Ethernet addresses of every frame
	VLAN      int     // percentage of frames with one or two VLAN tags
	Malformed int     // percentage of frames that are cut, or lie about lengths

	rnd *rand.Rand
	bad bool // whether the frame in the making is to be malformed
}

// Packets returns a Maker whose frames go from 02:00:00:00:be:ef to
// 02:00:00:00:00:0a, without VLAN tags, a quarter of them malformed.
func Packets(seed uint64) *Maker {
	return &Maker{
		Dst: [6]byte{2, 0, 0, 0, 0, 0x0a}, Src: [6]byte{2, 0, 0, 0, 0xbe, 0xef},
		Malformed: 25, rnd: rand.New(rand.NewPCG(seed, 0x756c6f6764)),
	}
}

// Frames returns the next n frames.
func (m *Maker) Frames(n int) [][]byte {
	frames := make([][]byte, n)
	for i := range frames {
		frames[i] = m.Frame()
	}
	return frames
}

// Frame returns the next frame, from the destination address on, without
// padding and checksum: at least 14 and at most some 400 bytes.
func (m *Maker) Frame() []byte {
	m.bad = m.chance(m.Malformed)
	frame := append(m.Dst[:len(m.Dst):len(m.Dst)], m.Src[:]...)
	if m.chance(m.VLAN) {
		frame = m.tags(frame)
	}
	header := len(frame) + 2
	etherType, packet := m.packet()
	frame = append(be16(frame, etherType), packet...)
	if m.bad && m.chance(40) {
		frame = frame[:header+m.rnd.IntN(len(frame)-header+1)]
	}
	return frame
}

func (m *Maker) packet() (etherType uint16, packet []byte) {
	switch n := m.rnd.IntN(100); {
	case n < 55:
		return unix.ETH_P_IP, m.ip4()
	case n < 86:
		return unix.ETH_P_IPV6, m.ip6()
	case n < 96:
		return unix.ETH_P_ARP, m.arp()
	}
	return pick(m, uint16(unix.ETH_P_LOOP), 0x88cc, 0x8847, 0x22f3), m.bytes(m.rnd.IntN(60))
}

// tags appends one IEEE 802.1Q tag, or two as in 802.1ad.
func (m *Maker) tags(b []byte) []byte {
	if m.chance(20) {
		b = be16(be16(b, unix.ETH_P_8021AD), uint16(m.rnd.Uint32()))
	}
	return be16(be16(b, unix.ETH_P_8021Q), uint16(m.rnd.Uint32()))
}

// ip4 is an IPv4 packet (RFC 791).
func (m *Maker) ip4() []byte {
	src, dst := m.addr4(), m.addr4()
	proto, load := m.transport(src, dst)
	options := m.options4()
	total := 20 + len(options) + len(load)
	head := []byte{0x40 | byte(5+len(options)/4), m.tos()}
	head = be16(be16(head, m.lie(total)), uint16(m.rnd.Uint32()))
	head = be16(head, m.fragment4())
	head = be16(append(head, m.hops(), proto), 0)
	head = append(append(append(head, src.AsSlice()...), dst.AsSlice()...), options...)
	if m.bad && m.chance(10) {
		head[0] = byte(m.rnd.Uint32())
	}
	sum := checksum(0, head)
	if m.bad && m.chance(10) {
		sum++
	}
	binary.BigEndian.PutUint16(head[10:], sum)
	return append(head, load...)
}

// fragment4 is mostly 0 or "don't fragment", sometimes anything.
func (m *Maker) fragment4() uint16 {
	switch n := m.rnd.IntN(100); {
	case n < 45:
		return 0
	case n < 85:
		return 0x4000
	case n < 95:
		return 0x2000 | uint16(m.rnd.IntN(200))
	}
	return uint16(m.rnd.Uint32())
}

// options4 are IPv4 options: none, no-operations, record route, time stamp,
// router alert, or a mix that is not well-formed.
func (m *Maker) options4() []byte {
	if !m.chance(15) {
		return nil
	}
	switch m.rnd.IntN(5) {
	case 0:
		return repeat(1, 4*(1+m.rnd.IntN(10)))
	case 1:
		return append([]byte{7, 11, 4}, make([]byte, 9)...)
	case 2:
		return append([]byte{0x44, 12, 5, 0}, make([]byte, 8)...)
	case 3:
		return []byte{0x94, 4, 0, 0}
	}
	if m.bad {
		return m.bytes(4 * (1 + m.rnd.IntN(10)))
	}
	return []byte{1, 1, 1, 0}
}

// ip6 is an IPv6 packet (RFC 8200), a third of them with extension headers.
func (m *Maker) ip6() []byte {
	src, dst := m.addr6(), m.addr6()
	next, load := m.transport(src, dst)
	if m.chance(35) {
		next, load = m.extend(next, load)
	}
	b := be32(nil, 6<<28|uint32(m.tos())<<20|m.rnd.Uint32N(1<<20))
	if m.chance(40) {
		b[1], b[2], b[3] = b[1]&0xf0, 0, 0
	}
	b = append(be16(b, m.lie(len(load))), next, m.hops())
	b = append(append(b, src.AsSlice()...), dst.AsSlice()...)
	return append(b, load...)
}

// extend puts one to three extension headers before the payload, in the order
// in which RFC 8200 wants them.
func (m *Maker) extend(next byte, load []byte) (byte, []byte) {
	if m.chance(25) {
		load = append(append([]byte{next, 4, 0, 0}, m.bytes(8)...), append(m.bytes(12), load...)...)
		next = unix.IPPROTO_AH
	}
	if m.chance(35) {
		load = append(m.fragment6(next), load...)
		next = unix.IPPROTO_FRAGMENT
	}
	if m.chance(25) {
		load = append(append([]byte{next, 2, 4, 0, 0, 0, 0, 0}, m.addr6().AsSlice()...), load...)
		next = unix.IPPROTO_ROUTING
	}
	if m.chance(40) {
		load = append(m.padding6(next), load...)
		next = unix.IPPROTO_DSTOPTS
	}
	if m.chance(25) {
		load = append(m.padding6(next), load...)
		next = unix.IPPROTO_HOPOPTS
	}
	return next, load
}

// fragment6 is a first, a later, an atomic fragment header, or a random one.
func (m *Maker) fragment6(next byte) []byte {
	place := pick(m, uint16(1), 185<<3|1, 370<<3, 0, uint16(m.rnd.Uint32()))
	return be32(be16([]byte{next, 0}, place), m.rnd.Uint32())
}

// padding6 is an options header of 8 to 32 bytes with one PadN option; in a
// malformed packet its length may point beyond the end.
func (m *Maker) padding6(next byte) []byte {
	units := m.rnd.IntN(4)
	b := append([]byte{next, byte(units), 1, byte(8*units + 4)}, make([]byte, 8*units+4)...)
	if m.bad && m.chance(20) {
		b[1] = byte(m.rnd.Uint32())
	}
	return b
}

// arp is an ARP packet (RFC 826): mostly requests and replies.
func (m *Maker) arp() []byte {
	op := pick(m, uint16(1), 1, 1, 2, 2, 2, 3, 8, 10, uint16(m.rnd.Uint32()))
	b := []byte{0, 1, 8, 0, 6, 4}
	if m.bad && m.chance(50) {
		b = m.bytes(6)
	}
	b = append(append(be16(b, op), m.Src[:]...), m.addr4().AsSlice()...)
	return append(append(b, m.bytes(6)...), m.addr4().AsSlice()...)
}

// lie is a length field: the truth, unless the frame is malformed.
func (m *Maker) lie(truth int) uint16 {
	if !m.bad || !m.chance(30) {
		return uint16(truth)
	}
	return pick(m, uint16(0), 1, uint16(max(truth-1, 0)), uint16(truth+1), uint16(m.rnd.IntN(truth+40)), uint16(m.rnd.Uint32()))
}

// addr4 is an address that a kernel takes for a source as well.
func (m *Maker) addr4() netip.Addr {
	return netip.AddrFrom4([4]byte{pick(m, byte(10), 172, 192, 198, 203), byte(m.rnd.Uint32()), byte(m.rnd.Uint32()), byte(1 + m.rnd.IntN(254))})
}

// addr6 has runs of zeros here and there, to try the shortening of its text.
func (m *Maker) addr6() netip.Addr {
	a := [16]byte{0x20, 0x01, 0x0d, 0xb8}
	for i := 4; i < 16; i += 2 {
		if m.chance(50) {
			binary.BigEndian.PutUint16(a[i:], uint16(m.rnd.Uint32()))
		}
	}
	a[15] |= 1
	return netip.AddrFrom16(a)
}

func (m *Maker) tos() byte  { return pick(m, byte(0), 0, 0, 0x10, 0xb8, byte(m.rnd.Uint32())) }
func (m *Maker) hops() byte { return pick(m, byte(64), 64, 128, 255, byte(1+m.rnd.IntN(255))) }

// chance is true in percent out of a hundred cases.
func (m *Maker) chance(percent int) bool { return m.rnd.IntN(100) < percent }

func (m *Maker) bytes(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(m.rnd.Uint32())
	}
	return b
}

func pick[T any](m *Maker, from ...T) T { return from[m.rnd.IntN(len(from))] }

func repeat(value byte, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = value
	}
	return b
}

func be16(b []byte, v uint16) []byte { return binary.BigEndian.AppendUint16(b, v) }
func be32(b []byte, v uint32) []byte { return binary.BigEndian.AppendUint32(b, v) }

// checksum is the Internet checksum (RFC 1071) of data and what sum already holds.
func checksum(sum uint32, data []byte) uint16 {
	sum = addWords(sum, data)
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}

func addWords(sum uint32, data []byte) uint32 {
	for ; len(data) > 1; data = data[2:] {
		sum += uint32(binary.BigEndian.Uint16(data))
	}
	if len(data) == 1 {
		sum += uint32(data[0]) << 8
	}
	return sum
}
