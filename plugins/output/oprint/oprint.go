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
		Options:     queue.Defaults,
	}, open))
}

type options struct {
	plugin.FileOptions
	Extra bool `toml:"extra" extra:"true" doc:"write the keys, too, that ulogd does not have"`
	queue.Options
}

type oprint struct {
	plugin.File
	extra bool

	all     []event.Bound
	columns []column
}

// column is a key as it is written.
type column struct {
	label []byte // "name="
	slot  event.Slot
}

const (
	boundary = "===>PACKET BOUNDARY\n"
	textless = "default" // in place of what has no text
)

func open(o options, env *plugin.Env) (plugin.Output, error) {
	return &oprint{
		File:  plugin.File{FileOptions: o.FileOptions, QueueOptions: o.Options, Files: env.Files},
		extra: o.Extra,
	}, nil
}

func (p *oprint) Bind(b *event.Binder) {
	b.All(&p.all, func(k event.Key) bool { return p.extra || !k.Extra })
	b.After(p.label)
}

func (p *oprint) label() {
	p.columns = p.columns[:0]
	for _, k := range p.all {
		p.columns = append(p.columns, column{[]byte(k.Name + "="), k.Slot})
	}
}

func (p *oprint) Encode(blk *queue.Block, rows *event.Rows) {
	for e := range rows.All() {
		blk.Data = append(blk.Data, boundary...)
		for i := range p.columns {
			c := &p.columns[i]
			if v := e[c.slot]; v.K != event.None {
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
