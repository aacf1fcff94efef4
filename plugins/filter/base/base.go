// Package base is the filter BASE, which decodes packets.
package base

import (
	"github.com/ulogd-go/ulogd/pkg/event"
	"github.com/ulogd-go/ulogd/pkg/packet"
	"github.com/ulogd-go/ulogd/pkg/plugin"
)

func init() {
	plugin.Default.Register(plugin.NewFilter(plugin.Info{
		Name: "BASE", Summary: "decodes network and transport headers",
		Takes: plugin.Raw, Gives: plugin.Packet,
	}, options{Compat: true, Generation: plugin.Second}, open))
}

type options struct {
	Compat bool `toml:"compat" extra:"true" doc:"decode just as ulogd does, slips included; 0 sets the keys to what the packet really says (see the README)"`

	Generation plugin.Generation `toml:"generation" extra:"true" doc:"1 looks for headers as ulogd 1.x does, and compat has no meaning then (see the README)"`
}

type base struct {
	packet.Decoder

	pkt, family, protocol event.Slot
	prefix, outPrefix     event.Slot // of generation 1
}

func open(o options, _ *plugin.Env) (plugin.Filter, error) {
	first := o.Generation == plugin.First
	return &base{Decoder: packet.Decoder{Compat: o.Compat && !first, First: first}}, nil
}

func (f *base) Bind(b *event.Binder) {
	var length event.Slot // a part of raw.pkt's own value here
	b.InPart(&f.pkt, "raw.pkt", event.Raw, packet.HeaderBytes)
	b.InPart(&length, "raw.pktlen", event.U32, 0)
	b.In(&f.family, "oob.family", event.U8)
	b.In(&f.protocol, "oob.protocol", event.U16)
	if f.First {
		b.Optional(&f.prefix, "oob.prefix", event.String)
		b.Out(&f.outPrefix, event.Key{Name: "oob.prefix", Kind: event.String, Doc: "prefix of the rule, empty if it has none; with generation=1 only"})
	}
	f.Decoder.Bind(b)
}

func (f *base) Filter(rows *event.Rows) {
	for e := range rows.All() {
		f.Decode(rows.Batch, e, e[f.pkt], uint8(e.Uint(f.family)), uint16(e.Uint(f.protocol)))
		if f.First {
			f.copyPrefix(e)
		}
	}
}

// copyPrefix sees to it that there is a prefix, as there always was in ulogd 1.x.
func (f *base) copyPrefix(e event.Event) {
	if e.Has(f.prefix) {
		e[f.outPrefix] = e[f.prefix]
		return
	}
	e.Set(f.outPrefix, event.String, event.Ref(0, 0))
}
