// Package pcap is the output PCAP, which writes packets from the network header
// on into a capture file. See reference page "ulogd2-outputs", section 11.
package pcap

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

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
	}, options{File: "/var/log/ulogd.pcap", Options: queue.Defaults}, l.open))
}

type options struct {
	File string `toml:"file" doc:"path of the capture file, which may be a named pipe"`
	Sync bool   `toml:"sync" doc:"write each batch of packets at once, and not up to a second later"`
	queue.Options
}

// locks has a lock for each path, which the outputs to that path hold from the
// look whether the file is empty to the end of the write.
type locks struct {
	mu    sync.Mutex
	paths map[string]*sync.Mutex
}

func (l *locks) of(path string) *sync.Mutex {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.paths == nil {
		l.paths = make(map[string]*sync.Mutex)
	}
	if l.paths[path] == nil {
		l.paths[path] = new(sync.Mutex)
	}
	return l.paths[path]
}

type pcap struct {
	options
	env    *plugin.Env
	header []byte

	pkt, pktlen, totlen, sec, usec, family, payloadlen event.Slot

	dropped  *stats.Counter
	dropping *logging.Tally

	lock *sync.Mutex
	file *outfile.File
	owed bool // the header stands before what is to be written next
	cut  bool // a block may be partly written, and has to be given again
}

func (l *locks) open(o options, env *plugin.Env) (plugin.Output, error) {
	return &pcap{
		options: o,
		env:     env,
		header:  fileHeader(stamp.SecondsWest(env.Zone, env.Now())),
		lock:    l.of(o.File),
		dropped: env.Stats.Counter("packets_without_payload", "packets of which no byte was logged, so that they were not written"),
		dropping: logging.NewTally(env.Log, slog.LevelWarn,
			"%d packets came without a payload and were not written; see copy_range of the input and the size limit of the firewall rule"),
	}, nil
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

func (p *pcap) Queue() (queue.Options, queue.Batching) {
	if p.Sync {
		return p.Options, queue.Batching{}
	}
	return p.Options, queue.Batching{Age: time.Second}
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

func (p *pcap) Connect(context.Context) error {
	if err := p.Close(); err != nil {
		return err
	}
	f, err := p.env.Files.Open(p.File)
	if errors.Is(err, outfile.ErrNoReader) {
		return fmt.Errorf("%w: %w", plugin.ErrNotConnected, err)
	}
	if err != nil {
		return fmt.Errorf("%w; make its directory writable for the daemon, or set file to another path", err)
	}
	p.file, p.cut = f, false
	p.owed = isStream(p.File)
	if err := p.write(nil); errors.Is(err, plugin.ErrNotConnected) {
		return err
	} else if err != nil {
		p.env.Log.Error(fmt.Sprintf("%v; trying again with the first packets", err))
	}
	return nil
}

// isStream tells whether path is a pipe or a terminal: then each connection is a
// capture of its own.
func isStream(path string) bool {
	info, err := os.Stat(path)
	return err == nil && !info.Mode().IsRegular()
}

// write appends a block, and before it the header if the file is empty. The same
// header goes before the same block when a write is tried again, since the file
// remembers how far it got.
func (p *pcap) write(block []byte) error {
	p.lock.Lock()
	defer p.lock.Unlock()
	empty, err := p.file.Empty()
	if err != nil {
		return err
	}
	if empty {
		p.owed = true
	}
	if p.owed {
		block = append(p.header[:len(p.header):len(p.header)], block...)
	}
	if len(block) == 0 {
		return nil
	}
	err = p.file.Write(block)
	if errors.Is(err, outfile.ErrNoReader) {
		return fmt.Errorf("%w: %w", plugin.ErrNotConnected, err)
	}
	if err == nil {
		p.owed = false
	}
	return err
}

func (p *pcap) Write(_ context.Context, blk *queue.Block) error {
	err := p.write(blk.Data)
	p.cut = err != nil
	return err
}

// Reopen writes the header at once, as a reader of the new file expects it,
// unless a block has to be tried again: that brings the header along.
func (p *pcap) Reopen() error {
	if p.file == nil {
		return nil
	}
	if err := p.reopen(); err != nil || p.cut {
		return err
	}
	return p.write(nil)
}

func (p *pcap) reopen() error {
	p.lock.Lock()
	defer p.lock.Unlock()
	return p.file.Reopen()
}

func (p *pcap) Close() error {
	f := p.file
	if f == nil {
		return nil
	}
	p.file = nil
	p.dropping.Flush()
	return f.Close()
}
