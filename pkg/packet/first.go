package packet

import "github.com/ulogd-go/ulogd/pkg/event"

// firstIPv4 decodes an IPv4 packet as ulogd 1.x does, but for what was not
// delivered: see Decoder.First and reference page "ulogd1", section 4.2.
func (d *Decoder) firstIPv4(b *event.Batch, e event.Event, s span) {
	d.set(ipv4, b, e, s)
	const protocol = 9
	if s.len() <= protocol {
		return
	}
	proto := b.Buf[s.pos+protocol]
	e.Set(d.protocol, event.U8, uint64(proto))
	s = s.skip(int(b.Buf[s.pos]&15) * 4)
	switch proto {
	case ProtoTCP:
		const flags, urg = 13, 0x20
		d.set(tcp, b, e, s)
		if s.len() > flags && b.Buf[s.pos+flags]&urg != 0 {
			d.set(tcpUrgent, b, e, s)
		}
	case ProtoUDP:
		d.set(udp, b, e, s)
	case ProtoICMP:
		d.firstICMP(b, e, s)
	case ProtoESP, ProtoAH:
		d.ipsec(b, e, s, proto)
	}
}

func (d *Decoder) firstICMP(b *event.Batch, e event.Event, s span) {
	d.set(icmp, b, e, s)
	if s.len() < 2 {
		return
	}
	d.icmpMore(b, e, s)
}
