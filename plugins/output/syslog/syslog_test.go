package syslog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ulogd-go/ulogd/pkg/event"
	"github.com/ulogd-go/ulogd/pkg/plugin"
	"github.com/ulogd-go/ulogd/pkg/plugintest"
	"github.com/ulogd-go/ulogd/pkg/queue"
)

var keys = []event.Key{{Name: "print", Kind: event.String}}

func TestEncode(t *testing.T) {
	pid := os.Getpid()
	tests := []struct {
		name   string
		opts   plugintest.Options
		events []plugintest.Event
		want   []string
	}{
		{
			name:   "the default is daemon.notice",
			events: []plugintest.Event{{"print": "sys:  IN=va MARK=0x0 \n"}},
			want:   []string{fmt.Sprintf("<29>Nov 23 13:27:13 ulogd[%d]: sys:  IN=va MARK=0x0 \n", pid)},
		},
		{
			name:   "LOG_LOCAL2",
			opts:   plugintest.Options{"facility": "LOG_LOCAL2"},
			events: []plugintest.Event{{"print": "a\n"}, {}, {"print": "b\n"}},
			want: []string{
				fmt.Sprintf("<149>Nov 23 13:27:13 ulogd[%d]: a\n", pid),
				fmt.Sprintf("<149>Nov 23 13:27:13 ulogd[%d]: b\n", pid),
			},
		},
		{
			name:   "LOG_USER and LOG_DEBUG",
			opts:   plugintest.Options{"facility": "LOG_USER", "level": "LOG_DEBUG"},
			events: []plugintest.Event{{"print": "a\n"}},
			want:   []string{fmt.Sprintf("<15>Nov 23 13:27:13 ulogd[%d]: a\n", pid)},
		},
		{
			name:   "ulogd 1.x, of which the default is kern.notice",
			opts:   plugintest.Options{"generation": "1"},
			events: []plugintest.Event{{"print": "FW-DROP: IN=eth0 \n"}},
			want:   []string{fmt.Sprintf("<5>Nov 23 13:27:13 ulogd[%d]:  FW-DROP: IN=eth0 \n", pid)},
		},
		{
			name:   "ulogd 1.x, LOG_LOCAL3 and LOG_WARNING",
			opts:   plugintest.Options{"generation": "1", "facility": "LOG_LOCAL3", "level": "LOG_WARNING"},
			events: []plugintest.Event{{"print": "a\n"}},
			want:   []string{fmt.Sprintf("<156>Nov 23 13:27:13 ulogd[%d]:  a\n", pid)},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := plugintest.Bench{Plugin: "SYSLOG", Options: tt.opts, Keys: keys, Env: func(env *plugin.Env) {
				env.Zone = time.FixedZone("", 19800)
			}}
			var got []string
			for _, row := range b.Output(t, tt.events...) {
				got = append(got, string(row))
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// TestPriorities has the numbers of RFC 5424, section 6.2.1.
func TestPriorities(t *testing.T) {
	tests := []struct {
		facility, level string
		want            string
	}{
		{"LOG_DAEMON", "LOG_EMERG", "<24>"},
		{"LOG_KERN", "LOG_ALERT", "<25>"},
		{"LOG_LOCAL0", "LOG_CRIT", "<130>"},
		{"LOG_LOCAL1", "LOG_ERR", "<139>"},
		{"LOG_LOCAL3", "LOG_WARNING", "<156>"},
		{"LOG_LOCAL4", "LOG_NOTICE", "<165>"},
		{"LOG_LOCAL5", "LOG_INFO", "<174>"},
		{"LOG_LOCAL6", "LOG_DEBUG", "<183>"},
		{"LOG_LOCAL7", "LOG_EMERG", "<184>"},
		{"LOG_USER", "LOG_INFO", "<14>"},
	}
	for _, tt := range tests {
		opts := plugintest.Options{"facility": tt.facility, "level": tt.level}
		row := string(plugintest.Output(t, "SYSLOG", opts, keys, plugintest.Event{"print": "x"})[0])
		if !strings.HasPrefix(row, tt.want) {
			t.Errorf("%s, %s: %q, want %s", tt.facility, tt.level, row, tt.want)
		}
	}
}

func TestUnknownNames(t *testing.T) {
	tests := []struct{ option, value, valid string }{
		{"facility", "LOG_MAIL", "LOG_LOCAL7"},
		{"facility", "log_kern", "LOG_KERN"},
		{"level", "LOG_WARN", "LOG_WARNING"},
		{"level", "", "LOG_DEBUG"},
		{"mode", "tls", "local, udp, tcp"},
	}
	for _, tt := range tests {
		_, _, err := plugintest.Bench{Plugin: "SYSLOG", Options: plugintest.Options{tt.option: tt.value}}.Open(t)
		if err == nil || !strings.Contains(err.Error(), "unknown "+tt.option) || !strings.Contains(err.Error(), tt.valid) {
			t.Errorf("%s=%s: %v, want an error that lists %s", tt.option, tt.value, err, tt.valid)
		}
	}
}

func TestEncodeDoesNotAllocate(t *testing.T) {
	e := plugintest.Event{"print": "IN=va OUT= \n"}
	plugintest.Allocs(t, "SYSLOG", nil, keys, e, e)
}

func TestBatchesAreSentAtOnce(t *testing.T) {
	o, b := plugintest.Bench{Plugin: "SYSLOG", Keys: keys}.Start(t).Output(t).Queue()
	if o != queue.Defaults || b != (queue.Batching{}) {
		t.Errorf("%+v, %+v", o, b)
	}
}

// listen listens as a syslog daemon does.
func listen(t *testing.T, path string) *net.UnixConn {
	t.Helper()
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func receive(t *testing.T, c *net.UnixConn) string {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 1024)
	n, err := c.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(buf[:n]), "]: ")
	return text
}

func start(t *testing.T, socket string, texts ...string) (plugin.Output, *queue.Block) {
	t.Helper()
	var events []plugintest.Event
	for _, text := range texts {
		events = append(events, plugintest.Event{"print": text})
	}
	run := plugintest.Bench{Plugin: "SYSLOG", Options: plugintest.Options{"socket": socket}, Keys: keys}.Start(t, events...)
	t.Cleanup(func() { _ = run.Output(t).Close() })
	return run.Output(t), run.Encode(t)
}

func TestRestartOfTheDaemon(t *testing.T) {
	ctx, path := context.Background(), filepath.Join(t.TempDir(), "log")
	out, blk := start(t, path, "a\n", "b\n")
	if err := out.Connect(ctx); !errors.Is(err, plugin.ErrNotConnected) || !strings.Contains(err.Error(), path) {
		t.Fatalf("nobody listens: %v, want ErrNotConnected and the path", err)
	}
	for range 2 {
		daemon := listen(t, path)
		if err := out.Connect(ctx); err != nil {
			t.Fatal(err)
		}
		if err := out.Write(ctx, blk); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"a\n", "b\n"} {
			if got := receive(t, daemon); got != want {
				t.Errorf("received %q, want %q", got, want)
			}
		}
		if err := daemon.Close(); err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		if err := out.Write(ctx, blk); !errors.Is(err, plugin.ErrNotConnected) {
			t.Fatalf("the daemon is gone: %v, want ErrNotConnected", err)
		}
	}
}

// TestStreamSocket has a syslog daemon whose socket is of type stream, as the C library
// finds out, too; each message ends with a zero byte then. The next one is of type
// datagram again.
func TestStreamSocket(t *testing.T) {
	ctx, path := context.Background(), filepath.Join(t.TempDir(), "log")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	out, blk := start(t, path, "a\n", "b\n")
	if err := errors.Join(out.Connect(ctx), out.Write(ctx, blk)); err != nil {
		t.Fatal(err)
	}
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	want := string(blk.Row(0)) + "\x00" + string(blk.Row(1)) + "\x00"
	got := make([]byte, len(want))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != want {
		t.Errorf("received %q, %v, want %q", got, err, want)
	}
	if err := errors.Join(c.Close(), l.Close()); err != nil {
		t.Fatal(err)
	}
	daemon := listen(t, path)
	if err := errors.Join(out.Connect(ctx), out.Write(ctx, blk)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"a\n", "b\n"} {
		if got := receive(t, daemon); got != want {
			t.Errorf("received %q, want %q", got, want)
		}
	}
}

// TestNothingIsSentTwice breaks the connection in the middle of a block.
func TestNothingIsSentTwice(t *testing.T) {
	ctx, dir := context.Background(), t.TempDir()
	path := filepath.Join(dir, "log")
	const rows = 2000 // more than a socket's queue holds
	var texts []string
	for i := range rows {
		texts = append(texts, fmt.Sprintf("%d\n", i))
	}
	out, blk := start(t, path, texts...)
	first := listen(t, path)
	if err := out.Connect(ctx); err != nil {
		t.Fatal(err)
	}
	result := make(chan error, 1)
	go func() { result <- out.Write(ctx, blk) }()
	const half = rows / 2
	for i := range half {
		if got := receive(t, first); got != texts[i] {
			t.Fatalf("received %q, want %q", got, texts[i])
		}
	}
	if err := first.Close(); err != nil { // with what it has not read
		t.Fatal(err)
	}
	if err := <-result; !errors.Is(err, plugin.ErrNotConnected) {
		t.Fatalf("%v, want ErrNotConnected", err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	second := listen(t, path)
	if err := out.Connect(ctx); err != nil {
		t.Fatal(err)
	}
	go func() { result <- out.Write(ctx, blk) }()
	next := -1
	for {
		var n int
		if _, err := fmt.Sscan(receive(t, second), &n); err != nil {
			t.Fatal(err)
		}
		if n < half || next >= 0 && n != next {
			t.Fatalf("received %d, want %d, or at first more than %d", n, next, half-1)
		}
		if next = n + 1; next == rows {
			break
		}
	}
	if err := <-result; err != nil {
		t.Error(err)
	}
}
