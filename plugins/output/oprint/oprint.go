// Package oprint is the output OPRINT, which writes every key of an event on a
// line of its own. See reference page "ulogd2-outputs", section 6.
package oprint

import (
	"github.com/ulogd-go/ulogd/pkg/event"
	"github.com/ulogd-go/ulogd/pkg/plugin"
	"github.com/ulogd-go/ulogd/pkg/queue"
)

func init() {
	plugin.Default.Register(plugin.NewOutput(plugin.Info{
		Name: "OPRINT", Summary: "writes each value on a line of its own",
		Takes: plugin.Packet | plugin.Flow,
	}, options{
		FileOptions: plugin.FileOptions{File: "/var/log/ulogd_oprint.log"},
		Generation:  plugin.Second,
		Options:     queue.Defaults,
	}, open))
}

type options struct {
	plugin.FileOptions
	Extra      bool              `toml:"extra" extra:"true" doc:"write the keys, too, that ulogd does not have"`
	Generation plugin.Generation `toml:"generation" extra:"true" doc:"1 writes the keys of ulogd 1.x and in its order, the last one first (see the README)"`
	queue.Options
}

type oprint struct {
	plugin.File
	extra, first bool

	all     []event.Bound
	columns []column
}

// column is a key as it is written.
type column struct {
	label []byte // "name="
	slot  event.Slot
	mac   bool // raw bytes have a text, in generation 1
}

const (
	boundary = "===>PACKET BOUNDARY\n"
	textless = "default" // in place of what has no text
)

func open(o options, env *plugin.Env) (plugin.Output, error) {
	return &oprint{
		File:  plugin.File{FileOptions: o.FileOptions, QueueOptions: o.Options, Files: env.Files},
		extra: o.Extra,
		first: o.Generation == plugin.First,
	}, nil
}

func (p *oprint) Bind(b *event.Binder) {
	b.All(&p.all, func(k event.Key) bool { return p.extra || !k.Extra })
	b.After(p.label)
}

func (p *oprint) label() {
	p.columns = p.columns[:0]
	all := p.all
	if p.first {
		all = firstOrder(all)
	}
	for _, k := range all {
		p.columns = append(p.columns, column{[]byte(k.Name + "="), k.Slot, k.Name == "raw.mac"})
	}
}

func (p *oprint) Encode(blk *queue.Block, rows *event.Rows) {
	for e := range rows.All() {
		blk.Data = append(blk.Data, boundary...)
		for i := range p.columns {
			c := &p.columns[i]
			switch v := e[c.slot]; {
			case v.K == event.None:
			case p.first:
				blk.Data = c.appendFirst(append(blk.Data, c.label...), rows.Batch, v)
			default:
				blk.Data = appendValue(append(blk.Data, c.label...), rows.Batch, v)
			}
		}
		blk.End()
	}
}

func appendValue(dst []byte, b *event.Batch, v event.Value) []byte {
	if v.K == event.Raw || v.K == event.Literal {
		dst = append(dst, textless...)
	} else {
		dst, _ = b.AppendText(dst, v)
	}
	return append(dst, '\n')
}
