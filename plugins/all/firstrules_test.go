package all

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ulogd-go/ulogd/pkg/stamp"
)

// The functions of this file are the rules of reference page "ulogd1", sections 4.2
// and 5, for packets of IPv4, written down once more and without any of the code that
// they test. Corrections are those that the page proposes: what was not delivered is
// 0 or absent, and CE, SPI, checksums and TCP's offset are the real ones.

// logged is a packet as the kernel logged it.
type logged struct {
	family byte
	attrs  map[uint16][]byte
	p      []byte // the packet
}

// loggedIn reads a recording (conformance README, "A record of packets.pcap").
func loggedIn(t *testing.T, file string) (list []logged) {
	t.Helper()
	data := readFile(t, file)[24:]
	for len(data) > 0 {
		n := binary.LittleEndian.Uint32(data[8:])
		msg := data[16 : 16+n]
		data = data[16+n:]
		l := logged{family: msg[0], attrs: map[uint16][]byte{}}
		for at := msg[4:]; len(at) >= 4; {
			size := int(binary.LittleEndian.Uint16(at))
			l.attrs[binary.LittleEndian.Uint16(at[2:])&0x7fff] = at[4:size]
			at = at[min(len(at), (size+3)&^3):]
		}
		l.p = l.attrs[9]
		list = append(list, l)
	}
	return list
}

func (l logged) isIPv4() bool {
	return l.family == 2 || l.family == 7 && binary.BigEndian.Uint16(l.attrs[1]) == 0x0800
}

// has tells whether n bytes at off were delivered.
func (l logged) has(off, n int) bool { return off >= 0 && off+n <= len(l.p) }

// num is the number in n bytes at off, and 0 if they were not delivered.
func (l logged) num(off, n int) (v int) {
	if !l.has(off, n) {
		return 0
	}
	for _, b := range l.p[off : off+n] {
		v = v<<8 | int(b)
	}
	return v
}

func (l logged) quad(off int) string {
	if !l.has(off, 4) {
		return "0.0.0.0"
	}
	return fmt.Sprintf("%d.%d.%d.%d", l.p[off], l.p[off+1], l.p[off+2], l.p[off+3])
}

// load is where the transport header is.
func (l logged) load() int { return 4 * (l.num(0, 1) & 15) }

func (l logged) prefix() string { return strings.TrimRight(string(l.attrs[10]), "\x00") }

func (l logged) device(attr uint16, names map[string]string) string {
	if b := l.attrs[attr]; b != nil {
		return names[fmt.Sprint(binary.BigEndian.Uint32(b))]
	}
	return ""
}

func (l logged) mac() string {
	b := l.attrs[16]
	text := make([]string, len(b))
	for i := range b {
		text[i] = hex.EncodeToString(b[i : i+1])
	}
	return strings.Join(text, ":")
}

// seconds is the time of the packet, or of the clock, which the comparison masks.
func (l logged) seconds() int64 {
	if b := l.attrs[3]; b != nil {
		return int64(binary.BigEndian.Uint64(b))
	}
	return 0
}

// firstLogemu is the line of LOGEMU.
func firstLogemu(t *testing.T, rec recording, l logged) string {
	t.Helper()
	zone, err := stamp.Zone(rec.TZ)
	if err != nil {
		t.Fatal(err)
	}
	host, _, _ := strings.Cut(rec.Hostname, ".")
	return time.Unix(l.seconds(), 0).In(zone).Format(time.Stamp) + " " + host + firstText(rec, l)
}

// firstText is the packet's text.
func firstText(rec recording, l logged) string {
	var b strings.Builder
	p := func(format string, args ...any) { fmt.Fprintf(&b, format, args...) }
	if prefix := l.prefix(); prefix != "" {
		p(" %s", prefix)
	}
	p(" IN=%s OUT=%s MAC=%s ", l.device(4, rec.Interfaces), l.device(5, rec.Interfaces), l.mac())
	tos, frag := l.num(1, 1), l.num(6, 2)
	p("SRC=%s DST=%s LEN=%d TOS=%02X PREC=0x%02X TTL=%d ID=%d ", l.quad(12), l.quad(16), l.num(2, 2), tos&0x1e, tos&0xe0, l.num(8, 1), l.num(4, 2))
	for _, flag := range []struct {
		bit  int
		name string
	}{{0x8000, "CE"}, {0x4000, "DF"}, {0x2000, "MF"}} {
		if frag&flag.bit != 0 {
			p("%s ", flag.name)
		}
	}
	if frag&0x1fff != 0 {
		p("FRAG:%d ", frag&0x1fff)
	}
	h := l.load()
	switch proto := l.num(9, 1); proto {
	case 6:
		p("PROTO=TCP SPT=%d DPT=%d SEQ=%d ACK=%d WINDOW=%d ", l.num(h, 2), l.num(h+2, 2), l.num(h+4, 4), l.num(h+8, 4), l.num(h+14, 2))
		flags := l.num(h+13, 1)
		for i, name := range []string{"URG", "ACK", "PSH", "RST", "SYN", "FIN"} {
			if flags&(0x20>>i) != 0 {
				p("%s ", name)
			}
		}
		urgent := 0
		if flags&0x20 != 0 {
			urgent = l.num(h+18, 2)
		}
		p("URGP=%d ", urgent)
	case 17:
		p("PROTO=UDP SPT=%d DPT=%d LEN=%d ", l.num(h, 2), l.num(h+2, 2), l.num(h+4, 2))
	case 1:
		typ, code := l.num(h, 1), l.num(h+1, 1)
		p("PROTO=ICMP TYPE=%d CODE=%d ", typ, code)
		switch {
		case typ == 8 || typ == 0:
			p("ID=%d SEQ=%d ", l.num(h+4, 2), l.num(h+6, 2))
		case typ == 12:
			p("PARAMETER=%d ", l.num(h+4, 4)>>24)
		case typ == 5:
			p("GATEWAY=%s ", l.quad(h+4))
		case typ == 3 && code == 4:
			p("MTU=%d ", l.num(h+6, 2))
		}
	case 50:
		p("PROTO=ESP SPI=0x%x ", l.num(h, 4))
	case 51:
		p("PROTO=AH SPI=0x%x ", l.num(h+4, 4))
	default:
		p("PROTO=%d ", proto)
	}
	return b.String() + "\n"
}

// firstOprint is the record of OPRINT with the interpreters BASE and LOCAL.
func firstOprint(rec recording, l logged) string {
	host, _, _ := strings.Cut(rec.Hostname, ".")
	var keys []string // in the order of registration
	put := func(ok bool, name string, value any) {
		if ok {
			keys = append(keys, fmt.Sprintf("%s=%v\n", name, value))
		}
	}
	// field is a number of n bytes that was delivered whole.
	field := func(name string, off, n int) { put(l.has(off, n), name, l.num(off, n)) }
	bits := func(name string, off, shift, mask int) { put(l.has(off, 1), name, l.num(off, 1)>>shift&mask) }

	put(len(l.attrs[16]) > 0, "raw.mac", l.mac())
	put(true, "raw.pkt", "")
	put(true, "raw.pktlen", len(l.p))
	put(true, "oob.prefix", l.prefix())
	put(true, "oob.time.sec", l.seconds())
	usec := 0
	if b := l.attrs[3]; b != nil {
		usec = int(binary.BigEndian.Uint64(b[8:]))
	}
	put(true, "oob.time.usec", usec)
	mark := uint32(0)
	if b := l.attrs[2]; b != nil {
		mark = binary.BigEndian.Uint32(b)
	}
	put(true, "oob.mark", mark)
	put(true, "oob.in", l.device(4, rec.Interfaces))
	put(true, "oob.out", l.device(5, rec.Interfaces))
	put(l.has(12, 4), "ip.saddr", l.quad(12))
	put(l.has(16, 4), "ip.daddr", l.quad(16))
	field("ip.protocol", 9, 1)
	field("ip.tos", 1, 1)
	field("ip.ttl", 8, 1)
	field("ip.totlen", 2, 2)
	bits("ip.ihl", 0, 0, 15)
	field("ip.csum", 10, 2)
	field("ip.id", 4, 2)
	field("ip.fragoff", 6, 2)
	h := l.load()
	switch l.num(9, 1) {
	case 6:
		field("tcp.sport", h, 2)
		field("tcp.dport", h+2, 2)
		field("tcp.seq", h+4, 4)
		field("tcp.ackseq", h+8, 4)
		bits("tcp.offset", h+12, 4, 15)
		bits("tcp.reserved", h+12, 0, 15)
		field("tcp.window", h+14, 2)
		bits("tcp.urg", h+13, 5, 1)
		put(l.num(h+13, 1)&0x20 != 0 && l.has(h+18, 2), "tcp.urgp", l.num(h+18, 2))
		for i, name := range []string{"ack", "psh", "rst", "syn", "fin"} {
			bits("tcp."+name, h+13, 4-i, 1)
		}
		bits("tcp.res1", h+12, 0, 15)
		bits("tcp.res2", h+13, 6, 3)
		field("tcp.csum", h+16, 2)
	case 1:
		typ, code := l.num(h, 1), l.num(h+1, 1)
		field("icmp.type", h, 1)
		field("icmp.code", h+1, 1)
		if l.has(h, 2) && (typ == 0 || typ == 8) {
			field("icmp.echoid", h+4, 2)
			field("icmp.echoseq", h+6, 2)
		}
		if typ == 5 || typ == 12 {
			put(l.has(h+4, 4), "icmp.gateway", l.quad(h+4))
		}
		if typ == 3 && code == 4 {
			field("icmp.fragmtu", h+6, 2)
		}
		field("icmp.csum", h+2, 2)
	case 17:
		field("udp.sport", h, 2)
		field("udp.dport", h+2, 2)
		field("udp.len", h+4, 2)
		field("udp.csum", h+6, 2)
	case 50:
		field("ahesp.spi", h, 4)
	case 51:
		field("ahesp.spi", h+4, 4)
	}
	put(true, "local.time", 0)
	put(true, "local.hostname", host)

	var b strings.Builder
	b.WriteString("===>PACKET BOUNDARY\n")
	for i := len(keys) - 1; i >= 0; i-- {
		b.WriteString(keys[i])
	}
	return b.String()
}
