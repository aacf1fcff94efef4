package printpkt_test

import (
	"maps"
	"net/netip"
	"strings"
	"testing"

	"github.com/ulogd-go/ulogd/pkg/plugintest"
	_ "github.com/ulogd-go/ulogd/plugins/filter/printpkt"
)

type event = plugintest.Event

// with is an event of several parts; later ones win. The kind of a number does
// not matter here.
func with(parts ...event) event {
	e := event{}
	for _, p := range parts {
		maps.Copy(e, p)
	}
	for k, v := range e {
		if n, ok := v.(int); ok {
			e[k] = uint32(n)
		}
	}
	return e
}

var (
	from = event{"oob.prefix": "p:", "oob.in": "va", "oob.out": "", "oob.mark": 0, "raw.mac": []byte{2, 0, 0, 0, 0, 10}, "raw.mac_len": 6}
	ip4  = event{"oob.family": 2, "oob.protocol": 2048, "ip.saddr.str": "192.0.2.2", "ip.daddr.str": "192.0.2.1",
		"ip.totlen": 58, "ip.tos": 0xbd, "ip.ttl": 64, "ip.id": 77, "ip.fragoff": 0}
	ip6 = event{"oob.family": 10, "oob.protocol": 34525, "ip.saddr.str": "2001:db8::2", "ip.daddr.str": "2001:db8::1",
		"ip6.payloadlen": 26, "ip6.priority": 184, "ip6.hoplimit": 63, "ip6.flowlabel": 74565}
	tcp = event{"ip.protocol": 6, "tcp.sport": 40003, "tcp.dport": 80, "tcp.seq": 1000, "tcp.ackseq": 2000, "tcp.window": 64240,
		"tcp.syn": false, "tcp.ack": true, "tcp.psh": true, "tcp.rst": false, "tcp.fin": false, "tcp.urg": false}
	udp = event{"ip.protocol": 17, "udp.sport": 68, "udp.dport": 67, "udp.len": 308}
)

const (
	head  = "p: IN=va OUT= MAC=02:00:00:00:00:0a "
	body4 = "SRC=192.0.2.2 DST=192.0.2.1 LEN=58 TOS=1C PREC=0xA0 TTL=64 ID=77 "
	body6 = "SRC=2001:db8::2 DST=2001:db8::1 LEN=66 TC=184 HOPLIMIT=63 FLOWLBL=74565 "
	tail  = "MARK=0x0 \n"
)

func icmp(typ, code int, more event) event {
	return with(from, ip4, event{"ip.protocol": 1, "icmp.type": typ, "icmp.code": code}, more)
}

// same stands for the text with compat.
const same = "="

// TestPrint has the rows of reference page "ulogd2-outputs", section 2.
func TestPrint(t *testing.T) {
	gateway := event{"icmp.gateway": netip.MustParseAddr("192.0.2.254")}
	echo := event{"icmp.echoid": 4660, "icmp.echoseq": 1}
	tests := []struct {
		name         string
		e            event
		compat, mend string // with compat=1 and compat=0
	}{
		{"TCP", with(from, ip4, tcp), head + body4 + "PROTO=TCP SPT=40003 DPT=80 SEQ=1000 ACK=2000 WINDOW=64240 ACK PSH URGP=0 " + tail, same},
		{"all TCP flags", with(from, ip4, tcp, event{"tcp.syn": true, "tcp.rst": true, "tcp.fin": true, "tcp.urg": true, "tcp.urgp": 9}),
			head + body4 + "PROTO=TCP SPT=40003 DPT=80 SEQ=1000 ACK=2000 WINDOW=64240 URG ACK PSH RST SYN FIN URGP=9 " + tail, same},
		{"TCP cut", with(from, ip4, event{"ip.protocol": 6}), head + body4 + "PROTO=TCP INCOMPLETE" + tail, head + body4 + "PROTO=TCP INCOMPLETE " + tail},
		{"UDP", with(from, ip4, udp), head + body4 + "PROTO=UDP SPT=68 DPT=67 LEN=308 " + tail, same},
		{"UDP cut", with(from, ip4, event{"ip.protocol": 17}), head + body4 + "PROTO=UDP INCOMPLETE" + tail, head + body4 + "PROTO=UDP INCOMPLETE " + tail},
		{"SCTP", with(from, ip4, event{"ip.protocol": 132, "sctp.sport": 1, "sctp.dport": 2}), head + body4 + "PROTO=SCTP SPT=1 DPT=2 " + tail, same},
		{"SCTP cut", with(from, ip4, event{"ip.protocol": 132}), head + body4 + "PROTO=SCTP INCOMPLETE" + tail, head + body4 + "PROTO=SCTP INCOMPLETE " + tail},
		{"ESP", with(from, ip4, event{"ip.protocol": 50}), head + body4 + "PROTO=ESP INCOMPLETE" + tail, head + body4 + "PROTO=ESP INCOMPLETE " + tail},
		{"AH", with(from, ip4, event{"ip.protocol": 51}), head + body4 + "PROTO=AH INCOMPLETE" + tail, head + body4 + "PROTO=AH INCOMPLETE " + tail},
		{"ESP with an index", with(from, ip4, event{"ip.protocol": 50, "ahesp.spi": 0xc0ffee}), head + body4 + "PROTO=ESP SPI=0xc0ffee " + tail, same},
		{"another protocol", with(from, ip4, event{"ip.protocol": 47}), head + body4 + "PROTO=47 " + tail, same},
		{"fragment flags", with(from, ip4, udp, event{"ip.fragoff": 0xe006}), head + body4 + "CE DF MF FRAG:6 PROTO=UDP SPT=68 DPT=67 LEN=308 " + tail, same},
		{"nothing decoded", with(from, event{"oob.family": 2}), head + "LEN=0 TOS=00 PREC=0x00 TTL=0 ID=0 PROTO=0 " + tail, same},

		{"ICMP cut", with(from, ip4, event{"ip.protocol": 1}), head + body4 + "PROTO=ICMP INCOMPLETE" + tail, head + body4 + "PROTO=ICMP INCOMPLETE " + tail},
		{"ICMP echo", icmp(8, 0, echo), head + body4 + "PROTO=ICMP TYPE=8 CODE=0 ID=4660 SEQ=1 " + tail, same},
		{"ICMP echo reply", icmp(0, 0, echo), head + body4 + "PROTO=ICMP TYPE=0 CODE=0 ID=4660 SEQ=1 " + tail, same},
		{"ICMP time exceeded", icmp(11, 0, nil), head + body4 + "PROTO=ICMP TYPE=11 CODE=0 ID=0 SEQ=0 " + tail, head + body4 + "PROTO=ICMP TYPE=11 CODE=0 " + tail},
		{"ICMP code 8", icmp(3, 8, nil), head + body4 + "PROTO=ICMP TYPE=3 CODE=8 ID=0 SEQ=0 " + tail, head + body4 + "PROTO=ICMP TYPE=3 CODE=8 " + tail},
		{"ICMP source route failed", icmp(3, 5, nil), head + body4 + "PROTO=ICMP TYPE=3 CODE=5 GATEWAY=0.0.0.0 " + tail, head + body4 + "PROTO=ICMP TYPE=3 CODE=5 " + tail},
		{"ICMP code 12", icmp(3, 12, nil), head + body4 + "PROTO=ICMP TYPE=3 CODE=12 PARAMETER=0 " + tail, head + body4 + "PROTO=ICMP TYPE=3 CODE=12 " + tail},
		{"ICMP redirect", icmp(5, 1, gateway), head + body4 + "PROTO=ICMP TYPE=5 CODE=1 " + tail, head + body4 + "PROTO=ICMP TYPE=5 CODE=1 GATEWAY=192.0.2.254 " + tail},
		{"ICMP redirect of code 5", icmp(5, 5, gateway), head + body4 + "PROTO=ICMP TYPE=5 CODE=5 GATEWAY=192.0.2.254 " + tail, same},
		{"ICMP parameter problem", icmp(12, 0, event{"icmp.gateway": netip.MustParseAddr("20.0.0.0")}),
			head + body4 + "PROTO=ICMP TYPE=12 CODE=0 ID=0 SEQ=0 " + tail, head + body4 + "PROTO=ICMP TYPE=12 CODE=0 PARAMETER=20 " + tail},
		{"ICMP parameter problem of code 12", icmp(12, 12, event{"icmp.gateway": netip.MustParseAddr("20.0.0.0")}), head + body4 + "PROTO=ICMP TYPE=12 CODE=12 PARAMETER=20 " + tail, same},
		{"ICMP fragmentation needed", icmp(3, 4, event{"icmp.fragmtu": 1500}), head + body4 + "PROTO=ICMP TYPE=3 CODE=4 " + tail, head + body4 + "PROTO=ICMP TYPE=3 CODE=4 MTU=1500 " + tail},

		{"IPv6 UDP", with(from, ip6, udp, event{"ip6.nexthdr": 17}), head + body6 + "PROTO=UDP SPT=68 DPT=67 LEN=308 " + tail, same},
		{"IPv6 TCP cut", with(from, ip6, event{"ip6.nexthdr": 6, "ip.protocol": 6}), head + body6 + "PROTO=TCP INCOMPLETE" + tail, head + body6 + "PROTO=TCP INCOMPLETE " + tail},
		{"IPv6 SCTP", with(from, ip6, event{"ip6.nexthdr": 132}), head + body6 + "PROTO=SCTP INCOMPLETE" + tail, head + body6 + "PROTO=SCTP INCOMPLETE " + tail},
		{"IPv6 fragment", with(from, ip6, event{"ip6.nexthdr": 59, "ip6.fragoff": 0, "ip6.fragid": 0xdeadbeef}), head + body6 + "FRAG: 0 ID: deadbeef PROTO=59 " + tail, same},
		{"IPv6 short fragment id", with(from, ip6, event{"ip6.nexthdr": 59, "ip6.fragoff": 1480, "ip6.fragid": 10}), head + body6 + "FRAG: 1480 ID: 0000000a PROTO=59 " + tail, same},
		{"IPv6 chain cut", with(from, ip6), head + body6 + "PROTO=0 " + tail, same},
		{"IPv6 nothing decoded", with(from, event{"oob.family": 10}), head + "PROTO=0 " + tail, same},
		{"IPv6 ESP as ulogd decodes it", with(from, ip6, event{"ip6.nexthdr": 50}), head + body6 + "PROTO=AH INCOMPLETE" + tail, head + body6 + "PROTO=ESP INCOMPLETE " + tail},
		{"IPv6 ESP as it is", with(from, ip6, event{"ip6.nexthdr": 50, "ip.protocol": 50, "ahesp.spi": 2748}), head + body6 + "PROTO=ESP SPI=0xabc " + tail, same},
		{"ICMPv6", with(from, ip6, event{"ip6.nexthdr": 58, "icmpv6.type": 1, "icmpv6.code": 4}), head + body6 + "PROTO=ICMPv6 TYPE=1 CODE=4 " + tail, same},
		{"ICMPv6 echo", with(from, ip6, event{"ip6.nexthdr": 58, "icmpv6.type": 128, "icmpv6.code": 0, "icmpv6.echoid": 7, "icmpv6.echoseq": 8}), head + body6 + "PROTO=ICMPv6 TYPE=128 CODE=0 ID=7 SEQ=8 " + tail, same},
		{"ICMPv6 cut", with(from, ip6, event{"ip6.nexthdr": 58}), head + body6 + "PROTO=ICMPv6 INCOMPLETE" + tail, head + body6 + "PROTO=ICMPv6 INCOMPLETE " + tail},
		{"ICMP over IPv6", with(from, ip6, event{"ip6.nexthdr": 1, "icmp.type": 8, "icmp.code": 0}), head + body6 + "PROTO=1 " + tail, same},

		{"bridged IPv4", with(from, ip4, udp, event{"oob.family": 7}), head + body4 + "PROTO=UDP SPT=68 DPT=67 LEN=308 " + tail, same},
		{"bridged IPv6", with(from, ip6, event{"oob.family": 7, "ip6.nexthdr": 59}), head + body6 + "PROTO=59 " + tail, same},
		{"bridged, unknown", with(from, event{"oob.family": 7, "oob.protocol": 0x88cc}), head + "PROTO=35020 " + tail, same},
		{"another family", with(from, ip4, event{"oob.family": 5}), head + tail, same},

		{"nothing of the link", with(ip4, udp, event{"oob.prefix": "", "oob.in": "", "oob.out": "va", "oob.mark": 0xdeadbeef, "oob.uid": 1000, "oob.gid": 65534}),
			" IN= OUT=va MAC= " + body4 + "PROTO=UDP SPT=68 DPT=67 LEN=308 UID=1000 GID=65534 MARK=0xdeadbeef \n", same},
		{"no prefix, no interfaces", with(ip4, udp), "MAC= " + body4 + "PROTO=UDP SPT=68 DPT=67 LEN=308 \n", same},
		{"one interface of two", with(ip4, udp, event{"oob.in": "va"}), "MAC= " + body4 + "PROTO=UDP SPT=68 DPT=67 LEN=308 \n", same},
	}
	for _, tt := range tests {
		if tt.mend == same {
			tt.mend = tt.compat
		}
		for compat, want := range map[string]string{"": tt.compat, "1": tt.compat, "0": tt.mend} {
			options := plugintest.Options{"compat": compat}
			if compat == "" {
				options = nil
			}
			if got := plugintest.Filter(t, "PRINTPKT", options, tt.e)[0]["print"]; got != want {
				t.Errorf("%s, compat=%s:\n%q, want\n%q", tt.name, compat, got, want)
			}
		}
	}
}

// TestFirst has the text of ulogd 1.x; more of it is in plugins/all.
func TestFirst(t *testing.T) {
	f := func(e event, want string) {
		t.Helper()
		if got := plugintest.Filter(t, "PRINTPKT", plugintest.Options{"generation": "1"}, e)[0]["print"]; got != want {
			t.Errorf("%q, want\n%q", got, want)
		}
	}
	f(with(from, ip4, udp, event{"oob.mark": 5, "oob.uid": 7, "oob.gid": 7}), head+body4+"PROTO=UDP SPT=68 DPT=67 LEN=308 \n")
	f(with(from, ip4, udp, event{"oob.prefix": "", "oob.family": 7}), head[3:]+body4+"PROTO=UDP SPT=68 DPT=67 LEN=308 \n")
	f(with(from, ip4, event{"ip.protocol": 6}), head+body4+"PROTO=TCP SPT=0 DPT=0 SEQ=0 ACK=0 WINDOW=0 URGP=0 \n")
	f(with(from, ip4, event{"ip.protocol": 132, "sctp.sport": 1}), head+body4+"PROTO=132 \n")
	f(icmp(3, 4, nil), head+body4+"PROTO=ICMP TYPE=3 CODE=4 MTU=0 \n")
	f(event{"oob.family": uint8(2)}, "IN= OUT= MAC= SRC=0.0.0.0 DST=0.0.0.0 LEN=0 TOS=00 PREC=0x00 TTL=0 ID=0 PROTO=0 \n")
	f(with(from, ip6, udp, event{"ip6.nexthdr": 17}), head+body6+"PROTO=UDP SPT=68 DPT=67 LEN=308 \n")
}

func TestFirstDoesNotAllocate(t *testing.T) {
	plugintest.Allocs(t, "PRINTPKT", plugintest.Options{"generation": "1"}, nil, with(from, ip4, tcp))
}

func TestPrintARP(t *testing.T) {
	arp := event{"oob.protocol": 2054, "arp.saddr.str": "192.0.2.2", "arp.daddr.str": "192.0.2.1", "arp.shwaddr": []byte{2, 0, 0, 0, 0xbe, 0xef}}
	const body = head + "SRC=192.0.2.2 DST=192.0.2.1 PROTO=ARP "
	f := func(e event, want string) {
		t.Helper()
		for _, family := range []int{3, 7} {
			if got := plugintest.Filter(t, "PRINTPKT", nil, with(from, e, event{"oob.family": family}))[0]["print"]; got != want {
				t.Errorf("family %d: %q, want %q", family, got, want)
			}
		}
	}
	f(with(arp, event{"arp.operation": 1}), body+"REQUEST "+tail)
	f(with(arp, event{"arp.operation": 2}), body+"REPLY REPLY_MAC=02:00:00:00:be:ef "+tail)
	f(with(arp, event{"arp.operation": 10}), body+"NAK "+tail)
	f(with(arp, event{"arp.operation": 8}), body+"CODE=8 "+tail)
	f(event{"oob.protocol": 2054}, head+"PROTO=ARP "+tail)
}

func TestPhysDev(t *testing.T) {
	e := with(from, ip4, udp)
	ports := with(e, event{"oob.physin": "vnet0", "oob.physout": "vnet1"})
	f := func(options plugintest.Options, e event, want string) {
		t.Helper()
		got := plugintest.Filter(t, "PRINTPKT", options, e)[0]["print"].(string)
		if !strings.HasPrefix(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
	}
	on := plugintest.Options{"physdev": "1"}
	f(nil, ports, "p: IN=va OUT= MAC=")
	f(on, ports, "p: IN=va OUT= PHYSIN=vnet0 PHYSOUT=vnet1 MAC=")
	f(on, with(e, event{"oob.physin": "vnet0"}), "p: IN=va OUT= PHYSIN=vnet0 MAC=")
	f(on, e, "p: IN=va OUT= MAC=")
}
