package ipfix

import (
	"encoding/binary"

	"github.com/ulogd-go/ulogd/pkg/event"
	"github.com/ulogd-go/ulogd/pkg/queue"
)

// keys are what is read of a flow.
type keys struct {
	saddr, daddr, protocol, sport, dport, pktCount, pktLen                     event.Slot
	replySaddr, replyDaddr, replySport, replyDport, replyPktCount, replyPktLen event.Slot
	startSec, startUsec, endSec, endUsec                                       event.Slot
	icmpType, icmpCode, icmp6Type, icmp6Code, mark, connection, event          event.Slot
}

// Bind reads ulogd's keys, and after them those that it does not send.
func (k *keys) Bind(b *event.Binder) {
	b.In(&k.saddr, "orig.ip.saddr", event.Addr)
	b.In(&k.daddr, "orig.ip.daddr", event.Addr)
	b.In(&k.pktCount, "orig.raw.pktcount", event.U64)
	b.In(&k.pktLen, "orig.raw.pktlen", event.U64)
	b.In(&k.replyPktCount, "reply.raw.pktcount", event.U64)
	b.In(&k.replyPktLen, "reply.raw.pktlen", event.U64)
	b.In(&k.startSec, "flow.start.sec", event.U32)
	b.In(&k.startUsec, "flow.start.usec", event.U32)
	b.In(&k.endSec, "flow.end.sec", event.U32)
	b.In(&k.endUsec, "flow.end.usec", event.U32)
	b.In(&k.sport, "orig.l4.sport", event.U16)
	b.In(&k.dport, "orig.l4.dport", event.U16)
	b.In(&k.protocol, "orig.ip.protocol", event.U8)
	b.In(&k.mark, "ct.mark", event.U32)

	b.Optional(&k.replySaddr, "reply.ip.saddr", event.Addr)
	b.Optional(&k.replyDaddr, "reply.ip.daddr", event.Addr)
	b.Optional(&k.replySport, "reply.l4.sport", event.U16)
	b.Optional(&k.replyDport, "reply.l4.dport", event.U16)
	b.Optional(&k.icmpType, "icmp.type", event.U8)
	b.Optional(&k.icmpCode, "icmp.code", event.U8)
	b.Optional(&k.icmp6Type, "icmpv6.type", event.U8)
	b.Optional(&k.icmp6Code, "icmpv6.code", event.U8)
	b.Optional(&k.event, "ct.event", event.U32)
	b.Optional(&k.connection, "ct.id", event.U32)
}

func (k *keys) packets(e event.Event) uint64 { return e.Uint(k.pktCount) + e.Uint(k.replyPktCount) }

func (k *keys) octets(e event.Event) uint64 { return e.Uint(k.pktLen) + e.Uint(k.replyPktLen) }

func (k *keys) startMsec(e event.Event) uint64 { return msec(e.Uint(k.startSec), e.Uint(k.startUsec)) }

func (k *keys) endMsec(e event.Event) uint64 { return msec(e.Uint(k.endSec), e.Uint(k.endUsec)) }

func msec(sec, usec uint64) uint64 { return 1000*sec + usec/1000 }

// icmp is type and code in one, of either family.
func (k *keys) icmp(e event.Event) uint64 {
	return (e.Uint(k.icmpType)|e.Uint(k.icmp6Type))<<8 | e.Uint(k.icmpCode) | e.Uint(k.icmp6Code)
}

// firewallEvent is 1 for a connection that has begun, 2 for one that has ended and
// 5 for one that goes on.
func (k *keys) firewallEvent(e event.Event) uint64 {
	const created, updated, destroyed = 1, 2, 4 // values of ct.event
	switch e.Uint(k.event) {
	case created:
		return 1
	case destroyed:
		return 2
	case updated:
		return 5
	}
	return 0 // ignore
}

// idSize is the size of the number of the template, which stands before each
// record in the queue.
const idSize = 2

// Encode makes a row of each flow: the number of its template, and its record. What
// is not known is 0. There is no record for a flow that is neither IPv4 nor IPv6.
func (x *exporter) Encode(blk *queue.Block, rows *event.Rows) {
	for e := range rows.All() {
		t := x.v4
		switch e[x.saddr].K {
		case event.IP4:
		case event.IP6:
			t = x.v6
		default:
			continue
		}
		dst := binary.BigEndian.AppendUint16(blk.Data, t.id)
		for i := range t.elements {
			dst = t.elements[i].append(dst, &x.keys, rows.Batch, e)
		}
		blk.Data = dst
		blk.End()
	}
}

// append appends the value of an element.
func (el *element) append(dst []byte, k *keys, b *event.Batch, e event.Event) []byte {
	if el.value != nil {
		return appendNumber(dst, el.size, el.value(k, e))
	}
	v := e[*el.slot]
	switch {
	case v.K == event.IP6 && el.size == 16:
		return append(dst, b.Bytes(v)...)
	case v.K == event.IP6:
		v.V = 0
	}
	return appendNumber(dst, el.size, v.V)
}

// appendNumber appends n in size bytes, of which there are 1, 2, 4, 8 or, for an
// address that is missing, 16.
func appendNumber(dst []byte, size int, n uint64) []byte {
	switch size {
	case 1:
		return append(dst, byte(n))
	case 2:
		return binary.BigEndian.AppendUint16(dst, uint16(n))
	case 4:
		return binary.BigEndian.AppendUint32(dst, uint32(n))
	case 16:
		dst = binary.BigEndian.AppendUint64(dst, 0)
	}
	return binary.BigEndian.AppendUint64(dst, n)
}
