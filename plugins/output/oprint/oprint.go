// Package oprint is the output OPRINT, which writes every key of an event on a
// line of its own. See reference page "ulogd2-outputs", section 6.
package oprint

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ulogd-go/ulogd/pkg/event"
	"github.com/ulogd-go/ulogd/pkg/outfile"
	"github.com/ulogd-go/ulogd/pkg/plugin"
	"github.com/ulogd-go/ulogd/pkg/queue"
)

func init() {
	plugin.Default.Register(plugin.NewOutput(plugin.Info{
		Name: "OPRINT", Summary: "writes each value on a line of its own",
		Takes: plugin.Packet | plugin.Flow,
	}, options{File: "/var/log/ulogd_oprint.log", Options: queue.Defaults}, open))
}

type options struct {
	File  string `toml:"file" doc:"path of the output file, which may be a named pipe"`
	Sync  bool   `toml:"sync" doc:"write each batch of packets at once, and not up to a second later"`
	Extra bool   `toml:"extra" extra:"true" doc:"write the keys, too, that ulogd does not have"`
	queue.Options
}

type oprint struct {
	options
	files *outfile.Set
	file  *outfile.File

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
	return &oprint{options: o, files: env.Files}, nil
}

func (p *oprint) Bind(b *event.Binder) {
	b.All(&p.all, func(k event.Key) bool { return p.Extra || !k.Extra })
	b.After(p.label)
}

func (p *oprint) label() {
	p.columns = p.columns[:0]
	for _, k := range p.all {
		p.columns = append(p.columns, column{[]byte(k.Name + "="), k.Slot})
	}
}

func (p *oprint) Queue() (queue.Options, queue.Batching) {
	if p.Sync {
		return p.Options, queue.Batching{}
	}
	return p.Options, queue.Batching{Age: time.Second}
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

func (p *oprint) Connect(context.Context) error {
	if err := p.Close(); err != nil {
		return err
	}
	f, err := p.files.Open(p.File)
	if errors.Is(err, outfile.ErrNoReader) {
		return fmt.Errorf("%w: %w", plugin.ErrNotConnected, err)
	}
	if err != nil {
		return fmt.Errorf("%w; make its directory writable for the daemon, or set file to another path", err)
	}
	p.file = f
	return nil
}

func (p *oprint) Write(_ context.Context, blk *queue.Block) error {
	err := p.file.Write(blk.Data)
	if errors.Is(err, outfile.ErrNoReader) {
		return fmt.Errorf("%w: %w", plugin.ErrNotConnected, err)
	}
	return err
}

func (p *oprint) Reopen() error {
	if p.file == nil {
		return nil
	}
	return p.file.Reopen()
}

func (p *oprint) Close() error {
	f := p.file
	if f == nil {
		return nil
	}
	p.file = nil
	return f.Close()
}
