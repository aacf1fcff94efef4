package nlsock

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// CheckNetNS is an error if a socket of an earlier process is in another network namespace
// than that of path; empty is the process's own. There may be another one at the path by
// now, and nothing comes to the socket that was in the one before. Where the kernel does
// not tell, for want of a right or before Linux 4.9, the socket is taken for right.
func CheckNetNS(fd int, path string) error {
	if path == "" {
		path = "/proc/thread-self/ns/net"
	}
	var want, got unix.Stat_t
	if err := unix.Stat(path, &want); err != nil {
		return fmt.Errorf("network namespace: %w", &os.PathError{Op: "stat", Path: path, Err: err})
	}
	ns, err := unix.IoctlRetInt(fd, unix.SIOCGSKNS)
	if err != nil {
		return nil
	}
	defer unix.Close(ns)
	if err := unix.Fstat(ns, &got); err != nil {
		return fmt.Errorf("network namespace of the socket: %w", os.NewSyscallError("fstat", err))
	}
	if got.Dev != want.Dev || got.Ino != want.Ino {
		return fmt.Errorf("it is in another network namespace (%d) than that of %s (%d)", got.Ino, path, want.Ino)
	}
	return nil
}
