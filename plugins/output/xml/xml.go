// Package xml is the output XML, which writes what the kernel said about each
// packet, connection or accounting object as an XML record. See reference page "ulogd2-outputs", section 8.
package xml

import (
	"time"

	"github.com/ulogd-go/ulogd/pkg/ctnetlink"
	"github.com/ulogd-go/ulogd/pkg/event"
	"github.com/ulogd-go/ulogd/pkg/plugin"
	"github.com/ulogd-go/ulogd/pkg/queue"
)

func init() {
	plugin.Default.Register(plugin.NewOutput(plugin.Info{
		Name: "XML", Summary: "writes XML documents, a new one on each start and rotation",
		Takes: plugin.Raw | plugin.Flow | plugin.Sum,
	}, options{Directory: "/var/log/", Options: queue.Defaults}, open))
}

type options struct {
	Directory string `toml:"directory" doc:"where the files are made, named ulogd-KIND-DDMMYYYY-hhmmss.xml; KIND is pkt, flow or sum"`
	Sync      bool   `toml:"sync" doc:"write each batch at once; otherwise records wait up to 0.04 s, so that more of them are written together"`
	Stdout    bool   `toml:"stdout" doc:"write to the standard output, and not to a file"`
	Escape    bool   `toml:"escape" extra:"true" doc:"write prefixes and names so that the document is well-formed whatever they hold; ulogd copies them byte for byte"`
	queue.Options
}

type xml struct {
	options
	document

	now    func() time.Time
	zone   *time.Location
	moment time.Time // of one Encode
	when   []byte    // the same as an element
	flow   ctnetlink.Flow

	raw, ct, sum      event.Slot
	family            event.Slot // of a connection
	name, pkts, bytes event.Slot // of an accounting object
}

func open(o options, env *plugin.Env) (plugin.Output, error) {
	return &xml{
		options: o,
		document: document{
			directory: o.Directory,
			stdout:    o.Stdout,
			kind:      kindOf(env.Input),
			env:       env,
		},
		now:  env.Now,
		zone: env.Zone,
	}, nil
}

func (x *xml) Bind(b *event.Binder) {
	b.Optional(&x.ct, "ct", event.Raw)
	b.Optional(&x.raw, "raw", event.Raw)
	b.Optional(&x.sum, "sum", event.Raw) // as in ulogd; what it says is in the next three
	b.Optional(&x.family, "oob.family", event.U8)
	b.Optional(&x.name, "sum.name", event.String)
	b.Optional(&x.pkts, "sum.pkts", event.U64)
	b.Optional(&x.bytes, "sum.bytes", event.U64)
}

func (x *xml) Queue() (queue.Options, queue.Batching) {
	return x.options.Options, plugin.FileBatching(x.Sync)
}

// Encode makes a record of each event that the kernel has told of.
func (x *xml) Encode(blk *queue.Block, rows *event.Rows) {
	x.moment = x.now()
	x.when = appendWhen(x.when[:0], x.moment.In(x.zone))
	for e := range rows.All() {
		switch {
		case e.Has(x.raw):
			blk.Data = x.appendPacket(blk.Data, rows.Batch, e)
		case e.Has(x.name):
			blk.Data = x.appendSum(blk.Data, rows.Batch, e)
		case e.Has(x.ct):
			blk.Data = x.appendConnection(blk.Data, rows.Batch, e)
		default:
			continue
		}
		blk.Data = append(blk.Data, '\n')
		blk.End()
	}
}

// appendPacket appends the record of a packet, and that of the connection which the
// kernel has attached to it.
func (x *xml) appendPacket(dst []byte, b *event.Batch, e event.Event) []byte {
	var p packet
	p.read(b.Bytes(e[x.raw]))
	dst = p.append(dst, x.when, x.Escape)
	if e.Has(x.ct) {
		dst = x.appendConnection(dst, b, e)
	}
	return dst
}

// appendConnection appends the record of a connection. Of attributes that are broken
// off, it has those before.
func (x *xml) appendConnection(dst []byte, b *event.Batch, e event.Event) []byte {
	x.flow = ctnetlink.Flow{Family: uint8(e.Uint(x.family))}
	_ = x.flow.DecodeAttrs(b.Bytes(e[x.ct])) // the kernel's; what it says up to an error is shown
	return appendFlow(dst, &x.flow, x.when, x.moment)
}

// appendSum appends the record of an accounting object, in which the time stands
// without an element of its own.
func (x *xml) appendSum(dst []byte, b *event.Batch, e event.Event) []byte {
	dst = append(dst, "<obj>"...)
	dst = appendText(dst, "name", b.Bytes(e[x.name]), x.Escape)
	dst = appendElement(dst, "pkts", e.Uint(x.pkts), sumDigits)
	dst = appendElement(dst, "bytes", e.Uint(x.bytes), sumDigits)
	dst = append(dst, x.when[len("<when>"):len(x.when)-len("</when>")]...)
	return append(dst, "</obj>"...)
}

// sumDigits is how many digits a counter of an accounting object has at least.
const sumDigits = 20
