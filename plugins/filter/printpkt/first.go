package printpkt

import (
	"github.com/ulogd-go/ulogd/pkg/event"
	"github.com/ulogd-go/ulogd/pkg/nflog"
	"github.com/ulogd-go/ulogd/pkg/packet"
)

// first appends the text of ulogd 1.x: no blank in place of a prefix that is not
// there, no mark, each number whether there is one or not. Packets that are not of
// IPv4, which 1.x never saw, are written as usual behind the same head.
//
// See reference page "ulogd1", section 5.1.
func (l *line) first() []byte {
	if v := l.e[l.prefix]; v.K == event.String && len(l.b.Bytes(v)) > 0 {
		l.str("", l.prefix)
	}
	l.str("IN=", l.in)
	l.str("OUT=", l.out)
	l.ports()
	l.hardware()
	if l.isIPv4() {
		l.address("SRC=", l.saddr)
		l.address("DST=", l.daddr)
		l.ipv4Fields()
		l.firstTransport()
	} else {
		l.network(false)
	}
	return append(l.dst, '\n')
}

func (l *line) isIPv4() bool {
	family := l.e.Uint(l.family)
	return family == nflog.FamilyIPv4 || family == nflog.FamilyBridge && l.e.Uint(l.etherType) == packet.EtherIPv4
}

// address appends a label and an address, of zeros if it was not delivered.
func (l *line) address(label string, s event.Slot) {
	if l.has(s) {
		l.str(label, s)
		return
	}
	l.text(label)
	l.text("0.0.0.0 ")
}

func (l *line) firstTransport() {
	switch proto := l.e.Uint(l.protocol); proto {
	case packet.ProtoTCP:
		l.text("PROTO=TCP ")
		l.tcpFields()
	case packet.ProtoUDP:
		l.text("PROTO=UDP ")
		l.udpFields()
	case packet.ProtoICMP:
		l.text("PROTO=ICMP ")
		l.firstICMP()
	case packet.ProtoESP:
		l.text("PROTO=ESP ")
		l.spiField()
	case packet.ProtoAH:
		l.text("PROTO=AH ")
		l.spiField()
	default:
		l.number("PROTO=", proto)
	}
}

func (l *line) firstICMP() {
	typ, code := l.e.Uint(l.icmpType), l.e.Uint(l.icmpCode)
	l.number("TYPE=", typ)
	l.number("CODE=", code)
	if typ == 3 && code == 4 {
		l.num("MTU=", l.icmpMTU)
		return
	}
	l.icmpByType()
}
