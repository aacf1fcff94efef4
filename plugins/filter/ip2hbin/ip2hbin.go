// Package ip2hbin is the filter IP2HBIN, which turns addresses into host order.
package ip2hbin

import (
	"math/bits"
	"strings"

	"github.com/ulogd-go/ulogd/pkg/event"
	"github.com/ulogd-go/ulogd/pkg/plugin"
)

func init() {
	plugin.Default.Register(plugin.NewFilter(plugin.Info{
		Name: "IP2HBIN", Summary: "turns addresses into host order, for outputs that write them as numbers",
		Takes: plugin.Packet | plugin.Flow, Gives: plugin.Packet | plugin.Flow,
	}, plugin.NoOptions{}, open))
}

// address is a key to read and the key to write.
type address struct{ in, out event.Slot }

type ip2hbin struct {
	family, protocol event.Slot // ulogd needs them to tell IPv4 from IPv6; here each value tells
	addresses        [len(names)]address
}

var names = [...]string{
	"ip.saddr", "ip.daddr", "orig.ip.saddr", "orig.ip.daddr",
	"reply.ip.saddr", "reply.ip.daddr", "arp.saddr", "arp.daddr",
}

func open(plugin.NoOptions, *plugin.Env) (plugin.Filter, error) { return new(ip2hbin), nil }

func (f *ip2hbin) Bind(b *event.Binder) {
	b.In(&f.family, "oob.family", event.U8)
	b.In(&f.protocol, "oob.protocol", event.U16)
	for i, name := range names {
		b.Optional(&f.addresses[i].in, name, event.Addr)
	}
	for i, name := range names {
		i0 := strings.LastIndexByte(name, '.') + 1
		b.Out(&f.addresses[i].out, event.Key{
			Name: name[:i0] + "h" + name[i0:], Kind: event.Addr, Doc: name + " with the bytes of IPv4 in host order",
		})
	}
}

// Filter swaps the bytes of IPv4 addresses. Outputs that write an address as a
// number take its bytes as they lie in memory, and so arrive at the number that
// a reader expects; outputs that write it as text show it reversed, as ulogd does.
func (f *ip2hbin) Filter(rows *event.Rows) {
	for e := range rows.All() {
		for _, a := range f.addresses {
			v := e[a.in]
			if v.K == event.IP4 {
				v.V = uint64(bits.ReverseBytes32(uint32(v.V)))
			}
			if v.K != event.None {
				e[a.out] = v
			}
		}
	}
}
