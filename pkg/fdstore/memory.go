package fdstore

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Memory is memory that outlives the process, if its file is stored.
type Memory struct {
	File  *os.File // to be stored
	Bytes []byte
}

// NewMemory makes memory of that size, which holds zeros.
func NewMemory(name string, size int) (*Memory, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), name)
	if err := f.Truncate(int64(size)); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return OpenMemory(f, size)
}

// OpenMemory opens memory that was stored. On an error the file is closed.
func OpenMemory(f *os.File, size int) (*Memory, error) {
	info, err := f.Stat()
	if err == nil && info.Size() != int64(size) {
		err = fmt.Errorf("memory of %d bytes in place of %d", info.Size(), size)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	b, err := unix.Mmap(int(f.Fd()), 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &Memory{f, b}, nil
}

// Close unmaps the memory. Where it is stored it stays.
func (m *Memory) Close() error { return errors.Join(unix.Munmap(m.Bytes), m.File.Close()) }
