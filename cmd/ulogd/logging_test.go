package main

import (
	"bytes"
	"fmt"
	"log/slog"
	"log/syslog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ulogd-go/ulogd/pkg/logging"
)

func message(l slog.Level, text string) logging.Message {
	return logging.Message{Time: time.Unix(0, 0), Level: l, Source: "x.go:1", Text: text}
}

// line is how a message of that number looks in a file.
func line(number int, text string) string {
	return fmt.Sprintf("Thu Jan  1 00:00:00 1970 <%d> x.go:1 %s\n", number, text)
}

func TestJournalKeepsEarlyMessages(t *testing.T) {
	f := func(threshold int, want ...string) {
		t.Helper()
		var stdout bytes.Buffer
		j := &journal{zone: time.UTC}
		j.Write(message(slog.LevelInfo, "early info"))
		j.Write(message(slog.LevelError, "early error"))
		j.open(stream{Writer: &stdout}, threshold)
		j.Write(message(slog.LevelInfo, "late info"))
		j.Write(message(logging.Notice, "late notice"))
		if diff := cmp.Diff(strings.Join(want, ""), stdout.String()); diff != "" {
			t.Errorf("threshold %d (-want +got)\n%s", threshold, diff)
		}
	}
	f(defaultLevel, line(7, "early error"), line(5, "late notice"))
	f(0, line(3, "early info"), line(7, "early error"), line(3, "late info"), line(5, "late notice"))
	f(3, line(3, "early info"), line(7, "early error"), line(3, "late info"), line(5, "late notice"))
	f(8)
}

func TestJournalVerbose(t *testing.T) {
	f := func(to destination, copied bool) {
		t.Helper()
		var stderr bytes.Buffer
		j := &journal{zone: time.UTC, stderr: &stderr, verbose: true}
		j.open(to, 1)
		j.Write(message(slog.LevelError, "text"))
		if got := stderr.String() == line(7, "text"); got != copied {
			t.Errorf("%T: copied %v, want %v: %q", to, got, copied, stderr.String())
		}
		j.quieten()
		j.Write(message(slog.LevelError, "quiet"))
		if strings.Contains(stderr.String(), "quiet") {
			t.Errorf("%T: copied after quieten", to)
		}
	}
	file, err := openLogfile(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	f(file, true)
	f(stream{new(bytes.Buffer), true}, true)
	f(stream{new(bytes.Buffer), false}, false)
}

// A message that can't be written is shown to whoever looks.
func TestJournalFullDisk(t *testing.T) {
	full, err := openLogfile("/dev/full")
	if err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	j := &journal{zone: time.UTC, stderr: &stderr}
	j.open(full, 1)
	j.Write(message(slog.LevelError, "text"))
	if stderr.String() != line(7, "text") {
		t.Errorf("standard error has %q", stderr.String())
	}
}

func TestLogfile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	write(t, path, "before\n")
	l, err := openLogfile(path)
	if err != nil {
		t.Fatal(err)
	}
	j := &journal{zone: time.UTC}
	j.open(l, 1)
	add := func(text string) {
		j.Write(message(slog.LevelError, text))
		if err := j.reopen(); err != nil {
			t.Fatal(err)
		}
	}
	add("one") // and a reopening without a rotation
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	add("two")
	add("three")
	if err := os.Truncate(path, 0); err != nil { // logrotate's copytruncate
		t.Fatal(err)
	}
	add("four")
	got := []string{contents(t, path+".1"), contents(t, path)}
	want := []string{"before\n" + line(7, "one") + line(7, "two"), line(7, "four")}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error("(-want +got)\n" + diff)
	}
}

func TestLogfileReopenFails(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "dir")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "log")
	l, err := openLogfile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	want := "can't open logfile '" + path + "': no such file or directory"
	if err := l.reopen(); err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
	if err := l.write(logging.Message{}, []byte("still\n")); err != nil {
		t.Errorf("the old file is closed: %v", err)
	}
}

func TestSystemLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	w, err := syslog.Dial("unixgram", path, syslog.LOG_DAEMON, "ulogd")
	if err != nil {
		t.Fatal(err)
	}
	s := &system{w}
	f := func(l slog.Level, priority int) {
		t.Helper()
		if err := s.write(message(l, "text"), nil); err != nil {
			t.Error(err)
			return
		}
		b := make([]byte, 1000)
		n, err := socket.Read(b)
		if err != nil {
			t.Error(err)
			return
		}
		// Facility daemon is 3.
		got, tail := string(b[:n]), fmt.Sprintf("ulogd[%d]: text\n", os.Getpid())
		if !strings.HasPrefix(got, fmt.Sprintf("<%d>", 3<<3|priority)) || !strings.HasSuffix(got, tail) {
			t.Errorf("level %v: %q, want priority %d and the end %q", l, got, priority, tail)
		}
	}
	f(slog.LevelDebug, 7)
	f(slog.LevelInfo, 6)
	f(logging.Notice, 5)
	f(slog.LevelWarn, 5)
	f(slog.LevelError, 3)
	f(logging.Fatal, 2)
}
