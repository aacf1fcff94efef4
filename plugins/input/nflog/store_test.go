package nflog

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ulogd-go/ulogd/contrib/lab"
)

// store is a service manager's, which holds its descriptors until they are removed.
type store map[string][]*os.File

func (s store) Take(name string) (files []*os.File) {
	for _, f := range s[name] {
		dup, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			panic(err)
		}
		files = append(files, os.NewFile(uintptr(dup), name))
	}
	return files
}

func (s store) Keep(name string, fds ...int) error {
	var files []*os.File
	for _, fd := range fds {
		dup, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			return err
		}
		files = append(files, os.NewFile(uintptr(dup), name))
	}
	s[name] = files
	return nil
}

// TestKernelUselessStore: a socket that is of no use is still the service manager's, and
// has the group bound.
func TestKernelUselessStore(t *testing.T) {
	null := func() *os.File {
		f, err := os.Open(os.DevNull)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	for name, spoil := range map[string]func([]*os.File) []*os.File{
		"one descriptor":      func(f []*os.File) []*os.File { return f[:1] },
		"no page":             func(f []*os.File) []*os.File { return []*os.File{f[0], null()} },
		"three descriptors":   func(f []*os.File) []*os.File { return append(f, null()) },
		"in another order":    func(f []*os.File) []*os.File { return []*os.File{f[1], f[0]} },
		"no descriptor of it": func([]*os.File) []*os.File { return []*os.File{null()} },
	} {
		t.Run(name, func(t *testing.T) {
			ns, peer, _ := host(t, lab.Rule{Groups: []uint16{5}})
			kept := store{}
			o := defaults()
			o.Group = 5
			first := newInput(t, o, 64)
			first.Env.Store = kept
			first.start(t, ns)
			if err := first.source.Close(); err != nil {
				t.Fatal(err)
			}
			files := kept[first.storeName()]
			kept[first.storeName()] = spoil(files)
			if name == "no descriptor of it" {
				files[0].Close()
			}
			in := newInput(t, o, 64)
			in.Env.Store = kept
			in.start(t, ns)
			in.Await(t, "the socket of an earlier process is of no use")
			send(t, peer, udp(10))
			in.read(t, 1, nil)
		})
	}
}

// TestKernelNamespaceIsAnotherOne: a namespace that was made anew has the path of the old
// one, in which the kept socket still is.
func TestKernelNamespaceIsAnotherOne(t *testing.T) {
	kept := store{}
	o := defaults()
	o.Group, o.NetNS = 5, filepath.Join(t.TempDir(), "ns")
	for _, line := range []string{"", "another network namespace"} {
		ns, peer, _ := host(t, lab.Rule{Groups: []uint16{5}})
		_ = os.Remove(o.NetNS) // there is none the first time
		if err := os.Symlink(fmt.Sprintf("/proc/self/fd/%d", ns.FD()), o.NetNS); err != nil {
			t.Fatal(err)
		}
		in := newInput(t, o, 64)
		in.Env.Store = kept
		if err := in.Open(); err != nil {
			t.Fatal(err)
		}
		if line != "" {
			in.Await(t, line)
		}
		send(t, peer, udp(10))
		in.read(t, 1, nil)
		if err := in.source.Close(); err != nil {
			t.Error(err)
		}
	}
}
