// Package fdstore keeps descriptors over the daemon's end, in systemd's file
// descriptor store: what a socket has received is there for the next process,
// however suddenly this one ends.
//
// See systemd.service(5), FileDescriptorStoreMax=, and sd_notify(3), FDSTORE=1.
package fdstore

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// Store is the service manager's store. A nil Store keeps nothing. It may be used
// concurrently.
type Store struct {
	addr string // of the manager's socket
	most int    // descriptors that it keeps

	mu   sync.Mutex
	left map[string][]*os.File // that were passed and nobody has taken
	held map[string]int        // descriptors that it has, under each name
}

// firstFD is the first descriptor that is passed (SD_LISTEN_FDS_START).
const firstFD = 3

// Open takes over what the service manager has passed to this process. It is nil
// without a manager that keeps descriptors: systemd says so in $FDSTORE, from
// version 254 on. The variables are removed, so that no child takes them for its own.
func Open() *Store {
	s := &Store{addr: os.Getenv("NOTIFY_SOCKET"), left: map[string][]*os.File{}, held: map[string]int{}}
	if os.Getenv("LISTEN_PID") == strconv.Itoa(os.Getpid()) {
		s.inherit()
	}
	for _, name := range []string{"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PIDFDID"} {
		_ = os.Unsetenv(name) // can't fail for these names
	}
	var err error
	if s.most, err = strconv.Atoi(os.Getenv("FDSTORE")); err != nil || s.most < 1 || s.addr == "" {
		s.closeAll()
		return nil
	}
	return s
}

func (s *Store) inherit() {
	n, err := strconv.Atoi(os.Getenv("LISTEN_FDS"))
	if err != nil {
		return
	}
	names := strings.Split(os.Getenv("LISTEN_FDNAMES"), ":")
	for i := range n {
		name := "unknown"
		if i < len(names) {
			name = names[i]
		}
		unix.CloseOnExec(firstFD + i)
		s.left[name] = append(s.left[name], os.NewFile(uintptr(firstFD+i), name))
		s.held[name]++
	}
}

func (s *Store) closeAll() {
	for _, files := range s.left {
		for _, f := range files {
			_ = f.Close() // it was not used
		}
	}
}

// Name makes a name that the manager takes of any text: up to 255 characters of
// ASCII without a colon.
func Name(text string) string {
	text = strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' || r == ':' {
			return '_'
		}
		return r
	}, text)
	return text[:min(len(text), 255)]
}

// Take hands out the descriptors that an earlier process has kept under that
// name, in their order. They are the caller's.
func (s *Store) Take(name string) []*os.File {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	files := s.left[name]
	delete(s.left, name)
	return files
}

// Keep stores descriptors under a name, in place of those that it had. It is an error if
// there are more than the manager keeps, which says nothing and throws some away.
func (s *Store) Keep(name string, fds ...int) error {
	if s == nil {
		return nil
	}
	if err := s.Remove(name); err != nil {
		return err
	}
	if err := s.hold(name, len(fds)); err != nil {
		return err
	}
	// A descriptor that is polled would be thrown out at its first error, which
	// for a netlink socket may just be an overrun.
	return s.send("FDSTORE=1\nFDPOLL=0\nFDNAME="+name, fds...)
}

// hold notes that descriptors are to be stored, if there is room.
func (s *Store) hold(name string, n int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := n
	for _, n := range s.held {
		all += n
	}
	if all > s.most {
		return fmt.Errorf("file descriptor store: FileDescriptorStoreMax=%d, and %d are needed with these; raise it in the unit", s.most, all)
	}
	s.held[name] = n
	return nil
}

// Remove gives up what is stored under a name.
func (s *Store) Remove(name string) error {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	delete(s.held, name)
	s.mu.Unlock()
	return s.send("FDSTOREREMOVE=1\nFDNAME=" + name)
}

// Prune gives up what an earlier process has kept and nobody has taken.
func (s *Store) Prune() (err error) {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	left := s.left
	s.left = map[string][]*os.File{}
	s.mu.Unlock()
	for name, files := range left {
		for _, f := range files {
			_ = f.Close() // it was not used
		}
		err = errors.Join(err, s.Remove(name))
	}
	return err
}

func (s *Store) send(message string, fds ...int) error {
	// An address that begins with @ is an abstract one, as package unix has it, too.
	sock, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("file descriptor store: %w", err)
	}
	defer unix.Close(sock)
	var rights []byte
	if len(fds) > 0 {
		rights = unix.UnixRights(fds...)
	}
	if err := unix.Sendmsg(sock, []byte(message), rights, &unix.SockaddrUnix{Name: s.addr}, 0); err != nil {
		return fmt.Errorf("file descriptor store: %w", err)
	}
	return nil
}
