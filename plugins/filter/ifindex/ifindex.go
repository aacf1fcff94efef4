// Package ifindex is the filter IFINDEX, which names interfaces.
package ifindex

import (
	"github.com/ulogd-go/ulogd/pkg/event"
	"github.com/ulogd-go/ulogd/pkg/link"
	"github.com/ulogd-go/ulogd/pkg/plugin"
)

func init() {
	plugin.Default.Register(plugin.NewFilter(plugin.Info{
		Name: "IFINDEX", Summary: "names interfaces and bridge ports",
		Takes: plugin.Packet | plugin.Flow, Gives: plugin.Packet | plugin.Flow,
	}, plugin.NoOptions{}, open))
}

// linked is a source that knows the interfaces which its indexes mean.
type linked interface{ Links() *link.Table }

type ifindex struct {
	links *link.Table
	keys  [4]key
}

// key is an index to read and the name to write.
type key struct{ index, name event.Slot }

func open(_ plugin.NoOptions, env *plugin.Env) (plugin.Filter, error) {
	links := link.NewTable(nil)
	if s, ok := env.Source.(linked); ok {
		links = s.Links()
	}
	return &ifindex{links: links}, nil
}

func (f *ifindex) Bind(b *event.Binder) {
	b.In(&f.keys[0].index, "oob.ifindex_in", event.U32)
	b.In(&f.keys[1].index, "oob.ifindex_out", event.U32)
	b.Optional(&f.keys[2].index, "oob.ifindex_physin", event.U32)
	b.Optional(&f.keys[3].index, "oob.ifindex_physout", event.U32)

	for i, k := range []event.Key{
		{Name: "oob.in", Doc: "input interface; empty if there is none"},
		{Name: "oob.out", Doc: "output interface; empty if there is none"},
		{Name: "oob.physin", Doc: "bridge port through which a packet came in", Extra: true},
		{Name: "oob.physout", Doc: "bridge port through which a packet goes out", Extra: true},
	} {
		k.Kind = event.String
		b.Out(&f.keys[i].name, k)
	}
}

func (f *ifindex) Filter(rows *event.Rows) {
	for e := range rows.All() {
		f.name(rows.Batch, e, f.keys[0])
		f.name(rows.Batch, e, f.keys[1])
		f.port(rows.Batch, e, f.keys[2])
		f.port(rows.Batch, e, f.keys[3])
	}
}

// name sets an interface's name, which is empty if there is no interface.
func (f *ifindex) name(b *event.Batch, e event.Event, k key) {
	off := len(b.Buf)
	if index := e.Uint(k.index); index != 0 {
		b.Buf = append(b.Buf, f.links.Name(uint32(index))...)
	}
	b.Store(e, k.name, event.String, off)
}

// port sets a bridge port's name if the packet has one.
func (f *ifindex) port(b *event.Batch, e event.Event, k key) {
	if e.Has(k.index) && k.name != event.Unused {
		f.name(b, e, k)
	}
}
