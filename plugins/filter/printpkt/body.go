package printpkt

import (
	"strconv"

	"github.com/ulogd-go/ulogd/pkg/event"
	"github.com/ulogd-go/ulogd/pkg/nflog"
	"github.com/ulogd-go/ulogd/pkg/packet"
)

// network appends what the packet's family has to say.
func (l *line) network(compat bool) {
	etherType := l.e.Uint(l.etherType)
	switch family := l.e.Uint(l.family); {
	case family == nflog.FamilyIPv4, family == nflog.FamilyBridge && etherType == packet.EtherIPv4:
		l.ipv4(compat)
	case family == nflog.FamilyIPv6, family == nflog.FamilyBridge && etherType == packet.EtherIPv6:
		l.ipv6(compat)
	case family == nflog.FamilyARP, family == nflog.FamilyBridge && etherType == packet.EtherARP:
		l.arp()
	case family == nflog.FamilyBridge:
		l.number("PROTO=", etherType)
	}
}

const upperHex = "0123456789ABCDEF"

// hex2 appends the byte n in two upper-case hex digits.
func (l *line) hex2(n uint64) { l.dst = append(l.dst, upperHex[n>>4&15], upperHex[n&15]) }

func (l *line) ipv4(compat bool) {
	l.strIf("SRC=", l.saddr)
	l.strIf("DST=", l.daddr)
	l.ipv4Fields()
	l.transport4(compat)
}

// ipv4Fields appends what follows the addresses.
func (l *line) ipv4Fields() {
	tos := l.e.Uint(l.tos)
	l.num("LEN=", l.totlen)
	l.text("TOS=")
	l.hex2(tos & 0x1e)
	l.text(" PREC=0x")
	l.hex2(tos & 0xe0)
	l.num(" TTL=", l.ttl)
	l.num("ID=", l.id)
	l.fragment(l.e.Uint(l.fragoff))
}

// fragment appends the flags and the offset of RFC 791, section 3.1; the offset
// is in units of 8 bytes.
func (l *line) fragment(fragoff uint64) {
	if fragoff&0x8000 != 0 {
		l.text("CE ")
	}
	if fragoff&0x4000 != 0 {
		l.text("DF ")
	}
	if fragoff&0x2000 != 0 {
		l.text("MF ")
	}
	if n := fragoff & 0x1fff; n != 0 {
		l.number("FRAG:", n)
	}
}

func (l *line) transport4(compat bool) {
	switch proto := l.e.Uint(l.protocol); proto {
	case packet.ProtoTCP:
		l.tcp(compat)
	case packet.ProtoUDP:
		l.udp(compat)
	case packet.ProtoSCTP:
		l.sctp(compat)
	case packet.ProtoICMP:
		l.icmp(compat)
	case packet.ProtoESP, packet.ProtoAH:
		l.ipsec(proto == packet.ProtoESP, compat)
	default:
		l.number("PROTO=", proto)
	}
}

// incomplete says that a transport header is not there. Ulogd forgets the space
// behind it.
func (l *line) incomplete(compat bool) {
	l.text("INCOMPLETE")
	if !compat {
		l.text(" ")
	}
}

func (l *line) tcp(compat bool) {
	l.text("PROTO=TCP ")
	if !l.has(l.tcpSport) {
		l.incomplete(compat)
		return
	}
	l.tcpFields()
}

func (l *line) tcpFields() {
	l.num("SPT=", l.tcpSport)
	l.num("DPT=", l.tcpDport)
	l.num("SEQ=", l.tcpSeq)
	l.num("ACK=", l.tcpAckseq)
	l.num("WINDOW=", l.tcpWindow)
	l.flag("URG ", l.tcpUrg)
	l.flag("ACK ", l.tcpAck)
	l.flag("PSH ", l.tcpPsh)
	l.flag("RST ", l.tcpRst)
	l.flag("SYN ", l.tcpSyn)
	l.flag("FIN ", l.tcpFin)
	l.num("URGP=", l.tcpUrgp)
}

func (l *line) udp(compat bool) {
	l.text("PROTO=UDP ")
	if !l.has(l.udpSport) {
		l.incomplete(compat)
		return
	}
	l.udpFields()
}

func (l *line) udpFields() {
	l.num("SPT=", l.udpSport)
	l.num("DPT=", l.udpDport)
	l.num("LEN=", l.udpLen)
}

func (l *line) sctp(compat bool) {
	l.text("PROTO=SCTP ")
	if !l.has(l.sctpSport) {
		l.incomplete(compat)
		return
	}
	l.num("SPT=", l.sctpSport)
	l.num("DPT=", l.sctpDport)
}

func (l *line) ipsec(esp, compat bool) {
	name := "PROTO=AH "
	if esp {
		name = "PROTO=ESP "
	}
	l.text(name)
	if !l.has(l.spi) {
		l.incomplete(compat)
		return
	}
	l.spiField()
}

func (l *line) spiField() {
	l.text("SPI=0x")
	l.dst = strconv.AppendUint(l.dst, l.e.Uint(l.spi), 16)
	l.text(" ")
}

func (l *line) icmp(compat bool) {
	l.text("PROTO=ICMP ")
	if !l.has(l.icmpType) {
		l.incomplete(compat)
		return
	}
	l.num("TYPE=", l.icmpType)
	l.num("CODE=", l.icmpCode)
	if compat {
		l.icmpByCode()
	} else {
		l.icmpByType()
	}
}

// icmpByCode appends what ulogd does: it looks at the code where it means the type.
func (l *line) icmpByCode() {
	switch l.e.Uint(l.icmpCode) {
	case 0, 8:
		l.num("ID=", l.icmpEchoID)
		l.num("SEQ=", l.icmpEchoSeq)
	case 12:
		l.number("PARAMETER=", l.e.Uint(l.icmpGateway)>>24)
	case 5:
		l.gateway()
	}
}

// icmpByType appends what the type calls for (RFC 792).
func (l *line) icmpByType() {
	switch typ := l.e.Uint(l.icmpType); {
	case typ == 0 || typ == 8:
		l.num("ID=", l.icmpEchoID)
		l.num("SEQ=", l.icmpEchoSeq)
	case typ == 12:
		l.number("PARAMETER=", l.e.Uint(l.icmpGateway)>>24)
	case typ == 5:
		l.gateway()
	case l.has(l.icmpMTU):
		l.num("MTU=", l.icmpMTU)
	}
}

func (l *line) gateway() {
	l.text("GATEWAY=")
	l.dst = event.AppendIP4(l.dst, uint32(l.e.Uint(l.icmpGateway)))
	l.text(" ")
}

func (l *line) ipv6(compat bool) {
	l.strIf("SRC=", l.saddr)
	l.strIf("DST=", l.daddr)
	if l.has(l.payloadlen6) {
		l.number("LEN=", l.e.Uint(l.payloadlen6)+40)
	}
	l.numIf("TC=", l.priority6)
	l.numIf("HOPLIMIT=", l.hoplimit6)
	l.numIf("FLOWLBL=", l.flowlabel6)
	if l.has(l.fragoff6) && l.has(l.fragid6) {
		l.num("FRAG: ", l.fragoff6)
		l.text("ID: ")
		l.hex8(l.e.Uint(l.fragid6))
		l.text(" ")
	}
	l.transport6(compat)
}

// hex8 appends n in eight lower-case hex digits.
func (l *line) hex8(n uint64) {
	for shift := 28; shift >= 0; shift -= 4 {
		l.dst = append(l.dst, "0123456789abcdef"[n>>shift&15])
	}
}

func (l *line) transport6(compat bool) {
	switch proto := l.e.Uint(l.nexthdr6); proto {
	case packet.ProtoTCP:
		l.tcp(compat)
	case packet.ProtoUDP:
		l.udp(compat)
	case packet.ProtoSCTP:
		l.sctp(compat)
	case packet.ProtoESP, packet.ProtoAH:
		// Ulogd takes the name from another key, which ESP leaves unset.
		esp := l.e.Uint(l.protocol) == packet.ProtoESP || !compat && proto == packet.ProtoESP
		l.ipsec(esp, compat)
	case packet.ProtoICMPv6:
		l.icmp6(compat)
	default:
		l.number("PROTO=", proto)
	}
}

func (l *line) icmp6(compat bool) {
	l.text("PROTO=ICMPv6 ")
	if !l.has(l.icmp6Type) {
		l.incomplete(compat)
		return
	}
	l.num("TYPE=", l.icmp6Type)
	l.num("CODE=", l.icmp6Code)
	if typ := l.e.Uint(l.icmp6Type); typ == 128 || typ == 129 {
		l.num("ID=", l.icmp6EchoID)
		l.num("SEQ=", l.icmp6EchoSeq)
	}
}

// Operations of RFC 826 and RFC 1868 with a name of their own.
const (
	arpRequest = 1
	arpReply   = 2
	arpNAK     = 10
)

func (l *line) arp() {
	l.strIf("SRC=", l.arpSaddr)
	l.strIf("DST=", l.arpDaddr)
	l.text("PROTO=ARP ")
	if !l.has(l.arpOperation) {
		return
	}
	switch op := l.e.Uint(l.arpOperation); op {
	case arpRequest:
		l.text("REQUEST ")
	case arpReply:
		l.text("REPLY REPLY_MAC=")
		l.dst = event.AppendMAC(l.dst, l.b.Bytes(l.e[l.arpSHWAddr]))
		l.text(" ")
	case arpNAK:
		l.text("NAK ")
	default:
		l.number("CODE=", op)
	}
}
