// Package logemu is the output LOGEMU, which writes lines as syslog would.
package logemu

import (
	"strings"

	"github.com/ulogd-go/ulogd/pkg/event"
	"github.com/ulogd-go/ulogd/pkg/plugin"
	"github.com/ulogd-go/ulogd/pkg/queue"
	"github.com/ulogd-go/ulogd/pkg/stamp"
)

func init() {
	plugin.Default.Register(plugin.NewOutput(plugin.Info{
		Name: "LOGEMU", Summary: "appends lines to a file as syslog would",
		Takes: plugin.Packet | plugin.Flow,
	}, options{
		FileOptions: plugin.FileOptions{File: "/var/log/ulogd_syslogemu.log"},
		Options:     queue.Defaults,
	}, open))
}

type options struct {
	plugin.FileOptions
	queue.Options
}

type logemu struct {
	plugin.File
	env   *plugin.Env
	clock *stamp.Clock
	host  string // with a space before and behind

	print, sec event.Slot
}

func open(o options, env *plugin.Env) (plugin.Output, error) {
	host, _, _ := strings.Cut(env.Hostname, ".")
	return &logemu{
		File:  plugin.File{FileOptions: o.FileOptions, QueueOptions: o.Options, Files: env.Files},
		env:   env,
		clock: stamp.NewClock(env.Zone),
		host:  " " + host + " ",
	}, nil
}

func (o *logemu) Bind(b *event.Binder) {
	b.In(&o.print, "print", event.String)
	b.Optional(&o.sec, "oob.time.sec", event.U32)
}

// Encode writes a line for each event with a text: the date, which is the wall
// clock's if the event has none, the host, and the text with its newline.
func (o *logemu) Encode(blk *queue.Block, rows *event.Rows) {
	for e := range rows.All() {
		text := e[o.print]
		if text.K != event.String {
			continue
		}
		sec := int64(e.Uint(o.sec))
		if !e.Has(o.sec) {
			sec = o.env.Now().Unix()
		}
		blk.Data = o.clock.AppendSyslog(blk.Data, sec)
		blk.Data = append(blk.Data, o.host...)
		blk.Data = append(blk.Data, rows.Bytes(text)...)
		blk.End()
	}
}
