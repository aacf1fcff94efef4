package queue

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"syscall"
)

// files is the directory of a spool. Tests have one that crashes.
type files interface {
	// open opens a file for reading and writing, and makes it if create is true.
	open(name string, create bool) (file, error)
	list() ([]string, error)
	remove(name string) error
	rename(from, to string) error
	// sync makes the names in the directory survive a power cut.
	sync() error
	// share maps a file of that size into memory, with its blocks allocated; what
	// is stored there survives the end of the process; and a power cut if it was there
	// at the last call of the page's sync.
	share(name string, size int) (page, error)
	// lock claims the directory for this process until release.
	lock() (release func() error, err error)
}

// file is an open file of a spool.
type file interface {
	io.ReaderAt
	io.WriterAt
	Truncate(size int64) error
	Sync() error
	Close() error
	Size() (int64, error)
}

// directory is files on a real file system.
type directory struct {
	path string
	give func(path string) error
}

type osFile struct{ *os.File }

func (f osFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// Sync leaves out what is not needed to read the file again.
func (f osFile) Sync() error { return syscall.Fdatasync(int(f.Fd())) }

// openDirectory makes the directory if there is none. An earlier process may have
// run as another user: what it left is given, too.
func openDirectory(path string, give func(string) error) (*directory, error) {
	if give == nil {
		give = func(string) error { return nil }
	}
	d := &directory{path, give}
	if err := d.makeParents(filepath.Dir(filepath.Clean(path))); err != nil {
		return nil, err
	}
	if err := os.Mkdir(path, 0o750); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, err
	}
	names, err := d.list()
	if err != nil {
		return nil, err
	}
	for _, name := range append(names, "") {
		if err := give(filepath.Join(path, name)); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// makeParents makes what is missing of a path. Everybody may pass, since the
// daemon may become another user than the one who makes it.
func (d *directory) makeParents(path string) error {
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := d.makeParents(filepath.Dir(path)); err != nil {
		return err
	}
	if err := os.Mkdir(path, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return d.give(path)
}

func (d *directory) open(name string, create bool) (file, error) {
	path := filepath.Join(d.path, name)
	flags := os.O_RDWR
	if create {
		flags |= os.O_CREATE
	}
	f, err := os.OpenFile(path, flags, 0o640)
	if err != nil {
		return nil, err
	}
	if create {
		if err := d.give(path); err != nil {
			f.Close()
			return nil, err
		}
	}
	return osFile{f}, nil
}

func (d *directory) list() (names []string, err error) {
	entries, err := os.ReadDir(d.path)
	for _, e := range entries {
		if e.Type().IsRegular() {
			names = append(names, e.Name())
		}
	}
	return names, err
}

func (d *directory) remove(name string) error { return os.Remove(filepath.Join(d.path, name)) }

func (d *directory) rename(from, to string) error {
	return os.Rename(filepath.Join(d.path, from), filepath.Join(d.path, to))
}

func (d *directory) sync() error {
	f, err := os.Open(d.path)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

// share writes the file's blocks first: a store into a hole would kill the
// process if the disk is full.
func (d *directory) share(name string, size int) (page, error) {
	f, err := d.open(name, true)
	if err != nil {
		return page{}, err
	}
	if err := allocate(f, size); err != nil {
		return page{}, errors.Join(err, f.Close())
	}
	memory, err := syscall.Mmap(int(f.(osFile).Fd()), 0, size, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	if err != nil {
		return page{}, errors.Join(err, f.Close())
	}
	return page{
		memory:  memory,
		sync:    func() error { return errors.Join(f.Sync(), d.sync()) }, // what is in memory is the file's, too
		release: func() error { return errors.Join(syscall.Munmap(memory), f.Close()) },
	}, nil
}

// allocate writes a file to its size, and leaves what it has.
func allocate(f file, size int) error {
	content := make([]byte, size)
	if _, err := f.ReadAt(content, 0); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	_, err := f.WriteAt(content, 0)
	return err
}

// lockName is a file of its own, since segments and state come and go.
const lockName = "lock"

func (d *directory) lock() (func() error, error) {
	f, err := d.open(lockName, true)
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(f.(osFile).Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err != nil {
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, ErrLocked
		}
		return nil, err
	}
	return f.Close, nil
}

// ErrLocked says that another process, or another queue, has the spool.
var ErrLocked = errors.New("in use by another process; stop that, or name another directory with the option spool")
