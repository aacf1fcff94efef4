package main

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ulogd-go/ulogd/pkg/logging"
)

// holdVar makes the test program hold a lock on the file that it names.
const holdVar = "ULOGD_TEST_HOLD"

// holdCommands are the fcntl(2) commands for the two kinds of locks.
var holdCommands = map[string]int{"ofd": unix.F_OFD_SETLK, "posix": unix.F_SETLK}

// hold is another daemon: it locks "kind:path" until its input ends.
func hold(text string) {
	kind, path, _ := strings.Cut(text, ":")
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err == nil {
		err = unix.FcntlFlock(f.Fd(), holdCommands[kind], &unix.Flock_t{Type: unix.F_WRLCK})
	}
	fmt.Println(err)
	io.Copy(io.Discard, os.Stdin)
	f.Close()
}

// startHolder runs another process that locks path until the test ends.
func startHolder(t *testing.T, kind, path string) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), holdVar+"="+kind+":"+path)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close(); cmd.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || line != "<nil>\n" {
		t.Fatalf("the other process says %q, %v", line, err)
	}
}

// memory is a log that is kept as text, level and message.
type memory struct{ text strings.Builder }

func (m *memory) Enabled(slog.Level) bool { return true }

func (m *memory) Write(msg logging.Message) {
	fmt.Fprintf(&m.text, "<%d> %s\n", logging.Number(msg.Level), msg.Text)
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func contents(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestPidfileStale(t *testing.T) {
	f := func(before, wantLog string) {
		t.Helper()
		path := filepath.Join(t.TempDir(), "pid")
		if before != "" {
			write(t, path, before)
		}
		var log memory
		p, err := createPidfile(path, slog.New(logging.NewHandler(&log)))
		if err != nil {
			t.Error(err)
			return
		}
		if err := p.write(); err != nil {
			t.Error(err)
		}
		if got, want := contents(t, path), fmt.Sprintf("%d\n", os.Getpid()); got != want {
			t.Errorf("the file holds %q, want %q", got, want)
		}
		if log.text.String() != wantLog {
			t.Errorf("log %q, want %q", log.text.String(), wantLog)
		}
		p.remove(slog.New(slog.DiscardHandler))
		if _, err := os.Lstat(path); !os.IsNotExist(err) {
			t.Errorf("the file is still there: %v", err)
		}
	}
	f("", "")
	f("99999999\n", "<5> removing stale pidfile for pid 99999999\n")
	f("garbage", "<5> removing stale pidfile for pid -1\n")
	f(" 17 ", "<5> removing stale pidfile for pid 17\n")
	// Our own pid, as it happens in containers, and that of somebody alive.
	f(fmt.Sprintln(os.Getpid()), fmt.Sprintf("<5> removing stale pidfile for pid %d\n", os.Getpid()))
	f("1\n", "<5> removing stale pidfile for pid 1\n")
}

func TestPidfileHeld(t *testing.T) {
	f := func(kind string) {
		t.Helper()
		path := filepath.Join(t.TempDir(), "pid")
		write(t, path, "4711\n")
		startHolder(t, kind, path)
		_, err := createPidfile(path, slog.New(slog.DiscardHandler))
		if err == nil || err.Error() != "another ulogd already running with pid 4711" {
			t.Errorf("held by a lock of kind %s: %v", kind, err)
		}
		if got := contents(t, path); got != "4711\n" {
			t.Errorf("the other's file was changed to %q", got)
		}
	}
	f("ofd")
	f("posix")
}

func TestPidfileErrors(t *testing.T) {
	dir := t.TempDir()
	f := func(path, want string) {
		t.Helper()
		_, err := createPidfile(path, slog.New(slog.DiscardHandler))
		if err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", path, err, want)
		}
	}
	missing := filepath.Join(dir, "missing", "pid")
	f(missing, "cannot open "+missing+": 2 (no such file or directory)")
	// A link might lead to a file that is nobody's business.
	link := filepath.Join(dir, "link")
	if err := os.Symlink("/etc/passwd", link); err != nil {
		t.Fatal(err)
	}
	f(link, "cannot open "+link+": 40 (too many levels of symbolic links)")
}

// A file that took the place of ours is not ours to remove.
func TestPidfileRemoveOther(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pid")
	p, err := createPidfile(path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	write(t, path, "4711\n")
	p.remove(slog.New(slog.DiscardHandler))
	if got := contents(t, path); got != "4711\n" {
		t.Errorf("the other's file holds %q", got)
	}
}
