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
	"time"

	"github.com/ulogd-go/ulogd/pkg/queue"
)

// Set is the files of one daemon. Outputs that name the same path share one open
// file, so that a rotation concerns them all at once and lines never mix. The
// zero Set is empty and may be used concurrently.
type Set struct {
	// Owner is to own the files that are created while the process is still
	// root, and then becomes somebody else. Nil leaves them to root. It is set
	// before the first Open.
	Owner *Owner

	mu    sync.Mutex
	files map[string]*shared
}

// Owner is a user and a group by their numbers.
type Owner struct{ UID, GID int }

type shared struct {
	path   string
	header []byte
	refs   int // guarded by Set.mu

	mu      sync.Mutex
	f       *os.File
	opened  int   // how often
	broken  bool  // the reader of the pipe has gone
	partial *File // whose block is partly written, for the others to wait for
}

// File is one output's use of a file. It is used by one goroutine at a time.
type File struct {
	set    *Set
	file   *shared
	done   int // bytes of the present block that are written
	opened int // of the file that they were written to
}

// ErrNoReader says that a named pipe has nobody who reads it.
var ErrNoReader = errors.New("nobody reads the pipe")

// patience is how long a pipe may be full before a write to it fails.
const patience = time.Second

// errBusy says that another output's block has to be completed first.
var errBusy = errors.New("another output's block is partly written")

// Open opens path for appending, and creates it with mode 0666 and the process's
// umask if need be. If nothing is in it yet, it begins with the header, also
// when it is opened anew later; so does what the reader of a named pipe gets. A
// pipe without a reader is ErrNoReader.
func (s *Set) Open(path string, header []byte) (*File, error) {
	return s.use(path, header, func() (*os.File, error) { return s.open(path, header) })
}

// Create is like Open for a file that must not be there yet: fs.ErrExist.
func (s *Set) Create(path string, header []byte) (*File, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(f.Close(), s.Give(path)); err != nil {
		return nil, err
	}
	return s.Open(path, header)
}

// Give makes the Owner, if there is one, own a file that the process has created.
// After the process has become that user, it owns what it creates anyway.
func (s *Set) Give(path string) error {
	if s.Owner == nil || os.Geteuid() != 0 {
		return nil
	}
	return os.Chown(path, s.Owner.UID, s.Owner.GID)
}

// Stdout is the standard output as a file, after the header. Closing it leaves it open.
func (s *Set) Stdout(header []byte) (*File, error) {
	return s.use("", header, func() (*os.File, error) {
		_, err := os.Stdout.Write(header)
		return os.Stdout, err
	})
}

// use is the file of that path, which is opened unless somebody has it open.
func (s *Set) use(path string, header []byte, open func() (*os.File, error)) (*File, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	file := s.files[path]
	if file == nil {
		f, err := open()
		if err != nil {
			return nil, err
		}
		if s.files == nil {
			s.files = make(map[string]*shared)
		}
		file = &shared{path: path, header: header, f: f}
		s.files[path] = file
	}
	file.refs++
	return &File{set: s, file: file, opened: file.openings()}, nil
}

func (s *shared) openings() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.opened
}

func (s *Set) open(path string, header []byte) (*os.File, error) {
	flags := os.O_WRONLY | os.O_APPEND | os.O_CREATE
	info, missing := os.Stat(path)
	if missing == nil && info.Mode()&fs.ModeNamedPipe != 0 {
		// Without O_NONBLOCK the open would wait for a reader.
		flags = os.O_WRONLY | syscall.O_NONBLOCK
	}
	f, err := os.OpenFile(path, flags, 0o666)
	if errors.Is(err, syscall.ENXIO) {
		return nil, fmt.Errorf("%s: %w", path, ErrNoReader)
	}
	if err != nil {
		return nil, err
	}
	if errors.Is(missing, fs.ErrNotExist) {
		err = s.Give(path)
	}
	if err := errors.Join(err, begin(f, header)); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// begin writes the header if nothing is in the file. A header that is cut by a
// full disk is taken back, so that the next attempt finds the file empty.
func begin(f *os.File, header []byte) error {
	info, err := f.Stat()
	if err != nil || info.Size() > 0 || len(header) == 0 {
		return err
	}
	if _, err = f.Write(header); err != nil && info.Mode().IsRegular() {
		err = errors.Join(err, f.Truncate(0))
	}
	return err
}

// Write writes a block, whole: after an error the same block is to be given
// again, and its writing goes on where it was cut; if the file was opened anew
// meanwhile, at the beginning of the row that was cut. It does not wait for the
// reader of a pipe for more than a second: then the error is
// os.ErrDeadlineExceeded.
func (f *File) Write(blk *queue.Block) error {
	f.file.mu.Lock()
	defer f.file.mu.Unlock()
	if f.file.partial != nil && f.file.partial != f {
		return fmt.Errorf("write %s: %w", f.file.path, errBusy)
	}
	if f.opened != f.file.opened {
		f.opened, f.done = f.file.opened, rowStart(blk, f.done)
	}
	// Only pipes have deadlines; to be without one is no error for the others.
	_ = f.file.f.SetWriteDeadline(time.Now().Add(patience))
	n, err := f.file.f.Write(blk.Data[f.done:])
	f.done += n
	f.file.partial = nil
	if err != nil {
		if f.done > 0 {
			f.file.partial = f
		}
		if errors.Is(err, syscall.EPIPE) {
			f.file.broken = true
			return fmt.Errorf("%s: %w", f.file.path, ErrNoReader)
		}
		return err
	}
	f.done = 0
	return nil
}

// rowStart is where the row begins of which the byte at pos is part.
func rowStart(blk *queue.Block, pos int) int {
	start := 0
	for _, end := range blk.Ends {
		if int(end) > pos {
			break
		}
		start = int(end)
	}
	return start
}

// Reopen opens the path anew if it leads to another file by now, or the reader of
// a pipe has gone. So outputs that share a file open it once. On an error the
// old file stays in use.
func (f *File) Reopen() error {
	f.file.mu.Lock()
	defer f.file.mu.Unlock()
	if f.file.f == os.Stdout || f.file.current() {
		return nil
	}
	fresh, err := f.set.open(f.file.path, f.file.header)
	if err != nil {
		return fmt.Errorf("reopen: %w; the old file stays in use", err)
	}
	old := f.file.f
	f.file.f = fresh
	f.file.opened++
	f.file.partial, f.file.broken = nil, false
	return old.Close()
}

// current tells whether the path still leads to the open file, and a pipe still
// to its reader.
func (s *shared) current() bool {
	open, err := s.f.Stat()
	if err != nil || s.broken {
		return false
	}
	named, err := os.Stat(s.path)
	return err == nil && os.SameFile(open, named)
}

// release lets the others write although f's block is partly written.
func (s *shared) release(f *File) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.partial == f {
		s.partial = nil
	}
}

// Close gives the file up; the last user's Close closes it.
func (f *File) Close() error {
	f.set.mu.Lock()
	defer f.set.mu.Unlock()
	f.file.release(f)
	f.file.refs--
	if f.file.refs > 0 {
		return nil
	}
	delete(f.set.files, f.file.path)
	if f.file.f == os.Stdout {
		return nil
	}
	return f.file.f.Close()
}
