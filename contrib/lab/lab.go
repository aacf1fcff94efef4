// Package lab makes throw-away networks: anonymous network namespaces joined
// by veth pairs and bridges, with nftables rules that log to NFLOG groups, and
// random packets to feed them. Tests, the demonstration and the benchmark use
// it. It needs no external binary and leaves nothing behind: a namespace is
// held by a file descriptor only and is gone with its last user.
//
// It needs CAP_SYS_ADMIN and CAP_NET_ADMIN; a plain user can have both in a
// user namespace of his own, see Reexec.
package lab

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
)

// NS is one network namespace. Its methods may be called concurrently, except
// Close, which must come last.
type NS struct {
	handle netns.NsHandle

	mu    sync.Mutex // guards rules
	rules int        // how many rules were made, to name their counters
}

// New makes a network namespace whose loopback device is up and which holds
// nothing else. Guests are made the same way and joined with Veth.
//
// A caller without the capabilities gets an error for which
// errors.Is(err, os.ErrPermission) holds.
func New() (*NS, error) {
	handle, err := create()
	if err != nil {
		return nil, fmt.Errorf("make a network namespace: %w (needs CAP_SYS_ADMIN, as root or in a user namespace)", err)
	}
	ns := &NS{handle: handle}
	if err := ns.up("lo"); err != nil {
		return nil, errors.Join(err, ns.Close())
	}
	return ns, nil
}

// create unshares on a thread of its own: only that thread is ever in the new
// namespace, and it ends with the goroutine because it stays locked.
func create() (handle netns.NsHandle, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		handle, err = netns.New()
	}()
	<-done
	return handle, err
}

// FD is the descriptor that refers to the namespace, for libraries that ask
// for one. It is valid until Close.
func (ns *NS) FD() int { return int(ns.handle) }

// Close gives the namespace up. The kernel removes it, with its links and
// rules, as soon as no process and no socket is left in it.
func (ns *NS) Close() error {
	if !ns.handle.IsOpen() {
		return nil
	}
	if err := ns.handle.Close(); err != nil {
		return fmt.Errorf("close network namespace: %w", err)
	}
	return nil
}

// Do runs f inside the namespace, on the calling goroutine with its thread
// locked. Sockets that f opens stay in the namespace; goroutines that it
// starts do not run there. The thread is taken back even if f panics or ends
// its goroutine.
func (ns *NS) Do(f func() error) (err error) {
	runtime.LockOSThread()
	home, err := netns.Get()
	if err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("find the current network namespace: %w", err)
	}
	defer func() { err = errors.Join(err, leave(home)) }()
	if err := netns.Set(ns.handle); err != nil {
		return fmt.Errorf("enter network namespace: %w", err)
	}
	return f()
}

// leave brings the thread home. If that fails it stays locked, so that the
// runtime ends the thread with its goroutine and nobody else inherits it.
func leave(home netns.NsHandle) error {
	err := netns.Set(home)
	if err == nil {
		runtime.UnlockOSThread()
	} else {
		err = fmt.Errorf("return to the former network namespace: %w", err)
	}
	return errors.Join(err, home.Close())
}

// Start starts cmd inside the namespace. The caller waits for it as usual.
func (ns *NS) Start(cmd *exec.Cmd) error {
	return ns.Do(cmd.Start)
}

// Sysctl sets a network setting of the namespace, named with dots as sysctl(8)
// takes it, for example "net.ipv4.ip_forward". For one that the kernel does
// not have, errors.Is(err, os.ErrNotExist) holds.
func (ns *NS) Sysctl(name, value string) error {
	path := filepath.Join("/proc/sys", strings.ReplaceAll(name, ".", "/"))
	return ns.Do(func() error {
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			return fmt.Errorf("set %s: %w", name, err)
		}
		_, err = f.WriteString(value)
		if err := errors.Join(err, f.Close()); err != nil {
			return fmt.Errorf("set %s to %q: %w", name, value, err)
		}
		return nil
	})
}

// up switches a link on.
func (ns *NS) up(name string) error {
	return ns.Do(func() error {
		link, err := netlink.LinkByName(name)
		if err != nil {
			return fmt.Errorf("find link %s: %w", name, err)
		}
		if err := netlink.LinkSetUp(link); err != nil {
			return fmt.Errorf("switch link %s on: %w", name, err)
		}
		return nil
	})
}
