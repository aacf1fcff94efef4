package pcap

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/gopacket/gopacket/pcapgo"

	"github.com/ulogd-go/ulogd/pkg/event"
	"github.com/ulogd-go/ulogd/pkg/outfile"
	"github.com/ulogd-go/ulogd/pkg/plugin"
	"github.com/ulogd-go/ulogd/pkg/plugintest"
	"github.com/ulogd-go/ulogd/pkg/queue"
)

var keys = []event.Key{
	{Name: "raw.pkt", Kind: event.Raw},
	{Name: "raw.pktlen", Kind: event.U32},
	{Name: "ip.totlen", Kind: event.U16},
	{Name: "oob.time.sec", Kind: event.U32},
	{Name: "oob.time.usec", Kind: event.U32},
	{Name: "oob.family", Kind: event.U8},
	{Name: "ip6.payloadlen", Kind: event.U16},
}

// words are numbers as they stand in a capture file.
func words(n ...uint32) (b []byte) {
	for _, n := range n {
		b = binary.NativeEndian.AppendUint32(b, n)
	}
	return b
}

func TestInputs(t *testing.T) {
	var b event.Binder
	run := plugintest.Bench{Plugin: "PCAP", Keys: keys}.Start(t)
	run.Instance.Bind(&b)
	var got []string
	for _, in := range b.Inputs() {
		if in.Optional {
			t.Errorf("%s is optional", in.Name)
		}
		got = append(got, in.Name+" "+in.Kind.String())
	}
	want := []string{
		"raw.pkt unsigned int 32", "raw.pktlen unsigned int 32", "ip.totlen unsigned int 16",
		"oob.time.sec unsigned int 32", "oob.time.usec unsigned int 32", "oob.family unsigned int 8",
		"ip6.payloadlen unsigned int 16",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func packet(family, pktlen int, more plugintest.Event) plugintest.Event {
	e := plugintest.Event{
		"raw.pkt": []byte("abcde"), "raw.pktlen": pktlen, "oob.family": family,
		"oob.time.sec": 1795420542, "oob.time.usec": 569887,
	}
	for k, v := range more {
		e[k] = v
	}
	return e
}

func TestEncode(t *testing.T) {
	const sec, usec = 1795420542, 569887
	tests := []struct {
		name  string
		event plugintest.Event
		want  []byte
	}{
		{
			name:  "IPv4, of which only a part was logged",
			event: packet(2, 5, plugintest.Event{"ip.totlen": 60}),
			want:  append(words(sec, usec, 5, 60), "abcde"...),
		},
		{
			name:  "IPv4 that was not decoded",
			event: packet(2, 5, nil),
			want:  append(words(sec, usec, 5, 0), "abcde"...),
		},
		{
			name:  "IPv6",
			event: packet(10, 5, plugintest.Event{"ip6.payloadlen": 8}),
			want:  append(words(sec, usec, 5, 48), "abcde"...),
		},
		{
			name:  "IPv6 that was not decoded",
			event: packet(10, 5, nil),
			want:  append(words(sec, usec, 5, 40), "abcde"...),
		},
		{
			name:  "bridge",
			event: packet(7, 5, plugintest.Event{"ip.totlen": 60}),
			want:  append(words(sec, usec, 5, 5), "abcde"...),
		},
		{
			name:  "a length beyond the bytes that there are",
			event: packet(7, 1000, nil),
			want:  append(words(sec, usec, 5, 5), "abcde"...),
		},
		{
			name:  "no payload",
			event: plugintest.Event{"oob.family": 7, "oob.time.sec": sec, "oob.time.usec": usec},
			want:  words(sec, usec, 0, 0),
		},
		{
			name:  "a time without microseconds, which is none",
			event: plugintest.Event{"raw.pkt": []byte("abcde"), "raw.pktlen": uint32(5), "oob.family": 7, "oob.time.sec": sec},
			want:  append(words(uint32(plugintest.Now.Unix()), 0, 5, 5), "abcde"...),
		},
		{
			name:  "a length short of the bytes that there are",
			event: packet(7, 2, nil),
			want:  append(words(sec, usec, 2, 2), "ab"...),
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			rows := plugintest.Output(t, "PCAP", nil, keys, tt.event)
			if diff := cmp.Diff([][]byte{tt.want}, rows); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestEncodeDoesNotAllocate(t *testing.T) {
	plugintest.Allocs(t, "PCAP", nil, keys, packet(2, 5, nil), packet(10, 5, nil))
}

func TestQueue(t *testing.T) {
	for sync, want := range map[string]queue.Batching{"0": {Age: 40 * time.Millisecond}, "1": {}} {
		out := plugintest.Bench{Plugin: "PCAP", Options: plugintest.Options{"sync": sync}, Keys: keys}.Start(t).Output(t)
		if o, got := out.Queue(); got != want || o != queue.Defaults {
			t.Errorf("sync=%s: %+v, %+v", sync, o, got)
		}
	}
}

// start is an output to path, with a block of one row.
func start(t *testing.T, path string, files *outfile.Set, zone *time.Location) (plugin.Output, *queue.Block) {
	t.Helper()
	run := plugintest.Bench{
		Plugin: "PCAP", Options: plugintest.Options{"file": path}, Keys: keys,
		Env: func(env *plugin.Env) { env.Files, env.Zone = files, zone },
	}.Start(t, packet(7, 5, nil))
	t.Cleanup(func() {
		if err := run.Output(t).Close(); err != nil {
			t.Error(err)
		}
	})
	return run.Output(t), run.Encode(t)
}

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func connect(t *testing.T, out plugin.Output) {
	t.Helper()
	if err := out.Connect(context.Background()); err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, out plugin.Output, blk *queue.Block) {
	t.Helper()
	if err := out.Write(context.Background(), blk); err != nil {
		t.Fatal(err)
	}
}

func check(t *testing.T, path string, want []byte) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got)\n%s", filepath.Base(path), diff)
	}
}

func header(west int32) []byte {
	versions := binary.NativeEndian.AppendUint16(binary.NativeEndian.AppendUint16(nil, 2), 4)
	return join(words(0xa1b2c3d4), versions, words(uint32(west), 0, 65536, 101))
}

func TestFileHeader(t *testing.T) {
	for offset, west := range map[int]int32{0: 0, 19800: -19800, -12600: 12600} {
		path := filepath.Join(t.TempDir(), "ulogd.pcap")
		out, blk := start(t, path, new(outfile.Set), time.FixedZone("", offset))
		connect(t, out)
		check(t, path, header(west))
		write(t, out, blk)
		write(t, out, blk)
		check(t, path, join(header(west), blk.Data, blk.Data))
	}
}

func TestFileIsContinued(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ulogd.pcap")
	before := []byte("whatever is there")
	if err := os.WriteFile(path, before, 0o600); err != nil {
		t.Fatal(err)
	}
	out, blk := start(t, path, new(outfile.Set), time.UTC)
	connect(t, out)
	write(t, out, blk)
	check(t, path, join(before, blk.Data))
}

func TestReopen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ulogd.pcap")
	out, blk := start(t, path, new(outfile.Set), time.UTC)
	connect(t, out)
	write(t, out, blk)
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	if err := out.(plugin.Reopener).Reopen(t.Context()); err != nil {
		t.Fatal(err)
	}
	check(t, path, header(0))
	write(t, out, blk)
	check(t, path, join(header(0), blk.Data))
	check(t, path+".1", join(header(0), blk.Data))
}

// TestSharedFile: two outputs to one file, and rotations meanwhile, leave files
// that each begin with one header.
func TestSharedFile(t *testing.T) {
	const rounds, blocks = 5, 40
	dir := t.TempDir()
	path := filepath.Join(dir, "ulogd.pcap")
	files := new(outfile.Set)
	var outputs sync.WaitGroup
	for i := range 2 {
		out, blk := start(t, path, files, time.UTC)
		outputs.Go(func() {
			if err := out.Connect(context.Background()); err != nil {
				t.Error(err)
				return
			}
			for n := range rounds * blocks {
				if n%blocks == blocks/2 {
					// Only one of them renames, but both reopen.
					if i == 0 {
						if err := os.Rename(path, filepath.Join(dir, "old"+string(rune('a'+n/blocks)))); err != nil {
							t.Error(err)
						}
					}
					if err := out.(plugin.Reopener).Reopen(t.Context()); err != nil {
						t.Error(err)
					}
				}
				if err := out.Write(context.Background(), blk); err != nil {
					t.Error(err)
				}
			}
		})
	}
	outputs.Wait()
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	packets := 0
	for _, name := range names {
		packets += count(t, name)
	}
	if len(names) != rounds+1 || packets != 2*rounds*blocks {
		t.Errorf("%d packets in %d files, want %d in %d", packets, len(names), 2*rounds*blocks, rounds+1)
	}
}

// count is the number of packets in a capture file, as an independent reader sees it.
func count(t *testing.T, name string) (n int) {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := pcapgo.NewReader(f)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	for {
		data, _, err := r.ReadPacketData()
		if err != nil {
			return n
		}
		if string(data) != "abcde" {
			t.Errorf("%s: packet %d is %q", name, n, data)
		}
		n++
	}
}

func TestPipe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	out, blk := start(t, path, new(outfile.Set), time.UTC)
	if err := out.Connect(context.Background()); !errors.Is(err, plugin.ErrNotConnected) {
		t.Fatalf("without a reader: %v, want ErrNotConnected", err)
	}
	if err := out.(plugin.Reopener).Reopen(t.Context()); err != nil {
		t.Fatalf("reopen while not connected: %v", err)
	}
	for range 2 { // each reader gets a header
		reader, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
		if err != nil {
			t.Fatal(err)
		}
		connect(t, out)
		write(t, out, blk)
		if err := out.(plugin.Reopener).Reopen(t.Context()); err != nil {
			t.Fatal(err)
		}
		write(t, out, blk)
		want := join(header(0), blk.Data, blk.Data)
		got := make([]byte, len(want)+1)
		n, err := reader.Read(got)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got[:n]); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
		if err := reader.Close(); err != nil {
			t.Fatal(err)
		}
		if err := out.Write(context.Background(), blk); !errors.Is(err, plugin.ErrNotConnected) {
			t.Fatalf("reader gone: %v, want ErrNotConnected", err)
		}
	}
}

func TestMissingDirectory(t *testing.T) {
	path := filepath.Join(t.TempDir(), "missing", "ulogd.pcap")
	out, _ := start(t, path, new(outfile.Set), time.UTC)
	err := out.Connect(context.Background())
	if err == nil || errors.Is(err, plugin.ErrNotConnected) || !strings.Contains(err.Error(), path) {
		t.Errorf("%v, want an error that names %s and is not ErrNotConnected", err, path)
	}
}

func TestFullDisk(t *testing.T) {
	out, _ := start(t, "/dev/full", new(outfile.Set), time.UTC)
	err := out.Connect(context.Background())
	if !errors.Is(err, syscall.ENOSPC) || !errors.Is(err, plugin.ErrNotConnected) {
		t.Errorf("connect: %v, want ENOSPC as a reason to try again", err)
	}
}

// TestFirstFileHeader: ulogd 1.x has another length, and no zone.
func TestFirstFileHeader(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ulogd.pcap")
	run := plugintest.Bench{
		Plugin: "PCAP", Options: plugintest.Options{"file": path, "generation": "1"}, Keys: keys,
		Env: func(env *plugin.Env) { env.Zone = time.FixedZone("", 19800) },
	}.Start(t)
	connect(t, run.Output(t))
	t.Cleanup(func() { _ = run.Output(t).Close() })
	want := header(0)
	binary.NativeEndian.PutUint32(want[16:], 65535)
	check(t, path, want)
}
