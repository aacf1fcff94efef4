package all

import (
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ulogd-go/ulogd/contrib/lab"
)

// filtered is a stack up to its outputs, which write into files such as mark0.GPRINT.
type filtered struct {
	name, stack, section string
	outputs              []string
	silent               bool // no packet gets through
}

// filterWays begin with the one that passes all packets, which ulogd serves last.
func filterWays() []filtered {
	const packet = "log1:NFLOG,base1:BASE,ifi1:IFINDEX"
	texts := []string{"GPRINT", "OPRINT", "JSON"}
	ways := []filtered{
		{name: "all", stack: packet, outputs: texts},
		{name: "bin", stack: packet + ",bin1:IP2BIN", outputs: texts},
		{name: "hbin", stack: packet + ",hbin1:IP2HBIN", outputs: texts},
		{name: "hw", stack: packet + ",hw1:HWHDR", outputs: texts},
		{name: "print", stack: packet + ",str1:IP2STR,print1:PRINTPKT", outputs: texts[:1]},
		{name: "twice", outputs: texts[:1], section: "[first]\nmark=5\nmask=0xff\n[second]\nmark=0x80000000\nmask=0x80000000\n",
			stack: "log1:NFLOG,first:MARK,hw1:HWHDR,ifi1:IFINDEX,base1:BASE,second:MARK,hw2:HWHDR,ifi2:IFINDEX,str1:IP2STR,str2:IP2STR,print1:PRINTPKT,print2:PRINTPKT"},
	}
	for i, section := range []string{
		"", "mark=5", "mark=2147483653", "mark=0x80000005", "mark=-2147483643", "mark=-0x7ffffffb", "mark=4294967295", "mark=-1",
		"mark=+05", "mark=5x", "mark=08", "mark=0x", "mark=five", "mark=0x100000005", "mark=99999999999999999999", "mask=0",
		"mark=5\nmask=0xff", "mark=5\nmask=255", "mark=05\nmask=017", "mark=0\nmask=4", "mark=0x80000000\nmask=0x80000000",
		"mask=-2\nmark=4", "mark=5\nmask=0x1000000ff", "mark=1\nmask=2", // the mark is not masked
	} {
		id := fmt.Sprintf("mark%d", i)
		ways = append(ways, filtered{
			name: id, stack: "log1:NFLOG," + id + ":MARK,base1:BASE,ifi1:IFINDEX", section: fmt.Sprintf("[%s]\n%s\n", id, section),
			outputs: texts[:1], silent: section == "mark=1\nmask=2",
		})
	}
	return ways
}

func filterConfig(ways []filtered) string {
	var stacks, sections strings.Builder
	for _, w := range ways {
		for _, out := range w.outputs {
			id := w.name + strings.ToLower(out)
			fmt.Fprintf(&stacks, "stack=%s,%s:%s\n", w.stack, id, out)
			fmt.Fprintf(&sections, "[%s]\nfile=DIR/%s.%s\nsync=1\n", id, w.name, out)
		}
		sections.WriteString(w.section)
	}
	return stacks.String() + sections.String()
}

// What 2.0.8 makes of IP2HBIN, other than later versions, whom we follow: its IPv6 is a
// part of a memory address, and its OPRINT turns all addresses round.
var (
	hostOrder6  = regexp.MustCompile(`(?m)(oob\.family=10,.*ip\.hsaddr=)[^,]+(,ip\.hdaddr=)[^,\n]+`)
	hostOrderOP = regexp.MustCompile(`(?m)^(ip\.h[sd]addr=)[0-9a-f.:]+$`)
)

// unknownFamily are records of packets that the device has logged, which the original's
// IP2HBIN drops.
var unknownFamily = regexp.MustCompile(`(?m)(^.*oob\.family"?[=:] ?5,.*|^===>PACKET BOUNDARY\n([^=]+=.*\n)*?oob\.family=5$(\n[^=\n]+=.*)*)\n`)

func maskFilters(data []byte) []byte {
	data = pollTime.ReplaceAll(maskVersions(data), []byte("${1}time")) // on the way out, that of reading
	data = hostOrder6.ReplaceAll(data, []byte("${1}address${2}address"))
	return hostOrderOP.ReplaceAll(data, []byte("${1}address"))
}

// tunnel makes an interface whose packets have no link-layer header, as those of a VPN, and
// gives what it receives from.
func tunnel(t *testing.T, ns *lab.NS, name string) *os.File {
	t.Helper()
	var f *os.File
	err := ns.Do(func() error {
		fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		f = os.NewFile(uintptr(fd), name)
		ifr, err := unix.NewIfreq(name)
		if err != nil {
			return err
		}
		ifr.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		return unix.IoctlIfreq(fd, unix.TUNSETIFF, ifr)
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	up := exec.Command("ip", "link", "set", name, "up")
	if err := cmp.Or(ns.Start(up), up.Wait()); err != nil {
		t.Fatal(err)
	}
	return f
}

// logMarked logs what comes from the peer, TCP, UDP and ICMP with a mark each, all of it
// once more by the device, whose family has no decoder, and what has other link-layer
// headers or none: through lo, a tunnel, and on its way out. It gives the counters.
func logMarked(t *testing.T, ns *lab.NS) (hits []*lab.Counter) {
	t.Helper()
	groups := []uint16{1, 2}
	for _, r := range []lab.Rule{
		{Hook: "prerouting", Protocol: unix.IPPROTO_UDP, Mark: 5},
		{Hook: "prerouting", Protocol: unix.IPPROTO_TCP, Mark: 0x80000005},
		{Hook: "prerouting", Protocol: unix.IPPROTO_ICMP, Mark: 0xffffffff},
		{Hook: "prerouting", SrcMAC: "02:00:00:00:be:ef", Groups: groups},
		{Hook: "prerouting", InName: "lo", Protocol: unix.IPPROTO_UDP, Groups: groups},
		{Hook: "prerouting", InName: "tun0", Groups: groups},
		{Hook: "output", OutName: "lo", Protocol: unix.IPPROTO_UDP, Groups: groups},
		{Family: "netdev", Hook: "ingress", InName: "fifteen-letters", SrcMAC: "02:00:00:00:be:ef", Groups: groups},
	} {
		if r.Priority = lab.PriorityFirst; r.Family == "" {
			r.Family = "inet"
		}
		c, err := ns.Log(r)
		if err != nil {
			t.Fatal(err)
		}
		if r.Groups != nil {
			hits = append(hits, c)
		}
	}
	return hits
}

// compareWays compares what both daemons wrote, masked by two functions that are told the
// name of the way.
func compareWays(t *testing.T, theirs, ours *sideBySide, ways []filtered, maskTheirs, maskOurs func(name string, data []byte) []byte) {
	t.Helper()
	for _, w := range ways {
		for _, out := range w.outputs {
			file := w.name + "." + out
			want, got := readFile(t, filepath.Join(theirs.dir, file)), readFile(t, filepath.Join(ours.dir, file))
			if w.silent && len(want)+len(got) == 0 {
				continue
			}
			sameLines(t, fmt.Sprintf("%s %q", file, w.section), maskTheirs(w.name, want), maskOurs(w.name, got))
		}
	}
}

// TestLiveFilters has filters whose keys no other test shows in a text beside the
// original's: marks that pass and marks that do not, in all spellings of numbers, addresses
// as literals and as numbers, headers, and a name as long as an interface may have.
func TestLiveFilters(t *testing.T) {
	needOriginal(t)
	program, ways := buildOurs(t), filterWays()
	ns, peer := lab.Test(t), lab.Test(t)
	if err := lab.Veth(lab.Port{NS: ns, Name: "fifteen-letters", Index: 11, MAC: "02:00:00:00:00:0a", Addrs: []string{"192.0.2.1/24", "2001:db8::1/64"}},
		lab.Port{NS: peer, Name: "vb", MAC: "02:00:00:00:00:0b"}); err != nil {
		t.Fatal(err)
	}
	stamps, err := ns.Timestamps() // sends a packet through lo, too
	if err != nil {
		t.Fatal(err)
	}
	defer stamps.Close()
	tun := tunnel(t, ns, "tun0")
	hits := logMarked(t, ns)
	config := filterConfig(ways) + "[log1]\nnetlink_socket_buffer_size=16777216\nnetlink_socket_buffer_maxsize=16777217\ngroup="
	theirs, ours := startConfig(t, ns, original, config+"1\n"), startConfig(t, ns, program, config+"2\n")

	if err := peer.SendFrames("vb", lab.Packets(5).Frames(200)...); err != nil {
		t.Fatal(err)
	}
	for _, frame := range lab.Packets(6).Frames(60) {
		_, _ = tun.Write(frame[14:]) // which refuses what is neither IPv4 nor IPv6
	}
	countOne(t, ns)
	matched := 0
	for _, c := range hits {
		n, err := c.Packets()
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			t.Error("a rule has logged nothing")
		}
		matched += int(n)
	}
	for _, d := range []*sideBySide{theirs, ours} {
		until(t, fmt.Sprintf("%s writes %d packets", d.cmd.Path, matched), func() bool {
			return len(lines(filepath.Join(d.dir, "all.GPRINT"))) >= matched
		})
		d.end(t)
	}
	compareWays(t, theirs, ours, ways, func(_ string, data []byte) []byte { return maskFilters(data) }, func(name string, data []byte) []byte {
		if name == "hbin" {
			data = unknownFamily.ReplaceAll(data, nil)
		}
		return maskFilters(data)
	})
}

// flowFilters are filters of connections, of which all have the mark 42. The original writes
// their addresses only four bytes long, so that they need IP2STR for the comparison.
var flowFilters = []filtered{
	{name: "all", stack: "ct1:NFCT,str1:IP2STR", outputs: []string{"GPRINT"}},
	{name: "hbin", stack: "ct1:NFCT,str1:IP2STR,hbin1:IP2HBIN", outputs: []string{"GPRINT"}},
	{name: "bin", stack: "ct1:NFCT,str1:IP2STR,bin1:IP2BIN", outputs: []string{"GPRINT", "OPRINT", "JSON"}},
	{name: "print", stack: "ct1:NFCT,str1:IP2STR,str2:IP2STR,print1:PRINTFLOW,print2:PRINTFLOW", outputs: []string{"GPRINT"}},
	{name: "mark42", stack: "ct1:NFCT,mark42:MARK,str1:IP2STR", section: "[mark42]\nmark=42\n", outputs: []string{"GPRINT"}},
	{name: "mark2", stack: "ct1:NFCT,str1:IP2STR,mark2:MARK", section: "[mark2]\nmark=2\nmask=3\n", outputs: []string{"GPRINT"}},
	{name: "mark0", stack: "ct1:NFCT,mark0:MARK", outputs: []string{"GPRINT"}, silent: true},
}

// What 2.0.8 makes of connections, other than later versions, whom we follow: IP2BIN and
// IP2HBIN leave out the last address, and IPv6 in IP2HBIN is a part of a memory address.
var (
	lastAddress = regexp.MustCompile(`,reply\.ip\.hdaddr=[^,\n]+|(?m:^reply\.ip\.daddr\.bin=default\n)`)
	hostFlow6   = regexp.MustCompile(`(?m)(oob\.family=10,.*orig\.ip\.hsaddr=)[^,]+(,orig\.ip\.hdaddr=)[^,]+(,reply\.ip\.hsaddr=)[^,\n]+`)
)

// TestLiveFlowFilters has filters of connections beside the original's.
func TestLiveFlowFilters(t *testing.T) {
	needOriginal(t)
	program, r := buildOurs(t), newRouter(t)
	config := filterConfig(flowFilters) + "[ct1]\nhash_enable=0\nnetlink_socket_buffer_size=16777216\nnetlink_socket_buffer_maxsize=16777217\n"
	theirs, ours := startConfig(t, r.ns, original, config), startConfig(t, r.ns, program, config)
	r.talk(t, 3, 200)
	if err := r.ns.FlushConnections(); err != nil {
		t.Fatal(err)
	}
	settled(t, theirs, ours, 100, "all.GPRINT")
	theirs.end(t)
	ours.end(t)
	mask := func(data []byte) []byte {
		data = hostFlow6.ReplaceAll(maskClock(maskFlows(data), "start"), []byte("${1}address${2}address${3}address"))
		return lastAddress.ReplaceAll(data, nil)
	}
	compareWays(t, theirs, ours, flowFilters, func(_ string, data []byte) []byte { return mask(asSince209(data)) },
		func(_ string, data []byte) []byte { return mask(withoutICMPv6(data)) })
}
