// Package pcap is the output PCAP, which writes packets from the network header
// on into a capture file. See reference page "ulogd2-outputs", section 11.
package pcap

import (
	"encoding/binary"

	"github.com/ulogd-go/ulogd/pkg/event"
	"github.com/ulogd-go/ulogd/pkg/nflog"
	"github.com/ulogd-go/ulogd/pkg/plugin"
	"github.com/ulogd-go/ulogd/pkg/queue"
	"github.com/ulogd-go/ulogd/pkg/stamp"
)

func init() {
	plugin.Default.Register(plugin.NewOutput(plugin.Info{
		Name: "PCAP", Summary: "writes packets into a capture file",
		Takes: plugin.Packet,
	}, options{
		FileOptions: plugin.FileOptions{File: "/var/log/ulogd.pcap"},
		Generation:  plugin.Second,
		Options:     queue.Defaults,
	}, open))
}

type options struct {
	plugin.FileOptions
	Generation plugin.Generation `toml:"generation" extra:"true" doc:"1 writes the file header of ulogd 1.x: packets of up to 65535 bytes, and no time zone"`
	queue.Options
}

type pcap struct {
	plugin.File
	pkt, pktlen, totlen, sec, usec, family, payloadlen event.Slot
}

func open(o options, env *plugin.Env) (plugin.Output, error) {
	header := fileHeader(stamp.SecondsWest(env.Zone, env.Now()), snapLen)
	if o.Generation == plugin.First {
		header = fileHeader(0, firstSnapLen)
	}
	return &pcap{
		File: plugin.File{
			FileOptions: o.FileOptions, QueueOptions: o.Options, Files: env.Files,
			Header: header,
		},
	}, nil
}

// The file header (draft-ietf-opsawg-pcap, section 4).
const (
	magic        = 0xa1b2c3d4 // times are in microseconds
	versionMajor = 2
	versionMinor = 4
	snapLen      = 65536
	firstSnapLen = 65535 // of ulogd 1.x
	linkTypeRaw  = 101   // the packets begin with an IPv4 or IPv6 header
)

func fileHeader(secondsWest int, longest uint32) []byte {
	h := binary.NativeEndian.AppendUint32(nil, magic)
	h = binary.NativeEndian.AppendUint16(h, versionMajor)
	h = binary.NativeEndian.AppendUint16(h, versionMinor)
	for _, field := range []uint32{uint32(int32(secondsWest)), 0, longest, linkTypeRaw} {
		h = binary.NativeEndian.AppendUint32(h, field)
	}
	return h
}

func (p *pcap) Bind(b *event.Binder) {
	b.In(&p.pkt, "raw.pkt", event.U32) // that is how ulogd declares it
	b.In(&p.pktlen, "raw.pktlen", event.U32)
	b.In(&p.totlen, "ip.totlen", event.U16)
	b.In(&p.sec, "oob.time.sec", event.U32)
	b.In(&p.usec, "oob.time.usec", event.U32)
	b.In(&p.family, "oob.family", event.U8)
	b.In(&p.payloadlen, "ip6.payloadlen", event.U16)
}

// Encode writes a record for each packet; one without a payload has a record
// without contents, as ulogd writes it.
func (p *pcap) Encode(blk *queue.Block, rows *event.Rows) {
	for e := range rows.All() {
		pkt := rows.Bytes(e[p.pkt])
		pkt = pkt[:min(uint64(len(pkt)), e.Uint(p.pktlen))]
		blk.Data = append(p.appendHeader(blk.Data, rows.Batch, e, uint32(len(pkt))), pkt...)
		blk.End()
	}
}

// appendHeader appends the header of a packet record. As in ulogd, a time without
// microseconds, such as UNIXSOCK's, is none.
func (p *pcap) appendHeader(dst []byte, b *event.Batch, e event.Event, captured uint32) []byte {
	sec, usec := uint32(e.Uint(p.sec)), uint32(e.Uint(p.usec))
	if !e.Has(p.sec) || !e.Has(p.usec) {
		sec, usec = uint32(b.Now.Unix()), uint32(b.Now.Nanosecond()/1000)
	}
	dst = binary.NativeEndian.AppendUint32(dst, sec)
	dst = binary.NativeEndian.AppendUint32(dst, usec)
	dst = binary.NativeEndian.AppendUint32(dst, captured)
	return binary.NativeEndian.AppendUint32(dst, p.originalLen(e, captured))
}

// ip6HeaderLen is the fixed header, which an IPv6 payload length does not count.
const ip6HeaderLen = 40

// originalLen is the length of the packet as its header has it: nothing of a
// packet that could not be decoded counts.
func (p *pcap) originalLen(e event.Event, captured uint32) uint32 {
	switch e.Uint(p.family) {
	case nflog.FamilyIPv4:
		return uint32(e.Uint(p.totlen))
	case nflog.FamilyIPv6:
		return uint32(e.Uint(p.payloadlen)) + ip6HeaderLen
	}
	return captured
}
