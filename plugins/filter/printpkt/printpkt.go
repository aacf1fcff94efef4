// Package printpkt is the filter PRINTPKT, which writes a packet as a line of
// text in the manner of iptables' LOG target.
package printpkt

import (
	"strconv"

	"github.com/ulogd-go/ulogd/pkg/event"
	"github.com/ulogd-go/ulogd/pkg/plugin"
)

func init() {
	plugin.Default.Register(plugin.NewFilter(plugin.Info{
		Name: "PRINTPKT", Summary: "writes a packet as a line of text",
		Takes: plugin.Packet, Gives: plugin.Packet,
	}, options{Compat: true, Generation: plugin.Second}, open))
}

type options struct {
	PhysDev bool `toml:"physdev" extra:"true" doc:"write PHYSIN= and PHYSOUT=, the bridge ports, behind OUT="`
	Compat  bool `toml:"compat" extra:"true" doc:"write just what ulogd writes, slips included; 0 mends them (see the README)"`

	Generation plugin.Generation `toml:"generation" extra:"true" doc:"1 writes the text of ulogd 1.x, and compat has no meaning then (see the README)"`
}

type printpkt struct {
	options
	slots
}

// slots are the keys, in ulogd's order.
type slots struct {
	family, prefix, in, out, uid, gid, mark, mac, macLen,
	saddr, daddr, totlen, tos, ttl, id, fragoff, protocol,
	payloadlen6, priority6, hoplimit6, flowlabel6, nexthdr6, fragoff6, fragid6,
	tcpSport, tcpDport, tcpSeq, tcpAckseq, tcpWindow,
	tcpSyn, tcpAck, tcpPsh, tcpRst, tcpFin, tcpUrg, tcpUrgp,
	udpSport, udpDport, udpLen,
	icmpType, icmpCode, icmpEchoID, icmpEchoSeq, icmpGateway, icmpMTU,
	icmp6Type, icmp6Code, icmp6EchoID, icmp6EchoSeq,
	spi, etherType,
	arpHWType, arpProtoType, arpOperation, arpSHWAddr, arpSaddr, arpDHWAddr, arpDaddr,
	sctpSport, sctpDport,
	physIn, physOut,
	print event.Slot
}

func open(o options, _ *plugin.Env) (plugin.Filter, error) { return &printpkt{options: o}, nil }

func (f *printpkt) Bind(b *event.Binder) {
	in := func(s *event.Slot, name string) { b.In(s, name, event.None) }
	in(&f.family, "oob.family")
	in(&f.prefix, "oob.prefix")
	in(&f.in, "oob.in")
	in(&f.out, "oob.out")
	b.Optional(&f.uid, "oob.uid", event.None)
	b.Optional(&f.gid, "oob.gid", event.None)
	in(&f.mark, "oob.mark")
	in(&f.mac, "raw.mac")
	in(&f.macLen, "raw.mac_len")
	in(&f.saddr, "ip.saddr.str")
	in(&f.daddr, "ip.daddr.str")
	in(&f.totlen, "ip.totlen")
	in(&f.tos, "ip.tos")
	in(&f.ttl, "ip.ttl")
	in(&f.id, "ip.id")
	in(&f.fragoff, "ip.fragoff")
	in(&f.protocol, "ip.protocol")
	in(&f.payloadlen6, "ip6.payloadlen")
	in(&f.priority6, "ip6.priority")
	in(&f.hoplimit6, "ip6.hoplimit")
	in(&f.flowlabel6, "ip6.flowlabel")
	in(&f.nexthdr6, "ip6.nexthdr")
	in(&f.fragoff6, "ip6.fragoff")
	in(&f.fragid6, "ip6.fragid")
	in(&f.tcpSport, "tcp.sport")
	in(&f.tcpDport, "tcp.dport")
	in(&f.tcpSeq, "tcp.seq")
	in(&f.tcpAckseq, "tcp.ackseq")
	in(&f.tcpWindow, "tcp.window")
	in(&f.tcpSyn, "tcp.syn")
	in(&f.tcpAck, "tcp.ack")
	in(&f.tcpPsh, "tcp.psh")
	in(&f.tcpRst, "tcp.rst")
	in(&f.tcpFin, "tcp.fin")
	in(&f.tcpUrg, "tcp.urg")
	in(&f.tcpUrgp, "tcp.urgp")
	in(&f.udpSport, "udp.sport")
	in(&f.udpDport, "udp.dport")
	in(&f.udpLen, "udp.len")
	in(&f.icmpType, "icmp.type")
	in(&f.icmpCode, "icmp.code")
	in(&f.icmpEchoID, "icmp.echoid")
	in(&f.icmpEchoSeq, "icmp.echoseq")
	in(&f.icmpGateway, "icmp.gateway")
	in(&f.icmpMTU, "icmp.fragmtu")
	in(&f.icmp6Type, "icmpv6.type")
	in(&f.icmp6Code, "icmpv6.code")
	in(&f.icmp6EchoID, "icmpv6.echoid")
	in(&f.icmp6EchoSeq, "icmpv6.echoseq")
	in(&f.spi, "ahesp.spi")
	in(&f.etherType, "oob.protocol")
	in(&f.arpHWType, "arp.hwtype")
	in(&f.arpProtoType, "arp.protocoltype")
	in(&f.arpOperation, "arp.operation")
	in(&f.arpSHWAddr, "arp.shwaddr")
	in(&f.arpSaddr, "arp.saddr.str")
	in(&f.arpDHWAddr, "arp.dhwaddr")
	in(&f.arpDaddr, "arp.daddr.str")
	in(&f.sctpSport, "sctp.sport")
	in(&f.sctpDport, "sctp.dport")
	if f.PhysDev {
		b.Optional(&f.physIn, "oob.physin", event.None)
		b.Optional(&f.physOut, "oob.physout", event.None)
	}
	b.Out(&f.print, event.Key{Name: "print", Kind: event.String, Doc: "the line, with a newline at its end"})
}

func (f *printpkt) Filter(rows *event.Rows) {
	for e := range rows.All() {
		off := len(rows.Buf)
		rows.Buf = f.append(rows.Buf, rows.Batch, e)
		rows.Store(e, f.print, event.String, off)
	}
}

// line is a line that grows, and the event that it is about.
type line struct {
	*slots
	dst []byte
	b   *event.Batch
	e   event.Event
}

// append appends the line of one event. See reference page "ulogd2-outputs",
// section 2.
func (f *printpkt) append(dst []byte, b *event.Batch, e event.Event) []byte {
	l := line{&f.slots, dst, b, e}
	if f.Generation == plugin.First {
		return l.first()
	}
	if e.Has(f.prefix) {
		l.str("", f.prefix)
	}
	if e.Has(f.in) && e.Has(f.out) {
		l.str("IN=", f.in)
		l.str("OUT=", f.out)
	}
	l.ports()
	l.hardware()
	l.network(f.Compat)
	if e.Has(f.uid) {
		l.num("UID=", f.uid)
	}
	if e.Has(f.gid) {
		l.num("GID=", f.gid)
	}
	if e.Has(f.mark) { // packets of UNIXSOCK have none
		l.text("MARK=0x")
		l.dst = append(strconv.AppendUint(l.dst, e.Uint(f.mark), 16), ' ')
	}
	return append(l.dst, '\n')
}

// ports appends the bridge ports that the packet has.
func (l *line) ports() {
	l.strIf("PHYSIN=", l.physIn)
	l.strIf("PHYSOUT=", l.physOut)
}

// hardware appends the link-layer header.
func (l *line) hardware() {
	l.text("MAC=")
	if v := l.e[l.mac]; v.K == event.Raw {
		l.dst = event.AppendMAC(l.dst, l.b.Bytes(v))
	}
	l.text(" ")
}

// text appends text.
func (l *line) text(s string) { l.dst = append(l.dst, s...) }

// num appends a label, a number in decimal, and a space.
func (l *line) num(label string, s event.Slot) { l.number(label, l.e.Uint(s)) }

func (l *line) number(label string, n uint64) {
	l.dst = append(l.dst, label...)
	l.dst = event.AppendUint(l.dst, n)
	l.dst = append(l.dst, ' ')
}

// str appends a label, a string and a space.
func (l *line) str(label string, s event.Slot) {
	l.dst = append(l.dst, label...)
	if v := l.e[s]; v.K == event.String {
		l.dst = append(l.dst, l.b.Bytes(v)...)
	}
	l.dst = append(l.dst, ' ')
}

// has tells whether s holds a value.
func (l *line) has(s event.Slot) bool { return l.e.Has(s) }

// strIf is str for a key that holds a value.
func (l *line) strIf(label string, s event.Slot) {
	if l.has(s) {
		l.str(label, s)
	}
}

// numIf is num for a key that holds a value.
func (l *line) numIf(label string, s event.Slot) {
	if l.has(s) {
		l.num(label, s)
	}
}

// flag appends a word and a space if s is true.
func (l *line) flag(word string, s event.Slot) {
	if l.e.Uint(s) != 0 {
		l.dst = append(l.dst, word...)
	}
}
