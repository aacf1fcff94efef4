// Package link names network interfaces: a table from interface indexes to
// names that follows the kernel's notifications.
package link

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
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
	conn  *netlink.Conn
	done  chan struct{}
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
	t := &Table{names: maps.Clone(names)}
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
// is a file descriptor of a network namespace; 0 stands for the process's own.
func (t *Table) Open(netNS int) error {
	// The subscription comes before the dump, so that no change falls between.
	conn, err := netlink.Dial(unix.NETLINK_ROUTE, &netlink.Config{Groups: unix.RTMGRP_LINK, NetNS: netNS})
	if err != nil {
		return fmt.Errorf("subscribe to interface changes: %w", err)
	}
	if err := t.dump(netNS); err != nil {
		conn.Close()
		return err
	}
	t.conn, t.done = conn, make(chan struct{})
	go t.follow(netNS)
	return nil
}

// Close ends what Open began. The names stay.
func (t *Table) Close() error {
	if t.conn == nil {
		return nil
	}
	err := t.conn.Close()
	<-t.done
	return err
}

func (t *Table) dump(netNS int) error {
	conn, err := netlink.Dial(unix.NETLINK_ROUTE, &netlink.Config{NetNS: netNS})
	if err != nil {
		return fmt.Errorf("list interfaces: %w", err)
	}
	defer conn.Close()
	list, err := conn.Execute(netlink.Message{
		Header: netlink.Header{Type: unix.RTM_GETLINK, Flags: netlink.Request | netlink.Dump},
		Data:   make([]byte, unix.SizeofIfInfomsg),
	})
	if err != nil {
		return fmt.Errorf("list interfaces: %w", err)
	}
	t.apply(list)
	return nil
}

func (t *Table) follow(netNS int) {
	defer close(t.done)
	for {
		list, err := t.conn.Receive()
		switch {
		case err == nil:
			t.apply(list)
		case errors.Is(err, unix.ENOBUFS):
			// Notifications were lost: what the kernel has now replaces
			// them. Should even that fail, the next overrun tries again.
			_ = t.dump(netNS)
		default:
			return
		}
	}
}

// grace is how long the name of a deleted interface is kept, for the packets
// that were logged before.
const grace = 5 * time.Second

func (t *Table) apply(list []netlink.Message) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, m := range list {
		index, name, ok := parse(m.Data)
		if !ok {
			continue
		}
		switch m.Header.Type {
		case unix.RTM_NEWLINK:
			t.names[index] = name
		case unix.RTM_DELLINK:
			time.AfterFunc(grace, func() { t.forget(index, name) })
		}
	}
	t.publish()
}

func (t *Table) forget(index uint32, name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.names[index] == name {
		delete(t.names, index)
		t.publish()
	}
}

// parse reads an interface message (struct ifinfomsg and attributes,
// linux/rtnetlink.h). Messages about a bridge port's membership name the port
// as usual.
func parse(data []byte) (index uint32, name string, ok bool) {
	if len(data) < unix.SizeofIfInfomsg {
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
