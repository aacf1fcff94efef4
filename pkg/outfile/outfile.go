// Package outfile appends to files that several outputs may share, that are
// renamed by log rotation, and that may be pipes.
package outfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"syscall"
)

// Set is the files of one daemon. Outputs that name the same path share one open
// file, so that a rotation concerns them all at once and lines never mix. The
// zero Set is empty and may be used concurrently.
type Set struct {
	mu    sync.Mutex
	files map[string]*shared
}

type shared struct {
	path string
	refs int // guarded by Set.mu

	mu      sync.Mutex
	f       *os.File
	partial *File // whose block is partly written, for the others to wait for
}

// File is one output's use of a file. It is used by one goroutine at a time.
type File struct {
	set  *Set
	file *shared
	done int // bytes of the present block that are written
}

// ErrNoReader says that a named pipe has nobody who reads it.
var ErrNoReader = errors.New("nobody reads the pipe")

// errBusy says that another output's block has to be completed first.
var errBusy = errors.New("another output's block is partly written")

// Open opens path for appending, and creates it with mode 0666 and the process's
// umask if need be. A named pipe without a reader is ErrNoReader.
func (s *Set) Open(path string) (*File, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	file := s.files[path]
	if file == nil {
		f, err := open(path)
		if err != nil {
			return nil, err
		}
		if s.files == nil {
			s.files = make(map[string]*shared)
		}
		file = &shared{path: path, f: f}
		s.files[path] = file
	}
	file.refs++
	return &File{set: s, file: file}, nil
}

func open(path string) (*os.File, error) {
	flags := os.O_WRONLY | os.O_APPEND | os.O_CREATE
	info, err := os.Stat(path)
	if err == nil && info.Mode()&fs.ModeNamedPipe != 0 {
		// Without O_NONBLOCK the open would wait for a reader.
		flags = os.O_WRONLY | syscall.O_NONBLOCK
	}
	f, err := os.OpenFile(path, flags, 0o666)
	if errors.Is(err, syscall.ENXIO) {
		return nil, fmt.Errorf("%s: %w", path, ErrNoReader)
	}
	return f, err
}

// Write writes a block, whole: after an error the same block is to be given
// again, and its writing goes on where it was cut.
func (f *File) Write(block []byte) error {
	f.file.mu.Lock()
	defer f.file.mu.Unlock()
	if f.file.partial != nil && f.file.partial != f {
		return fmt.Errorf("write %s: %w", f.file.path, errBusy)
	}
	n, err := f.file.f.Write(block[f.done:])
	f.done += n
	f.file.partial = nil
	if err != nil {
		if f.done > 0 {
			f.file.partial = f
		}
		if errors.Is(err, syscall.EPIPE) {
			return fmt.Errorf("%s: %w", f.file.path, ErrNoReader)
		}
		return err
	}
	f.done = 0
	return nil
}

// Empty tells whether the file is a regular file without contents.
func (f *File) Empty() (bool, error) {
	f.file.mu.Lock()
	defer f.file.mu.Unlock()
	info, err := f.file.f.Stat()
	if err != nil {
		return false, err
	}
	return info.Mode().IsRegular() && info.Size() == 0, nil
}

// Reopen opens the path anew, unless another output that shares it did so since
// the file was renamed. On an error the old file stays in use.
func (f *File) Reopen() error {
	f.file.mu.Lock()
	defer f.file.mu.Unlock()
	if f.file.current() {
		return nil
	}
	fresh, err := open(f.file.path)
	if err != nil {
		return fmt.Errorf("reopen: %w; the old file stays in use", err)
	}
	old := f.file.f
	f.file.f = fresh
	return old.Close()
}

// current tells whether the path still leads to the open file. A pipe never
// counts as current: its reader may have gone.
func (s *shared) current() bool {
	open, err := s.f.Stat()
	if err != nil || !open.Mode().IsRegular() {
		return false
	}
	named, err := os.Stat(s.path)
	return err == nil && os.SameFile(open, named)
}

// Close gives the file up; the last user's Close closes it.
func (f *File) Close() error {
	f.set.mu.Lock()
	defer f.set.mu.Unlock()
	f.file.refs--
	if f.file.refs > 0 {
		return nil
	}
	delete(f.set.files, f.file.path)
	return f.file.f.Close()
}
