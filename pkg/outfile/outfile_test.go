package outfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ulogd-go/ulogd/pkg/queue"
)

// block is a block of the given rows.
func block(rows ...string) *queue.Block {
	blk := new(queue.Block)
	for _, row := range rows {
		blk.Data = append(blk.Data, row...)
		blk.End()
	}
	return blk
}

// numbered is a block of rows of 8 bytes, numbered and marked.
func numbered(mark byte, rows int) *queue.Block {
	blk := new(queue.Block)
	for i := range rows {
		blk.Data = fmt.Appendf(blk.Data, "%c%06d\n", mark, i)
		blk.End()
	}
	return blk
}

func open1(t *testing.T, s *Set, path, header string) *File {
	t.Helper()
	f, err := s.Open(path, []byte(header))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func write(t *testing.T, f *File, rows ...string) {
	t.Helper()
	if err := f.Write(block(rows...)); err != nil {
		t.Fatal(err)
	}
}

func contents(t *testing.T, path, want string) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil || string(got) != want {
		t.Errorf("%s holds %q, %v; want %q", filepath.Base(path), got, err, want)
	}
}

func TestAppends(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(path, []byte("old\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		var s Set
		f := open1(t, &s, path, "header\n")
		write(t, f, "a\n", "b\n")
		if err := errors.Join(f.Reopen(), f.Close()); err != nil {
			t.Error(err)
		}
	}
	contents(t, path, "old\na\nb\na\nb\n")
}

func TestRotation(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "log")
	var s Set
	a, b := open1(t, &s, path, "header\n"), open1(t, &s, path, "header\n")
	write(t, a, "a1\n")
	write(t, b, "b1\n")
	if err := errors.Join(a.Reopen(), os.Rename(path, path+".1")); err != nil {
		t.Fatal(err)
	}
	write(t, b, "b2\n") // still into the renamed file
	if err := a.Reopen(); err != nil {
		t.Error(err)
	}
	fresh := a.file
	for _, f := range []*File{b, a} {
		if err := f.Reopen(); err != nil {
			t.Error(err)
		}
	}
	write(t, a, "a2\n")
	write(t, b, "b3\n")
	contents(t, path+".1", "header\na1\nb1\nb2\n")
	contents(t, path, "header\na2\nb3\n")
	if a.file != fresh || b.file != fresh || len(s.open) != 1 {
		t.Errorf("the file was opened anew more than once for both, %d are open", len(s.open))
	}
}

func TestReopenFails(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "dir")
	path := filepath.Join(dir, "log")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	var s Set
	f := open1(t, &s, path, "")
	if err := os.Rename(dir, dir+".1"); err != nil {
		t.Fatal(err)
	}
	if err := f.Reopen(); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "the old file stays in use") {
		t.Errorf("Reopen: %v", err)
	}
	write(t, f, "a\n")
	contents(t, filepath.Join(dir+".1", "log"), "a\n")
	if _, err := s.Open(filepath.Join(dir, "other"), nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Open in a directory that is not there: %v", err)
	}
}

func TestLastUserCloses(t *testing.T) {
	var s Set
	path := filepath.Join(t.TempDir(), "log")
	a, b := open1(t, &s, path, ""), open1(t, &s, path, "")
	if err := a.Close(); err != nil {
		t.Error(err)
	}
	write(t, b, "b\n")
	if err := b.Close(); err != nil || len(s.open) != 0 {
		t.Errorf("Close: %v, %d files are left", err, len(s.open))
	}
	if err := b.Write(block("c\n")); !errors.Is(err, os.ErrClosed) {
		t.Errorf("a write to the closed file: %v", err)
	}
}

// TestRowsDoNotMix has several outputs write to one file while it is rotated.
func TestRowsDoNotMix(t *testing.T) {
	const blocks, rows = 40, 100
	dir := t.TempDir()
	path := filepath.Join(dir, "log")
	var s Set
	var wg sync.WaitGroup
	for i := range 4 {
		f := open1(t, &s, path, "")
		wg.Go(func() {
			for n := range blocks {
				if err := f.Write(numbered('a'+byte(i), rows)); err != nil {
					t.Error(err)
				}
				if i == 0 && n%10 == 0 {
					if err := os.Rename(path, fmt.Sprintf("%s.%d", path, n)); err != nil {
						t.Error(err)
					}
				}
				if err := f.Reopen(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	files, err := filepath.Glob(path + "*")
	if err != nil || len(files) < 4 {
		t.Fatalf("%q, %v", files, err)
	}
	total := 0
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for len(data) > 0 {
			want := numbered(data[0], rows).Data
			if !bytes.HasPrefix(data, want) {
				t.Fatalf("%s: a block is not whole: %.40q", name, data)
			}
			data, total = data[len(want):], total+1
		}
	}
	if total != 4*blocks {
		t.Errorf("%d blocks arrived, want %d", total, 4*blocks)
	}
}

func TestDeviceFull(t *testing.T) {
	var s Set
	f := open1(t, &s, "/dev/full", "")
	if err := f.Write(block("a\n")); !errors.Is(err, unix.ENOSPC) || !strings.Contains(err.Error(), "/dev/full") {
		t.Errorf("Write: %v, want one that names the file and says that it is full", err)
	}
}

// fullDisk runs f with a directory on a disk of 16 KiB of which half is taken by
// the file "filler".
func fullDisk(t *testing.T, f func(dir string)) {
	t.Helper()
	dir := t.TempDir()
	done := make(chan error)
	go func() {
		// The thread has its own mounts, and ends with the goroutine.
		runtime.LockOSThread()
		defer close(done)
		err := errors.Join(unix.Unshare(unix.CLONE_NEWNS),
			unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""),
			unix.Mount("tmpfs", dir, "tmpfs", 0, "size=16k"))
		if err != nil {
			done <- err
			return
		}
		if err := os.WriteFile(filepath.Join(dir, "filler"), make([]byte, 8<<10), 0o600); err != nil {
			t.Error(err)
		}
		f(dir)
	}()
	switch err := <-done; {
	case err == nil:
	case os.Getenv("CI") == "true":
		t.Fatalf("CI=true but this process may not mount: %v", err)
	default:
		t.Skipf("SKIPPED: needs root to mount a small disk: %v", err)
	}
}

func TestDiskFull(t *testing.T) {
	fullDisk(t, func(dir string) {
		path := filepath.Join(dir, "log")
		var s Set
		a, b := open1(t, &s, path, ""), open1(t, &s, path, "")
		blk := numbered('a', 1536) // 12 KiB
		for range 2 {
			if err := a.Write(blk); !errors.Is(err, unix.ENOSPC) {
				t.Errorf("Write to the full disk: %v", err)
			}
		}
		if err := b.Write(block("b\n")); !errors.Is(err, errBusy) {
			t.Errorf("Write while another block is partly written: %v", err)
		}
		if err := os.Remove(filepath.Join(dir, "filler")); err != nil {
			t.Error(err)
		}
		if err := errors.Join(a.Write(blk), b.Write(block("b\n"))); err != nil {
			t.Errorf("Write when there is room: %v", err)
		}
		contents(t, path, string(blk.Data)+"b\n")
	})
}

func TestDiskFullAndRotated(t *testing.T) {
	fullDisk(t, func(dir string) {
		path, away := filepath.Join(dir, "log"), filepath.Join(t.TempDir(), "elsewhere")
		var s Set
		a := open1(t, &s, path, "header\n")
		blk := numbered('a', 1536)
		if err := a.Write(blk); !errors.Is(err, unix.ENOSPC) {
			t.Errorf("Write to the full disk: %v", err)
		}
		half, err := os.ReadFile(path)
		if err := errors.Join(err, os.Remove(path), os.Symlink(away, path)); err != nil {
			t.Error(err)
		}
		if err := errors.Join(a.Reopen(), a.Write(blk)); err != nil {
			t.Error(err)
		}
		whole := strings.Count(string(half), "\n") - 1 // rows in the old file
		contents(t, away, "header\n"+string(blk.Data[8*whole:]))
	})
}

func TestHeaderOnFullDisk(t *testing.T) {
	fullDisk(t, func(dir string) {
		path := filepath.Join(dir, "log")
		var s Set
		if _, err := s.Open(path, make([]byte, 9<<10)); !errors.Is(err, unix.ENOSPC) {
			t.Errorf("Open: %v", err)
		}
		contents(t, path, "")
	})
}

// TestCloseReleases has the one that could not complete its block go away.
func TestCloseReleases(t *testing.T) {
	fullDisk(t, func(dir string) {
		path := filepath.Join(dir, "log")
		var s Set
		a, b := open1(t, &s, path, ""), open1(t, &s, path, "")
		if err := a.Write(numbered('a', 1536)); !errors.Is(err, unix.ENOSPC) {
			t.Errorf("Write to the full disk: %v", err)
		}
		half, err := os.ReadFile(path)
		if err := errors.Join(err, a.Close(), os.Remove(filepath.Join(dir, "filler")), b.Write(block("b\n"))); err != nil {
			t.Errorf("the other's write: %v", err)
		}
		contents(t, path, string(half[:bytes.LastIndexByte(half, '\n')+1])+"b\n") // no line is of both
	})
}

// spellings are other paths of a file.
func spellings(t *testing.T, path string) map[string]string {
	t.Helper()
	dir, base := filepath.Split(path)
	link, folder, hard := filepath.Join(t.TempDir(), "link"), filepath.Join(t.TempDir(), "folder"), path+".hard"
	if err := errors.Join(os.Symlink(path, link), os.Symlink(dir, folder), os.Link(path, hard)); err != nil {
		t.Fatal(err)
	}
	return map[string]string{
		"path": path, "..": dir + "../" + filepath.Base(dir) + "/" + base, "link": link, "folder": filepath.Join(folder, base), "hard link": hard,
	}
}

// TestSpellings has two outputs call the same file by different names: what one has
// begun, the other does not write into.
func TestSpellings(t *testing.T) {
	for _, name := range []string{"path", "..", "link", "folder", "hard link"} {
		fullDisk(t, func(dir string) {
			path := filepath.Join(dir, "log")
			var s Set
			a := open1(t, &s, path, "header\n")
			b := open1(t, &s, spellings(t, path)[name], "header\n")
			blk := numbered('a', 1536)
			if err := a.Write(blk); !errors.Is(err, unix.ENOSPC) {
				t.Errorf("%s: Write to the full disk: %v", name, err)
			}
			if err := os.Remove(filepath.Join(dir, "filler")); err != nil {
				t.Error(err)
			}
			if err := b.Write(block("b\n")); !errors.Is(err, errBusy) {
				t.Errorf("%s: Write in the middle of the other's block: %v", name, err)
			}
			if err := errors.Join(a.Write(blk), b.Write(block("b\n"))); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			contents(t, path, "header\n"+string(blk.Data)+"b\n")
		})
	}
}

// TestRotatedSpellings has the file renamed: whatever name they have for it, all go on in
// the new one, which is begun once.
func TestRotatedSpellings(t *testing.T) {
	for _, name := range []string{"path", "..", "link", "folder"} {
		path := filepath.Join(t.TempDir(), "log")
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		var s Set
		a, b := open1(t, &s, path, "header\n"), open1(t, &s, spellings(t, path)[name], "header\n")
		write(t, a, "a1\n")
		write(t, b, "b1\n")
		if err := os.Rename(path, path+".1"); err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for _, f := range []*File{a, b} {
			wg.Go(func() {
				if err := f.Reopen(); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		write(t, a, "a2\n")
		write(t, b, "b2\n")
		contents(t, path+".1", "header\na1\nb1\n")
		contents(t, path, "header\na2\nb2\n")
		if a.file != b.file {
			t.Errorf("%s: the file is open twice", name)
		}
	}
}

// TestLinkLeadsElsewhere has a link that leads to the other output's file only for a
// while.
func TestLinkLeadsElsewhere(t *testing.T) {
	dir := t.TempDir()
	path, link := filepath.Join(dir, "monday"), filepath.Join(dir, "today")
	if err := os.Symlink("monday", link); err != nil {
		t.Fatal(err)
	}
	var s Set
	a, b := open1(t, &s, link, "header\n"), open1(t, &s, path, "header\n")
	write(t, a, "a1\n")
	write(t, b, "b1\n")
	if err := errors.Join(os.Remove(link), os.Symlink("tuesday", link), a.Reopen(), b.Reopen()); err != nil {
		t.Fatal(err)
	}
	write(t, a, "a2\n")
	write(t, b, "b2\n")
	contents(t, path, "header\na1\nb1\nb2\n")
	contents(t, filepath.Join(dir, "tuesday"), "header\na2\n")
}

// fifo makes a named pipe. Its readers do not wait for a writer.
func fifo(t *testing.T) (path string, reader func() *os.File) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "pipe")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	return path, func() *os.File {
		t.Helper()
		r, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { r.Close() })
		if err := r.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		return r
	}
}

func expect(t *testing.T, r io.Reader, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if n, err := io.ReadFull(r, got); string(got[:n]) != want {
		t.Fatalf("read %d bytes %.60q, %v; want %d bytes %.60q", n, got[:n], err, len(want), want)
	}
}

func TestPipe(t *testing.T) {
	path, reader := fifo(t)
	var s Set
	if _, err := s.Open(path, nil); !errors.Is(err, ErrNoReader) || !strings.Contains(err.Error(), path) {
		t.Fatalf("Open without a reader: %v", err)
	}
	r := reader()
	f := open1(t, &s, path, "header\n")
	write(t, f, "a\n")
	expect(t, r, "header\na\n")
	if err := f.Reopen(); err != nil {
		t.Errorf("Reopen with a reader: %v", err)
	}
	write(t, f, "b\n") // without another header
	expect(t, r, "b\n")

	r.Close()
	blk := block("c\n", "d\n")
	if err := f.Write(blk); !errors.Is(err, ErrNoReader) {
		t.Errorf("Write without a reader: %v", err)
	}
	if err := f.Reopen(); !errors.Is(err, ErrNoReader) {
		t.Errorf("Reopen without a reader: %v", err)
	}
	r = reader()
	if err := errors.Join(f.Reopen(), f.Write(blk)); err != nil {
		t.Fatalf("with a reader again: %v", err)
	}
	expect(t, r, "header\nc\nd\n")
}

// TestNextReader has a reader go and another come while nothing is written: it gets
// the header, and whole rows, too.
func TestNextReader(t *testing.T) {
	path, reader := fifo(t)
	first := reader()
	var s Set
	f := open1(t, &s, path, "header\n")
	write(t, f, "a\n")
	expect(t, first, "header\na\n")
	first.Close()
	select {
	case <-f.file.gone:
	case <-time.After(10 * time.Second):
		t.Fatal("nobody notices that the reader has gone")
	}
	next := reader()
	if err := f.Write(block("b\n")); !errors.Is(err, ErrNoReader) {
		t.Errorf("Write: %v, want %v", err, ErrNoReader)
	}
	if err := f.Reopen(); err != nil {
		t.Error(err)
	}
	write(t, f, "b\n")
	expect(t, next, "header\nb\n")
}

// shrink leaves the pipe room for a page.
func shrink(t *testing.T, f *File) {
	t.Helper()
	raw, err := f.file.f.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var failed error
	err = raw.Control(func(fd uintptr) { _, failed = unix.FcntlInt(fd, unix.F_SETPIPE_SZ, 4096) })
	if err := errors.Join(err, failed); err != nil {
		t.Fatal(err)
	}
}

// TestSlowPipe has a reader that stands still: the write gives up after a while,
// and goes on where it was.
func TestSlowPipe(t *testing.T) {
	path, reader := fifo(t)
	r := reader()
	var s Set
	f := open1(t, &s, path, "")
	shrink(t, f)
	blk := numbered('a', 2000)
	start := time.Now()
	if err := f.Write(blk); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) > 20*patience {
		t.Fatalf("a write that nobody reads: %v after %v", err, time.Since(start))
	}
	done := make(chan error)
	go func() { done <- f.Write(blk) }()
	expect(t, r, string(blk.Data))
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestReaderGoesInTheMiddle has a reader go in the middle of a row: the next one
// gets that row whole.
func TestReaderGoesInTheMiddle(t *testing.T) {
	path, reader := fifo(t)
	r := reader()
	var s Set
	f := open1(t, &s, path, "")
	shrink(t, f)
	blk := block(strings.Repeat("a", 1000)+"\n", strings.Repeat("b", 9000)+"\n", "c\n")
	if err := f.Write(blk); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal(err)
	}
	r.Close()
	if err := f.Write(blk); !errors.Is(err, ErrNoReader) {
		t.Fatal(err)
	}
	r = reader()
	if err := f.Reopen(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() { done <- f.Write(blk) }()
	var got []byte
	for want := blk.Data[1001:]; !bytes.HasSuffix(got, want); {
		chunk := make([]byte, 4096)
		n, err := r.Read(chunk)
		if err != nil {
			t.Fatalf("after %d bytes: %v", len(got), err)
		}
		got = append(got, chunk[:n]...)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestTruncated has somebody empty the file, as logrotate's copytruncate does: at
// SIGHUP it gets its header again, once, and the row that was cut is written whole.
func TestTruncated(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	var s Set
	a, b := open1(t, &s, path, "header\n"), open1(t, &s, path, "header\n")
	write(t, a, "a1\n")
	if err := errors.Join(os.Truncate(path, 0), a.Reopen(), b.Reopen()); err != nil {
		t.Fatal(err)
	}
	contents(t, path, "header\n")
	write(t, b, "b1\n")
	contents(t, path, "header\nb1\n")

	fullDisk(t, func(dir string) {
		path := filepath.Join(dir, "log")
		var s Set
		f := open1(t, &s, path, "header\n")
		blk := numbered('a', 1536) // 12 KiB, of which 8 KiB find room
		if err := f.Write(blk); !errors.Is(err, unix.ENOSPC) {
			t.Errorf("Write to the full disk: %v", err)
		}
		half, err := os.ReadFile(path)
		if err := errors.Join(err, os.Truncate(path, 0), f.Reopen(), f.Write(blk)); err != nil {
			t.Error(err)
		}
		whole := strings.Count(string(half), "\n") - 1
		contents(t, path, "header\n"+string(blk.Data[8*whole:]))
	})
}

// TestSocketIsNoPipe has the path of a socket, which can't be opened ever.
func TestSocketIsNoPipe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var s Set
	if _, err := s.Open(path, nil); err == nil || errors.Is(err, ErrNoReader) || !strings.Contains(err.Error(), path) {
		t.Errorf("Open of a socket: %v, want an error that names it and is not %v", err, ErrNoReader)
	}
}

// TestHeaderIntoFullPipe has a reader that stands still from the beginning.
func TestHeaderIntoFullPipe(t *testing.T) {
	path, reader := fifo(t)
	r := reader()
	var s Set
	f := open1(t, &s, path, "")
	shrink(t, f)
	if err := f.Write(numbered('a', 2000)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("Write: %v", err)
	}
	done := make(chan error, 1)
	go func() {
		var other Set // of the daemon's next start
		_, err := other.Open(path, []byte("header\n"))
		done <- err
	}()
	select {
	case err := <-done:
		if !errors.Is(err, os.ErrDeadlineExceeded) || !strings.Contains(err.Error(), path) {
			t.Errorf("Open: %v", err)
		}
	case <-time.After(20 * patience):
		t.Error("Open waits for the reader")
		r.Close()
		<-done
	}
}

// TestCreateInPlaceOfARenamedFile has the path of a file that is open, and elsewhere
// by now.
func TestCreateInPlaceOfARenamedFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	var s Set
	old, err := s.Create(path, []byte("header\n"))
	if err := errors.Join(err, os.Rename(path, path+".1")); err != nil {
		t.Fatal(err)
	}
	fresh, err := s.Create(path, []byte("header\n"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, fresh, "a\n")
	write(t, old, "b\n")
	if err := errors.Join(old.Close(), fresh.Write(block("c\n")), fresh.Close()); err != nil {
		t.Error(err)
	}
	contents(t, path, "header\na\nc\n")
	contents(t, path+".1", "header\nb\n")
}

// TestCreateOnFullDisk leaves no empty file behind at each attempt.
func TestCreateOnFullDisk(t *testing.T) {
	fullDisk(t, func(dir string) {
		path := filepath.Join(dir, "log")
		var s Set
		if _, err := s.Create(path, make([]byte, 9<<10)); !errors.Is(err, unix.ENOSPC) {
			t.Errorf("Create: %v", err)
		}
		if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("what Create left behind: %v, want nothing", err)
		}
	})
}

func TestStdout(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout := os.Stdout
	os.Stdout = w
	defer func() { os.Stdout = stdout }()
	var s Set
	f, err := s.Stdout([]byte("header\n"))
	if err != nil {
		t.Fatal(err)
	}
	other, err := s.Stdout([]byte("other\n")) // which has a header of its own, as in ulogd
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(other.Close(), f.Reopen(), f.Write(block("a\n")), f.Close()); err != nil {
		t.Error(err)
	}
	if _, err := w.WriteString("open\n"); err != nil {
		t.Errorf("Close closed the standard output: %v", err)
	}
	w.Close()
	if got, err := io.ReadAll(r); string(got) != "header\nother\na\nopen\n" || err != nil {
		t.Errorf("read %q, %v", got, err)
	}
}

// TestFullStdout has a standard output that nobody reads, and that is in blocking
// mode, as one mostly is.
func TestFullStdout(t *testing.T) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	r, w := os.NewFile(uintptr(fds[0]), "r"), os.NewFile(uintptr(fds[1]), "w")
	stdout := os.Stdout
	os.Stdout = w
	defer func() { os.Stdout = stdout }()
	var s Set
	f, err := s.Stdout([]byte("header\n"))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	wait := func(what string) {
		t.Helper()
		select {
		case err := <-done:
			if !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("%s: %v", what, err)
			}
		case <-time.After(20 * patience):
			t.Errorf("%s waits for the reader", what)
			r.Close()
			<-done
		}
	}
	go func() { done <- f.Write(numbered('a', 20000)) }()
	wait("Write")
	go func() {
		var other Set
		_, err := other.Stdout([]byte("header\n"))
		done <- err
	}()
	wait("Stdout")
	if err := errors.Join(f.Close(), r.Close(), w.Close()); err != nil {
		t.Error(err)
	}
}
