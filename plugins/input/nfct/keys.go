package nfct

import (
	"encoding/binary"
	"time"

	"github.com/ulogd-go/ulogd/pkg/ctnetlink"
	"github.com/ulogd-go/ulogd/pkg/event"
	"github.com/ulogd-go/ulogd/pkg/nflog"
)

// direction are the keys of one direction of a connection.
type direction struct {
	saddr, daddr, protocol, sport, dport, pktLen, pktCount event.Slot
}

// keys are what is published of a connection.
type keys struct {
	orig, reply direction

	icmpCode, icmpType, icmp6Code, icmp6Type,
	mark, id, event, startSec, startUsec, endSec, endUsec, family, protocol, ct,
	zone, labels, status, timeout, state event.Slot
}

// Bind declares the keys, in ulogd's order.
func (k *keys) Bind(b *event.Binder) {
	nf := func(id uint16) event.Field { return event.Field{Vendor: event.Netfilter, ID: id} }
	ietf := func(id uint16) event.Field { return event.Field{ID: id} }
	k.orig.bind(b, "orig.", "of the first packet")
	k.reply.bind(b, "reply.", "of the replies")
	b.Out(&k.icmpCode, event.Key{Name: "icmp.code", Kind: event.U8, Doc: "code of ICMP", IPFIX: ietf(177)})
	b.Out(&k.icmpType, event.Key{Name: "icmp.type", Kind: event.U8, Doc: "type of ICMP", IPFIX: ietf(176)})
	b.Out(&k.icmp6Code, event.Key{Name: "icmpv6.code", Kind: event.U8, Doc: "code of ICMPv6", IPFIX: ietf(179)})
	b.Out(&k.icmp6Type, event.Key{Name: "icmpv6.type", Kind: event.U8, Doc: "type of ICMPv6", IPFIX: ietf(178)})
	b.Out(&k.mark, event.Key{Name: "ct.mark", Kind: event.U32, Doc: "mark of the connection", IPFIX: nf(4)})
	b.Out(&k.id, event.Key{Name: "ct.id", Kind: event.U32, Doc: "number of the connection, as conntrack -o id shows it", IPFIX: nf(6)})
	b.Out(&k.event, event.Key{Name: "ct.event", Kind: event.U32, Doc: "1 it has begun, 2 it goes on, 4 it has ended"})
	b.Out(&k.startSec, event.Key{Name: "flow.start.sec", Kind: event.U32, Doc: "when it began, in seconds since 1970", IPFIX: ietf(150)})
	b.Out(&k.startUsec, event.Key{Name: "flow.start.usec", Kind: event.U32, Doc: "microseconds of that time", IPFIX: ietf(154)})
	b.Out(&k.endSec, event.Key{Name: "flow.end.sec", Kind: event.U32, Doc: "when it ended, in seconds since 1970", IPFIX: ietf(151)})
	b.Out(&k.endUsec, event.Key{Name: "flow.end.usec", Kind: event.U32, Doc: "microseconds of that time", IPFIX: ietf(151)})
	b.Out(&k.family, event.Key{Name: "oob.family", Kind: event.U8, Doc: "2 IPv4, 10 IPv6"})
	b.Out(&k.protocol, event.Key{Name: "oob.protocol", Kind: event.U8, Doc: "always 0"})
	b.Out(&k.ct, event.Key{Name: "ct", Kind: event.Raw, Doc: "attributes of the connection"})
	b.Out(&k.zone, event.Key{Name: "ct.zone", Kind: event.U16, Doc: "conntrack zone", Extra: true})
	b.Out(&k.labels, event.Key{Name: "ct.labels", Kind: event.String, Doc: "the 128 labels of the connection in hex, label 0 in the lowest bit", Extra: true})
	b.Out(&k.status, event.Key{Name: "ct.status", Kind: event.U32, Doc: "IPS_* bits, such as 2 seen reply, 4 assured, 16 source and 32 destination translated", Extra: true})
	b.Out(&k.timeout, event.Key{Name: "ct.timeout", Kind: event.U32, Doc: "seconds until the kernel forgets the connection", Extra: true})
	b.Out(&k.state, event.Key{Name: "ct.state", Kind: event.U8, Doc: "state of TCP, DCCP or SCTP, by the kernel's number", Extra: true})
}

func (d *direction) bind(b *event.Binder, name, doc string) {
	ietf := func(id uint16) event.Field { return event.Field{ID: id} }
	b.Out(&d.saddr, event.Key{Name: name + "ip.saddr", Kind: event.Addr, Doc: "source address " + doc, IPFIX: ietf(8)})
	b.Out(&d.daddr, event.Key{Name: name + "ip.daddr", Kind: event.Addr, Doc: "destination address " + doc, IPFIX: ietf(12)})
	b.Out(&d.protocol, event.Key{Name: name + "ip.protocol", Kind: event.U8, Doc: "protocol " + doc, IPFIX: ietf(4)})
	b.Out(&d.sport, event.Key{Name: name + "l4.sport", Kind: event.U16, Doc: "source port " + doc, IPFIX: ietf(7)})
	b.Out(&d.dport, event.Key{Name: name + "l4.dport", Kind: event.U16, Doc: "destination port " + doc, IPFIX: ietf(11)})
	b.Out(&d.pktLen, event.Key{Name: name + "raw.pktlen", Kind: event.U64, Doc: "bytes in this direction, 0 without net.netfilter.nf_conntrack_acct", IPFIX: ietf(85)})
	b.Out(&d.pktCount, event.Key{Name: name + "raw.pktcount", Kind: event.U64, Doc: "packets in this direction", IPFIX: ietf(86)})
}

// Protocols that show in the keys (IANA, Assigned Internet Protocol Numbers).
const (
	protoICMP    = 1
	protoTCP     = 6
	protoUDP     = 17
	protoDCCP    = 33
	protoICMPv6  = 58
	protoSCTP    = 132
	protoUDPLite = 136
)

// hasPorts tells whether a protocol's identifiers are ports.
func hasPorts(proto uint8) bool {
	switch proto {
	case protoTCP, protoUDP, protoDCCP, protoSCTP, protoUDPLite:
		return true
	}
	return false
}

// record is what is reported of a connection. Start and end are in nanoseconds
// since 1970; 0 if they are not known.
type record struct {
	*ctnetlink.Flow
	event      ctnetlink.Event
	start, end int64
	// attrs are the attributes as the kernel has sent them; nil if the record is
	// of no single message.
	attrs []byte
}

// add adds a record to the batch.
func (k *keys) add(b *event.Batch, r record) {
	e := b.Add()
	k.orig.set(b, e, r.Family, &r.Orig, r.OrigCount)
	k.reply.set(b, e, r.Family, &r.Reply, r.ReplyCount)
	switch r.Orig.Proto {
	case protoICMP:
		e.Set(k.icmpCode, event.U8, uint64(r.Orig.Code))
		e.Set(k.icmpType, event.U8, uint64(r.Orig.Type))
	case protoICMPv6:
		e.Set(k.icmp6Code, event.U8, uint64(r.Orig.Code))
		e.Set(k.icmp6Type, event.U8, uint64(r.Orig.Type))
	}
	e.Set(k.mark, event.U32, uint64(r.Mark))
	e.Set(k.id, event.U32, uint64(r.ID))
	e.Set(k.event, event.U32, uint64(r.event))
	setTime(e, k.startSec, k.startUsec, r.start)
	setTime(e, k.endSec, k.endUsec, r.end)
	e.Set(k.family, event.U8, uint64(r.Family))
	e.Set(k.protocol, event.U8, 0)
	k.addRaw(b, e, r)
	k.addExtra(b, e, r.Flow)
}

func (d *direction) set(b *event.Batch, e event.Event, family uint8, t *ctnetlink.Tuple, n ctnetlink.Counters) {
	setAddr(b, e, d.saddr, family, &t.Src)
	setAddr(b, e, d.daddr, family, &t.Dst)
	e.Set(d.protocol, event.U8, uint64(t.Proto))
	if hasPorts(t.Proto) {
		e.Set(d.sport, event.U16, uint64(t.SrcPort))
		e.Set(d.dport, event.U16, uint64(t.DstPort))
	}
	e.Set(d.pktLen, event.U64, n.Bytes)
	e.Set(d.pktCount, event.U64, n.Packets)
}

func setAddr(b *event.Batch, e event.Event, s event.Slot, family uint8, addr *[16]byte) {
	switch {
	case s == event.Unused:
	case family == nflog.FamilyIPv4:
		e.Set(s, event.IP4, uint64(binary.BigEndian.Uint32(addr[:])))
	case family == nflog.FamilyIPv6:
		off := len(b.Buf)
		b.Buf = append(b.Buf, addr[:]...)
		b.Store(e, s, event.IP6, off)
	}
}

// setTime sets a time, unless it is not known. A time in the first second of 1970 is
// none either.
func setTime(e event.Event, sec, usec event.Slot, t int64) {
	if t < int64(time.Second) {
		return
	}
	e.Set(sec, event.U32, uint64(uint32(t/int64(time.Second))))
	e.Set(usec, event.U32, uint64(t%int64(time.Second)/int64(time.Microsecond)))
}

// addRaw sets the attributes, if somebody reads them.
func (k *keys) addRaw(b *event.Batch, e event.Event, r record) {
	if k.ct == event.Unused {
		return
	}
	off := len(b.Buf)
	if r.attrs != nil {
		b.Buf = append(b.Buf, r.attrs...)
	} else {
		b.Buf = r.AppendAttrs(b.Buf)
	}
	b.Store(e, k.ct, event.Raw, off)
}

// addExtra sets what ulogd does not have.
func (k *keys) addExtra(b *event.Batch, e event.Event, f *ctnetlink.Flow) {
	if f.Has&ctnetlink.HasZone != 0 {
		e.Set(k.zone, event.U16, uint64(f.Zone))
	}
	if f.Has&ctnetlink.HasLabels != 0 && k.labels != event.Unused {
		off := len(b.Buf)
		for i := len(f.Labels) - 1; i >= 0; i-- {
			b.Buf = event.AppendHex(b.Buf, f.Labels[i:i+1])
		}
		b.Store(e, k.labels, event.String, off)
	}
	if f.Has&ctnetlink.HasStatus != 0 {
		e.Set(k.status, event.U32, uint64(f.Status))
	}
	if f.Has&ctnetlink.HasTimeout != 0 {
		e.Set(k.timeout, event.U32, uint64(f.Timeout))
	}
	if f.Has&ctnetlink.HasState != 0 {
		e.Set(k.state, event.U8, uint64(f.State))
	}
}
