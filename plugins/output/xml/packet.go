package xml

import (
	"bytes"
	"encoding/binary"
	"strconv"

	"github.com/ulogd-go/ulogd/pkg/event"
	"github.com/ulogd-go/ulogd/pkg/nflog"
)

// packet is the attributes of an NFLOG message that a record shows. Those that
// are missing or too short are nil or zero.
type packet struct {
	header, prefix, address, payload []byte
	mark, in, out, physIn, physOut   uint32
}

// read takes the attributes from a message without its netlink header. What
// stands behind a broken attribute is lost.
func (p *packet) read(message []byte) {
	rest := message[min(nflog.FamilyHeaderLen, len(message)):]
	for {
		typ, value, next, ok := nflog.Next(rest)
		if !ok {
			return
		}
		rest = next
		p.set(typ, value)
	}
}

func (p *packet) set(typ uint16, value []byte) {
	switch typ {
	case nflog.AttrPacketHdr:
		if len(value) >= 3 {
			p.header = value
		}
	case nflog.AttrPrefix:
		p.prefix, _, _ = bytes.Cut(value, []byte{0})
	case nflog.AttrHWAddr:
		p.address = address(value)
	case nflog.AttrPayload:
		p.payload = value
	case nflog.AttrMark:
		p.mark = number(value)
	case nflog.AttrIfindexIn:
		p.in = number(value)
	case nflog.AttrIfindexOut:
		p.out = number(value)
	case nflog.AttrPhysIn:
		p.physIn = number(value)
	case nflog.AttrPhysOut:
		p.physOut = number(value)
	}
}

func number(value []byte) uint32 {
	if len(value) < 4 {
		return 0
	}
	return binary.BigEndian.Uint32(value)
}

// address is the hardware address behind its length.
func address(value []byte) []byte {
	const head = 4 // the length and two bytes of padding
	if len(value) < head {
		return nil
	}
	n := int(binary.BigEndian.Uint16(value))
	return value[head:min(head+n, len(value))]
}

// append appends the record, without a newline.
func (p *packet) append(dst, when []byte, escape bool) []byte {
	dst = append(append(dst, "<log>"...), when...)
	if p.prefix != nil {
		dst = appendText(dst, "prefix", p.prefix, escape)
	}
	dst = p.appendLink(dst)
	dst = appendNumber(dst, "mark", p.mark)
	dst = appendNumber(dst, "indev", p.in)
	dst = appendNumber(dst, "outdev", p.out)
	dst = appendNumber(dst, "physindev", p.physIn)
	dst = appendNumber(dst, "physoutdev", p.physOut)
	if p.payload != nil {
		dst = event.AppendHex(append(dst, "<payload>"...), p.payload)
		dst = append(dst, "</payload>"...)
	}
	return append(dst, "</log>"...)
}

// appendLink appends the hook, and what is known of the link layer.
func (p *packet) appendLink(dst []byte) []byte {
	if p.header == nil {
		return dst
	}
	dst = strconv.AppendUint(append(dst, "<hook>"...), uint64(p.header[2]), 10)
	dst = event.AppendHex(append(dst, "</hook><hw><proto>"...), p.header[:2])
	dst = append(dst, "</proto>"...)
	if len(p.address) > 0 {
		dst = event.AppendHex(append(dst, "<src>"...), p.address)
		dst = append(dst, "</src>"...)
	}
	return append(dst, "</hw>"...)
}
