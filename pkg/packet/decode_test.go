package packet

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/gopacket/gopacket/pcapgo"

	"github.com/ulogd-go/ulogd/pkg/event"
	"github.com/ulogd-go/ulogd/pkg/nflog"
)

// rig is a decoder whose keys are all read, and a batch for its events.
type rig struct {
	Decoder
	pkt   event.Slot
	all   []event.Bound
	batch *event.Batch
}

type source struct{ pkt *event.Slot }

func (s source) Bind(b *event.Binder) { b.Out(s.pkt, event.Key{Name: "pkt", Kind: event.Raw}) }

type sink struct{ all *[]event.Bound }

func (s sink) Bind(b *event.Binder) {
	b.All(s.all, func(k event.Key) bool { return k.Name != "pkt" })
}

func newRig(tb testing.TB, compat bool) *rig {
	tb.Helper()
	r := &rig{Decoder: Decoder{Compat: compat}}
	tree := event.NewTree("source", source{&r.pkt})
	if err := tree.Stack([]string{"decoder", "sink"}, []event.Bindable{&r.Decoder, sink{&r.all}}); err != nil {
		tb.Fatal(err)
	}
	r.batch = event.NewBatch(tree.Layout())
	return r
}

// decode decodes a packet that lies between other bytes.
func (r *rig) decode(packet []byte, family uint8, etherType uint16) event.Event {
	r.batch.Reset()
	e := r.batch.Add()
	r.batch.Rows() // clears what belongs to the stack
	r.batch.Buf = append(append(r.batch.Buf, "before"...), packet...)
	r.batch.Store(e, r.pkt, event.Raw, len("before"))
	r.batch.Buf = append(r.batch.Buf, "\xff\xff behind \xff\xff"...)
	r.Decode(r.batch, e, e[r.pkt], family, etherType)
	return e
}

// text is the event's keys that begin with one of the prefixes, in order.
func (r *rig) text(e event.Event, prefixes ...string) string {
	var out []string
	for _, k := range r.all {
		for _, p := range prefixes {
			if e.Has(k.Slot) && strings.HasPrefix(k.Name, p) {
				out = append(out, k.Name+"="+r.value(e[k.Slot]))
				break
			}
		}
	}
	return strings.Join(out, " ")
}

func (r *rig) value(v event.Value) string {
	if v.K == event.Raw {
		return hex.EncodeToString(r.batch.Bytes(v))
	}
	text, _ := r.batch.AppendText(nil, v)
	return string(text)
}

func unhex(tb testing.TB, text string) []byte {
	tb.Helper()
	data, err := hex.DecodeString(strings.Join(strings.Fields(text), ""))
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

// Headers that the tests put things behind.
const (
	head4 = "45b80034 12344000 40"   // then protocol
	rest4 = "abcd c0000202 c0000201" // checksum and addresses
	head6 = "6ba12345 0014"          // then next header
	rest6 = "3f" + "20010db8000000000000000000000002" + "20010db8000000000000000000000001"
	tcpHd = "c350 0050 00000001 80000000 5a bf faf0 beef 0009" // data offset 5, reserved 10, flags CWR, URG to FIN
	udpHd = "c350 0035 0014 cafe"
)

func four(proto byte, payload string) string {
	return head4 + fmt.Sprintf("%02x", proto) + rest4 + payload
}

func six(next byte, payload string) string {
	return head6 + fmt.Sprintf("%02x", next) + rest6 + payload
}

const (
	ip4Keys = "ip.saddr=192.0.2.2 ip.daddr=192.0.2.1 ip.protocol=%d ip.tos=184 ip.ttl=64 ip.totlen=52 ip.ihl=5 ip.csum=43981 ip.id=4660 ip.fragoff=16384"
	ip6Keys = "ip.saddr=2001:db8::2 ip.daddr=2001:db8::1"
	udpKeys = "udp.sport=50000 udp.dport=53 udp.len=20 udp.csum=51966"
	tcpKeys = "tcp.urg=1 tcp.urgp=9 tcp.ack=1 tcp.psh=1 tcp.rst=1 tcp.syn=1 tcp.fin=1 tcp.res1=10 tcp.res2=2 tcp.csum=48879"
)

// same stands for the text that is wanted with compat.
const same = "="

// TestDecode has the rows of reference page "ulogd2-core", section 7.1, and the
// defects of its section 9, which compat=0 mends.
func TestDecode(t *testing.T) {
	swapped := binary.NativeEndian.Uint16([]byte{0xbe, 0xef})
	udp4 := fmt.Sprintf(ip4Keys, 17)
	tests := []struct {
		name         string
		packet       string
		keys         string // prefixes of the keys that are compared
		compat, true string // what ulogd makes of it, and what it is
	}{
		{"IPv4", four(17, udpHd), "ip", udp4, same},
		{"IPv4, 19 bytes", strings.TrimSuffix(four(17, ""), "01"), "ip udp", "", same},
		{"IPv4, header only (defect 14)", four(17, ""), "ip udp", "", udp4},
		{"IPv4, no transport header", four(6, "c350"), "ip tcp", fmt.Sprintf(ip4Keys, 6), same},
		{"IPv4, options", "46" + four(17, "94040000"+udpHd)[2:], "udp ip.ihl", "ip.ihl=6 " + udpKeys, same},
		{"IPv4, only options", "46" + four(17, "94040000")[2:], "ip.ihl udp", "", "ip.ihl=6"},
		{"IPv4, cut options", "4f" + four(17, udpHd)[2:], "ip.ihl udp", "", "ip.ihl=15"},
		{"IPv4, header length below 5", "44" + four(17, udpHd)[2:], "udp ip.ihl", "ip.ihl=4 udp.sport=49152 udp.dport=513 udp.len=50000 udp.csum=53", "ip.ihl=4"},
		{"IPv4, first fragment", strings.Replace(four(17, udpHd), "4000", "2000", 1), "ip.fragoff udp", "ip.fragoff=8192 " + udpKeys, same},
		{"IPv4, later fragment (defect 13)", strings.Replace(four(17, udpHd), "4000", "0006", 1), "ip.fragoff udp", "ip.fragoff=6 " + udpKeys, "ip.fragoff=6"},
		{"IGMP", four(2, "1664000000000000"), "udp tcp icmp sctp ahesp ip.protocol", "ip.protocol=2", same},
		{"UDP-Lite", four(136, udpHd), "udp ip.protocol", "ip.protocol=136", same},

		{"TCP (defect 15)", four(6, tcpHd), "tcp",
			"tcp.sport=50000 tcp.dport=80 tcp.seq=1 tcp.ackseq=2147483648 tcp.window=64240 tcp.offset=0 tcp.reserved=0 " + tcpKeys,
			"tcp.sport=50000 tcp.dport=80 tcp.seq=1 tcp.ackseq=2147483648 tcp.window=64240 tcp.offset=5 tcp.reserved=10 " + tcpKeys},
		{"TCP without URG", four(6, strings.Replace(tcpHd, "5a bf", "50 42", 1)), "tcp.urg tcp.syn tcp.fin tcp.res", "tcp.reserved=0 tcp.urg=0 tcp.syn=1 tcp.fin=0 tcp.res1=0 tcp.res2=1", same},
		{"TCP, 19 bytes", four(6, tcpHd[:len(tcpHd)-2]), "tcp", "", same},
		{"UDP", four(17, udpHd), "udp", udpKeys, same},
		{"UDP, 7 bytes", four(17, udpHd[:len(udpHd)-2]), "udp", "", same},
		{"SCTP", four(132, "0bb8 0fa0 00000001 deadbeef"), "sctp", "sctp.sport=3000 sctp.dport=4000 sctp.csum=3735928559", same},
		{"SCTP, 11 bytes", four(132, "0bb8 0fa0 00000001 deadbe"), "sctp", "", same},

		{"ICMP echo (defect 16)", four(1, "0800 beef 1234 0001"), "icmp",
			fmt.Sprintf("icmp.type=8 icmp.code=0 icmp.echoid=4660 icmp.echoseq=1 icmp.csum=%d", swapped), "icmp.type=8 icmp.code=0 icmp.echoid=4660 icmp.echoseq=1 icmp.csum=48879"},
		{"ICMP echo reply", four(1, "0000 0000 1234 0001"), "icmp", "icmp.type=0 icmp.code=0 icmp.echoid=4660 icmp.echoseq=1 icmp.csum=0", same},
		{"ICMP redirect", four(1, "0501 0000 c00002fe"), "icmp", "icmp.type=5 icmp.code=1 icmp.gateway=192.0.2.254 icmp.csum=0", same},
		{"ICMP parameter problem", four(1, "0c00 0000 14000000"), "icmp", "icmp.type=12 icmp.code=0 icmp.gateway=20.0.0.0 icmp.csum=0", same},
		{"ICMP fragmentation needed", four(1, "0304 0000 000005dc"), "icmp", "icmp.type=3 icmp.code=4 icmp.fragmtu=1500 icmp.csum=0", same},
		{"ICMP port unreachable", four(1, "0303 0000 000005dc"), "icmp", "icmp.type=3 icmp.code=3 icmp.csum=0", same},
		{"ICMP, 7 bytes", four(1, "0800 beef 1234 00"), "icmp", "", same},
		{"ESP (defect 17)", four(50, "00c0ffee 00000001"), "ahesp ip.protocol", "ip.protocol=50", "ip.protocol=50 ahesp.spi=12648430"},
		{"ESP, 3 bytes", four(50, "00c0ff"), "ahesp", "", same},
		{"AH (defect 17)", four(51, "0604 0000 00000abc 00000001"), "ahesp", "", "ahesp.spi=2748"},

		{"IPv6", six(17, udpHd), "ip", ip6Keys + " ip.protocol=17 ip6.payloadlen=20 ip6.priority=186 ip6.flowlabel=74565 ip6.hoplimit=63 ip6.nexthdr=17", same},
		{"IPv6, 39 bytes", strings.TrimSuffix(six(17, ""), "01"), "ip", "", same},
		{"IPv6, header only", six(17, ""), "ip.protocol ip6.next udp", "ip.protocol=17 ip6.nexthdr=17", same},
		{"IPv6, no next header", six(59, "00"), "ip.protocol ip6.next", "ip.protocol=59 ip6.nexthdr=59", same},
		{"IPv6, TCP", six(6, tcpHd), "tcp.s", "tcp.sport=50000 tcp.seq=1 tcp.syn=1", same},
		{"IPv6, UDP", six(17, udpHd), "udp", udpKeys, same},
		{"IPv6, SCTP (defect 18)", six(132, "0bb8 0fa0 00000001 deadbeef"), "sctp ip.protocol", "ip.protocol=132", "ip.protocol=132 sctp.sport=3000 sctp.dport=4000 sctp.csum=3735928559"},
		{"IPv6, ICMP of IPv4", six(1, "0800 beef 1234 0001"), "icmp ip.protocol", "ip.protocol=1", same},
		{"ICMPv6 echo (defect 16)", six(58, "8000 beef 1234 0001"), "icmp",
			fmt.Sprintf("icmpv6.type=128 icmpv6.code=0 icmpv6.echoid=4660 icmpv6.echoseq=1 icmpv6.csum=%d", swapped), "icmpv6.type=128 icmpv6.code=0 icmpv6.echoid=4660 icmpv6.echoseq=1 icmpv6.csum=48879"},
		{"ICMPv6 echo reply", six(58, "8100 0000 1234 0001"), "icmp", "icmpv6.type=129 icmpv6.code=0 icmpv6.echoid=4660 icmpv6.echoseq=1 icmpv6.csum=0", same},
		{"ICMPv6 packet too big", six(58, "0200 0000 000005dc"), "icmp", "icmpv6.type=2 icmpv6.code=0 icmpv6.csum=0", same},
		{"ICMPv6, 7 bytes", six(58, "8000 beef 1234 00"), "icmp", "", same},

		{"hop-by-hop, routing, destination options", six(0, "2b01 0000 00000000 0000000000000000"+"3c00 0000 00000000"+"1100 0104 00000000"+udpHd), "ip6.next udp", "ip6.nexthdr=17 " + udpKeys, same},
		{"extension header cut", six(0, "1101 0104 00000000"+"00000000000000"), "ip6.next ip.protocol", "", same},
		{"extension header of a byte", six(60, "11"), "ip6.next ip.protocol", "", same},
		{"first fragment", six(44, "1100 0001 deadbeef"+udpHd), "ip.protocol ip6.next ip6.frag udp", "ip.protocol=17 ip6.nexthdr=17 ip6.fragoff=0 ip6.fragid=3735928559 " + udpKeys, same},
		{"later fragment", six(44, "1100 05c9 deadbeef"+udpHd), "ip.protocol ip6.next ip6.frag udp", "ip6.nexthdr=17 ip6.fragoff=1480 ip6.fragid=3735928559", same},
		{"later fragment before an extension", six(44, "3c00 05c8 deadbeef 1100 0104 00000000"+udpHd), "ip.protocol ip6.next udp", "ip6.nexthdr=60", same},
		{"fragment header cut", six(44, "1100 05c9 deadbe"), "ip.protocol ip6.next ip6.frag", "", same},
		{"AH", six(51, "1104 0000 00000abc 00000001 000000000000000000000000"+udpHd), "ip6.next udp ahesp", "ip6.nexthdr=17 " + udpKeys, "ip6.nexthdr=17 " + udpKeys + " ahesp.spi=2748"},
		{"ESP that fits (defect 18)", six(50, "00000abc 00000001"), "ip6.next ip.protocol ahesp", "ip6.nexthdr=50", "ip.protocol=50 ip6.nexthdr=50 ahesp.spi=2748"},
		{"ESP that does not (defect 18)", six(50, "00c0ffee 00000001"), "ip6.next ip.protocol ahesp", "", "ip.protocol=50 ip6.nexthdr=50 ahesp.spi=12648430"},
		{"ESP, 1 byte", six(50, "00"), "ip6.next ip.protocol ahesp", "", "ip.protocol=50 ip6.nexthdr=50"},
		{"ESP behind options", six(60, "3200 0104 00000000 00000abc 00000001"), "ip6.next ip.protocol ahesp", "ip6.nexthdr=50", "ip.protocol=50 ip6.nexthdr=50 ahesp.spi=2748"},
	}
	for _, tt := range tests {
		for _, compat := range []bool{true, false} {
			want := tt.true
			if compat || want == same {
				want = tt.compat
			}
			t.Run(fmt.Sprintf("%s/compat=%v", tt.name, compat), func(t *testing.T) {
				packet, family := unhex(t, tt.packet), uint8(nflog.FamilyIPv4)
				if packet[0]>>4 == 6 {
					family = nflog.FamilyIPv6
				}
				r := newRig(t, compat)
				got := r.text(r.decode(packet, family, 7), strings.Fields(tt.keys)...)
				if diff := cmp.Diff(strings.Fields(want), strings.Fields(got)); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
			})
		}
	}
}

// TestDispatch chooses the decoder by family and EtherType.
func TestDispatch(t *testing.T) {
	p4, p6 := unhex(t, four(17, udpHd)), unhex(t, six(17, udpHd))
	arp := unhex(t, "0001 0800 06 04 0002 02000000beef c0000202 02000000000a c0000201")
	const arpKeys = "arp.hwtype=1 arp.protocoltype=2048 arp.operation=2 arp.shwaddr=02000000beef arp.saddr=192.0.2.2 arp.dhwaddr=02000000000a arp.daddr=192.0.2.1"
	tests := []struct {
		name      string
		packet    []byte
		family    uint8
		etherType uint16
		want      string
	}{
		{"IPv4", p4, nflog.FamilyIPv4, 1, "oob.protocol=1 ip.saddr=192.0.2.2"},
		{"IPv6", p6, nflog.FamilyIPv6, 2, "ip.saddr=2001:db8::2 oob.protocol=2"},
		{"bridged IPv4", p4, nflog.FamilyBridge, EtherIPv4, "ip.saddr=192.0.2.2 oob.protocol=2048"},
		{"bridged IPv6", p6, nflog.FamilyBridge, EtherIPv6, "ip.saddr=2001:db8::2 oob.protocol=34525"},
		{"bridged ARP", arp, nflog.FamilyBridge, EtherARP, "oob.protocol=2054 " + arpKeys},
		{"ARP", arp, nflog.FamilyARP, EtherARP, "oob.protocol=2054 " + arpKeys},
		{"ARP, longer than it need be", append(arp, 0, 0), nflog.FamilyARP, EtherARP, "oob.protocol=2054 " + arpKeys},
		{"ARP, 27 bytes", arp[:27], nflog.FamilyARP, EtherARP, "oob.protocol=2054"},
		{"bridged, unknown EtherType", p4, nflog.FamilyBridge, 0x88cc, "oob.protocol=35020"},
		{"netdev", p4, nflog.FamilyNetdev, EtherIPv4, "oob.protocol=2048"},
		{"unknown family", p4, 99, EtherIPv4, "oob.protocol=2048"},
	}
	for _, tt := range tests {
		r := newRig(t, true)
		got := strings.Fields(r.text(r.decode(tt.packet, tt.family, tt.etherType), "oob.", "ip.saddr", "arp."))
		want := strings.Fields(tt.want)
		slices.Sort(got)
		slices.Sort(want)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}

func TestNoPacket(t *testing.T) {
	r := newRig(t, true)
	e := r.batch.Add()
	r.Decode(r.batch, e, event.Value{}, nflog.FamilyIPv4, EtherIPv4)
	if got := r.text(e, ""); got != "oob.protocol=2048" {
		t.Errorf("without a payload: %q", got)
	}
}

// recorded are the messages of all recordings.
func recorded(tb testing.TB) (messages [][]byte) {
	tb.Helper()
	files, err := filepath.Glob("../../plugins/all/testdata/cases/*/packets.pcap")
	if err != nil || len(files) == 0 {
		tb.Fatalf("recordings: %q, %v", files, err)
	}
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			tb.Fatal(err)
		}
		defer f.Close()
		r, err := pcapgo.NewReader(f)
		for err == nil {
			var data []byte
			if data, _, err = r.ReadPacketData(); err == nil {
				messages = append(messages, data)
			}
		}
		if err != io.EOF {
			tb.Fatalf("%s: %v", name, err)
		}
	}
	return messages
}

// payload is the packet in a message, with its family and EtherType.
func payload(message []byte) (data []byte, family uint8, etherType uint16) {
	for rest := message[nflog.FamilyHeaderLen:]; ; {
		typ, value, tail, ok := nflog.Next(rest)
		if !ok {
			return data, message[0], etherType
		}
		switch rest = tail; typ {
		case nflog.AttrPayload:
			data = value
		case nflog.AttrPacketHdr:
			etherType = binary.BigEndian.Uint16(value)
		}
	}
}

// FuzzDecode asserts that no bytes make the decoder panic, and that what it
// finds lies within the packet.
func FuzzDecode(f *testing.F) {
	for _, m := range recorded(f) {
		data, family, etherType := payload(m)
		f.Add(data, family, etherType, true)
		f.Add(data, family, etherType, false)
	}
	rigs := map[bool]*rig{true: newRig(f, true), false: newRig(f, false)}
	f.Fuzz(func(t *testing.T, data []byte, family uint8, etherType uint16, compat bool) {
		r := rigs[compat]
		e := r.decode(data, family, etherType)
		for _, k := range r.all {
			v := e[k.Slot]
			if v.K != event.Raw && v.K != event.IP6 {
				continue
			}
			off, n := int(v.V>>32), int(uint32(v.V))
			if off < len("before") || off+n > len("before")+len(data) {
				t.Errorf("%s lies at %d, %d bytes, outside of the packet", k.Name, off, n)
			}
		}
	})
}

func TestDecodeDoesNotAllocate(t *testing.T) {
	for _, compat := range []bool{true, false} {
		r := newRig(t, compat)
		packets := recorded(t)
		if n := testing.AllocsPerRun(10, func() {
			for _, m := range packets {
				r.decode(payload(m))
			}
		}); n != 0 {
			t.Errorf("compat=%v: %v allocations", compat, n)
		}
	}
}

// TestUnreadKeys shows that a decoder of which little is read sets just that.
func TestUnreadKeys(t *testing.T) {
	r := &rig{Decoder: Decoder{Compat: true}}
	tree := event.NewTree("source", source{&r.pkt})
	var port event.Slot
	reader := bindFunc(func(b *event.Binder) { b.In(&port, "tcp.dport", event.U16) })
	if err := tree.Stack([]string{"decoder", "reader"}, []event.Bindable{&r.Decoder, reader}); err != nil {
		t.Fatal(err)
	}
	l := tree.Layout()
	if r.batch = event.NewBatch(l); l.Width > 4 {
		t.Errorf("an event has %d values, want the one that is read", l.Width)
	}
	if got := r.decode(unhex(t, four(6, tcpHd)), nflog.FamilyIPv4, EtherIPv4).Uint(port); got != 80 {
		t.Errorf("tcp.dport is %d, want 80", got)
	}
}

type bindFunc func(*event.Binder)

func (f bindFunc) Bind(b *event.Binder) { f(b) }
