// Package ip2str is the filter IP2STR, which writes addresses as text.
package ip2str

import (
	"github.com/ulogd-go/ulogd/pkg/event"
	"github.com/ulogd-go/ulogd/pkg/plugin"
)

func init() {
	plugin.Default.Register(plugin.NewFilter(plugin.Info{
		Name: "IP2STR", Summary: "writes addresses as text",
		Takes: plugin.Packet | plugin.Flow, Gives: plugin.Packet | plugin.Flow,
	}, plugin.NoOptions{}, open))
}

// address is a key to read and the key to write.
type address struct{ in, out event.Slot }

type ip2str struct {
	family, protocol event.Slot // ulogd needs them to tell IPv4 from IPv6; here each value tells
	addresses        [len(names)]address
	used             []address
}

var names = [...]string{
	"ip.saddr", "ip.daddr", "orig.ip.saddr", "orig.ip.daddr",
	"reply.ip.saddr", "reply.ip.daddr", "arp.saddr", "arp.daddr",
}

func open(plugin.NoOptions, *plugin.Env) (plugin.Filter, error) { return new(ip2str), nil }

func (f *ip2str) Bind(b *event.Binder) {
	b.In(&f.family, "oob.family", event.U8)
	b.In(&f.protocol, "oob.protocol", event.U16)
	for i, name := range names {
		b.Optional(&f.addresses[i].in, name, event.Addr)
	}
	for i, name := range names {
		b.Out(&f.addresses[i].out, event.Key{
			Name: name + ".str", Kind: event.String, Doc: name + " as text", JSON: jsonNames[name],
		})
	}
	b.After(f.prune)
}

// jsonNames are the keys whose text JSON calls by another name.
var jsonNames = map[string]string{
	"ip.saddr": "src_ip", "orig.ip.saddr": "src_ip",
	"ip.daddr": "dest_ip", "orig.ip.daddr": "dest_ip",
}

// prune keeps the addresses that somebody gives and somebody reads.
func (f *ip2str) prune() {
	for _, a := range f.addresses {
		if a.in != event.Absent && a.out != event.Unused {
			f.used = append(f.used, a)
		}
	}
}

func (f *ip2str) Filter(rows *event.Rows) {
	for e := range rows.All() {
		for _, a := range f.used {
			f.write(rows.Batch, e, a)
		}
	}
}

func (f *ip2str) write(b *event.Batch, e event.Event, a address) {
	off := len(b.Buf)
	switch v := e[a.in]; v.K {
	case event.IP4:
		b.Buf = event.AppendIP4(b.Buf, uint32(v.V))
	case event.IP6:
		b.Buf = event.AppendIP6(b.Buf, b.Bytes(v))
	default:
		return
	}
	b.Store(e, a.out, event.String, off)
}
