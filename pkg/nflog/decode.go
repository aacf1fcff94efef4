package nflog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"time"

	"github.com/ulogd-go/ulogd/pkg/event"
)

// Decoder turns packet messages into events. It declares the keys of the inputs
// that speak this format, in ulogd's order. It is for one goroutine.
type Decoder struct {
	// Label is the value of raw.label. It is set before the first Decode.
	Label uint8
	// SeqLocal and SeqGlobal publish the sequence numbers as keys.
	SeqLocal, SeqGlobal bool
	// Extent is how many bytes of each packet somebody reads. It is known
	// when all slots are.
	Extent int

	// Seq is the number of the packet that was decoded last, if HasSeq.
	Seq    uint32
	HasSeq bool

	pktExtent, lenExtent, rawExtent int

	mac, pkt, pktLen, pktCount, prefix, sec, usec, mark, ifin, ifout, hook, macLen,
	seqLocal, seqGlobal, family, protocol, uid, gid, label, hwType, macSaddr, macAddrLen,
	raw, ct, physIn, physOut, vlanProto, vlanID, vlanPriority, l2 event.Slot
}

// Bind declares the keys.
func (d *Decoder) Bind(b *event.Binder) {
	nf := func(id uint16) event.Field { return event.Field{Vendor: event.Netfilter, ID: id} }
	ietf := func(id uint16) event.Field { return event.Field{ID: id} }
	b.Out(&d.mac, event.Key{Name: "raw.mac", Kind: event.Raw, Doc: "link-layer header"})
	b.Out(&d.pkt, event.Key{Name: "raw.pkt", Kind: event.Raw, Doc: "the packet from its network header on, as far as it was captured", IPFIX: nf(1)})
	b.Out(&d.pktLen, event.Key{Name: "raw.pktlen", Kind: event.U32, Doc: "number of captured bytes", IPFIX: nf(2)})
	b.Out(&d.pktCount, event.Key{Name: "raw.pktcount", Kind: event.U32, Doc: "always 1", IPFIX: ietf(2)})
	b.Out(&d.prefix, event.Key{Name: "oob.prefix", Kind: event.String, Doc: "prefix of the rule", IPFIX: nf(3)})
	b.Out(&d.sec, event.Key{Name: "oob.time.sec", Kind: event.U32, Doc: "time of the packet, in seconds since 1970", IPFIX: ietf(150)})
	b.Out(&d.usec, event.Key{Name: "oob.time.usec", Kind: event.U32, Doc: "microseconds of that time", IPFIX: ietf(154)})
	b.Out(&d.mark, event.Key{Name: "oob.mark", Kind: event.U32, Doc: "netfilter mark, 0 if there is none", IPFIX: nf(4)})
	b.Out(&d.ifin, event.Key{Name: "oob.ifindex_in", Kind: event.U32, Doc: "index of the input interface", IPFIX: ietf(10)})
	b.Out(&d.ifout, event.Key{Name: "oob.ifindex_out", Kind: event.U32, Doc: "index of the output interface", IPFIX: ietf(14)})
	b.Out(&d.hook, event.Key{Name: "oob.hook", Kind: event.U8, Doc: "number of the netfilter hook", IPFIX: nf(5)})
	b.Out(&d.macLen, event.Key{Name: "raw.mac_len", Kind: event.U16, Doc: "length of the link-layer header"})
	b.Out(&d.seqLocal, event.Key{Name: "oob.seq.local", Kind: event.U32, Doc: "number of the packet in its group, with seq_local", IPFIX: nf(7)})
	b.Out(&d.seqGlobal, event.Key{Name: "oob.seq.global", Kind: event.U32, Doc: "number of the packet in all groups, with seq_global", IPFIX: nf(8)})
	b.Out(&d.family, event.Key{Name: "oob.family", Kind: event.U8, Doc: "2 IPv4, 3 ARP, 5 netdev, 7 bridge, 10 IPv6"})
	b.Out(&d.protocol, event.Key{Name: "oob.protocol", Kind: event.U16, Doc: "EtherType"})
	b.Out(&d.uid, event.Key{Name: "oob.uid", Kind: event.U32, Doc: "user of the local socket"})
	b.Out(&d.gid, event.Key{Name: "oob.gid", Kind: event.U32, Doc: "group of the local socket"})
	b.Out(&d.label, event.Key{Name: "raw.label", Kind: event.U8, Doc: "the option numeric_label"})
	b.Out(&d.hwType, event.Key{Name: "raw.type", Kind: event.U16, Doc: "ARPHRD_* of the link-layer header"})
	b.Out(&d.macSaddr, event.Key{Name: "raw.mac.saddr", Kind: event.Raw, Doc: "source hardware address", IPFIX: ietf(56)})
	b.Out(&d.macAddrLen, event.Key{Name: "raw.mac.addrlen", Kind: event.U16, Doc: "its length"})
	b.Out(&d.raw, event.Key{Name: "raw", Kind: event.Raw, Doc: "the whole message from its family header on"})
	b.Out(&d.ct, event.Key{Name: "ct", Kind: event.Raw, Doc: "attributes of the connection, with attach_conntrack"})
	b.Out(&d.physIn, event.Key{Name: "oob.ifindex_physin", Kind: event.U32, Doc: "index of the bridge port of entry", Extra: true})
	b.Out(&d.physOut, event.Key{Name: "oob.ifindex_physout", Kind: event.U32, Doc: "index of the bridge port of exit", Extra: true})
	b.Out(&d.vlanProto, event.Key{Name: "oob.vlan.proto", Kind: event.U16, Doc: "EtherType of the VLAN tag of a bridged packet", Extra: true})
	b.Out(&d.vlanID, event.Key{Name: "oob.vlan.id", Kind: event.U16, Doc: "its VLAN identifier", Extra: true})
	b.Out(&d.vlanPriority, event.Key{Name: "oob.vlan.priority", Kind: event.U8, Doc: "its priority code point", Extra: true})
	b.Out(&d.l2, event.Key{Name: "raw.l2hdr", Kind: event.Raw, Doc: "link-layer header of a bridged packet, VLAN tags included", Extra: true})

	b.Extent(&d.pktExtent, "raw.pkt")
	b.Extent(&d.lenExtent, "raw.pktlen")
	b.Extent(&d.rawExtent, "raw")
	b.After(func() { d.Extent = max(d.pktExtent, d.lenExtent, d.rawExtent) })
}

// ErrMalformed says that a message is not what its own lengths say.
var ErrMalformed = errors.New("malformed message")

// nfulaTypes bounds the attributes that are looked at.
const nfulaTypes = AttrL2Header + 1

// Decode adds the packet whose message, from its family header on, lies in b's
// buffer from off to before end. The error is ErrMalformed, and then no event is
// added. What is missing in the message is missing in the event; the time is
// then b.Now.
func (d *Decoder) Decode(b *event.Batch, off, end int) error {
	if end-off < FamilyHeaderLen {
		return ErrMalformed
	}
	// First all attributes are found, then they are read, since some are
	// meaningful only with others.
	var at [nfulaTypes]span
	for pos := off + FamilyHeaderLen; pos < end; {
		if end-pos < attrHeaderLen {
			return ErrMalformed
		}
		n := int(binary.NativeEndian.Uint16(b.Buf[pos:]))
		typ := binary.NativeEndian.Uint16(b.Buf[pos+2:]) & 0x3fff
		if n < attrHeaderLen || n > end-pos {
			return ErrMalformed
		}
		if int(typ) < len(at) {
			at[typ] = span{uint32(pos + attrHeaderLen), uint32(n - attrHeaderLen)}
		}
		pos += align(n)
	}
	e := b.Add()
	d.set(b, e, &at)
	e.Set(d.family, event.U8, uint64(b.Buf[off]))
	e.Set(d.raw, event.Raw, event.Ref(off, end-off))
	return nil
}

// span is where the value of an attribute lies in the buffer. An attribute that
// is not there begins at 0, where no value can.
type span struct{ off, n uint32 }

func (s span) ref() uint64 { return event.Ref(int(s.off), int(s.n)) }

// has tells whether the attribute is there with at least n bytes.
func (s span) has(n uint32) bool { return s.off != 0 && s.n >= n }

func (s span) u32(buf []byte) uint64 { return uint64(binary.BigEndian.Uint32(buf[s.off:])) }

func (s span) u16(buf []byte) uint64 { return uint64(binary.BigEndian.Uint16(buf[s.off:])) }

func (d *Decoder) set(b *event.Batch, e event.Event, at *[nfulaTypes]span) {
	buf := b.Buf
	if a := at[AttrPacketHdr]; a.has(3) {
		e.Set(d.protocol, event.U16, a.u16(buf))
		e.Set(d.hook, event.U8, uint64(buf[a.off+2]))
	}
	if a := at[AttrPayload]; a.has(1) {
		e.Set(d.pkt, event.Raw, a.ref())
		e.Set(d.pktLen, event.U32, uint64(a.n))
	}
	if a := at[AttrPrefix]; a.has(0) {
		if n := bytes.IndexByte(buf[a.off:a.off+a.n], 0); n >= 0 {
			a.n = uint32(n)
		}
		e.Set(d.prefix, event.String, a.ref())
	}
	d.setTime(b, e, at[AttrTimestamp])
	mark := uint64(0)
	if a := at[AttrMark]; a.has(4) {
		mark = a.u32(buf)
	}
	e.Set(d.mark, event.U32, mark)
	e.Set(d.pktCount, event.U32, 1)
	e.Set(d.label, event.U8, uint64(d.Label))
	d.setIndex(buf, e, d.ifin, at[AttrIfindexIn])
	d.setIndex(buf, e, d.ifout, at[AttrIfindexOut])
	d.setIndex(buf, e, d.physIn, at[AttrPhysIn])
	d.setIndex(buf, e, d.physOut, at[AttrPhysOut])
	if a := at[AttrUID]; a.has(4) {
		e.Set(d.uid, event.U32, a.u32(buf))
	}
	if a := at[AttrGID]; a.has(4) {
		e.Set(d.gid, event.U32, a.u32(buf))
	}
	d.setLink(buf, e, at)
	d.setSeq(buf, e, at)
	if a := at[AttrConntrack]; a.has(1) {
		e.Set(d.ct, event.Raw, a.ref())
	}
}

// setTime sets the time of the packet, or that of its reception.
func (d *Decoder) setTime(b *event.Batch, e event.Event, a span) {
	var sec, usec uint64
	if a.has(16) {
		sec = binary.BigEndian.Uint64(b.Buf[a.off:])
		usec = binary.BigEndian.Uint64(b.Buf[a.off+8:])
	}
	if sec == 0 {
		sec = uint64(b.Now.Unix())
		usec = uint64(b.Now.Nanosecond() / int(time.Microsecond))
	}
	e.Set(d.sec, event.U32, uint64(uint32(sec)))
	e.Set(d.usec, event.U32, uint64(uint32(usec)))
}

// setIndex sets the index of an interface unless it is 0.
func (d *Decoder) setIndex(buf []byte, e event.Event, s event.Slot, a span) {
	if a.has(4) {
		if index := a.u32(buf); index != 0 {
			e.Set(s, event.U32, index)
		}
	}
}

// setLink sets what is known of the link layer.
func (d *Decoder) setLink(buf []byte, e event.Event, at *[nfulaTypes]span) {
	if a := at[AttrHWLen]; a.has(2) && a.u16(buf) != 0 {
		e.Set(d.macLen, event.U16, a.u16(buf))
		if h := at[AttrHWHeader]; h.has(0) {
			h.n = min(h.n, uint32(a.u16(buf)))
			e.Set(d.mac, event.Raw, h.ref())
		}
		if t := at[AttrHWType]; t.has(2) {
			e.Set(d.hwType, event.U16, t.u16(buf))
		}
	}
	if a := at[AttrHWAddr]; a.has(4) {
		n := min(uint32(a.u16(buf)), a.n-4)
		e.Set(d.macSaddr, event.Raw, event.Ref(int(a.off)+4, int(n)))
		e.Set(d.macAddrLen, event.U16, uint64(n))
	}
	if a := at[AttrL2Header]; a.has(1) {
		e.Set(d.l2, event.Raw, a.ref())
	}
	if a := at[AttrVLAN]; a.has(1) {
		d.setVLAN(buf[a.off:a.off+a.n], e)
	}
}

func (d *Decoder) setVLAN(nested []byte, e event.Event) {
	for {
		typ, value, rest, ok := Next(nested)
		if !ok {
			return
		}
		nested = rest
		if len(value) < 2 {
			continue
		}
		switch v := binary.BigEndian.Uint16(value); typ {
		case AttrVLANProto:
			e.Set(d.vlanProto, event.U16, uint64(v))
		case AttrVLANTCI:
			e.Set(d.vlanID, event.U16, uint64(v&0xfff))
			e.Set(d.vlanPriority, event.U8, uint64(v>>13))
		}
	}
}

func (d *Decoder) setSeq(buf []byte, e event.Event, at *[nfulaTypes]span) {
	a := at[AttrSeq]
	d.HasSeq = a.has(4)
	if d.HasSeq {
		d.Seq = uint32(a.u32(buf))
		if d.SeqLocal {
			e.Set(d.seqLocal, event.U32, uint64(d.Seq))
		}
	}
	if a := at[AttrSeqGlobal]; a.has(4) && d.SeqGlobal {
		e.Set(d.seqGlobal, event.U32, a.u32(buf))
	}
}
