package xml

import (
	"bytes"
	"encoding/binary"
	"strconv"
	"time"
	"unicode/utf8"

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

// append appends the record.
func (p *packet) append(dst, when []byte, escape bool) []byte {
	dst = append(append(dst, "<log>"...), when...)
	dst = p.appendPrefix(dst, escape)
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
	return append(dst, "</log>\n"...)
}

func (p *packet) appendPrefix(dst []byte, escape bool) []byte {
	if p.prefix == nil {
		return dst
	}
	dst = append(dst, "<prefix>"...)
	if escape {
		dst = appendEscaped(dst, p.prefix)
	} else {
		dst = append(dst, p.prefix...)
	}
	return append(dst, "</prefix>"...)
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

// appendNumber appends an element unless n is zero.
func appendNumber(dst []byte, name string, n uint32) []byte {
	if n == 0 {
		return dst
	}
	return appendElement(dst, name, int(n), 1)
}

// appendElement appends n, of at least that many digits, as an element.
func appendElement(dst []byte, name string, n, digits int) []byte {
	dst = append(append(append(dst, '<'), name...), '>')
	dst = event.AppendPadded(dst, uint64(n), digits)
	return append(append(append(dst, "</"...), name...), '>')
}

// appendWhen appends t. The days of the week count from Sunday, which is 1.
func appendWhen(dst []byte, t time.Time) []byte {
	dst = append(dst, "<when>"...)
	dst = appendElement(dst, "hour", t.Hour(), 1)
	dst = appendElement(dst, "min", t.Minute(), 2)
	dst = appendElement(dst, "sec", t.Second(), 2)
	dst = appendElement(dst, "wday", int(t.Weekday())+1, 1)
	dst = appendElement(dst, "day", t.Day(), 1)
	dst = appendElement(dst, "month", int(t.Month()), 1)
	dst = appendElement(dst, "year", t.Year(), 1)
	return append(dst, "</when>"...)
}

// appendEscaped appends text as character data. What no XML document may hold
// (XML 1.0, section 2.2), and bytes that are not UTF-8, become U+FFFD.
func appendEscaped(dst, text []byte) []byte {
	for len(text) > 0 {
		r, n := utf8.DecodeRune(text)
		text = text[n:]
		switch {
		case r == '&':
			dst = append(dst, "&amp;"...)
		case r == '<':
			dst = append(dst, "&lt;"...)
		case r == '>':
			dst = append(dst, "&gt;"...)
		case r == '\r':
			dst = append(dst, "&#13;"...) // a reader would make a newline of it
		case allowed(r):
			dst = utf8.AppendRune(dst, r)
		default:
			dst = utf8.AppendRune(dst, utf8.RuneError)
		}
	}
	return dst
}

func allowed(r rune) bool {
	return r == '\t' || r == '\n' || r >= ' ' && r != 0xfffe && r != 0xffff
}
