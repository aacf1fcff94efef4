package pipeline

import (
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ulogd-go/ulogd/pkg/outfile"
	"github.com/ulogd-go/ulogd/pkg/plugin"
	"github.com/ulogd-go/ulogd/pkg/queue"
)

// TestRejectsAfterAFullDisk: a line of which only a part could be written does not
// spoil the next one.
func TestRejectsAfterAFullDisk(t *testing.T) {
	dir := t.TempDir()
	f := newRejectFile(dir, &plugin.Env{Instance: "db1", Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Now: time.Now, Files: new(outfile.Set)})
	blk := &queue.Block{Epoch: "e"}
	for _, row := range []string{"zero", strings.Repeat("x", 4000), "two"} {
		blk.Data = append(blk.Data, row...)
		blk.End()
	}
	out := new(fake)
	if err := f.keep(out, blk, 0, errors.New("no")); err != nil {
		t.Fatal(err)
	}
	limitFiles(t, 1000, func() {
		if err := f.keep(out, blk, 1, errors.New("no")); !errors.Is(err, unix.EFBIG) {
			t.Errorf("a row for which there is no room: %v", err)
		}
	})
	if err := f.keep(out, blk, 2, errors.New("no")); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, rejectName))
	if err != nil {
		t.Fatal(err)
	}
	var rows []uint64
	for line := range strings.Lines(string(text)) {
		var r rejected
		if json.Unmarshal([]byte(line), &r) == nil {
			rows = append(rows, r.Row)
		}
	}
	if len(rows) != 2 || rows[0] != 0 || rows[1] != 2 {
		t.Errorf("rows %v can be read, want 0 and 2:\n%s", rows, text)
	}
}

// limitFiles runs f while no file may be larger than size.
func limitFiles(t *testing.T, size uint64, f func()) {
	t.Helper()
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
	signal.Ignore(unix.SIGXFSZ)
	defer signal.Reset(unix.SIGXFSZ)
	small := before
	small.Cur = size
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &small); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &before); err != nil {
			t.Error(err)
		}
	}()
	f()
}
