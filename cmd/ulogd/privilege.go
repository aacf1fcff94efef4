package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/user"
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// account is a user to run as.
type account struct {
	name     string
	uid, gid int
	groups   []int // all that it is a member of
}

// lookupAccount finds a user by name; a number is a name like any other.
func lookupAccount(name string) (*account, error) {
	u, err := user.Lookup(name)
	if err != nil {
		return nil, err
	}
	a := &account{name: name}
	if a.uid, err = strconv.Atoi(u.Uid); err != nil {
		return nil, fmt.Errorf("user %s: uid: %w", name, err)
	}
	if a.gid, err = strconv.Atoi(u.Gid); err != nil {
		return nil, fmt.Errorf("user %s: gid: %w", name, err)
	}
	groups, err := u.GroupIds()
	if err != nil {
		return nil, fmt.Errorf("groups of user %s: %w", name, err)
	}
	for _, g := range groups {
		n, err := strconv.Atoi(g)
		if err != nil {
			return nil, fmt.Errorf("groups of user %s: %w", name, err)
		}
		a.groups = append(a.groups, n)
	}
	return a, nil
}

// dropPrivileges becomes a, unless that is nil, and gives up what is not needed
// any more. What is kept: CAP_NET_ADMIN, to bind groups again and to enlarge the
// receive buffer; and for root CAP_DAC_OVERRIDE, to open the files again that log
// rotation made for somebody else.
func dropPrivileges(a *account, log *slog.Logger) error {
	keep := uint64(1 << unix.CAP_NET_ADMIN)
	if a != nil {
		notice(log, "Changing UID / GID")
		if err := a.become(log); err != nil {
			return fmt.Errorf("change to user %s: %w; start as root, or without -u", a.name, err)
		}
	}
	if os.Geteuid() == 0 {
		keep |= 1 << unix.CAP_DAC_OVERRIDE
	}
	return warnWithCgo(log, limit(keep))
}

// become changes user and groups of all threads. The capabilities stay permitted.
func (a *account) become(log *slog.Logger) error {
	if os.Geteuid() == a.uid && os.Getuid() == a.uid && os.Getegid() == a.gid {
		return nil
	}
	if err := warnWithCgo(log, prctl(unix.PR_SET_KEEPCAPS, 1)); err != nil {
		return err
	}
	if err := syscall.Setgid(a.gid); err != nil {
		return fmt.Errorf("group %d: %w", a.gid, err)
	}
	if err := syscall.Setgroups(a.groups); err != nil {
		return fmt.Errorf("supplementary groups %v: %w", a.groups, err)
	}
	if err := syscall.Setuid(a.uid); err != nil {
		return fmt.Errorf("uid %d: %w", a.uid, err)
	}
	return nil
}

// limit gives up all capabilities but those in keep, for good.
func limit(keep uint64) error {
	held, err := permitted()
	if err != nil {
		return err
	}
	if err := setCapabilities(held & keep); err != nil {
		return fmt.Errorf("set capabilities: %w", err)
	}
	if err := prctl(unix.PR_SET_NO_NEW_PRIVS, 1); err != nil {
		return fmt.Errorf("set no_new_privs: %w", err)
	}
	return nil
}

// warnWithCgo turns the one error that comes from how the program was built into a
// message: with cgo only the C library reaches all threads, and it knows user
// and groups but not capabilities.
func warnWithCgo(log *slog.Logger, err error) error {
	if errors.Is(err, syscall.ENOTSUP) {
		log.Warn("capabilities are left as they are, because this program was built with cgo; build it with CGO_ENABLED=0")
		return nil
	}
	return err
}

// permitted is the set of capabilities that the process may use, a bit each.
func permitted() (uint64, error) {
	var data [2]unix.CapUserData
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	if err := unix.Capget(&header, &data[0]); err != nil {
		return 0, fmt.Errorf("get capabilities: %w", err)
	}
	return uint64(data[1].Permitted)<<32 | uint64(data[0].Permitted), nil
}

// setCapabilities makes set the permitted and effective capabilities of all threads.
func setCapabilities(set uint64) error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	data := [2]unix.CapUserData{
		{Permitted: uint32(set), Effective: uint32(set)},
		{Permitted: uint32(set >> 32), Effective: uint32(set >> 32)},
	}
	_, _, e := syscall.AllThreadsSyscall(unix.SYS_CAPSET,
		uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&data)), 0)
	return ok(e)
}

func prctl(option int, value uintptr) error {
	_, _, e := syscall.AllThreadsSyscall6(unix.SYS_PRCTL, uintptr(option), value, 0, 0, 0, 0)
	return ok(e)
}

// raisePriority makes all threads a little more important, as ulogd does.
func raisePriority() error {
	// The system call gives 20 minus the nice value, so that it is never negative.
	complement, err := unix.Getpriority(unix.PRIO_PROCESS, 0)
	if err != nil {
		return err
	}
	_, _, e := syscall.AllThreadsSyscall(unix.SYS_SETPRIORITY, unix.PRIO_PROCESS, 0, uintptr(20-complement-1))
	return ok(e)
}

func ok(e syscall.Errno) error {
	if e == 0 {
		return nil
	}
	return e
}
