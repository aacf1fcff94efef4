package generator

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"

	"golang.org/x/sys/unix"
)

// poolSize is how many different packets there are: enough that no processor
// learns the sequence.
const poolSize = 4096

// local are the addresses that packets go to: the network for benchmarks of
// RFC 2544.
var local = netip.MustParsePrefix("198.18.0.1/15")

// Frames returns n Ethernet frames as the loopback device has them, with
// addresses of zero, and in them IPv4 packets of 40 to 120 bytes: 40 % TCP,
// 40 % UDP and 20 % ICMP, from anywhere in 10.0.0.0/8 to anywhere in
// 198.18.0.0/15, with many different ports. Only the checksums of the IP
// headers are right, since nothing looks at the others.
func Frames(seed uint64, n int) [][]byte {
	rnd := rand.New(rand.NewPCG(seed, 0x6e666c6f67))
	frames := make([][]byte, n)
	for i := range frames {
		frames[i] = make([]byte, headerLen+40+rnd.IntN(81))
		binary.BigEndian.PutUint16(frames[i][12:], unix.ETH_P_IP)
		packet(rnd, frames[i][headerLen:])
	}
	return frames
}

// headerLen is the size of an Ethernet header.
const headerLen = 14

func packet(rnd *rand.Rand, b []byte) {
	for i := 28; i < len(b); i++ {
		b[i] = byte(rnd.Uint32())
	}
	b[0], b[8] = 0x45, 64
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	binary.BigEndian.PutUint16(b[4:], uint16(rnd.Uint32()))
	copy(b[12:], []byte{10, byte(rnd.Uint32()), byte(rnd.Uint32()), byte(1 + rnd.IntN(254))})
	copy(b[16:], []byte{198, 18 + byte(rnd.IntN(2)), byte(rnd.Uint32()), byte(1 + rnd.IntN(254))})
	b[9] = load(rnd, b[20:])
	binary.BigEndian.PutUint16(b[10:], checksum(b[:20]))
}

// checksum is the Internet checksum of a header (RFC 1071).
func checksum(header []byte) uint16 {
	var sum uint32
	for i := 0; i < len(header); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(header[i:]))
	}
	sum = sum&0xffff + sum>>16
	return ^uint16(sum + sum>>16)
}

// load writes a transport header and returns its protocol number.
func load(rnd *rand.Rand, b []byte) (proto byte) {
	binary.BigEndian.PutUint16(b, uint16(1024+rnd.IntN(64000)))
	binary.BigEndian.PutUint16(b[2:], uint16(1+rnd.IntN(65535)))
	switch n := rnd.IntN(100); {
	case n < 40:
		binary.BigEndian.PutUint32(b[4:], rnd.Uint32())
		b[12], b[13] = 5<<4, []byte{0x02, 0x12, 0x10, 0x18, 0x11, 0x04}[rnd.IntN(6)]
		return unix.IPPROTO_TCP
	case n < 80:
		binary.BigEndian.PutUint16(b[4:], uint16(len(b)))
		return unix.IPPROTO_UDP
	}
	b[0], b[1] = 8, 0
	binary.BigEndian.PutUint32(b[4:], rnd.Uint32())
	return unix.IPPROTO_ICMP
}
