// Package gprint is the output GPRINT, which writes an event as one line of
// names and values. See reference page "ulogd2-outputs", section 7.
package gprint

import (
	"time"

	"github.com/ulogd-go/ulogd/pkg/event"
	"github.com/ulogd-go/ulogd/pkg/plugin"
	"github.com/ulogd-go/ulogd/pkg/queue"
	"github.com/ulogd-go/ulogd/pkg/stamp"
)

func init() {
	plugin.Default.Register(plugin.NewOutput(plugin.Info{
		Name: "GPRINT", Summary: "writes each event as a line of name=value pairs",
		Takes: plugin.Raw | plugin.Packet | plugin.Flow | plugin.Sum,
	}, options{
		FileOptions: plugin.FileOptions{File: "/var/log/ulogd_gprint.log"},
		Options:     queue.Defaults,
	}, open))
}

type options struct {
	plugin.FileOptions
	Timestamp bool `toml:"timestamp" doc:"begin each line with the time of writing, as timestamp=YYYY/MM/DD-hh:mm:ss"`
	Extra     bool `toml:"extra" extra:"true" doc:"write the keys, too, that ulogd does not have"`
	queue.Options
}

type gprint struct {
	plugin.File
	extra, timestamp bool
	now              func() time.Time
	clock            *stamp.Clock
	stamp            []byte // how the lines of one Encode begin

	all     []event.Bound
	columns []column
}

// column is a key as it is written.
type column struct {
	label []byte // "name="
	slot  event.Slot
}

func open(o options, env *plugin.Env) (plugin.Output, error) {
	return &gprint{
		File:      plugin.File{FileOptions: o.FileOptions, QueueOptions: o.Options, Files: env.Files},
		extra:     o.Extra,
		timestamp: o.Timestamp,
		now:       env.Now,
		clock:     stamp.NewClock(env.Zone),
	}, nil
}

func (p *gprint) Bind(b *event.Binder) {
	b.All(&p.all, p.prints)
	b.After(p.label)
}

// prints tells whether values of k appear in a line.
func (p *gprint) prints(k event.Key) bool {
	return k.Kind != event.Raw && k.Kind != event.Literal && (p.extra || !k.Extra)
}

func (p *gprint) label() {
	p.columns = p.columns[:0]
	for _, k := range p.all {
		p.columns = append(p.columns, column{[]byte(k.Name + "="), k.Slot})
	}
}

func (p *gprint) Encode(blk *queue.Block, rows *event.Rows) {
	if p.timestamp {
		p.stamp = append(p.clock.AppendSlashed(append(p.stamp[:0], "timestamp="...), p.now()), ',')
	}
	for e := range rows.All() {
		line := len(blk.Data)
		blk.Data = p.appendPairs(append(blk.Data, p.stamp...), rows.Batch, e)
		if len(blk.Data) > line {
			blk.Data = blk.Data[:len(blk.Data)-1] // the last comma
		}
		blk.Data = append(blk.Data, '\n')
		blk.End()
	}
}

// appendPairs appends each value that is there, with a comma behind it.
func (p *gprint) appendPairs(dst []byte, b *event.Batch, e event.Event) []byte {
	for i := range p.columns {
		c := &p.columns[i]
		if v := e[c.slot]; v.K != event.None {
			dst, _ = b.AppendText(append(dst, c.label...), v)
			dst = append(dst, ',')
		}
	}
	return dst
}
