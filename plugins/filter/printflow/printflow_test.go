package printflow

import (
	"maps"
	"testing"

	"github.com/ulogd-go/ulogd/pkg/plugintest"
)

type values = plugintest.Event

// with is an event of several parts; later ones win.
func with(parts ...values) values {
	e := values{}
	for _, p := range parts {
		maps.Copy(e, p)
	}
	for k, v := range e {
		if n, ok := v.(int); ok {
			e[k] = uint64(n)
		}
	}
	return e
}

var (
	addresses = values{"orig.ip.saddr.str": "192.0.2.2", "orig.ip.daddr.str": "192.0.2.1", "reply.ip.saddr.str": "192.0.2.1", "reply.ip.daddr.str": "203.0.113.7"}
	counts    = values{"orig.raw.pktlen": 270, "orig.raw.pktcount": 5, "reply.raw.pktlen": 1 << 40, "reply.raw.pktcount": 4}
	ports     = values{"orig.l4.sport": 40000, "orig.l4.dport": 8080, "reply.l4.sport": 8080, "reply.l4.dport": 33333}
	echo      = values{"icmp.type": 8, "icmp.code": 0}
	echo6     = values{"icmpv6.type": 128, "icmpv6.code": 1}
)

func proto(n int) values { return values{"orig.ip.protocol": n, "reply.ip.protocol": n} }

func of(n int) values { return values{"ct.event": n} }

// line is the text with what stands for the protocol in both directions.
func line(head, orig, reply string) string {
	return head + "ORIG: SRC=192.0.2.2 DST=192.0.2.1 " + orig + "PKTS=5 BYTES=270 , REPLY: SRC=192.0.2.1 DST=203.0.113.7 " + reply + "PKTS=4 BYTES=1099511627776 \n"
}

// same stands for the text with compat.
const same = "="

// TestPrint has the rows of reference page "ulogd2-outputs", section 5.
func TestPrint(t *testing.T) {
	all := with(addresses, counts)
	for _, tt := range []struct {
		name         string
		e            values
		compat, mend string // with compat=1 and compat=0
	}{
		{"TCP begins", with(all, ports, proto(6), of(1)), line("[NEW] ", "PROTO=TCP SPT=40000 DPT=8080 ", "PROTO=TCP SPT=8080 DPT=33333 "), same},
		{"UDP goes on", with(all, ports, proto(17), of(2)), line("[UPDATE] ", "PROTO=UDP SPT=40000 DPT=8080 ", "PROTO=UDP SPT=8080 DPT=33333 "), same},
		{"ICMP ends", with(all, echo, proto(1), of(4)), line("[DESTROY] ", "PROTO=ICMP TYPE=0 CODE=8 ", "PROTO=ICMP TYPE=0 CODE=8 "),
			line("[DESTROY] ", "PROTO=ICMP TYPE=8 CODE=0 ", "PROTO=ICMP TYPE=8 CODE=0 ")},
		{"ESP", with(all, proto(50), of(4)), line("[DESTROY] ", "PROTO=ESP ", "PROTO=ESP "), same},
		{"AH", with(all, proto(51), of(4)), line("[DESTROY] ", "PROTO=AH ", "PROTO=AH "), same},
		{"GRE", with(all, proto(47), of(4)), line("[DESTROY] ", "PROTO=47 ", "PROTO=47 "), same},
		{"ICMPv6", with(all, echo6, proto(58), of(4)), line("[DESTROY] ", "PROTO=58 ", "PROTO=58 "),
			line("[DESTROY] ", "PROTO=ICMPv6 TYPE=128 CODE=1 ", "PROTO=ICMPv6 TYPE=128 CODE=1 ")},
		{"SCTP", with(all, ports, proto(132), of(4)), line("[DESTROY] ", "PROTO=132 ", "PROTO=132 "),
			line("[DESTROY] ", "PROTO=SCTP SPT=40000 DPT=8080 ", "PROTO=SCTP SPT=8080 DPT=33333 ")},
		{"DCCP", with(all, ports, proto(33), of(4)), line("[DESTROY] ", "PROTO=33 ", "PROTO=33 "),
			line("[DESTROY] ", "PROTO=DCCP SPT=40000 DPT=8080 ", "PROTO=DCCP SPT=8080 DPT=33333 ")},
		{"UDP-Lite", with(all, ports, proto(136), of(4)), line("[DESTROY] ", "PROTO=136 ", "PROTO=136 "),
			line("[DESTROY] ", "PROTO=UDPLITE SPT=40000 DPT=8080 ", "PROTO=UDPLITE SPT=8080 DPT=33333 ")},
		{"an event of no name", with(all, proto(47), of(3)), line("", "PROTO=47 ", "PROTO=47 "), same},
		{"nothing", values{}, "ORIG: , REPLY: \n", same},
		{"only one direction", values{"orig.ip.saddr.str": "::1", "reply.raw.pktlen": uint64(1)}, "ORIG: SRC=::1 , REPLY: BYTES=1 \n", same},
	} {
		for compat, want := range map[string]string{"1": tt.compat, "0": tt.mend} {
			if want == same {
				want = tt.compat
			}
			got := plugintest.Filter(t, "PRINTFLOW", plugintest.Options{"compat": compat}, tt.e)
			if len(got) != 1 || got[0]["print"] != want {
				t.Errorf("%s, compat=%s:\n got %q\nwant %q", tt.name, compat, got[0]["print"], want)
			}
		}
	}
}

func TestAllocatesNothing(t *testing.T) {
	plugintest.Allocs(t, "PRINTFLOW", nil, nil, with(addresses, counts, ports, proto(6), of(1)), with(addresses, counts, echo, proto(1), of(4)))
}
