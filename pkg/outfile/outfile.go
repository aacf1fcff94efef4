// Package outfile appends to files that several outputs may share, that are
// renamed by log rotation, and that may be pipes.
package outfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/ulogd-go/ulogd/pkg/queue"
)

// Set is the files of one daemon. Outputs whose paths lead to the same file, however
// they spell it, share one open file, so that lines never mix. The zero Set is empty
// and may be used concurrently.
type Set struct {
	// Owner is to own the files that are created while the process is still
	// root, and then becomes somebody else. Nil leaves them to root. It is set
	// before the first Open.
	Owner *Owner

	mu   sync.Mutex
	open []*shared
}

// Owner is a user and a group by their numbers.
type Owner struct{ UID, GID int }

// shared is an open file.
type shared struct {
	f    *os.File
	info fs.FileInfo     // which file it is; nil if it is not to be shared
	gone <-chan struct{} // closed when the reader of the pipe f has gone; nil if f is none
	refs int             // guarded by Set.mu

	broken atomic.Bool // as gone, but found by a write

	mu      sync.Mutex
	emptied int   // how often somebody has emptied it
	partial *File // whose block is partly written, for the others to wait for
	cut     int64 // where the row begins that is partly written
	end     int64 // and its part ends; -1 where nothing can be taken back
}

// File is one output's use of a file. It is used by one goroutine at a time.
type File struct {
	set     *Set
	path    string // empty for the standard output
	header  []byte
	file    *shared
	done    int // bytes of the present block that are written
	emptied int // as of the file that they were written to
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
	file, err := s.lead(path, header)
	if err != nil {
		return nil, err
	}
	return &File{set: s, path: path, header: header, file: file, emptied: file.timesEmptied()}, nil
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
	return &File{set: s, path: path, header: header, file: &shared{f: f, refs: 1}}, nil
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
	file, err := s.share(stdout(), nil)
	if err != nil {
		return nil, err
	}
	f := &File{set: s, file: file, emptied: file.timesEmptied()}
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

// lead is the file that path leads to.
func (s *Set) lead(path string, header []byte) (*shared, error) {
	f, err := s.openPath(path)
	if err != nil {
		return nil, err
	}
	return s.share(f, header)
}

// share is the open file that f is as well, or else f, which begins with the header if
// nothing is in it. It takes f over.
func (s *Set) share(f *os.File, header []byte) (*shared, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, closeFile(f))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, file := range s.open {
		if os.SameFile(file.info, info) && !file.readerGone() {
			file.refs++
			return file, closeFile(f)
		}
	}
	if err := begin(f, header); err != nil {
		return nil, errors.Join(err, closeFile(f))
	}
	file := &shared{f: f, info: info, gone: watch(f), refs: 1}
	s.open = append(s.open, file)
	return file, nil
}

// leave gives a file up; the last user's leave closes it.
func (s *Set) leave(file *shared) error {
	s.mu.Lock()
	file.refs--
	last := file.refs == 0
	if last {
		s.open = slices.DeleteFunc(s.open, func(other *shared) bool { return other == file })
	}
	s.mu.Unlock()
	if !last {
		return nil
	}
	return closeFile(file.f)
}

func (s *shared) timesEmptied() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.emptied
}

func (s *Set) openPath(path string) (*os.File, error) {
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
		if err := s.Give(path); err != nil {
			return nil, errors.Join(err, f.Close())
		}
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
	gone, watching := make(chan struct{}), make(chan struct{})
	go func() {
		// The end for writing is ready to be read when it is in error: then the
		// function is called for the second time.
		ready := false
		err := raw.Read(func(uintptr) bool {
			before := ready
			if ready = true; !before {
				close(watching)
			}
			return before
		})
		if !ready {
			close(watching)
		}
		if err == nil {
			close(gone)
		}
	}()
	<-watching // what was before is forgotten
	return gone
}

// readerGone tells whether the pipe has lost its reader since it was opened.
func (s *shared) readerGone() bool {
	select {
	case <-s.gone:
		return true
	default:
		return s.broken.Load()
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
	if f.path != "" && f.file.readerGone() {
		return fmt.Errorf("%s: %w", f.path, ErrNoReader)
	}
	if f.file.partial != nil && f.file.partial != f {
		return fmt.Errorf("write %s: %w", f.path, errBusy)
	}
	if f.emptied != f.file.emptied {
		f.emptied, f.done = f.file.emptied, rowStart(blk, f.done)
	}
	// Only pipes have deadlines; to be without one is no error for the others.
	_ = f.file.f.SetWriteDeadline(time.Now().Add(patience))
	n, err := f.file.f.Write(blk.Data[f.done:])
	f.done += n
	f.file.partial = nil
	if err != nil {
		if f.done > 0 {
			f.file.interrupted(f, f.done-rowStart(blk, f.done))
		}
		if errors.Is(err, syscall.EPIPE) {
			f.file.broken.Store(true)
			return fmt.Errorf("%s: %w", f.path, ErrNoReader)
		}
		return err
	}
	f.done = 0
	return nil
}

// interrupted notes that n bytes of a row of f are at the end of the file.
func (s *shared) interrupted(f *File, n int) {
	s.partial, s.end = f, -1
	if s.info == nil || !s.info.Mode().IsRegular() {
		return // nobody goes on in it
	}
	if info, err := s.f.Stat(); err == nil {
		s.cut, s.end = info.Size()-int64(n), info.Size()
	}
}

// Continue makes f, which is new, go on with the block that before has written a part
// of, at the beginning of the row that was cut.
func (f *File) Continue(before *File) { f.emptied, f.done = elsewhere, before.done }

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
// a pipe has gone; of outputs that share a file the first opens it. A file that somebody
// has emptied begins with the header again. On an error the old file stays in use.
func (f *File) Reopen() error {
	if f.path == "" { // the standard output
		return nil
	}
	if f.current() {
		return f.file.renew(f.header)
	}
	fresh, err := f.set.lead(f.path, f.header)
	if err != nil {
		return fmt.Errorf("reopen: %w; the old file stays in use", err)
	}
	old := f.file
	old.release(f)
	f.file, f.emptied = fresh, elsewhere
	return f.set.leave(old)
}

// current tells whether the path still leads to the open file, and a pipe still
// to its reader.
func (f *File) current() bool {
	open, err := f.file.f.Stat()
	if err != nil || f.file.readerGone() {
		return false
	}
	named, err := os.Stat(f.path)
	return err == nil && os.SameFile(open, named)
}

// renew begins a file anew that was emptied. A row of which it held a part is to be
// written whole.
func (s *shared) renew(header []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	info, err := s.f.Stat()
	if err != nil || info.Size() > 0 || !info.Mode().IsRegular() {
		return err
	}
	s.emptied++
	s.partial = nil
	return begin(s.f, header)
}

// release lets the others write although f's block is partly written. So that neither
// they nor the daemon's next start continue the row that was cut, its part is taken back.
func (s *shared) release(f *File) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.partial != f {
		return
	}
	s.partial = nil
	// A size of another's making is left alone.
	if info, err := s.f.Stat(); err == nil && info.Size() == s.end {
		_ = s.f.Truncate(s.cut) // or the row stays cut
	}
}

// Close gives the file up; the last user's Close closes it.
func (f *File) Close() error {
	f.file.release(f)
	return f.set.leave(f.file)
}
