// Package ip2hbin is the filter IP2HBIN, which turns addresses into host order.
package ip2hbin

import (
	"math/bits"
	"strings"

	"github.com/ulogd-go/ulogd/pkg/event"
	"github.com/ulogd-go/ulogd/pkg/packet"
	"github.com/ulogd-go/ulogd/pkg/plugin"
)

func init() {
	plugin.Default.Register(plugin.NewFilter(plugin.Info{
		Name: "IP2HBIN", Summary: "turns addresses into host order, for outputs that write them as numbers",
		Takes: plugin.Packet | plugin.Flow, Gives: plugin.Packet | plugin.Flow,
	}, plugin.NoOptions{}, open))
}

type ip2hbin struct{ packet.Addresses }

func open(plugin.NoOptions, *plugin.Env) (plugin.Filter, error) { return new(ip2hbin), nil }

func (f *ip2hbin) Bind(b *event.Binder) {
	f.Addresses.Bind(b, func(name string) event.Key {
		last := strings.LastIndexByte(name, '.') + 1
		return event.Key{
			Name: name[:last] + "h" + name[last:], Kind: event.Addr, Doc: name + " with the bytes of IPv4 in host order",
		}
	})
}

// Filter swaps the bytes of IPv4 addresses. Outputs that write an address as a
// number take its bytes as they lie in memory, and so arrive at the number that
// a reader expects; outputs that write it as text show it reversed, as ulogd does.
func (f *ip2hbin) Filter(rows *event.Rows) {
	for e := range rows.All() {
		for _, a := range f.Used {
			v := e[a.In]
			if v.K == event.IP4 {
				v.V = uint64(bits.ReverseBytes32(uint32(v.V)))
			}
			if v.K != event.None {
				e[a.Out] = v
			}
		}
	}
}
