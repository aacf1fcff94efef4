package ulog

import (
	"bytes"
	"encoding/binary"

	"github.com/ulogd-go/ulogd/pkg/event"
)

// familyIPv4 is the only protocol family that there is.
const familyIPv4 = 2

// Decoder turns datagrams into events. It declares the keys of the inputs that
// speak this format, in ulogd's order. It is for one goroutine.
type Decoder struct {
	// Label is the value of raw.label. It is set before the first Decode.
	Label uint8

	mac, pkt, pktLen, pktCount, prefix, sec, usec, mark, in, out, hook, macLen, family, protocol, label event.Slot
}

// Bind declares the keys.
func (d *Decoder) Bind(b *event.Binder) {
	nf := func(id uint16) event.Field { return event.Field{Vendor: event.Netfilter, ID: id} }
	ietf := func(id uint16) event.Field { return event.Field{ID: id} }
	b.Out(&d.mac, event.Key{Name: "raw.mac", Kind: event.Raw, Doc: "link-layer header", IPFIX: ietf(56)})
	b.Out(&d.pkt, event.Key{Name: "raw.pkt", Kind: event.Raw, Doc: "the packet from its network header on, as far as it was captured", IPFIX: nf(1)})
	b.Out(&d.pktLen, event.Key{Name: "raw.pktlen", Kind: event.U32, Doc: "number of captured bytes", IPFIX: ietf(1)})
	b.Out(&d.pktCount, event.Key{Name: "raw.pktcount", Kind: event.U32, Doc: "always 1", IPFIX: ietf(2)})
	b.Out(&d.prefix, event.Key{Name: "oob.prefix", Kind: event.String, Doc: "prefix of the rule"})
	b.Out(&d.sec, event.Key{Name: "oob.time.sec", Kind: event.U32, Doc: "time of the packet, in seconds since 1970", IPFIX: ietf(22)})
	b.Out(&d.usec, event.Key{Name: "oob.time.usec", Kind: event.U32, Doc: "microseconds of that time"})
	b.Out(&d.mark, event.Key{Name: "oob.mark", Kind: event.U32, Doc: "netfilter mark, 0 if there is none"})
	b.Out(&d.in, event.Key{Name: "oob.in", Kind: event.String, Doc: "name of the input interface, empty if there is none"})
	b.Out(&d.out, event.Key{Name: "oob.out", Kind: event.String, Doc: "name of the output interface, empty if there is none"})
	b.Out(&d.hook, event.Key{Name: "oob.hook", Kind: event.U8, Doc: "number of the netfilter hook", IPFIX: nf(5)})
	b.Out(&d.macLen, event.Key{Name: "raw.mac_len", Kind: event.U16, Doc: "length of the link-layer header"})
	b.Out(&d.family, event.Key{Name: "oob.family", Kind: event.U8, Doc: "always 2, IPv4"})
	b.Out(&d.protocol, event.Key{Name: "oob.protocol", Kind: event.U16, Doc: "always 0"})
	b.Out(&d.label, event.Key{Name: "raw.label", Kind: event.U8, Doc: "the option numeric_label"})
}

// Decode adds the packets of the datagram that lies in b's buffer from off to before
// end. The result is how many of its messages are not what their own lengths say,
// and were left out.
//
// A batch ends with a message of type NLMSG_DONE, or with one that does not say
// that another follows; what is behind it means nothing.
func (d *Decoder) Decode(b *event.Batch, off, end int) (malformed int) {
	for pos := off; pos < end; {
		header := b.Buf[pos:end]
		if len(header) < headerLen {
			return malformed + 1
		}
		n := binary.NativeEndian.Uint32(header)
		typ, flags := binary.NativeEndian.Uint16(header[4:]), binary.NativeEndian.Uint16(header[6:])
		if n < headerLen || uint64(n) > uint64(len(header)) {
			return malformed + 1
		}
		if typ != typeNoop && typ != typeError && !d.packet(b, pos+headerLen, pos+int(n)) {
			malformed++
		}
		if typ == typeDone || flags&flagMulti == 0 {
			return malformed
		}
		pos += (int(n) + align - 1) &^ (align - 1)
	}
	return malformed
}

// packet adds the packet of one message. It reports false if there is none.
func (d *Decoder) packet(b *event.Batch, off, end int) bool {
	msg := b.Buf[off:end]
	l, n := detect(msg)
	if l == nil {
		return false
	}
	e := b.Add()
	e.Set(d.pkt, event.Raw, event.Ref(off+l.payload, n))
	e.Set(d.pktLen, event.U32, uint64(uint32(n)))
	e.Set(d.pktCount, event.U32, 1)
	if mac := min(int(msg[l.macAt]), macLen); mac > 0 {
		e.Set(d.mac, event.Raw, event.Ref(off+l.macAt+1, mac))
		e.Set(d.macLen, event.U16, uint64(mac))
	}
	if sec := l.number(msg, l.sec); sec != 0 {
		e.Set(d.sec, event.U32, uint64(uint32(sec)))
		e.Set(d.usec, event.U32, uint64(uint32(l.number(msg, l.usec))))
	}
	e.Set(d.mark, event.U32, uint64(uint32(l.number(msg, 0))))
	e.Set(d.hook, event.U8, uint64(uint8(binary.NativeEndian.Uint32(msg[l.hook:]))))
	setText(b, e, d.prefix, off+l.prefix, prefixLen)
	setText(b, e, d.in, off+l.in, nameLen)
	setText(b, e, d.out, off+l.out, nameLen)
	e.Set(d.family, event.U8, familyIPv4)
	e.Set(d.protocol, event.U16, 0)
	e.Set(d.label, event.U8, uint64(d.Label))
	return true
}

// setText sets the text of a field, which ends with a zero byte or fills the field.
func setText(b *event.Batch, e event.Event, s event.Slot, off, room int) {
	n := bytes.IndexByte(b.Buf[off:off+room], 0)
	if n < 0 {
		n = room
	}
	e.Set(s, event.String, event.Ref(off, n))
}
