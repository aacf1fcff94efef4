package xml

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/ulogd-go/ulogd/pkg/plugin"
	"github.com/ulogd-go/ulogd/pkg/plugintest"
	"github.com/ulogd-go/ulogd/pkg/queue"
)

const (
	header = "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<packet>\n"
	record = "<log>" + when + "</log>\n"
	footer = "</packet>\n"
)

// start is an output to a directory, with a block of one record.
func start(t *testing.T, opts plugintest.Options, env func(*plugin.Env)) (plugin.Output, *queue.Block) {
	t.Helper()
	run := plugintest.Bench{Plugin: "XML", Options: opts, Keys: keys, Env: env}.
		Start(t, plugintest.Event{"raw": message()})
	return run.Output(t), run.Encode(t)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// files is what stands in the files of a directory.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	must(t, err)
	contents := map[string]string{}
	for _, name := range names {
		text, err := os.ReadFile(name)
		must(t, err)
		contents[filepath.Base(name)] = string(text)
	}
	return contents
}

func TestDocuments(t *testing.T) {
	ctx, dir, now := context.Background(), t.TempDir(), plugintest.Now
	out, blk := start(t, plugintest.Options{"directory": dir}, func(env *plugin.Env) {
		env.Zone = time.FixedZone("", 19800)
		env.Now = func() time.Time { return now }
	})
	row := string(blk.Data)
	must(t, out.Connect(ctx))
	must(t, out.Write(ctx, blk))
	must(t, out.Write(ctx, blk))
	if diff := cmp.Diff(map[string]string{"ulogd-pkt-23112026-132713.xml": header + row + row}, files(t, dir)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	reopen := out.(plugin.Reopener).Reopen
	must(t, reopen(ctx)) // in the same second
	must(t, reopen(ctx))
	must(t, out.Write(ctx, blk))
	now = now.Add(time.Second)
	must(t, reopen(ctx))
	must(t, out.Close())
	want := map[string]string{
		"ulogd-pkt-23112026-132713.xml":   header + row + row + footer,
		"ulogd-pkt-23112026-132713-1.xml": header + footer,
		"ulogd-pkt-23112026-132713-2.xml": header + row + footer,
		"ulogd-pkt-23112026-132714.xml":   header + footer,
	}
	if diff := cmp.Diff(want, files(t, dir)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestKindOfDocument(t *testing.T) {
	tests := []struct {
		input      plugin.Type
		file, root string
	}{
		{plugin.Raw, "ulogd-pkt-23112026-075713.xml", "packet"},
		{plugin.Raw | plugin.Packet, "ulogd-pkt-23112026-075713.xml", "packet"},
		{plugin.Flow, "ulogd-flow-23112026-075713.xml", "conntrack"},
		{plugin.Sum, "ulogd-sum-23112026-075713.xml", "sum"},
	}
	for _, tt := range tests {
		dir := t.TempDir()
		out, _ := start(t, plugintest.Options{"directory": dir}, func(env *plugin.Env) { env.Input = tt.input })
		must(t, out.Connect(context.Background()))
		must(t, out.Close())
		want := map[string]string{
			tt.file: fmt.Sprintf("<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<%s>\n</%[1]s>\n", tt.root),
		}
		if diff := cmp.Diff(want, files(t, dir)); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
	}
}

func TestMissingDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "missing")
	out, _ := start(t, plugintest.Options{"directory": dir}, nil)
	err := out.Connect(context.Background())
	if err == nil || errors.Is(err, plugin.ErrNotConnected) || !strings.Contains(err.Error(), dir) {
		t.Errorf("%v, want an error that names %s and is not ErrNotConnected", err, dir)
	}
	if err := out.(plugin.Reopener).Reopen(t.Context()); err != nil {
		t.Errorf("reopen of what is not open: %v", err)
	}
	if err := out.Close(); err != nil {
		t.Errorf("close of what is not open: %v", err)
	}
}

func TestFailedReopenKeepsTheFile(t *testing.T) {
	ctx, dir := context.Background(), filepath.Join(t.TempDir(), "a")
	must(t, os.Mkdir(dir, 0o700))
	out, blk := start(t, plugintest.Options{"directory": dir}, nil)
	must(t, out.Connect(ctx))
	must(t, os.Rename(dir, dir+"b"))
	if err := out.(plugin.Reopener).Reopen(t.Context()); err == nil {
		t.Error("no error of reopen although the directory is gone")
	}
	must(t, out.Write(ctx, blk))
	must(t, out.Close())
	want := map[string]string{"ulogd-pkt-23112026-075713.xml": header + record + footer}
	if diff := cmp.Diff(want, files(t, dir+"b")); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// TestStdout puts a file in the place of the standard output.
func TestStdout(t *testing.T) {
	ctx, dir := context.Background(), t.TempDir()
	f, err := os.Create(filepath.Join(dir, "stdout"))
	must(t, err)
	defer f.Close()
	defer func(old *os.File) { os.Stdout = old }(os.Stdout)
	os.Stdout = f
	out, blk := start(t, plugintest.Options{"stdout": "1", "directory": dir}, nil)
	must(t, out.Connect(ctx))
	must(t, out.Write(ctx, blk))
	must(t, out.(plugin.Reopener).Reopen(t.Context()))
	must(t, out.Write(ctx, blk))
	must(t, out.Close())
	want := map[string]string{"stdout": header + record + record + footer}
	if diff := cmp.Diff(want, files(t, dir)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// TestRotationOfACutDocument has SIGHUP come while the disk is full: each record is in
// one of the two documents, whole.
func TestRotationOfACutDocument(t *testing.T) {
	ctx, dir, away := context.Background(), t.TempDir(), t.TempDir()
	out, one := start(t, plugintest.Options{"directory": dir}, nil)
	must(t, out.Connect(ctx))
	blk := new(queue.Block)
	for blk.Rows() < 20 {
		blk.Data = append(blk.Data, one.Data...)
		blk.End()
	}
	// The size that a file may have stands for the room on the disk.
	signal.Ignore(unix.SIGXFSZ)
	defer signal.Reset(unix.SIGXFSZ)
	var old unix.Rlimit
	must(t, unix.Getrlimit(unix.RLIMIT_FSIZE, &old))
	half := len(header) + 10*len(record) + 5
	must(t, unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: uint64(half), Max: old.Max}))
	err := out.Write(ctx, blk)
	must(t, unix.Setrlimit(unix.RLIMIT_FSIZE, &old))
	if !errors.Is(err, unix.EFBIG) {
		t.Fatalf("Write: %v, want EFBIG", err)
	}
	must(t, os.Rename(filepath.Join(dir, "ulogd-pkt-23112026-075713.xml"), filepath.Join(away, "old")))
	must(t, out.(plugin.Reopener).Reopen(t.Context()))
	must(t, out.Write(ctx, blk))
	must(t, out.Close())
	records := strings.Repeat(record, 10)
	want := map[string]string{"ulogd-pkt-23112026-075713.xml": header + records + footer}
	if diff := cmp.Diff(want, files(t, dir)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if diff := cmp.Diff(map[string]string{"old": header + records + record[:5]}, files(t, away)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestACutDocumentIsNotClosed(t *testing.T) {
	dir := t.TempDir()
	out, blk := start(t, plugintest.Options{"directory": dir}, nil)
	must(t, out.Connect(context.Background()))
	must(t, out.Write(context.Background(), blk))
	out.(*xml).document.cut = true // as after an error in the middle of a record
	must(t, out.Close())
	want := map[string]string{"ulogd-pkt-23112026-075713.xml": header + record}
	if diff := cmp.Diff(want, files(t, dir)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}
