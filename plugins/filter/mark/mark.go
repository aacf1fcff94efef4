// Package mark is the filter MARK, which passes events by their netfilter mark.
package mark

import (
	"github.com/ulogd-go/ulogd/pkg/event"
	"github.com/ulogd-go/ulogd/pkg/plugin"
)

func init() {
	plugin.Default.Register(plugin.NewFilter(plugin.Info{
		Name: "MARK", Summary: "passes only events with a certain mark",
		Takes: plugin.Packet | plugin.Flow, Gives: plugin.Packet | plugin.Flow,
	}, options{Mask: 0xffffffff}, open))
}

type options struct {
	Mark uint32 `toml:"mark" doc:"the mark, after the mask was applied to it, that events must have to pass"`
	Mask uint32 `toml:"mask" default:"-1" doc:"the bits of the mark that are compared; -1 stands for all of them"`
}

type mark struct {
	options
	ct, oob event.Slot
}

func open(o options, _ *plugin.Env) (plugin.Filter, error) { return &mark{options: o}, nil }

func (f *mark) Bind(b *event.Binder) {
	b.Optional(&f.ct, "ct.mark", event.U32)
	b.Optional(&f.oob, "oob.mark", event.U32)
}

func (f *mark) Filter(rows *event.Rows) { rows.Keep(f.passes) }

// passes compares the connection's mark if there is one, else the packet's. An
// event without a mark passes.
func (f *mark) passes(e event.Event) bool {
	v := e[f.ct]
	if v.K == event.None {
		v = e[f.oob]
	}
	return v.K == event.None || uint32(v.V)&f.Mask == f.Mark
}
