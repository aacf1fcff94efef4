package unixsock

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// maxPath is the longest path that a socket's address has room for.
const maxPath = 107

// backlog is how many connections may wait to be accepted, as in ulogd.
const backlog = 10

// listen makes the socket. Nobody can connect before the file has its mode and its
// owner, since only then the socket listens.
func (o options) listen() (l *net.UnixListener, made fs.FileInfo, err error) {
	if len(o.Path) > maxPath {
		return nil, nil, fmt.Errorf("ulogd2: unix socket path '%s' too long: %d bytes, and there is room for %d", o.Path, len(o.Path), maxPath)
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("ulogd2: could not create unix socket: %w", err)
	}
	f := os.NewFile(uintptr(fd), o.Path)
	defer f.Close() // the listener has a copy
	if err := o.bind(fd); err != nil {
		return nil, nil, fmt.Errorf("ulogd2: could not bind to unix socket '%s': %w", o.Path, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(o.Path))
		}
	}()
	if err := o.own(); err != nil {
		return nil, nil, err
	}
	if err := unix.Listen(fd, backlog); err != nil {
		return nil, nil, fmt.Errorf("ulogd2: could not listen to unix socket '%s': %w", o.Path, err)
	}
	if made, err = os.Lstat(o.Path); err != nil {
		return nil, nil, err
	}
	copied, err := net.FileListener(f)
	if err != nil {
		return nil, nil, err
	}
	return copied.(*net.UnixListener), made, nil
}

// bind gives the socket its path, if need be in place of a dead one.
func (o options) bind(fd int) error {
	err := unix.Bind(fd, &unix.SockaddrUnix{Name: o.Path})
	switch {
	case errors.Is(err, unix.ENOENT):
		return fmt.Errorf("%w; see to it that the directory exists", err)
	case !errors.Is(err, unix.EADDRINUSE):
		return err
	}
	if err := dead(o.Path); err != nil {
		return err
	}
	if err := os.Remove(o.Path); err != nil {
		return fmt.Errorf("it is left over from another process: %w", err)
	}
	return unix.Bind(fd, &unix.SockaddrUnix{Name: o.Path})
}

// dead is nil if the path is a socket that nobody listens to.
func dead(path string) error {
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	if info.Mode().Type() != fs.ModeSocket {
		return errors.New("there is a file, and no socket; remove it, or choose another socket_path")
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.Connect(fd, &unix.SockaddrUnix{Name: path}); !errors.Is(err, unix.ECONNREFUSED) {
		return errors.New("another process listens to it; end that, or choose another socket_path")
	}
	return nil
}

// own gives the file its mode, owner and group.
func (o options) own() error {
	if err := unix.Chmod(o.Path, uint32(o.Perms)&0o7777); err != nil {
		return fmt.Errorf("could not set permissions on unix socket: %w", err)
	}
	uid, gid := -1, -1
	if o.Owner != "" {
		id, err := userID(o.Owner)
		if err != nil {
			return err
		}
		uid = int(id)
	}
	if o.Group != "" {
		id, err := groupID(o.Group)
		if err != nil {
			return err
		}
		gid = int(id)
	}
	if err := os.Lchown(o.Path, uid, gid); err != nil {
		return fmt.Errorf("could not set owner/group of unix socket: %w", err)
	}
	return nil
}

// remove takes the file away, if it is still the one that was made. Where the daemon
// has no right to that any more, the next start replaces it.
func remove(path string, made fs.FileInfo) error {
	now, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !os.SameFile(now, made) {
		return nil
	}
	if err == nil {
		err = os.Remove(path)
	}
	if errors.Is(err, fs.ErrPermission) {
		return nil
	}
	return err
}
