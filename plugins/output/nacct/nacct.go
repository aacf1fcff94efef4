// Package nacct is the output NACCT, which writes flows as net-acct did. See
// reference page "ulogd2-outputs", section 9.
package nacct

import (
	"github.com/ulogd-go/ulogd/pkg/event"
	"github.com/ulogd-go/ulogd/pkg/plugin"
	"github.com/ulogd-go/ulogd/pkg/queue"
)

func init() {
	plugin.Default.Register(plugin.NewOutput(plugin.Info{
		Name: "NACCT", Summary: "appends flows to a file, in the format of net-acct",
		Takes: plugin.Flow,
	}, options{
		FileOptions: plugin.FileOptions{File: "/var/log/ulogd_nacct.log"},
		Options:     queue.Defaults,
	}, open))
}

type options struct {
	plugin.FileOptions
	queue.Options
}

type nacct struct {
	plugin.File

	saddr, daddr, protocol, sport, dport, pktLen, pktCount, icmpCode, icmpType, start, end event.Slot
}

func open(o options, env *plugin.Env) (plugin.Output, error) {
	return &nacct{File: plugin.File{FileOptions: o.FileOptions, QueueOptions: o.Options, Files: env.Files}}, nil
}

func (o *nacct) Bind(b *event.Binder) {
	b.In(&o.saddr, "orig.ip.saddr.str", event.String)
	b.In(&o.daddr, "orig.ip.daddr.str", event.String)
	b.In(&o.protocol, "orig.ip.protocol", event.U8)
	b.In(&o.sport, "orig.l4.sport", event.U16)
	b.In(&o.dport, "orig.l4.dport", event.U16)
	b.In(&o.pktLen, "reply.raw.pktlen", event.U64)
	b.In(&o.pktCount, "reply.raw.pktcount", event.U64)
	b.In(&o.icmpCode, "icmp.code", event.U8)
	b.In(&o.icmpType, "icmp.type", event.U8)
	b.In(&o.start, "flow.start.sec", event.U32) // as in ulogd, which does not use it either
	b.In(&o.end, "flow.end.sec", event.U32)
}

const icmp = 1 // IANA, Assigned Internet Protocol Numbers

// Encode writes a line for each flow. A number that is not known is 0.
func (o *nacct) Encode(blk *queue.Block, rows *event.Rows) {
	for e := range rows.All() {
		from, to := o.sport, o.dport
		if e.Uint(o.protocol) == icmp {
			from, to = o.icmpType, o.icmpCode
		}
		dst := event.AppendUint(blk.Data, e.Uint(o.end))
		dst = event.AppendUint(append(dst, '\t'), e.Uint(o.protocol))
		dst = append(append(dst, '\t'), rows.Bytes(e[o.saddr])...)
		dst = event.AppendUint(append(dst, '\t'), e.Uint(from))
		dst = append(append(dst, '\t'), rows.Bytes(e[o.daddr])...)
		dst = event.AppendUint(append(dst, '\t'), e.Uint(to))
		dst = event.AppendUint(append(dst, '\t'), e.Uint(o.pktCount))
		dst = event.AppendUint(append(dst, '\t'), e.Uint(o.pktLen))
		blk.Data = append(dst, '\n')
		blk.End()
	}
}
