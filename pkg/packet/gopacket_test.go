package packet

import (
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"github.com/ulogd-go/ulogd/pkg/nflog"
)

// maker makes random valid packets.
type maker struct{ *rand.Rand }

func (m maker) bytes(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(m.Uint32())
	}
	return b
}

func (m maker) u16() uint16 { return uint16(m.Uint32()) }
func (m maker) yes() bool   { return m.IntN(2) == 0 }

// packet is a random packet and the first layer in it.
func (m maker) packet(t *testing.T) ([]byte, gopacket.LayerType) {
	if m.IntN(8) == 0 {
		return serialize(t, &layers.ARP{
			AddrType: layers.LinkTypeEthernet, Protocol: layers.EthernetTypeIPv4, HwAddressSize: 6, ProtAddressSize: 4, Operation: m.u16(),
			SourceHwAddress: m.bytes(6), SourceProtAddress: m.bytes(4), DstHwAddress: m.bytes(6), DstProtAddress: m.bytes(4),
		}), layers.LayerTypeARP
	}
	if m.yes() {
		// Without MF: gopacket does not look into fragments.
		ip := &layers.IPv4{Version: 4, TOS: uint8(m.Uint32()), Id: m.u16(), Flags: layers.IPv4Flag(m.IntN(4) << 1), TTL: uint8(m.Uint32()), SrcIP: m.bytes(4), DstIP: m.bytes(4)}
		if m.IntN(4) == 0 {
			ip.Options = []layers.IPv4Option{{OptionType: 0x94, OptionLength: 4, OptionData: m.bytes(2)}}
		}
		proto, load := m.transport(ip, layers.IPProtocolICMPv4)
		ip.Protocol = proto
		return serialize(t, append([]gopacket.SerializableLayer{ip}, load...)...), layers.LayerTypeIPv4
	}
	ip := &layers.IPv6{Version: 6, TrafficClass: uint8(m.Uint32()), FlowLabel: m.Uint32N(1 << 20), HopLimit: uint8(m.Uint32()), SrcIP: m.bytes(16), DstIP: m.bytes(16)}
	proto, load := m.transport(ip, layers.IPProtocolICMPv6)
	ip.NextHeader = proto
	return serialize(t, append([]gopacket.SerializableLayer{ip}, load...)...), layers.LayerTypeIPv6
}

// network is what a checksum covers besides the transport header.
type network interface {
	gopacket.NetworkLayer
	gopacket.SerializableLayer
}

func (m maker) transport(ip network, icmp layers.IPProtocol) (layers.IPProtocol, []gopacket.SerializableLayer) {
	load := gopacket.Payload(m.bytes(m.IntN(30)))
	with := func(l ...gopacket.SerializableLayer) []gopacket.SerializableLayer { return append(l, load) }
	switch m.IntN(4) {
	case 0:
		tcp := &layers.TCP{
			SrcPort: layers.TCPPort(m.u16()), DstPort: layers.TCPPort(m.u16()), Seq: m.Uint32(), Ack: m.Uint32(), Window: m.u16(), Urgent: m.u16(),
			FIN: m.yes(), SYN: m.yes(), RST: m.yes(), PSH: m.yes(), ACK: m.yes(), URG: m.yes(), ECE: m.yes(), CWR: m.yes(), NS: m.yes(),
		}
		if m.yes() {
			tcp.Options = []layers.TCPOption{{OptionType: layers.TCPOptionKindMSS, OptionLength: 4, OptionData: m.bytes(2)}}
		}
		_ = tcp.SetNetworkLayerForChecksum(ip)
		return layers.IPProtocolTCP, with(tcp)
	case 1:
		udp := &layers.UDP{SrcPort: layers.UDPPort(m.u16()), DstPort: layers.UDPPort(m.u16())}
		_ = udp.SetNetworkLayerForChecksum(ip)
		return layers.IPProtocolUDP, with(udp)
	case 2:
		return layers.IPProtocolSCTP, with(&layers.SCTP{SrcPort: layers.SCTPPort(m.u16()), DstPort: layers.SCTPPort(m.u16()), VerificationTag: m.Uint32()})
	}
	if icmp == layers.IPProtocolICMPv4 {
		return icmp, with(&layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(uint8(m.IntN(20)), uint8(m.IntN(6))), Id: m.u16(), Seq: m.u16()})
	}
	six := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(uint8(128+m.IntN(2)), 0)}
	_ = six.SetNetworkLayerForChecksum(ip)
	return icmp, with(six, &layers.ICMPv6Echo{Identifier: m.u16(), SeqNumber: m.u16()})
}

func serialize(t *testing.T, l ...gopacket.SerializableLayer) []byte {
	t.Helper()
	buf := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, l...); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// fields are what gopacket finds, by the names of our keys.
type fields map[string]string

func (f fields) set(pairs ...any) {
	for i := 0; i < len(pairs); i += 2 {
		f[pairs[i].(string)] = fmt.Sprintf("%d", pairs[i+1])
	}
}

func (f fields) flag(name string, set bool) {
	f[name] = "0"
	if set {
		f[name] = "1"
	}
}

// addr writes an address as the C library does, which is not net's way for all.
func addr(ip net.IP) string {
	a, _ := netip.AddrFromSlice(ip)
	return a.String()
}

func (f fields) layer(l gopacket.Layer) {
	switch l := l.(type) {
	case *layers.IPv4:
		f["ip.saddr"], f["ip.daddr"] = addr(l.SrcIP), addr(l.DstIP)
		f.set("ip.protocol", uint8(l.Protocol), "ip.tos", l.TOS, "ip.ttl", l.TTL, "ip.totlen", l.Length, "ip.ihl", l.IHL,
			"ip.csum", l.Checksum, "ip.id", l.Id, "ip.fragoff", uint16(l.Flags)<<13|l.FragOffset)
	case *layers.IPv6:
		f["ip.saddr"], f["ip.daddr"] = addr(l.SrcIP), addr(l.DstIP)
		f.set("ip.protocol", uint8(l.NextHeader), "ip6.nexthdr", uint8(l.NextHeader), "ip6.payloadlen", l.Length,
			"ip6.priority", l.TrafficClass, "ip6.flowlabel", l.FlowLabel, "ip6.hoplimit", l.HopLimit)
	case *layers.TCP:
		f.tcp(l)
	case *layers.UDP:
		f.set("udp.sport", uint16(l.SrcPort), "udp.dport", uint16(l.DstPort), "udp.len", l.Length, "udp.csum", l.Checksum)
	case *layers.SCTP:
		f.set("sctp.sport", uint16(l.SrcPort), "sctp.dport", uint16(l.DstPort), "sctp.csum", l.Checksum)
	case *layers.ICMPv4:
		f.icmp(l)
	case *layers.ICMPv6:
		f.set("icmpv6.type", l.TypeCode.Type(), "icmpv6.code", l.TypeCode.Code(), "icmpv6.csum", l.Checksum)
	case *layers.ICMPv6Echo:
		f.set("icmpv6.echoid", l.Identifier, "icmpv6.echoseq", l.SeqNumber)
	case *layers.ARP:
		f.set("arp.hwtype", uint16(l.AddrType), "arp.protocoltype", uint16(l.Protocol), "arp.operation", l.Operation)
		f["arp.shwaddr"], f["arp.dhwaddr"] = hex.EncodeToString(l.SourceHwAddress), hex.EncodeToString(l.DstHwAddress)
		f["arp.saddr"], f["arp.daddr"] = addr(l.SourceProtAddress), addr(l.DstProtAddress)
	}
}

func (f fields) tcp(l *layers.TCP) {
	f.set("tcp.sport", uint16(l.SrcPort), "tcp.dport", uint16(l.DstPort), "tcp.seq", l.Seq, "tcp.ackseq", l.Ack,
		"tcp.window", l.Window, "tcp.offset", l.DataOffset, "tcp.csum", l.Checksum)
	for name, set := range map[string]bool{"urg": l.URG, "ack": l.ACK, "psh": l.PSH, "rst": l.RST, "syn": l.SYN, "fin": l.FIN, "res1": l.NS} {
		f.flag("tcp."+name, set) // NS is the lowest of the four reserved bits
	}
	f["tcp.reserved"] = f["tcp.res1"]
	res2 := 0
	if l.ECE {
		res2 |= 1
	}
	if l.CWR {
		res2 |= 2
	}
	f.set("tcp.res2", res2)
	if l.URG {
		f.set("tcp.urgp", l.Urgent)
	}
}

func (f fields) icmp(l *layers.ICMPv4) {
	typ, code := l.TypeCode.Type(), l.TypeCode.Code()
	f.set("icmp.type", typ, "icmp.code", code, "icmp.csum", l.Checksum)
	switch {
	case typ == 0 || typ == 8:
		f.set("icmp.echoid", l.Id, "icmp.echoseq", l.Seq)
	case typ == 5 || typ == 12:
		f["icmp.gateway"] = net.IPv4(byte(l.Id>>8), byte(l.Id), byte(l.Seq>>8), byte(l.Seq)).String()
	case typ == 3 && code == 4:
		f.set("icmp.fragmtu", l.Seq)
	}
}

// TestAgreesWithGopacket takes gopacket as the oracle for valid packets. The
// seed is fixed, so a failure repeats.
func TestAgreesWithGopacket(t *testing.T) {
	const packets = 5000
	m := maker{rand.New(rand.NewPCG(3, 4))}
	r := newRig(t, false)
	families := map[gopacket.LayerType]uint8{layers.LayerTypeIPv4: nflog.FamilyIPv4, layers.LayerTypeIPv6: nflog.FamilyIPv6, layers.LayerTypeARP: nflog.FamilyARP}
	for n := range packets {
		data, first := m.packet(t)
		want := fields{}
		for _, l := range gopacket.NewPacket(data, first, gopacket.Default).Layers() {
			want.layer(l)
		}
		got, e := fields{}, r.decode(data, families[first], 7)
		for _, k := range r.all {
			if e.Has(k.Slot) && k.Name != "oob.protocol" {
				got[k.Name] = r.value(e[k.Slot])
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("packet %d, %x (-gopacket +ours):\n%s", n, data, diff)
		}
	}
}
