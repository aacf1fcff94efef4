// Package pcap is the output PCAP, which writes packets from the network header
// on into a capture file. See reference page "ulogd2-outputs", section 11.
package pcap

import (
	"context"
	"encoding/binary"
	"log/slog"
	"os"
	"sync"

	"github.com/ulogd-go/ulogd/pkg/event"
	"github.com/ulogd-go/ulogd/pkg/logging"
	"github.com/ulogd-go/ulogd/pkg/nflog"
	"github.com/ulogd-go/ulogd/pkg/outfile"
	"github.com/ulogd-go/ulogd/pkg/plugin"
	"github.com/ulogd-go/ulogd/pkg/queue"
	"github.com/ulogd-go/ulogd/pkg/stamp"
	"github.com/ulogd-go/ulogd/pkg/stats"
)

func init() {
	var l locks
	plugin.Default.Register(plugin.NewOutput(plugin.Info{
		Name: "PCAP", Summary: "writes packets into a capture file",
		Takes: plugin.Packet,
	}, options{
		FileOptions: plugin.FileOptions{File: "/var/log/ulogd.pcap"},
		Options:     queue.Defaults,
	}, l.open))
}

type options struct {
	plugin.FileOptions
	queue.Options
}

// locks has a lock for each path, which the outputs to that path hold from the
// look whether the file is empty to the end of the write.
type locks struct{ paths sync.Map }

func (l *locks) of(path string) *sync.Mutex {
	m, _ := l.paths.LoadOrStore(path, new(sync.Mutex))
	return m.(*sync.Mutex)
}

type pcap struct {
	plugin.File
	header []byte // of the file

	pkt, pktlen, totlen, sec, usec, family, payloadlen event.Slot

	dropped  *stats.Counter
	dropping *logging.Tally

	lock *sync.Mutex
	file *outfile.File
	owed bool // the header stands before what is to be written next
	cut  bool // a block may be partly written, and has to be given again
}

func (l *locks) open(o options, env *plugin.Env) (plugin.Output, error) {
	p := &pcap{
		File:    plugin.File{FileOptions: o.FileOptions, QueueOptions: o.Options, Files: env.Files},
		header:  fileHeader(stamp.SecondsWest(env.Zone, env.Now())),
		lock:    l.of(o.File),
		dropped: env.Stats.Counter("packets_without_payload", "packets of which no byte was logged, so that they were not written"),
		dropping: logging.NewTally(env.Log, slog.LevelWarn,
			"%d packets came without a payload and were not written; see copy_range of the input and the size limit of the firewall rule"),
	}
	p.Begin = p.begin
	return p, nil
}

// The file header (draft-ietf-opsawg-pcap, section 4).
const (
	magic        = 0xa1b2c3d4 // times are in microseconds
	versionMajor = 2
	versionMinor = 4
	snapLen      = 65536
	linkTypeRaw  = 101 // the packets begin with an IPv4 or IPv6 header
)

func fileHeader(secondsWest int) []byte {
	h := binary.NativeEndian.AppendUint32(nil, magic)
	h = binary.NativeEndian.AppendUint16(h, versionMajor)
	h = binary.NativeEndian.AppendUint16(h, versionMinor)
	for _, field := range []uint32{uint32(int32(secondsWest)), 0, snapLen, linkTypeRaw} {
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

func (p *pcap) Encode(blk *queue.Block, rows *event.Rows) {
	var dropped uint64
	for e := range rows.All() {
		pkt := rows.Bytes(e[p.pkt])
		pkt = pkt[:min(uint64(len(pkt)), e.Uint(p.pktlen))]
		if len(pkt) == 0 {
			dropped++
			continue
		}
		blk.Data = append(p.appendHeader(blk.Data, e, uint32(len(pkt))), pkt...)
		blk.End()
	}
	if dropped > 0 {
		p.dropped.Add(dropped)
		p.dropping.Add(dropped)
	}
}

// appendHeader appends the header of a packet record.
func (p *pcap) appendHeader(dst []byte, e event.Event, captured uint32) []byte {
	dst = binary.NativeEndian.AppendUint32(dst, uint32(e.Uint(p.sec)))
	dst = binary.NativeEndian.AppendUint32(dst, uint32(e.Uint(p.usec)))
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

// Connect owes a header to the reader of a pipe, since each connection is a
// capture of its own.
func (p *pcap) Connect(ctx context.Context) error {
	p.lock.Lock()
	defer p.lock.Unlock()
	p.owed = p.owed || isStream(p.FileOptions.File)
	return p.File.Connect(ctx)
}

// isStream tells whether path is a pipe or a terminal.
func isStream(path string) bool {
	info, err := os.Stat(path)
	return err == nil && !info.Mode().IsRegular()
}

// begin writes the header at once, as a reader of the file expects it, unless a
// block has to be tried again: that brings the header along.
func (p *pcap) begin(f *outfile.File) error {
	p.file = f
	if p.cut {
		return nil
	}
	return p.append(context.Background(), nil)
}

// append appends a block, and before it the header if that is owed. The same
// header goes before the same block when a write is tried again, since the file
// remembers how far it got. The lock is held.
func (p *pcap) append(ctx context.Context, block []byte) error {
	empty, err := p.file.Empty()
	if err != nil {
		return err
	}
	p.owed = p.owed || empty
	if p.owed {
		block = append(p.header[:len(p.header):len(p.header)], block...)
	}
	if len(block) == 0 {
		return nil
	}
	if err := p.File.Write(ctx, &queue.Block{Data: block}); err != nil {
		return err
	}
	p.owed = false
	return nil
}

func (p *pcap) Write(ctx context.Context, blk *queue.Block) error {
	p.lock.Lock()
	defer p.lock.Unlock()
	err := p.append(ctx, blk.Data)
	p.cut = err != nil
	return err
}

func (p *pcap) Reopen() error {
	p.lock.Lock()
	defer p.lock.Unlock()
	return p.File.Reopen()
}

func (p *pcap) Close() error {
	p.dropping.Flush()
	return p.File.Close()
}
