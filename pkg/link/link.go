// Package link names network interfaces: a table from interface indexes to
// names that follows the kernel's notifications.
package link

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Table maps interface indexes to names. Name may be called concurrently with
// everything; Open and Close are for one goroutine.
type Table struct {
	now atomic.Pointer[snapshot]

	mu    sync.Mutex // held while the next snapshot is made
	names map[uint32]string
	gone  map[uint32]*time.Timer // of deleted interfaces whose name is kept for a while

	conn   *netlink.Conn // for notifications
	lister *netlink.Conn // for lists; the namespace can't be entered again without privileges
	ends   atomic.Bool   // Close was called
	done   chan struct{}
}

// snapshot is what Name reads. Most indexes are small and are looked up in a
// slice; hosts that have made very many interfaces need the map too.
type snapshot struct {
	dense  []string
	sparse map[uint32]string
}

const maxDense = 1 << 16

// NewTable makes a table of the given names; it stays as it is unless it is
// opened. A nil map is an empty table.
func NewTable(names map[uint32]string) *Table {
	t := &Table{names: maps.Clone(names), gone: make(map[uint32]*time.Timer)}
	if t.names == nil {
		t.names = make(map[uint32]string)
	}
	t.publish()
	return t
}

// Name is the name of an interface, and empty if it is not known.
func (t *Table) Name(index uint32) string {
	s := t.now.Load()
	if int(index) < len(s.dense) {
		return s.dense[index]
	}
	if s.sparse == nil {
		return ""
	}
	return s.sparse[index]
}

// publish makes what is in names visible.
func (t *Table) publish() {
	s := new(snapshot)
	for index, name := range t.names {
		if index >= maxDense {
			if s.sparse == nil {
				s.sparse = make(map[uint32]string)
			}
			s.sparse[index] = name
			continue
		}
		for int(index) >= len(s.dense) {
			s.dense = append(s.dense, "")
		}
		s.dense[index] = name
	}
	t.now.Store(s)
}

// Open fills the table from the kernel and keeps it current until Close. NetNS
// is a file descriptor of a network namespace, which is needed only for the
// call; 0 stands for the process's own.
func (t *Table) Open(netNS int) error {
	if err := t.subscribe(netNS); err != nil {
		return err
	}
	t.done = make(chan struct{})
	go t.follow()
	return nil
}

// subscribe asks for notifications before it lists, so that no change falls between.
func (t *Table) subscribe(netNS int) error {
	conn, err := netlink.Dial(unix.NETLINK_ROUTE, &netlink.Config{Groups: unix.RTMGRP_LINK, NetNS: netNS})
	if err != nil {
		return fmt.Errorf("subscribe to interface changes: %w", err)
	}
	if t.lister, err = netlink.Dial(unix.NETLINK_ROUTE, &netlink.Config{NetNS: netNS}); err != nil {
		return errors.Join(fmt.Errorf("list interfaces: %w", err), conn.Close())
	}
	if err := t.dump(); err != nil {
		return errors.Join(err, conn.Close(), t.lister.Close())
	}
	t.conn = conn
	return nil
}

// Close ends what Open began. The names stay.
func (t *Table) Close() error {
	if t.conn == nil {
		return nil
	}
	t.ends.Store(true)
	err := t.conn.Close()
	<-t.done
	return errors.Join(err, t.lister.Close())
}

// dump replaces the names by what the kernel has now.
func (t *Table) dump() error {
	list, err := list(t.lister)
	if err != nil {
		return fmt.Errorf("list interfaces: %w", err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	maps.DeleteFunc(t.names, func(index uint32, _ string) bool { return t.gone[index] == nil })
	t.update(list)
	return nil
}

// attempts are how often interfaces are listed that change all the time. Then the last
// list has to do.
const attempts = 10

// list asks for all interfaces. If they change between two parts of the answer, one that
// has not changed may be missing: the kernel says so (NLM_F_DUMP_INTR), and is asked again.
func list(conn *netlink.Conn) (list []netlink.Message, err error) {
	for range attempts {
		list, err = conn.Execute(netlink.Message{
			Header: netlink.Header{Type: unix.RTM_GETLINK, Flags: netlink.Request | netlink.Dump},
			Data:   make([]byte, unix.SizeofIfInfomsg),
		})
		if err != nil || !slices.ContainsFunc(list, interrupted) {
			return list, err
		}
	}
	return list, nil
}

func interrupted(m netlink.Message) bool { return m.Header.Flags&netlink.DumpInterrupted != 0 }

// settle is how long after a loss of notifications the interfaces are listed
// again, or longer: those that are still waiting, which are older than the lost
// ones, are read before.
const settle = 100 * time.Millisecond

func (t *Table) follow() {
	defer close(t.done)
	for {
		list, err := t.conn.Receive()
		switch {
		case err == nil:
			t.apply(list)
		case errors.Is(err, unix.ENOBUFS), errors.Is(err, os.ErrDeadlineExceeded) && t.waiting():
			_ = t.conn.SetReadDeadline(time.Now().Add(settle))
		case errors.Is(err, os.ErrDeadlineExceeded):
			_ = t.conn.SetReadDeadline(time.Time{})
			// Should this fail, the next loss tries again.
			_ = t.dump()
		case t.ends.Load():
			return
		default: // whatever it was, something may have been missed
			time.Sleep(settle)
			_ = t.conn.SetReadDeadline(time.Now().Add(settle))
		}
	}
}

// waiting tells whether there are notifications to read.
func (t *Table) waiting() (yes bool) {
	raw, err := t.conn.SyscallConn()
	if err != nil {
		return false
	}
	err = raw.Control(func(fd uintptr) {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
		yes = err == nil && n > 0
	})
	return err == nil && yes
}

// grace is how long the name of a deleted interface is kept, for the packets
// that were logged before.
const grace = 5 * time.Second

func (t *Table) apply(list []netlink.Message) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.update(list)
}

// update takes messages in. The table is locked.
func (t *Table) update(list []netlink.Message) {
	for _, m := range list {
		index, name, ok := parse(m.Data)
		if !ok {
			continue
		}
		if timer := t.gone[index]; timer != nil {
			timer.Stop()
			delete(t.gone, index)
		}
		switch m.Header.Type {
		case unix.RTM_NEWLINK:
			t.names[index] = name
		case unix.RTM_DELLINK:
			t.gone[index] = time.AfterFunc(grace, func() { t.forget(index) })
		}
	}
	t.publish()
}

// forget removes an interface, unless one of the same index has come since.
func (t *Table) forget(index uint32) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.gone[index] != nil {
		delete(t.gone, index)
		delete(t.names, index)
		t.publish()
	}
}

// parse reads an interface message (struct ifinfomsg and attributes,
// linux/rtnetlink.h). Messages of a bridge are about a port's membership: the end
// of that is not the end of the interface.
func parse(data []byte) (index uint32, name string, ok bool) {
	if len(data) < unix.SizeofIfInfomsg || data[0] == unix.AF_BRIDGE {
		return 0, "", false
	}
	index = binary.NativeEndian.Uint32(data[4:])
	d, err := netlink.NewAttributeDecoder(data[unix.SizeofIfInfomsg:])
	if err != nil {
		return 0, "", false
	}
	for d.Next() {
		if d.Type() == unix.IFLA_IFNAME {
			name = d.String()
		}
	}
	return index, name, d.Err() == nil && name != ""
}
