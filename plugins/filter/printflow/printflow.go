// Package printflow is the filter PRINTFLOW, which writes a connection as a line of
// text.
package printflow

import (
	"github.com/ulogd-go/ulogd/pkg/event"
	"github.com/ulogd-go/ulogd/pkg/plugin"
)

func init() {
	plugin.Default.Register(plugin.NewFilter(plugin.Info{
		Name: "PRINTFLOW", Summary: "writes a connection as a line of text",
		Takes: plugin.Flow, Gives: plugin.Flow,
	}, options{Compat: true}, open))
}

type options struct {
	Compat bool `toml:"compat" extra:"true" doc:"write just what ulogd writes, slips included; 0 mends them (see the README)"`
}

type printflow struct {
	options
	orig, reply direction

	icmpCode, icmpType, event, icmp6Code, icmp6Type, print event.Slot
}

// direction are the keys of one direction of a connection.
type direction struct {
	saddr, daddr, protocol, sport, dport, pktLen, pktCount event.Slot
}

func open(o options, _ *plugin.Env) (plugin.Filter, error) { return &printflow{options: o}, nil }

func (f *printflow) Bind(b *event.Binder) {
	f.orig.bind(b, "orig.")
	f.reply.bind(b, "reply.")
	b.In(&f.icmpCode, "icmp.code", event.U8)
	b.In(&f.icmpType, "icmp.type", event.U8)
	b.In(&f.event, "ct.event", event.U32)
	if !f.Compat {
		b.Optional(&f.icmp6Code, "icmpv6.code", event.U8)
		b.Optional(&f.icmp6Type, "icmpv6.type", event.U8)
	}
	b.Out(&f.print, event.Key{Name: "print", Kind: event.String, Doc: "the line, with a newline at its end"})
}

func (d *direction) bind(b *event.Binder, name string) {
	b.In(&d.saddr, name+"ip.saddr.str", event.Addr)
	b.In(&d.daddr, name+"ip.daddr.str", event.Addr)
	b.In(&d.protocol, name+"ip.protocol", event.U8)
	b.In(&d.sport, name+"l4.sport", event.U16)
	b.In(&d.dport, name+"l4.dport", event.U16)
	b.In(&d.pktLen, name+"raw.pktlen", event.U64)
	b.In(&d.pktCount, name+"raw.pktcount", event.U64)
}

func (f *printflow) Filter(rows *event.Rows) {
	for e := range rows.All() {
		off := len(rows.Buf)
		rows.Buf = f.append(rows.Buf, rows.Batch, e)
		rows.Store(e, f.print, event.String, off)
	}
}

// append appends the line of one event. See reference page "ulogd2-outputs",
// section 5.
func (f *printflow) append(dst []byte, b *event.Batch, e event.Event) []byte {
	switch e.Uint(f.event) {
	case 1:
		dst = append(dst, "[NEW] "...)
	case 2:
		dst = append(dst, "[UPDATE] "...)
	case 4:
		dst = append(dst, "[DESTROY] "...)
	}
	dst = append(dst, "ORIG: "...)
	dst = f.appendDirection(dst, b, e, &f.orig)
	dst = append(dst, ", REPLY: "...)
	dst = f.appendDirection(dst, b, e, &f.reply)
	return append(dst, '\n')
}

func (f *printflow) appendDirection(dst []byte, b *event.Batch, e event.Event, d *direction) []byte {
	dst = appendString(dst, "SRC=", b, e, d.saddr)
	dst = appendString(dst, "DST=", b, e, d.daddr)
	if e.Has(d.protocol) {
		dst = f.appendProtocol(dst, e, d)
	}
	dst = appendNumber(dst, "PKTS=", e, d.pktCount)
	return appendNumber(dst, "BYTES=", e, d.pktLen)
}

// Protocols with a text of their own (IANA, Assigned Internet Protocol Numbers).
const (
	protoICMP    = 1
	protoTCP     = 6
	protoUDP     = 17
	protoDCCP    = 33
	protoESP     = 50
	protoAH      = 51
	protoICMPv6  = 58
	protoSCTP    = 132
	protoUDPLite = 136
)

func (f *printflow) appendProtocol(dst []byte, e event.Event, d *direction) []byte {
	switch proto := e.Uint(d.protocol); {
	case proto == protoTCP:
		return appendPorts(dst, "PROTO=TCP ", e, d)
	case proto == protoUDP:
		return appendPorts(dst, "PROTO=UDP ", e, d)
	case proto == protoICMP && f.Compat:
		// The type and the code are swapped.
		return appendICMP(dst, "PROTO=ICMP ", e, f.icmpCode, f.icmpType)
	case proto == protoICMP:
		return appendICMP(dst, "PROTO=ICMP ", e, f.icmpType, f.icmpCode)
	case proto == protoESP:
		return append(dst, "PROTO=ESP "...)
	case proto == protoAH:
		return append(dst, "PROTO=AH "...)
	case f.Compat:
	case proto == protoICMPv6:
		return appendICMP(dst, "PROTO=ICMPv6 ", e, f.icmp6Type, f.icmp6Code)
	case proto == protoSCTP:
		return appendPorts(dst, "PROTO=SCTP ", e, d)
	case proto == protoDCCP:
		return appendPorts(dst, "PROTO=DCCP ", e, d)
	case proto == protoUDPLite:
		return appendPorts(dst, "PROTO=UDPLITE ", e, d)
	}
	return appendNumber(dst, "PROTO=", e, d.protocol)
}

func appendPorts(dst []byte, protocol string, e event.Event, d *direction) []byte {
	dst = append(dst, protocol...)
	dst = appendNumber(dst, "SPT=", e, d.sport)
	return appendNumber(dst, "DPT=", e, d.dport)
}

func appendICMP(dst []byte, protocol string, e event.Event, typ, code event.Slot) []byte {
	dst = append(dst, protocol...)
	dst = appendNumber(dst, "TYPE=", e, typ)
	return appendNumber(dst, "CODE=", e, code)
}

// appendNumber appends a label, a number and a space, if there is the number.
func appendNumber(dst []byte, label string, e event.Event, s event.Slot) []byte {
	if !e.Has(s) {
		return dst
	}
	dst = append(dst, label...)
	dst = event.AppendUint(dst, e.Uint(s))
	return append(dst, ' ')
}

// appendString is appendNumber for a string.
func appendString(dst []byte, label string, b *event.Batch, e event.Event, s event.Slot) []byte {
	if e[s].K != event.String {
		return dst
	}
	dst = append(dst, label...)
	dst = append(dst, b.Bytes(e[s])...)
	return append(dst, ' ')
}
