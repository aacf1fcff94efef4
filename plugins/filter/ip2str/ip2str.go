// Package ip2str is the filter IP2STR, which writes addresses as text.
package ip2str

import (
	"github.com/ulogd-go/ulogd/pkg/event"
	"github.com/ulogd-go/ulogd/pkg/packet"
	"github.com/ulogd-go/ulogd/pkg/plugin"
)

func init() {
	plugin.Default.Register(plugin.NewFilter(plugin.Info{
		Name: "IP2STR", Summary: "writes addresses as text",
		Takes: plugin.Packet | plugin.Flow, Gives: plugin.Packet | plugin.Flow,
	}, plugin.NoOptions{}, open))
}

type ip2str struct{ packet.Addresses }

func open(plugin.NoOptions, *plugin.Env) (plugin.Filter, error) { return new(ip2str), nil }

func (f *ip2str) Bind(b *event.Binder) {
	f.Addresses.Bind(b, func(name string) event.Key {
		return event.Key{Name: name + ".str", Kind: event.String, Doc: name + " as text", JSON: jsonNames[name]}
	})
}

// jsonNames are the keys whose text JSON calls by another name.
var jsonNames = map[string]string{
	"ip.saddr": "src_ip", "orig.ip.saddr": "src_ip",
	"ip.daddr": "dest_ip", "orig.ip.daddr": "dest_ip",
}

func (f *ip2str) Filter(rows *event.Rows) {
	for e := range rows.All() {
		for _, a := range f.Used {
			write(rows.Batch, e, a)
		}
	}
}

func write(b *event.Batch, e event.Event, a packet.Converted) {
	off := len(b.Buf)
	switch v := e[a.In]; v.K {
	case event.IP4:
		b.Buf = event.AppendIP4(b.Buf, uint32(v.V))
	case event.IP6:
		b.Buf = event.AppendIP6(b.Buf, b.Bytes(v))
	default:
		return
	}
	b.Store(e, a.Out, event.String, off)
}
