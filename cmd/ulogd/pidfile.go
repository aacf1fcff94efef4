package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// pidfile names the running daemon, and keeps a second one away by a lock that is
// held as long as the process lives. The lock belongs to the open file
// (F_OFD_SETLK, fcntl(2)); it excludes the POSIX locks of the ulogd written in C
// as well as our own.
type pidfile struct {
	path string
	file *os.File
}

// createPidfile creates and locks the file. One that nobody holds is stale and
// makes room.
func createPidfile(path string, log *slog.Logger) (*pidfile, error) {
	for range 10 {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o644)
		switch {
		case errors.Is(err, fs.ErrExist):
			if err := clearStale(path, log); err != nil {
				return nil, err
			}
			continue
		case err != nil:
			return nil, fmt.Errorf("cannot open %s: %s", path, errno(err))
		}
		if err := lock(f); err != nil {
			f.Close()
			return nil, fmt.Errorf("cannot lock %s: %w", path, err)
		}
		// Somebody may have taken the file for stale before it was locked.
		if current(f, path) {
			return &pidfile{path, f}, nil
		}
		f.Close()
	}
	return nil, fmt.Errorf("cannot open %s: others create and remove it all the time", path)
}

// clearStale removes a file that nobody holds.
func clearStale(path string, log *slog.Logger) error {
	f, err := os.OpenFile(path, os.O_RDWR|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("cannot open %s: %s", path, errno(err))
	}
	defer f.Close()
	pid := readPid(f)
	err = lock(f)
	switch {
	case errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES):
		return fmt.Errorf("another ulogd already running with pid %d", pid)
	case err != nil:
		return fmt.Errorf("cannot lock %s: %w", path, err)
	case !current(f, path):
		return nil
	}
	notice(log, fmt.Sprintf("removing stale pidfile for pid %d", pid))
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("cannot unlink %s: %s", path, errno(err))
	}
	return nil
}

// readPid is the number that f begins with, or -1.
func readPid(f *os.File) int {
	var text [16]byte
	n, err := f.ReadAt(text[:], 0)
	if err != nil && err != io.EOF {
		return -1
	}
	digits, _, _ := strings.Cut(string(text[:n]), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(digits))
	if err != nil {
		return -1
	}
	return pid
}

func lock(f *os.File) error {
	return unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_WRLCK})
}

// current tells whether path still leads to f.
func current(f *os.File, path string) bool {
	open, err := f.Stat()
	if err != nil {
		return false
	}
	named, err := os.Lstat(path)
	return err == nil && os.SameFile(open, named)
}

// write writes the process id.
func (p *pidfile) write() error {
	if _, err := fmt.Fprintf(p.file, "%d\n", os.Getpid()); err != nil {
		return fmt.Errorf("cannot write %s: %w", p.path, err)
	}
	return nil
}

// remove deletes the file. Where we may not, it is emptied, so that it names
// nobody.
func (p *pidfile) remove(log *slog.Logger) {
	defer p.file.Close()
	if !current(p.file, p.path) {
		return
	}
	if err := os.Remove(p.path); err != nil {
		log.Error(fmt.Sprintf("PID file %s could not be deleted: %s", p.path, errno(err)))
		if err := p.file.Truncate(0); err != nil {
			log.Error(err.Error())
		}
	}
}

// errno is the number of an error as ulogd prints it, and what it means.
func errno(err error) string {
	if e, ok := errors.AsType[syscall.Errno](err); ok {
		return fmt.Sprintf("%d (%v)", int(e), e)
	}
	return err.Error()
}
