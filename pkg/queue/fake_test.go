package queue

import (
	"errors"
	"io"
	"maps"
	"os"
	"slices"
)

// disk is a file system in memory that can crash, fail, and be full.
type disk struct {
	files  map[string]*content
	named  map[string]*content // what a power cut leaves of the directory
	steps  int                 // changes so far
	crash  int                 // the step at which it crashes; 0 never
	whole  bool                // a write at which it crashes is complete
	room   int                 // bytes that fit; 0 any
	locked bool
	fails  error // of every write
}

// content is what a file holds. A mapped one loses nothing but to a power cut.
type content struct{ data, synced []byte }

func newDisk() *disk { return &disk{files: map[string]*content{}, named: map[string]*content{}} }

var errCrash = errors.New("crashed")

// step is a change. From the crash on there are none.
func (d *disk) step() error {
	if d.crash > 0 && d.steps >= d.crash {
		return errCrash
	}
	d.steps++
	return nil
}

// restart is the disk after the process has ended.
func (d *disk) restart() *disk {
	return &disk{files: d.files, named: d.named}
}

// cut is the disk after a power cut: what was not synced is gone.
func (d *disk) cut() *disk {
	n := newDisk()
	for name, c := range d.named {
		n.files[name] = &content{slices.Clone(c.synced), slices.Clone(c.synced)}
	}
	n.named = maps.Clone(n.files)
	return n
}

func (d *disk) used() (n int) {
	for _, c := range d.files {
		n += len(c.data)
	}
	return n
}

func (d *disk) open(name string, create bool) (file, error) {
	c, ok := d.files[name]
	if !ok {
		if !create {
			return nil, os.ErrNotExist
		}
		if err := d.step(); err != nil {
			return nil, err
		}
		c = new(content)
		d.files[name] = c
	}
	return &fakeFile{d, c}, nil
}

func (d *disk) list() ([]string, error) { return slices.Collect(maps.Keys(d.files)), nil }

func (d *disk) remove(name string) error {
	if err := d.step(); err != nil {
		return err
	}
	delete(d.files, name)
	return nil
}

func (d *disk) rename(from, to string) error {
	if err := d.step(); err != nil {
		return err
	}
	d.files[to] = d.files[from]
	delete(d.files, from)
	return nil
}

func (d *disk) sync() error {
	if err := d.step(); err != nil {
		return err
	}
	d.named = maps.Clone(d.files)
	return nil
}

func (d *disk) share(name string, size int) (page, error) {
	c, ok := d.files[name]
	if !ok {
		c = new(content)
		d.files[name] = c
	}
	c.data = append(c.data, make([]byte, max(0, size-len(c.data)))...)
	sync := func() error {
		if err := d.step(); err != nil {
			return err
		}
		c.synced = slices.Clone(c.data)
		return d.sync()
	}
	return page{memory: c.data, sync: sync, release: func() error { return nil }}, nil
}

func (d *disk) lock() (func() error, error) {
	if d.locked {
		return nil, ErrLocked
	}
	d.locked = true
	return func() error { d.locked = false; return nil }, nil
}

// fakeFile is an open file of a disk.
type fakeFile struct {
	d *disk
	c *content
}

func (f *fakeFile) ReadAt(b []byte, off int64) (int, error) {
	if off >= int64(len(f.c.data)) {
		return 0, io.EOF
	}
	n := copy(b, f.c.data[off:])
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

// WriteAt writes half of b when the disk crashes at it, unless that is to be later, or is full.
func (f *fakeFile) WriteAt(b []byte, off int64) (int, error) {
	if f.d.fails != nil {
		return 0, f.d.fails
	}
	if f.d.crash > 0 && f.d.steps+1 == f.d.crash {
		f.d.steps++
		if f.d.whole {
			return f.put(b, off), errCrash
		}
		return f.put(b[:len(b)/2], off), errCrash
	}
	if err := f.d.step(); err != nil {
		return 0, err
	}
	if f.d.room > 0 && f.d.used()+len(b) > f.d.room {
		return f.put(b[:len(b)/2], off), errors.New("no space left")
	}
	return f.put(b, off), nil
}

func (f *fakeFile) put(b []byte, off int64) int {
	if missing := int(off) + len(b) - len(f.c.data); missing > 0 {
		f.c.data = append(f.c.data, make([]byte, missing)...)
	}
	return copy(f.c.data[off:], b)
}

func (f *fakeFile) Truncate(size int64) error {
	if err := f.d.step(); err != nil {
		return err
	}
	f.c.data = append(f.c.data[:0:0], f.c.data...)[:min(int64(len(f.c.data)), size)]
	return nil
}

func (f *fakeFile) Sync() error {
	if err := f.d.step(); err != nil {
		return err
	}
	f.c.synced = slices.Clone(f.c.data)
	return nil
}

func (f *fakeFile) Close() error         { return nil }
func (f *fakeFile) Size() (int64, error) { return int64(len(f.c.data)), nil }
