package pipeline

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ulogd-go/ulogd/pkg/outfile"
	"github.com/ulogd-go/ulogd/pkg/plugin"
	"github.com/ulogd-go/ulogd/pkg/queue"
)

// TestRejectsOnAFullDisk: a row that a full disk has cut does not spoil the one that is
// kept when there is room again.
func TestRejectsOnAFullDisk(t *testing.T) {
	dir := t.TempDir()
	done := make(chan error)
	go func() {
		// The thread has its own mounts, and ends with the goroutine.
		runtime.LockOSThread()
		defer close(done)
		err := errors.Join(unix.Unshare(unix.CLONE_NEWNS),
			unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""),
			unix.Mount("tmpfs", dir, "tmpfs", 0, "size=8k"))
		if err != nil {
			done <- err
			return
		}
		keepOnAFullDisk(t, dir)
	}()
	switch err := <-done; {
	case err == nil:
	case os.Getenv("CI") == "true":
		t.Fatalf("CI=true but this process may not mount: %v", err)
	default:
		t.Skipf("SKIPPED: needs root to mount a small disk: %v", err)
	}
}

func keepOnAFullDisk(t *testing.T, dir string) {
	filler := filepath.Join(dir, "filler")
	if err := os.WriteFile(filler, make([]byte, 4<<10), 0o600); err != nil {
		t.Error(err)
		return
	}
	f := newRejectFile(dir, &plugin.Env{Instance: "db1", Now: time.Now, Files: new(outfile.Set)})
	full := false
	for row := range uint64(10) {
		text := strings.Repeat("x", 1000)
		blk := &queue.Block{Data: []byte(text), Ends: []uint32{uint32(len(text))}, Epoch: "e", First: row}
		err := f.keep(new(fake), blk, 0, errors.New("no"))
		switch {
		case err == nil && full:
			check(t, f.path, row)
			return
		case errors.Is(err, unix.ENOSPC):
			full = true
			if err := os.Remove(filler); err != nil {
				t.Error(err)
			}
		case err != nil:
			t.Error(err)
		}
	}
	t.Error("no row was kept behind one that found the disk full")
}

// check checks that the last line is that row.
func check(t *testing.T, path string, row uint64) {
	data, err := os.ReadFile(path)
	if err != nil {
		t.Error(err)
	}
	lines := bytes.Split(bytes.TrimSuffix(data, []byte("\n")), []byte("\n"))
	var last rejected
	if err := json.Unmarshal(lines[len(lines)-1], &last); err != nil || last.Row != row {
		t.Errorf("the last line is %.80s... (%v), want row %d", lines[len(lines)-1], err, row)
	}
}
