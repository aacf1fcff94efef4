package logemu_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ulogd-go/ulogd/pkg/event"
	"github.com/ulogd-go/ulogd/pkg/plugin"
	"github.com/ulogd-go/ulogd/pkg/plugintest"
	_ "github.com/ulogd-go/ulogd/plugins/output/logemu"
)

type e = plugintest.Event

var keys = []event.Key{{Name: "print", Kind: event.String}, {Name: "oob.time.sec", Kind: event.U32}}

func TestLines(t *testing.T) {
	tests := []struct {
		name, host string
		in         e
		want       string // empty if there is no line
	}{
		{"with a time", "fw1", e{"print": "text \n", "oob.time.sec": uint32(1767582245)}, "Jan  5 03:04:05 fw1 text \n"},
		{"without a time", "fw1", e{"print": "text \n"}, "Nov 23 07:57:13 fw1 text \n"},
		{"time 0", "fw1", e{"print": "text \n", "oob.time.sec": uint32(0)}, "Jan  1 00:00:00 fw1 text \n"},
		{"a host with a domain", "fw1.example.net", e{"print": "text \n"}, "Nov 23 07:57:13 fw1 text \n"},
		{"no host", "", e{"print": "text \n"}, "Nov 23 07:57:13  text \n"},
		{"any bytes", "fw1", e{"print": "a\xff\x01\n"}, "Nov 23 07:57:13 fw1 a\xff\x01\n"},
		{"no text", "fw1", e{"oob.time.sec": uint32(1)}, ""},
	}
	for _, tt := range tests {
		b := plugintest.Bench{Plugin: "LOGEMU", Keys: keys, Env: func(env *plugin.Env) { env.Hostname = tt.host }}
		got := ""
		for _, row := range b.Output(t, tt.in) {
			got += string(row)
		}
		if got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestZone(t *testing.T) {
	b := plugintest.Bench{Plugin: "LOGEMU", Keys: keys[:1], Env: func(env *plugin.Env) { env.Zone = time.FixedZone("x", 19800) }}
	if got, want := string(b.Output(t, e{"print": "\n"})[0]), "Nov 23 13:27:13 fw1 \n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestRotation appends to a file, renames it, and goes on in a new one.
func TestRotation(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	run := plugintest.Bench{Plugin: "LOGEMU", Options: plugintest.Options{"file": path, "sync": "1"}, Keys: keys}.Start(t, e{"print": "a\n"}, e{"print": "b\n"})
	out := run.Output(t)
	write := func() error { return out.Write(t.Context(), run.Encode(t)) }
	if err := errors.Join(out.Connect(t.Context()), write(), os.Rename(path, path+".1"), out.(plugin.Reopener).Reopen(t.Context()), write(), write(), out.Close()); err != nil {
		t.Fatal(err)
	}
	const block = "Nov 23 07:57:13 fw1 a\nNov 23 07:57:13 fw1 b\n"
	for name, want := range map[string]string{path + ".1": block, path: block + block} {
		if got, err := os.ReadFile(name); string(got) != want || err != nil {
			t.Errorf("%s holds %q, %v; want %q", filepath.Base(name), got, err, want)
		}
	}
}

func TestAllocs(t *testing.T) {
	plugintest.Allocs(t, "LOGEMU", nil, keys, e{"print": "a\n"}, e{"print": "b\n", "oob.time.sec": uint32(7)})
}
