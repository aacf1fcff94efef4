// Package graphite is the output GRAPHITE, which sends the counters of accounting
// objects to a Carbon server. See reference page "ulogd2-outputs", section 10.
package graphite

import (
	"net"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/ulogd-go/ulogd/pkg/event"
	"github.com/ulogd-go/ulogd/pkg/outsock"
	"github.com/ulogd-go/ulogd/pkg/plugin"
	"github.com/ulogd-go/ulogd/pkg/queue"
)

func init() {
	plugin.Default.Register(plugin.NewOutput(plugin.Info{
		Name: "GRAPHITE", Summary: "sends counters to a Graphite server",
		Takes: plugin.Sum,
	}, options{Options: queue.Defaults}, open))
}

type options struct {
	Host   string `toml:"host" needed:"true" doc:"name or address of the server"`
	Port   string `toml:"port" needed:"true" doc:"port of the server, as a number or the name of a service; Carbon's is 2003"`
	Prefix string `toml:"prefix" doc:"what stands before the names of the objects, such as netfilter.nfacct"`
	Flat   bool   `toml:"flat" extra:"true" doc:"write dots in the names of objects as underscores, so that they make no levels of their own"`
	outsock.TLS
	queue.Options
}

type graphite struct {
	outsock.Conn
	prefix []byte // with the dot behind it
	flat   bool
	now    func() time.Time

	name, pkts, bytes, sec event.Slot
}

func open(o options, env *plugin.Env) (plugin.Output, error) {
	g := &graphite{
		Conn:   outsock.Conn{Network: "tcp", Address: net.JoinHostPort(o.Host, o.Port), TLS: o.TLS, QueueOptions: o.Options},
		prefix: []byte(o.Prefix + "."),
		flat:   o.Flat,
		now:    env.Now,
	}
	if o.Port == "" { // only its keys are asked for: a stack does not start without
		return g, o.TLS.Check("tcp")
	}
	return g, g.Check()
}

func (g *graphite) Bind(b *event.Binder) {
	b.In(&g.name, "sum.name", event.String)
	b.In(&g.pkts, "sum.pkts", event.U64)
	b.In(&g.bytes, "sum.bytes", event.U64)
	b.In(&g.sec, "oob.time.sec", event.U32)
}

// Encode makes two lines of each object, which are one row. The time is the
// clock's if the object has none.
func (g *graphite) Encode(blk *queue.Block, rows *event.Rows) {
	now := uint64(g.now().Unix())
	for e := range rows.All() {
		name := rows.Bytes(e[g.name])
		sec := e.Uint(g.sec)
		if sec == 0 {
			sec = now
		}
		g.append(blk, name, ".pkts ", e.Uint(g.pkts), sec)
		g.append(blk, name, ".bytes ", e.Uint(g.bytes), sec)
		blk.End()
	}
}

func (g *graphite) append(blk *queue.Block, name []byte, what string, value, sec uint64) {
	dst := append(blk.Data, g.prefix...)
	dst = append(g.appendName(dst, name), what...)
	dst = event.AppendUint(dst, value)
	dst = event.AppendUint(append(dst, ' '), sec)
	blk.Data = append(dst, '\n')
}

// appendName appends the name of an object. What would end the name, or that of the
// line, and what is not UTF-8, is an underscore: Carbon, to which spaces are those of
// Unicode, would drop the line, or take it for others.
func (g *graphite) appendName(dst, name []byte) []byte {
	for len(name) > 0 {
		r, n := utf8.DecodeRune(name)
		if unicode.IsSpace(r) || unicode.IsControl(r) || r == utf8.RuneError && n == 1 || r == '.' && g.flat {
			dst = append(dst, '_')
		} else {
			dst = append(dst, name[:n]...)
		}
		name = name[n:]
	}
	return dst
}
