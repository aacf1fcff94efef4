package lab

import (
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// TestKernelConnections: connections are tracked, marked, translated and ended.
func TestKernelConnections(t *testing.T) {
	ns := Test(t)
	if err := ns.Track(42); err != nil {
		t.Fatal(err)
	}
	if err := ns.Translate(Translation{Source: true, Protocol: unix.IPPROTO_UDP, DstPort: 9, To: netip.MustParseAddrPort("127.0.0.7:7777")}); err != nil {
		t.Fatal(err)
	}
	if err := ns.Translate(Translation{Protocol: unix.IPPROTO_TCP, DstPort: 80, To: netip.MustParseAddrPort("[::1]:8080")}); err != nil {
		t.Fatal(err)
	}
	if err := ns.Do(func() error {
		c, err := net.Dial("udp", "127.0.0.1:9")
		if err != nil {
			return err
		}
		defer c.Close()
		_, err = c.Write([]byte("hello"))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	flows := connectionsOf(t, ns)
	if len(flows) != 1 || flows[0].Mark != 42 || flows[0].Reverse.DstIP.String() != "127.0.0.7" || flows[0].Reverse.DstPort != 7777 {
		t.Errorf("%v, want one that is marked and translated", flows)
	}
	if err := ns.FlushConnections(); err != nil {
		t.Fatal(err)
	}
	if flows := connectionsOf(t, ns); len(flows) != 0 {
		t.Errorf("%v, want none any more", flows)
	}
}

func connectionsOf(t *testing.T, ns *NS) (flows []*netlink.ConntrackFlow) {
	t.Helper()
	if err := ns.Do(func() (err error) {
		flows, err = netlink.ConntrackTableList(netlink.ConntrackTable, unix.AF_INET)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return flows
}

func TestCountMembers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "netlink")
	const list = `sk               Eth Pid        Groups   Rmem     Wmem     Dump  Locks    Drops    Inode
00000000a1985e74 0   0          00000005 0        0        0     2        0        4
0000000026ebffee 12  100        00000005 0        0        0     2        0        1443
0000000026ebffef 12  101        00000004 0        0        0     2        0        1444
`
	if err := os.WriteFile(path, []byte(list), 0o600); err != nil {
		t.Fatal(err)
	}
	for group, want := range map[int]int{1: 1, 2: 0, 3: 2} {
		if got, err := countMembers(path, 12, group); got != want || err != nil {
			t.Errorf("group %d: %d sockets, %v; want %d", group, got, err, want)
		}
	}
	if err := os.WriteFile(path, []byte("x 12 0 zz\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := countMembers(path, 12, 1); err == nil {
		t.Error("a mask that is none is no error")
	}
}
