package gprint

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ulogd-go/ulogd/pkg/event"
	"github.com/ulogd-go/ulogd/pkg/plugin"
	"github.com/ulogd-go/ulogd/pkg/plugintest"
	"github.com/ulogd-go/ulogd/pkg/queue"
)

// keys are some of NFLOG's, BASE's and IP2BIN's, and one that ulogd does not have.
var keys = []event.Key{
	{Name: "raw.mac", Kind: event.Raw},
	{Name: "raw.pktlen", Kind: event.U32},
	{Name: "oob.prefix", Kind: event.String},
	{Name: "oob.vlan", Kind: event.U16, Extra: true},
	{Name: "ip.saddr", Kind: event.Addr},
	{Name: "tcp.syn", Kind: event.Bool},
	{Name: "icmp.gateway", Kind: event.Addr},
	{Name: "big", Kind: event.I64},
	{Name: "ip.saddr.bin", Kind: event.Literal},
	{Name: "oob.in", Kind: event.String},
}

var full = plugintest.Event{
	"raw.mac": []byte{2, 0}, "raw.pktlen": 40, "oob.prefix": "a,b=c ", "oob.vlan": 7,
	"ip.saddr": netip.MustParseAddr("192.0.2.2"), "tcp.syn": true,
	"icmp.gateway": netip.MustParseAddr("192.0.2.254"), "big": int64(-1 << 40),
	"ip.saddr.bin": plugintest.Literal("0x00"), "oob.in": "",
}

func TestEncode(t *testing.T) {
	tests := []struct {
		name  string
		opts  plugintest.Options
		event plugintest.Event
		want  string
	}{
		{
			name:  "every kind; raw bytes and literals are left out",
			event: full,
			want:  "raw.pktlen=40,oob.prefix=a,b=c ,ip.saddr=192.0.2.2,tcp.syn=1,icmp.gateway=192.0.2.254,big=-1099511627776,oob.in=\n",
		},
		{
			name:  "keys that ulogd does not have",
			opts:  plugintest.Options{"extra": "1"},
			event: plugintest.Event{"raw.pktlen": 40, "oob.vlan": 7},
			want:  "raw.pktlen=40,oob.vlan=7\n",
		},
		{
			name:  "IPv6, in the form of inet_ntop",
			event: plugintest.Event{"ip.saddr": netip.MustParseAddr("::1:2")},
			want:  "ip.saddr=::0.1.0.2\n",
		},
		{
			name:  "time of writing",
			opts:  plugintest.Options{"timestamp": "1"},
			event: plugintest.Event{"raw.pktlen": 40},
			want:  "timestamp=2026/11/23-13:27:13,raw.pktlen=40\n",
		},
		{
			name:  "more than ulogd's 4096 bytes",
			event: plugintest.Event{"oob.prefix": strings.Repeat("x", 5000)},
			want:  "oob.prefix=" + strings.Repeat("x", 5000) + "\n",
		},
		{name: "nothing", event: plugintest.Event{}, want: "\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := plugintest.Bench{Plugin: "GPRINT", Options: tt.opts, Keys: keys, Env: func(env *plugin.Env) {
				env.Zone = time.FixedZone("", 19800)
			}}
			rows := b.Output(t, tt.event)
			if len(rows) != 1 {
				t.Fatalf("%d rows, want 1", len(rows))
			}
			if diff := cmp.Diff(tt.want, string(rows[0])); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// TestSameNameTwice: as in ulogd, both places show the value of the plugin that
// is nearest.
func TestSameNameTwice(t *testing.T) {
	keys := []event.Key{{Name: "a", Kind: event.U8}, {Name: "b", Kind: event.U8}, {Name: "a", Kind: event.U8}}
	rows := plugintest.Output(t, "GPRINT", nil, keys, plugintest.Event{"a": 1, "b": 2})
	if got, want := string(rows[0]), "a=1,b=2,a=1\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestEncodeDoesNotAllocate(t *testing.T) {
	plugintest.Allocs(t, "GPRINT", plugintest.Options{"timestamp": "1"}, keys, full, full)
}

func TestQueue(t *testing.T) {
	for sync, want := range map[string]queue.Batching{"0": {Age: 40 * time.Millisecond}, "1": {}} {
		opts := plugintest.Options{"sync": sync, "queue_memory": "1MiB"}
		out := plugintest.Bench{Plugin: "GPRINT", Options: opts}.Start(t).Output(t)
		o, got := out.Queue()
		if got != want {
			t.Errorf("sync=%s: %+v, want %+v", sync, got, want)
		}
		if o.Memory != 1<<20 || o.OnFull != queue.Wait {
			t.Errorf("queue options %+v, want 1 MiB and wait", o)
		}
	}
}

// start is an output that writes to path, and a block of one row.
func start(t *testing.T, path string) (plugin.Output, *queue.Block) {
	t.Helper()
	run := plugintest.Bench{Plugin: "GPRINT", Options: plugintest.Options{"file": path}, Keys: keys}.
		Start(t, plugintest.Event{"raw.pktlen": 1})
	t.Cleanup(func() {
		if err := run.Output(t).Close(); err != nil {
			t.Error(err)
		}
	})
	return run.Output(t), run.Encode(t)
}

func TestFile(t *testing.T) {
	ctx, path := context.Background(), filepath.Join(t.TempDir(), "gprint.log")
	if err := os.WriteFile(path, []byte("before\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, blk := start(t, path)
	if err := out.Connect(ctx); err != nil {
		t.Fatal(err)
	}
	if err := out.Write(ctx, blk); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	if err := out.(plugin.Reopener).Reopen(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := out.Write(ctx, blk); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{path + ".1": "before\nraw.pktlen=1\n", path: "raw.pktlen=1\n"} {
		if got, err := os.ReadFile(path); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v; want %q", path, got, err, want)
		}
	}
}

func TestFileErrors(t *testing.T) {
	ctx, dir := context.Background(), t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	out, _ := start(t, pipe)
	if err := out.Connect(ctx); !errors.Is(err, plugin.ErrNotConnected) {
		t.Errorf("pipe without reader: %v, want ErrNotConnected", err)
	}
	if err := out.(plugin.Reopener).Reopen(t.Context()); err != nil {
		t.Errorf("reopen while not connected: %v", err)
	}
	missing := filepath.Join(dir, "missing", "gprint.log")
	out, _ = start(t, missing)
	err := out.Connect(ctx)
	if err == nil || errors.Is(err, plugin.ErrNotConnected) || !strings.Contains(err.Error(), missing) {
		t.Errorf("missing directory: %v, want an error that names %s and is not ErrNotConnected", err, missing)
	}
}

func TestPipeLosesItsReader(t *testing.T) {
	ctx, path := context.Background(), filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	out, blk := start(t, path)
	reader, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := out.Connect(ctx); err != nil {
		t.Fatal(err)
	}
	if err := reader.Close(); err != nil {
		t.Fatal(err)
	}
	if err := out.Write(ctx, blk); !errors.Is(err, plugin.ErrNotConnected) {
		t.Errorf("%v, want ErrNotConnected", err)
	}
}
