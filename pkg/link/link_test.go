package link

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mdlayher/netlink"
	"github.com/mdlayher/netlink/nltest"
	vish "github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/ulogd-go/ulogd/contrib/lab"
)

func TestFixedNames(t *testing.T) {
	names := map[uint32]string{1: "lo", 10: "br0", maxDense: "far", 0xffffffff: "last"}
	table := NewTable(names)
	names[1] = "changed"
	for index, want := range map[uint32]string{0: "", 1: "lo", 2: "", 10: "br0", 11: "", maxDense - 1: "", maxDense: "far", 0xffffffff: "last"} {
		if got := table.Name(index); got != want {
			t.Errorf("%d is %q, want %q", index, got, want)
		}
	}
	if got := NewTable(nil).Name(1); got != "" {
		t.Errorf("an empty table says %q", got)
	}
	if err := table.Close(); err != nil {
		t.Errorf("Close without Open: %v", err)
	}
	if n := testing.AllocsPerRun(100, func() { table.Name(10); table.Name(maxDense) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// change is a notification as the kernel sends it.
func change(typ netlink.HeaderType, family byte, index uint32, name string) netlink.Message {
	data := make([]byte, unix.SizeofIfInfomsg)
	data[0] = family
	binary.NativeEndian.PutUint32(data[4:], index)
	attrs, err := netlink.MarshalAttributes([]netlink.Attribute{{Type: unix.IFLA_MTU, Data: make([]byte, 4)}, {Type: unix.IFLA_IFNAME, Data: append([]byte(name), 0)}})
	if err != nil {
		panic(err)
	}
	return netlink.Message{Header: netlink.Header{Type: typ}, Data: append(data, attrs...)}
}

func TestNotifications(t *testing.T) {
	const added, deleted = unix.RTM_NEWLINK, unix.RTM_DELLINK
	type step struct {
		netlink.Message
		then time.Duration // until the next
		want string        // the name of interface 5 by then
	}
	tests := []struct {
		name  string
		steps []step
	}{
		{"added, renamed", []step{{change(added, 0, 5, "a"), 0, "a"}, {change(added, 0, 5, "b"), 0, "b"}}},
		{"deleted", []step{{change(added, 0, 5, "a"), 0, "a"}, {change(deleted, 0, 5, "a"), grace / 2, "a"}, {change(added, 0, 6, "x"), grace, ""}}},
		{"deleted and made again", []step{{change(added, 0, 5, "a"), 0, "a"}, {change(deleted, 0, 5, "a"), grace / 2, "a"}, {change(added, 0, 5, "a"), grace, "a"}}},
		{"deleted and another made", []step{{change(added, 0, 5, "a"), 0, "a"}, {change(deleted, 0, 5, "a"), 0, "a"}, {change(added, 0, 5, "b"), grace, "b"}}},
		{"deleted twice", []step{{change(added, 0, 5, "a"), 0, "a"}, {change(deleted, 0, 5, "a"), grace / 2, "a"},
			{change(added, 0, 5, "a"), 0, "a"}, {change(deleted, 0, 5, "a"), grace * 3 / 4, "a"}, {change(added, 0, 6, "x"), grace, ""}}},
		{"leaves a bridge", []step{{change(added, 0, 5, "a"), 0, "a"}, {change(deleted, unix.AF_BRIDGE, 5, "a"), 2 * grace, "a"}}},
		{"too short", []step{{change(added, 0, 5, "a"), 0, "a"}, {netlink.Message{Header: netlink.Header{Type: deleted}, Data: make([]byte, 15)}, 2 * grace, "a"}}},
		{"damaged", []step{{change(added, 0, 5, "a"), 0, "a"},
			{netlink.Message{Header: netlink.Header{Type: added}, Data: append(change(added, 0, 5, "b").Data[:20], 0xff)}, 0, "a"}}},
		{"of another type", []step{{change(added, 0, 5, "a"), 0, "a"}, {change(unix.RTM_NEWADDR, 0, 5, "b"), 0, "a"}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				table := NewTable(nil)
				for i, s := range tt.steps {
					table.apply([]netlink.Message{s.Message})
					time.Sleep(s.then)
					synctest.Wait()
					if got := table.Name(5); got != s.want {
						t.Errorf("after step %d: %q, want %q", i+1, got, s.want)
					}
				}
			})
		})
	}
}

// await waits until the table has the name.
func await(t *testing.T, table *Table, index uint32, want string) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); table.Name(index) != want; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("interface %d is %q, want %q", index, table.Name(index), want)
		}
	}
}

// rename renames a link.
func rename(t *testing.T, ns *lab.NS, from, to string) {
	t.Helper()
	if err := ns.Do(func() error {
		l, err := vish.LinkByName(from)
		if err != nil {
			return err
		}
		return vish.LinkSetName(l, to)
	}); err != nil {
		t.Fatal(err)
	}
}

func TestKernelFollows(t *testing.T) {
	ns := lab.Test(t)
	if err := lab.Bridge(lab.Port{NS: ns, Name: "br0", Index: 10}); err != nil {
		t.Fatal(err)
	}
	table := NewTable(map[uint32]string{10: "of no account"})
	if err := table.Open(ns.FD()); err != nil {
		t.Fatal(err)
	}
	for index, want := range map[uint32]string{1: "lo", 10: "br0", 11: ""} {
		if got := table.Name(index); got != want {
			t.Errorf("at first %d is %q, want %q", index, got, want)
		}
	}
	if err := lab.Veth(lab.Port{NS: ns, Name: "va", Index: 11, Master: "br0"}, lab.Port{NS: ns, Name: "vb", Index: 100000}); err != nil {
		t.Fatal(err)
	}
	await(t, table, 11, "va")
	await(t, table, 100000, "vb")
	rename(t, ns, "br0", "br1")
	await(t, table, 10, "br1")
	err := ns.Do(func() error {
		l, err := vish.LinkByName("va")
		return errors.Join(err, vish.LinkDel(l))
	})
	if err != nil {
		t.Fatal(err)
	}
	await(t, table, 11, "") // after a while
	await(t, table, 100000, "")
	if err := table.Close(); err != nil || table.Name(10) != "br1" {
		t.Errorf("after Close: %v, %q", err, table.Name(10))
	}
}

// TestKernelLeavesBridge has a port leave its bridge, and outlive it.
func TestKernelLeavesBridge(t *testing.T) {
	ns := lab.Test(t)
	err := errors.Join(lab.Bridge(lab.Port{NS: ns, Name: "br0", Index: 10}),
		lab.Veth(lab.Port{NS: ns, Name: "va", Index: 11, Master: "br0"}, lab.Port{NS: ns, Name: "vb", Index: 12}))
	if err != nil {
		t.Fatal(err)
	}
	table := NewTable(nil)
	if err := table.Open(ns.FD()); err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	if err := ns.Do(func() error {
		l, err := vish.LinkByName("va")
		return errors.Join(err, vish.LinkSetNoMaster(l))
	}); err != nil {
		t.Fatal(err)
	}
	rename(t, ns, "br0", "br1") // is reported behind it
	await(t, table, 10, "br1")
	table.mu.Lock()
	defer table.mu.Unlock()
	if len(table.gone) != 0 {
		t.Error("the port that left the bridge is to be forgotten")
	}
}

// TestKernelLosesNotifications overruns the subscription: the names are right
// in the end, also when the caller's descriptor of the namespace is closed.
func TestKernelLosesNotifications(t *testing.T) {
	ns := lab.Test(t)
	table := NewTable(nil)
	fd, err := unix.Dup(ns.FD())
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(table.Open(fd), unix.Close(fd)); err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	if err := table.conn.SetReadBuffer(1); err != nil {
		t.Fatal(err)
	}
	if err := lab.Bridge(lab.Port{NS: ns, Name: "br0", Index: 10}); err != nil {
		t.Fatal(err)
	}
	table.mu.Lock() // holds the table's goroutine up
	name := "br0"
	for i := range 50 {
		to := fmt.Sprintf("br%d", i+1)
		rename(t, ns, name, to)
		name = to
	}
	table.mu.Unlock()
	await(t, table, 10, name)
	time.Sleep(2 * settle) // for a late and old notification to do its harm
	if got := table.Name(10); got != name {
		t.Errorf("later it is %q, want %q", got, name)
	}
}

// TestKernelNeedNotEnterAgain: a daemon that has given its privileges up can't enter the
// namespace a second time, and has to list what it has missed all the same.
func TestKernelNeedNotEnterAgain(t *testing.T) {
	ns := lab.Test(t)
	table := NewTable(nil)
	if err := table.Open(ns.FD()); err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	spoil(t, ns.FD())
	if err := table.conn.SetReadBuffer(1); err != nil {
		t.Fatal(err)
	}
	if err := lab.Bridge(lab.Port{NS: ns, Name: "br0", Index: 10}); err != nil {
		t.Fatal(err)
	}
	table.mu.Lock() // holds the table's goroutine up
	name := "br0"
	for i := range 50 {
		to := fmt.Sprintf("br%d", i+1)
		rename(t, ns, name, to)
		name = to
	}
	table.mu.Unlock()
	await(t, table, 10, name)
}

// spoil has all other descriptors of a namespace be of something else.
func spoil(t *testing.T, ns int) {
	t.Helper()
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	want, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", ns))
	if err != nil {
		t.Fatal(err)
	}
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range list {
		fd, err := strconv.Atoi(f.Name())
		if err != nil {
			t.Fatal(err)
		}
		if what, err := os.Readlink("/proc/self/fd/" + f.Name()); err != nil || fd == ns || what != want {
			continue
		}
		if err := unix.Dup3(int(null.Fd()), fd, unix.O_CLOEXEC); err != nil {
			t.Fatal(err)
		}
	}
}

// TestInterruptedList: a list that is not of one time is asked for again, but not for ever.
func TestInterruptedList(t *testing.T) {
	for _, tt := range []struct{ interrupted, asked, links int }{{0, 1, 2}, {3, 4, 2}, {1000, attempts, 1}} {
		asked := 0
		conn := nltest.Dial(func(requests []netlink.Message) ([]netlink.Message, error) {
			asked++
			answer := []netlink.Message{change(unix.RTM_NEWLINK, 0, 5, "a"), change(unix.RTM_NEWLINK, 0, 6, "b")}
			if asked <= tt.interrupted {
				answer = answer[:1]
				answer[0].Header.Flags = netlink.DumpInterrupted
			}
			for i := range answer {
				answer[i].Header.Sequence, answer[i].Header.PID = requests[0].Header.Sequence, requests[0].Header.PID
			}
			return answer, nil
		})
		links, err := list(conn)
		if err != nil || len(links) != tt.links || asked != tt.asked {
			t.Errorf("interrupted %d times: %d links, asked %d times, %v; want %d, %d", tt.interrupted, len(links), asked, err, tt.links, tt.asked)
		}
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestKernelOldNotifications has the table's goroutine come late to what was received
// before a loss: it is older than what the kernel has by then.
func TestKernelOldNotifications(t *testing.T) {
	ns := lab.Test(t)
	table := NewTable(nil)
	if err := table.Open(ns.FD()); err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	if err := table.conn.SetReadBuffer(20000); err != nil { // for a few
		t.Fatal(err)
	}
	if err := lab.Bridge(lab.Port{NS: ns, Name: "br0", Index: 10}); err != nil {
		t.Fatal(err)
	}
	await(t, table, 10, "br0")
	table.mu.Lock()
	name := "br0"
	for i := range 50 {
		to := fmt.Sprintf("br%d", i+1)
		rename(t, ns, name, to)
		name = to
	}
	for range 4 { // the goroutine waits longest, and so gets the lock for one notification
		table.mu.Unlock()
		table.mu.Lock()
		time.Sleep(2 * settle)
	}
	table.mu.Unlock()
	await(t, table, 10, name)
	// A notification of a change that was made later is read behind the old ones.
	if err := lab.Bridge(lab.Port{NS: ns, Name: "last", Index: 11}); err != nil {
		t.Fatal(err)
	}
	await(t, table, 11, "last")
	if got := table.Name(10); got != name {
		t.Errorf("later it is %q, want %q", got, name)
	}
}

func TestOpenErrors(t *testing.T) {
	if err := NewTable(nil).Open(1 << 20); !errors.Is(err, unix.EBADF) {
		t.Errorf("a descriptor that is none: %v", err)
	}
}
