package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"log/syslog"
	"os"
	"sync"
	"time"

	"github.com/ulogd-go/ulogd/pkg/logging"
)

// notice logs a text at ulogd's default level.
func notice(log *slog.Logger, text string) {
	log.Log(context.Background(), logging.Notice, text)
}

// journal is where the daemon's own messages go (reference page "ulogd2-core",
// section 1.6). Until it is known where that is, it keeps them. It may be used
// concurrently.
type journal struct {
	zone   *time.Location
	stderr io.Writer

	mu        sync.Mutex
	threshold int
	verbose   bool
	pending   []logging.Message // as long as to is nil
	to        destination
}

// destination is one place that messages can go to.
type destination interface {
	// write delivers m, whose line for a file is given too.
	write(m logging.Message, line []byte) error
	reopen() error
	// repeats tells whether -v shows what is written here.
	repeats() bool
}

// defaultLevel is ulogd's: notices and what is worse.
const defaultLevel = 5

// Enabled tells whether messages of level l are wanted.
func (j *journal) Enabled(l slog.Level) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.to == nil || logging.Number(l) >= j.threshold
}

// Write writes m, or keeps it until open.
func (j *journal) Write(m logging.Message) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.to == nil {
		j.pending = append(j.pending, m)
		return
	}
	j.write(m)
}

func (j *journal) write(m logging.Message) {
	if logging.Number(m.Level) < j.threshold {
		return
	}
	line := m.AppendLine(nil, j.zone)
	err := j.to.write(m, line)
	if err != nil || j.verbose && j.to.repeats() {
		j.stderr.Write(line)
	}
}

// open sends messages to a destination from now on, first of all those that have
// been kept.
func (j *journal) open(to destination, threshold int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.to, j.threshold = to, threshold
	for _, m := range j.pending {
		j.write(m)
	}
	j.pending = nil
}

// isOpen tells whether open was called.
func (j *journal) isOpen() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.to != nil
}

// reopen opens a log file anew.
func (j *journal) reopen() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.to == nil {
		return nil
	}
	return j.to.reopen()
}

// quieten ends the copies on standard error.
func (j *journal) quieten() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.verbose = false
}

// give makes a, unless it is nil, the owner of a log file that we created.
func (j *journal) give(a *account) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	l, ok := j.to.(*logfile)
	if a == nil || !ok || !l.created {
		return nil
	}
	return l.file.Chown(a.uid, a.gid)
}

// stream is standard output or standard error.
type stream struct {
	io.Writer
	copied bool // -v repeats what is written to it
}

func (s stream) write(_ logging.Message, line []byte) error {
	_, err := s.Write(line)
	return err
}

func (stream) reopen() error   { return nil }
func (s stream) repeats() bool { return s.copied }

// logfile is a file that is appended to.
type logfile struct {
	path    string
	file    *os.File
	created bool
}

func openLogfile(path string) (*logfile, error) {
	const flags = os.O_WRONLY | os.O_APPEND | os.O_CREATE
	f, err := os.OpenFile(path, flags|os.O_EXCL, 0o666)
	created := err == nil
	if errors.Is(err, fs.ErrExist) {
		f, err = os.OpenFile(path, flags, 0o666)
	}
	if err != nil {
		return nil, &logfileError{path, reason(err)}
	}
	return &logfile{path, f, created}, nil
}

// logfileError says that the log file can't be opened.
type logfileError struct {
	path string
	err  error
}

func (e *logfileError) Error() string {
	return fmt.Sprintf("can't open logfile '%s': %v", e.path, e.err)
}

// Unwrap is the reason.
func (e *logfileError) Unwrap() error { return e.err }

// reason is err without the name of the file.
func reason(err error) error {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err
	}
	return err
}

func (l *logfile) write(_ logging.Message, line []byte) error {
	_, err := l.file.Write(line)
	return err
}

// reopen opens the path, if it does not lead to the open file any more. Only a
// regular file is ever renamed.
func (l *logfile) reopen() error {
	info, err := l.file.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return nil
	}
	if named, err := os.Stat(l.path); err == nil && os.SameFile(info, named) {
		return nil
	}
	fresh, err := openLogfile(l.path)
	if err != nil {
		return err
	}
	l.file.Close()
	l.file = fresh.file
	return nil
}

func (l *logfile) repeats() bool { return true }

// system is the system's log. It need not be there when the daemon starts.
type system struct{ w *syslog.Writer }

func (s *system) write(m logging.Message, _ []byte) (err error) {
	if s.w == nil {
		if s.w, err = syslog.New(syslog.LOG_DAEMON|syslog.LOG_NOTICE, "ulogd"); err != nil {
			return err
		}
	}
	switch logging.Number(m.Level) {
	case 1:
		return s.w.Debug(m.Text)
	case 3:
		return s.w.Info(m.Text)
	case 5:
		return s.w.Notice(m.Text)
	case 7:
		return s.w.Err(m.Text)
	}
	return s.w.Crit(m.Text)
}

func (*system) reopen() error { return nil }
func (*system) repeats() bool { return false }
