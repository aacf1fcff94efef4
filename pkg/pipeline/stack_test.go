package pipeline

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"os"

	"github.com/gopacket/gopacket/pcapgo"

	"github.com/ulogd-go/ulogd/pkg/config"
	"github.com/ulogd-go/ulogd/pkg/event"
	"github.com/ulogd-go/ulogd/pkg/link"
	"github.com/ulogd-go/ulogd/pkg/nflog"
	"github.com/ulogd-go/ulogd/pkg/plugin"
	"github.com/ulogd-go/ulogd/pkg/stats"
	_ "github.com/ulogd-go/ulogd/plugins/all"
)

// tap is a source that fills batches from memory, with the packets of all
// recordings in turn, as NFLOG decodes them.
type tap struct {
	nflog.Decoder
	messages [][]byte
	next     int
}

func (s *tap) Open() error                              { return nil }
func (s *tap) Close() error                             { return nil }
func (s *tap) Read(context.Context, *event.Batch) error { return io.EOF }

func (s *tap) Links() *link.Table {
	return link.NewTable(map[uint32]string{10: "br0", 11: "va", 12: "vc"})
}

func (s *tap) fill(b *event.Batch) {
	b.Now = time.Unix(1795420633, 0)
	for range tapBatch {
		off := len(b.Buf)
		b.Buf = append(b.Buf, s.messages[s.next]...)
		if err := s.Decode(b, off, len(b.Buf)); err != nil {
			panic(err)
		}
		s.next = (s.next + 1) % len(s.messages)
	}
}

const tapBatch = 64

// recorded are the messages of all recordings.
func recorded(tb testing.TB) [][]byte {
	tb.Helper()
	files, err := filepath.Glob("../../plugins/all/testdata/cases/*/packets.pcap")
	if err != nil || len(files) == 0 {
		tb.Fatalf("recordings: %q, %v", files, err)
	}
	var messages [][]byte
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			tb.Fatal(err)
		}
		defer f.Close()
		r, err := pcapgo.NewReader(f)
		for err == nil {
			var data []byte
			if data, _, err = r.ReadPacketData(); err == nil {
				messages = append(messages, data)
			}
		}
		if !errors.Is(err, io.EOF) {
			tb.Fatalf("%s: %v", name, err)
		}
	}
	return messages
}

// measured are the stacks behind the source, and their sections.
var measured = []struct{ name, stack, sections string }{
	{"LOGEMU", "base1:BASE,ifi1:IFINDEX,ip2str1:IP2STR,print1:PRINTPKT,out:LOGEMU", "[out]\nfile=/dev/null\n"},
	{"JSON", "base1:BASE,ifi1:IFINDEX,ip2str1:IP2STR,mac2str1:HWHDR,out:JSON", "[out]\nfile=/dev/null\n"},
	{"OPRINT", "base1:BASE,ifi1:IFINDEX,ip2str1:IP2STR,out:OPRINT", "[out]\nfile=/dev/null\n"},
	{"GPRINT", "base1:BASE,ifi1:IFINDEX,ip2str1:IP2STR,out:GPRINT", "[out]\nfile=/dev/null\n"},
	{"PCAP", "base1:BASE,out:PCAP", "[out]\nfile=/dev/null\n"},
	{"XML", "out:XML", "[out]\nstdout=1\n"},
	{"SYSLOG", "base1:BASE,ifi1:IFINDEX,ip2str1:IP2STR,print1:PRINTPKT,out:SYSLOG", ""},
	{"SQLITE3", "base1:BASE,ifi1:IFINDEX,ip2str1:IP2STR,mac2str1:HWHDR,out:SQLITE3", "[out]\ndb=/nonexistent/x.db\ntable=ulog\n"},
	{"filters", "base1:BASE,bin1:IP2BIN,hbin1:IP2HBIN,mark1:MARK,ip2str1:IP2STR,mac2str1:HWHDR,ifi1:IFINDEX,out:OPRINT", "[mark1]\nmask=0\n[out]\nfile=/dev/null\n"},
}

// built is a tree of one stack behind a tap. Nothing is opened.
func built(tb testing.TB, stack, sections string) (*tree, *tap) {
	tb.Helper()
	source := &tap{messages: recorded(tb)}
	var r plugin.Registry
	for _, name := range plugin.Default.Names() {
		spec, err := plugin.Default.Lookup(name)
		if err != nil {
			tb.Fatal(err)
		}
		r.Register(spec)
	}
	r.Register(plugin.NewSource(plugin.Info{Name: "TAP", Gives: plugin.Raw}, plugin.NoOptions{},
		func(plugin.NoOptions, *plugin.Env) (plugin.Source, error) { return source, nil }))
	f, err := config.Parse("ulogd.conf", []byte("[global]\nstack=tap1:TAP,"+stack+"\n"+sections))
	if err != nil {
		tb.Fatal(err)
	}
	var log strings.Builder
	p, err := Build(f, &r, Env{
		Log: slog.New(slog.NewTextHandler(&log, nil)), Stats: new(stats.Registry),
		Now: time.Now, Zone: time.UTC, Hostname: "fw1",
	})
	if err != nil {
		tb.Fatalf("%v\n%s", err, &log)
	}
	for _, run := range p.trees[0].stacks[0].runners {
		if err := run.open(); err != nil {
			tb.Fatal(err)
		}
	}
	return p.trees[0], source
}

// drain takes the blocks that are due, as the output's goroutine would.
func drain(tb testing.TB, t *tree) {
	for _, r := range t.stacks[0].runners {
		for r.queue.Due() > 0 {
			blk, err := r.queue.Get(tb.Context())
			if err != nil {
				tb.Fatal(err)
			}
			r.queue.Settle(blk.First+uint64(blk.Rows()), 0)
			r.queue.Done()
		}
	}
}

// TestStacksDoNotAllocate takes packets from the kernel's messages to encoded blocks.
func TestStacksDoNotAllocate(t *testing.T) {
	for _, m := range measured {
		t.Run(m.name, func(t *testing.T) {
			tree, source := built(t, m.stack, m.sections)
			batch := event.NewBatch(tree.layout)
			step := func() {
				source.fill(batch)
				tree.pass(batch)
				batch.Reset()
				drain(t, tree)
			}
			for range 200 {
				step() // buffers grow to their size
			}
			if n := testing.AllocsPerRun(100, step); n != 0 {
				t.Errorf("%v allocations for a batch of %d packets", n, tapBatch)
			}
			if n := tree.stacks[0].runners[0].accepted.Value(); n < 300*tapBatch/2 {
				t.Errorf("%d rows came out, of %d packets", n, 300*tapBatch)
			}
		})
	}
}

// BenchmarkStack measures what a packet costs from the kernel's message to the
// encoded block.
func BenchmarkStack(b *testing.B) {
	for _, m := range measured {
		b.Run(m.name, func(b *testing.B) {
			tree, source := built(b, m.stack, m.sections)
			batch := event.NewBatch(tree.layout)
			b.ReportAllocs()
			for i := 0; i < b.N; i += tapBatch {
				source.fill(batch)
				tree.pass(batch)
				batch.Reset()
				drain(b, tree)
			}
		})
	}
}
