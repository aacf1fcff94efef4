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
	gone    <-chan struct{} // closed when the reader of the pipe f has gone; nil if f is none
	opened  int             // how often
	broken  bool            // as gone, but found by a write
	partial *File           // whose block is partly written, for the others to wait for
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
// pipe without a reader is ErrNoReader, and one that has no room for the header
// os.ErrDeadlineExceeded.
func (s *Set) Open(path string, header []byte) (*File, error) {
	return s.use(path, header, func() (*os.File, error) { return s.open(path, header) })
}

// Create is like Open for a file that must not be there yet: fs.ErrExist. Nobody
// shares it, and after an error nothing is left of it.
func (s *Set) Create(path string, header []byte) (*File, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(s.Give(path), begin(f, header)); err != nil {
		return nil, errors.Join(err, f.Close(), os.Remove(path))
	}
	return &File{set: s, file: &shared{path: path, header: header, refs: 1, f: f}}, nil
}

// Give makes the Owner, if there is one, own a file that the process has created.
// After the process has become that user, it owns what it creates anyway.
func (s *Set) Give(path string) error {
	if s.Owner == nil || os.Geteuid() != 0 {
		return nil
	}
	return os.Chown(path, s.Owner.UID, s.Owner.GID)
}

// Stdout is the standard output as a file, after the header, which each of several
// outputs writes. Closing it leaves it open. If it is a pipe, its reader is not waited
// for either.
func (s *Set) Stdout(header []byte) (*File, error) {
	f, err := s.use("", nil, func() (*os.File, error) { return stdout(), nil })
	if err != nil {
		return nil, err
	}
	if err := f.Write(&queue.Block{Data: header}); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// stdout is the standard output; a pipe is opened anew, so that what it has in common
// with other processes stays in blocking mode.
func stdout() *os.File {
	info, err := os.Stdout.Stat()
	if err != nil || info.Mode()&fs.ModeNamedPipe == 0 {
		return os.Stdout
	}
	raw, err := os.Stdout.SyscallConn()
	if err != nil {
		return os.Stdout
	}
	own := os.Stdout
	_ = raw.Control(func(fd uintptr) {
		if f, err := os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", fd), os.O_WRONLY|syscall.O_NONBLOCK, 0); err == nil {
			own = f
		}
	})
	return own
}

// closeFile closes what is not the standard output.
func closeFile(f *os.File) error {
	if f == os.Stdout {
		return nil
	}
	return f.Close()
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
		file = &shared{path: path, header: header, f: f, gone: watch(f)}
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
	pipe := missing == nil && info.Mode()&fs.ModeNamedPipe != 0
	if pipe {
		// Without O_NONBLOCK the open would wait for a reader.
		flags = os.O_WRONLY | syscall.O_NONBLOCK
	}
	if missing == nil && info.Mode()&fs.ModeSocket != 0 {
		return nil, fmt.Errorf("%s is a socket; name a file or a pipe", path)
	}
	f, err := os.OpenFile(path, flags, 0o666)
	if pipe && errors.Is(err, syscall.ENXIO) {
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

// watch tells when the reader of a pipe has gone. The one that comes next would else
// get what follows as if it had been there from the beginning. It ends with f.
func watch(f *os.File) <-chan struct{} {
	info, err := f.Stat()
	if err != nil || info.Mode()&fs.ModeNamedPipe == 0 {
		return nil
	}
	raw, err := f.SyscallConn()
	if err != nil {
		return nil
	}
	gone := make(chan struct{})
	go func() {
		// The end for writing is ready to be read when it is in error: then the
		// function is called for the second time.
		ready := false
		err := raw.Read(func(uintptr) bool {
			before := ready
			ready = true
			return before
		})
		if err == nil {
			close(gone)
		}
	}()
	return gone
}

// readerGone tells whether the pipe has lost its reader since it was opened.
func (s *shared) readerGone() bool {
	select {
	case <-s.gone:
		return true
	default:
		return s.broken
	}
}

// begin writes the header if nothing is in the file. A header that is cut by a
// full disk is taken back, so that the next attempt finds the file empty.
func begin(f *os.File, header []byte) error {
	info, err := f.Stat()
	if err != nil || info.Size() > 0 || len(header) == 0 {
		return err
	}
	_ = f.SetWriteDeadline(time.Now().Add(patience)) // as in Write
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
	if f.file.path != "" && f.file.readerGone() {
		return fmt.Errorf("%s: %w", f.file.path, ErrNoReader)
	}
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

// Continue makes f, which is new, go on with the block that before has written a part
// of, at the beginning of the row that was cut.
func (f *File) Continue(before *File) { f.opened, f.done = elsewhere, before.done }

// elsewhere stands for a file that is not the one that is open.
const elsewhere = -1

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
// a pipe has gone. So outputs that share a file open it once. A file that somebody
// has emptied begins with the header again. On an error the old file stays in use.
func (f *File) Reopen() error {
	f.file.mu.Lock()
	defer f.file.mu.Unlock()
	if f.file.path == "" { // the standard output
		return nil
	}
	if f.file.current() {
		return f.file.renew()
	}
	fresh, err := f.set.open(f.file.path, f.file.header)
	if err != nil {
		return fmt.Errorf("reopen: %w; the old file stays in use", err)
	}
	old := f.file.f
	f.file.f, f.file.gone = fresh, watch(fresh)
	f.file.opened++
	f.file.partial, f.file.broken = nil, false
	return old.Close()
}

// current tells whether the path still leads to the open file, and a pipe still
// to its reader.
func (s *shared) current() bool {
	open, err := s.f.Stat()
	if err != nil || s.readerGone() {
		return false
	}
	named, err := os.Stat(s.path)
	return err == nil && os.SameFile(open, named)
}

// renew begins a file anew that was emptied. A row of which it held a part is to be
// written whole.
func (s *shared) renew() error {
	info, err := s.f.Stat()
	if err != nil || info.Size() > 0 || !info.Mode().IsRegular() {
		return err
	}
	s.opened++
	s.partial = nil
	return begin(s.f, s.header)
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
	if f.set.files[f.file.path] == f.file {
		delete(f.set.files, f.file.path)
	}
	return closeFile(f.file.f)
}
