package torture

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ulogd-go/ulogd/contrib/lab"
)

// firewall is a namespace that logs numbered packets to group 1.
type firewall struct {
	ns   *lab.NS
	hits *lab.Counter
	sent uint32 // number of the next packet
}

func newFirewall(t *testing.T) *firewall {
	t.Helper()
	f := &firewall{ns: lab.Test(t)}
	var err error
	f.hits, err = f.ns.Log(lab.Rule{Family: "ip", Hook: "prerouting", Priority: -300, Protocol: unix.IPPROTO_UDP, Groups: []uint16{1}, Prefix: "numbered", Verdict: "drop"})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// send sends n packets, whose source addresses are their numbers: 10.0.0.0 and on.
func (f *firewall) send(t *testing.T, n int) {
	t.Helper()
	frames := make([][]byte, n)
	for i := range frames {
		frames[i] = frame(f.sent)
		f.sent++
	}
	if err := f.ns.SendFrames("lo", frames...); err != nil {
		t.Fatal(err)
	}
}

// frame is a UDP packet as the loopback device has it.
func frame(number uint32) []byte {
	b := make([]byte, 14+20+8)
	binary.BigEndian.PutUint16(b[12:], unix.ETH_P_IP)
	ip := b[14:]
	ip[0], ip[8], ip[9] = 0x45, 64, unix.IPPROTO_UDP
	binary.BigEndian.PutUint16(ip[2:], 28)
	binary.BigEndian.PutUint32(ip[12:], 10<<24|number)
	copy(ip[16:], []byte{198, 18, 0, 1})
	binary.BigEndian.PutUint16(ip[10:], checksum(ip[:20]))
	binary.BigEndian.PutUint16(ip[20:], 1024)
	binary.BigEndian.PutUint16(ip[22:], 53)
	binary.BigEndian.PutUint16(ip[24:], 8)
	return b
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

// flood sends packets in bursts of random size until stop is closed. The result
// is closed when it has ended.
func (f *firewall) flood(t *testing.T, rnd *rand.Rand, perSecond int, stop <-chan struct{}) (done chan struct{}) {
	done = make(chan struct{})
	begin, sent := time.Now(), 0
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			case <-time.After(time.Duration(rnd.IntN(20)) * time.Millisecond):
			}
			if n := int(time.Since(begin).Seconds()*float64(perSecond)) - sent; n > 0 {
				f.send(t, n)
				sent += n
			}
		}
	}()
	return done
}
