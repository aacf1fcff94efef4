package generator

import (
	"encoding/binary"
	"math/rand/v2"

	"golang.org/x/sys/unix"
)

// poolSize is how many different packets there are: enough that no processor
// learns the sequence.
const poolSize = 4096

// Packets returns n IPv4 packets of 40 to 120 bytes, 40 % TCP, 40 % UDP and
// 20 % ICMP, from addresses in 10.0.0.0/8 to addresses in 127.0.0.0/24, with
// many different ports. The kernel fills in the header checksums.
func Packets(seed uint64, n int) [][]byte {
	rnd := rand.New(rand.NewPCG(seed, 0x6e666c6f67))
	packets := make([][]byte, n)
	for i := range packets {
		packets[i] = packet(rnd)
	}
	return packets
}

func packet(rnd *rand.Rand) []byte {
	b := make([]byte, 40+rnd.IntN(81))
	for i := 28; i < len(b); i++ {
		b[i] = byte(rnd.Uint32())
	}
	b[0], b[8] = 0x45, 64
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	binary.BigEndian.PutUint16(b[4:], uint16(1+rnd.IntN(0xffff)))
	copy(b[12:], []byte{10, byte(rnd.Uint32()), byte(rnd.Uint32()), byte(1 + rnd.IntN(254))})
	copy(b[16:], []byte{127, 0, 0, byte(1 + rnd.IntN(254))})
	b[9] = load(rnd, b[20:])
	return b
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
