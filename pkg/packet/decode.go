package packet

import (
	"encoding/binary"

	"github.com/ulogd-go/ulogd/pkg/event"
	"github.com/ulogd-go/ulogd/pkg/nflog"
)

// EtherTypes that are decoded (IANA, IEEE 802 numbers).
const (
	EtherIPv4 = 0x0800
	EtherARP  = 0x0806
	EtherIPv6 = 0x86dd
)

// Protocol numbers (IANA).
const (
	ProtoHopByHop = 0
	ProtoICMP     = 1
	ProtoTCP      = 6
	ProtoUDP      = 17
	ProtoRouting  = 43
	ProtoFragment = 44
	ProtoESP      = 50
	ProtoAH       = 51
	ProtoICMPv6   = 58
	ProtoDestOpts = 60
	ProtoSCTP     = 132
)

// HeaderBytes is how much of a packet the decoder looks at when it need not be
// told more. Only IPv6 extension headers can reach further.
const HeaderBytes = 512

// Decoder decodes packets into the events of one stack. It is used by one
// goroutine.
type Decoder struct {
	// Compat makes it decode just as ulogd does, slips included: see
	// COMPATIBILITY.md. It is set before Bind.
	Compat bool
	// First makes it look for headers as ulogd 1.x does, which checks nothing: data of
	// fragments are taken for transport headers, and of a header that is cut the
	// fields that are there count. Compat is not set then.
	First bool

	declared [headers][]field
	fields   [headers][]bound

	protocol, nexthdr, spi, oobProtocol event.Slot
}

// Bind declares the keys.
func (d *Decoder) Bind(b *event.Binder) {
	d.declared = [headers][]field{}
	d.declare(b)
	b.After(d.prune)
}

// prune keeps the fields that somebody reads.
func (d *Decoder) prune() {
	for h, list := range d.declared {
		d.fields[h] = nil
		for _, f := range list {
			if *f.slot != event.Unused {
				d.fields[h] = append(d.fields[h], bound{f, *f.slot})
			}
		}
	}
}

// span is what is left of a packet: the bytes of the batch's buffer from pos on,
// before end.
type span struct{ pos, end int }

func (s span) len() int { return s.end - s.pos }

func (s span) skip(n int) span { return span{s.pos + n, s.end} }

// Decode decodes the packet in raw, which is of kind event.Raw or absent, into
// e. Family is the protocol family under which it was logged, and etherType
// its EtherType in host order, which only bridged packets need.
func (d *Decoder) Decode(b *event.Batch, e event.Event, raw event.Value, family uint8, etherType uint16) {
	e.Set(d.oobProtocol, event.U16, uint64(etherType))
	if raw.K == event.None {
		return
	}
	data := b.Bytes(raw)
	s := span{int(raw.V >> 32), int(raw.V>>32) + len(data)}
	switch family {
	case nflog.FamilyIPv4:
		d.ipv4(b, e, s)
	case nflog.FamilyIPv6:
		d.ipv6(b, e, s)
	case nflog.FamilyARP:
		d.arp(b, e, s)
	case nflog.FamilyBridge:
		d.ethernet(b, e, s, etherType)
	}
}

func (d *Decoder) ethernet(b *event.Batch, e event.Event, s span, etherType uint16) {
	switch etherType {
	case EtherIPv4:
		d.ipv4(b, e, s)
	case EtherIPv6:
		d.ipv6(b, e, s)
	case EtherARP:
		d.arp(b, e, s)
	}
}

// set copies the fields of a header that begins at s.
func (d *Decoder) set(h header, b *event.Batch, e event.Event, s span) {
	fields := d.fields[h]
	if d.First {
		for i := range fields {
			if fields[i].within(s) {
				fields[i].store(b, e, s.pos)
			}
		}
		return
	}
	for i := range fields {
		fields[i].store(b, e, s.pos)
	}
}

// ipv4 decodes the header of RFC 791, section 3.1, and what follows it.
func (d *Decoder) ipv4(b *event.Batch, e event.Event, s span) {
	if d.First {
		d.firstIPv4(b, e, s)
		return
	}
	if s.len() < 20 {
		return
	}
	data := b.Buf[s.pos:s.end]
	ihl := int(data[0]&15) * 4
	if d.Compat && s.len() <= ihl {
		return
	}
	d.set(ipv4, b, e, s)
	proto := data[9]
	e.Set(d.protocol, event.U8, uint64(proto))
	laterFragment := binary.BigEndian.Uint16(data[6:])&0x1fff != 0
	if !d.Compat && (laterFragment || ihl < 20 || s.len() < ihl) {
		return
	}
	s = s.skip(ihl)
	switch proto {
	case ProtoICMP:
		d.icmp(b, e, s)
	case ProtoESP, ProtoAH:
		d.ipsec(b, e, s, proto)
	default:
		d.transport(b, e, s, proto)
	}
}

// ipv6 decodes the header of RFC 8200, section 3, and the chain behind it.
func (d *Decoder) ipv6(b *event.Batch, e event.Event, s span) {
	if s.len() < 40 {
		return
	}
	d.set(ipv6, b, e, s)
	next := b.Buf[s.pos+6]
	s = s.skip(40)
	laterFragment := false
	for isExtension(next) && !laterFragment {
		n, ok := extensionLen(b.Buf[s.pos:s.end], next)
		if next == ProtoESP && !d.Compat {
			break
		}
		if !ok || n > s.len() {
			return
		}
		switch next {
		case ProtoFragment:
			d.set(ip6Fragment, b, e, s)
			laterFragment = binary.BigEndian.Uint16(b.Buf[s.pos+2:])&0xfff8 != 0
		case ProtoESP:
			e.Set(d.nexthdr, event.U8, ProtoESP)
			return
		case ProtoAH:
			d.ipsec(b, e, s, next)
		}
		next = b.Buf[s.pos]
		s = s.skip(n)
	}
	if laterFragment && isExtension(next) && s.len() < 2 {
		return
	}
	e.Set(d.nexthdr, event.U8, uint64(next))
	if laterFragment {
		return
	}
	e.Set(d.protocol, event.U8, uint64(next))
	switch next {
	case ProtoICMPv6:
		d.icmp6(b, e, s)
	case ProtoESP:
		d.ipsec(b, e, s, next)
	case ProtoSCTP:
		if !d.Compat {
			d.transport(b, e, s, next)
		}
	default:
		d.transport(b, e, s, next)
	}
}

// isExtension tells whether a next header is one that the chain passes through.
func isExtension(next byte) bool {
	switch next {
	case ProtoHopByHop, ProtoRouting, ProtoFragment, ProtoESP, ProtoAH, ProtoDestOpts:
		return true
	}
	return false
}

// extensionLen is the length of an extension header; false if not enough of it
// is there to tell. That of ESP is ulogd's idea: ESP has no such field.
func extensionLen(data []byte, next byte) (n int, ok bool) {
	if len(data) < 2 {
		return 0, false
	}
	switch next {
	case ProtoFragment:
		return 8, true
	case ProtoAH, ProtoESP:
		return (int(data[1]) + 2) * 4, true
	}
	return (int(data[1]) + 1) * 8, true
}

func (d *Decoder) transport(b *event.Batch, e event.Event, s span, proto byte) {
	switch {
	case proto == ProtoTCP && s.len() >= 20:
		d.set(tcp, b, e, s)
		if b.Buf[s.pos+13]&0x20 != 0 {
			d.set(tcpUrgent, b, e, s)
		}
	case proto == ProtoUDP && s.len() >= 8:
		d.set(udp, b, e, s)
	case proto == ProtoSCTP && s.len() >= 12:
		d.set(sctp, b, e, s)
	}
}

// icmp decodes the header of RFC 792.
func (d *Decoder) icmp(b *event.Batch, e event.Event, s span) {
	if s.len() < 8 {
		return
	}
	d.set(icmp, b, e, s)
	d.icmpMore(b, e, s)
}

// icmpMore sets what the type calls for.
func (d *Decoder) icmpMore(b *event.Batch, e event.Event, s span) {
	switch typ, code := b.Buf[s.pos], b.Buf[s.pos+1]; {
	case typ == 0 || typ == 8:
		d.set(icmpEcho, b, e, s)
	case typ == 5 || typ == 12:
		d.set(icmpGateway, b, e, s)
	case typ == 3 && code == 4:
		d.set(icmpMTU, b, e, s)
	}
}

// icmp6 decodes the header of RFC 4443, section 2.1.
func (d *Decoder) icmp6(b *event.Batch, e event.Event, s span) {
	if s.len() < 8 {
		return
	}
	d.set(icmp6, b, e, s)
	if typ := b.Buf[s.pos]; typ == 128 || typ == 129 {
		d.set(icmp6Echo, b, e, s)
	}
}

// ipsec decodes the index of AH (RFC 4302, section 2) and ESP (RFC 4303).
func (d *Decoder) ipsec(b *event.Batch, e event.Event, s span, proto byte) {
	off := 0
	if proto == ProtoAH {
		off = 4
	}
	if d.Compat || s.len() < off+4 {
		return
	}
	e.Set(d.spi, event.U32, uint64(binary.BigEndian.Uint32(b.Buf[s.pos+off:])))
}

// arp decodes the packet of RFC 826 for Ethernet and IPv4; like ulogd it trusts
// that it is one.
func (d *Decoder) arp(b *event.Batch, e event.Event, s span) {
	if s.len() >= 28 {
		d.set(arp, b, e, s)
	}
}
