package lab

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	nflog "github.com/florianl/go-nflog/v2"
	"github.com/google/go-cmp/cmp"
	wire "github.com/ulogd-go/ulogd/pkg/nflog"
)

// frameMAC is where the frames of a Maker come from; the guest's own packets
// come from guestMAC.
const (
	frameMAC = "02:00:00:00:be:ef"
	guestMAC = "02:00:00:00:00:0b"
)

// reader collects what go-nflog reads from one group.
type reader struct {
	mu  sync.Mutex
	got []nflog.Attribute
}

// read starts reading a group and returns when the group is bound.
func read(t *testing.T, ns *NS, group uint16) *reader {
	t.Helper()
	var conn *nflog.Nflog
	err := ns.Do(func() (err error) {
		conn, err = nflog.Open(&nflog.Config{Group: group, Copymode: nflog.CopyPacket, Bufsize: 0xffff, QThresh: 1})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	r := new(reader)
	ctx, stop := context.WithCancel(context.Background())
	t.Cleanup(func() { stop(); conn.Close() })
	fail := func(err error) int { t.Error(err); return 1 }
	if err := conn.RegisterWithErrorFunc(ctx, r.add, func(err error) int {
		if ctx.Err() != nil {
			return 1
		}
		return fail(err)
	}); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *reader) add(a nflog.Attribute) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	if a.Payload != nil {
		copied := slices.Clone(*a.Payload)
		a.Payload = &copied
	}
	r.got = append(r.got, a)
	return 0
}

// wait returns the packets once there are n of them.
func (r *reader) wait(t *testing.T, n int) []nflog.Attribute {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		r.mu.Lock()
		got := slices.Clone(r.got)
		r.mu.Unlock()
		if len(got) >= n {
			return got
		}
		if time.Now().After(deadline) {
			t.Fatalf("read %d packets in 10 s, want %d", len(got), n)
		}
	}
}

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// pair is a host with the link va and a guest with vb.
func pair(t *testing.T) (host, guest *NS) {
	t.Helper()
	host, guest = Test(t), Test(t)
	err := Veth(Port{NS: host, Name: "va", Index: 11, MAC: "02:00:00:00:00:0a", Addrs: []string{"192.0.2.1/24", "2001:db8::1/64"}},
		Port{NS: guest, Name: "vb", Index: 22, MAC: guestMAC, Addrs: []string{"192.0.2.2/24", "2001:db8::2/64"}})
	if err != nil {
		t.Fatal(err)
	}
	return host, guest
}

// bridged is a host with the bridge br0 between its ports va and vc.
func bridged(t *testing.T) (host, guest *NS) {
	t.Helper()
	host, guest = Test(t), Test(t)
	far := Test(t)
	err := errors.Join(
		Bridge(Port{NS: host, Name: "br0", Index: 10}),
		Veth(Port{NS: host, Name: "va", Index: 11, Master: "br0"}, Port{NS: guest, Name: "vb", MAC: guestMAC}),
		Veth(Port{NS: host, Name: "vc", Index: 12, Master: "br0"}, Port{NS: far, Name: "vd"}))
	if err != nil {
		t.Fatal(err)
	}
	return host, guest
}

func TestKernelLinks(t *testing.T) {
	host, guest := pair(t)
	f := func(ns *NS, name string, index int, addrs ...string) {
		t.Helper()
		err := ns.Do(func() error {
			ifi, err := net.InterfaceByName(name)
			if err != nil {
				return err
			}
			got := must[[]net.Addr](t)(ifi.Addrs())
			var text []string
			for _, a := range got {
				text = append(text, a.String())
			}
			if ifi.Index != index || ifi.Flags&net.FlagUp == 0 {
				t.Errorf("%s has index %d and flags %v, want index %d and up", name, ifi.Index, ifi.Flags, index)
			}
			if diff := cmp.Diff(addrs, text); diff != "" {
				t.Errorf("addresses of %s (-want +got):\n%s", name, diff)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
	f(host, "lo", 1, "127.0.0.1/8", "::1/128")
	f(host, "va", 11, "192.0.2.1/24", "2001:db8::1/64")
	f(guest, "vb", 22, "192.0.2.2/24", "2001:db8::2/64")
	if err := guest.AddAddr("vb", "198.51.100.1/32"); err != nil {
		t.Error(err)
	}
	if err := guest.AddAddr("vb", "198.51.100.1/32"); !errors.Is(err, os.ErrExist) {
		t.Errorf("adding an address again gave %v, want that it exists", err)
	}
	f(guest, "vb", 22, "192.0.2.2/24", "198.51.100.1/32", "2001:db8::2/64")
}

func TestKernelDoReturns(t *testing.T) {
	ns := Test(t)
	links := func() string {
		var names []string
		for _, ifi := range must[[]net.Interface](t)(net.Interfaces()) {
			names = append(names, ifi.Name)
		}
		return strings.Join(names, " ")
	}
	before := links()
	var inside string
	wrong := errors.New("wrong")
	if err := ns.Do(func() error { inside = links(); return wrong }); !errors.Is(err, wrong) {
		t.Errorf("Do returned %v, want the function's error", err)
	}
	func() {
		defer func() { recover() }()
		ns.Do(func() error { panic("out") })
	}()
	if inside != "lo" || links() != before {
		t.Errorf("links inside %q and afterwards %q, want %q and %q", inside, links(), "lo", before)
	}
}

func TestKernelStart(t *testing.T) {
	ns := Test(t)
	out := new(strings.Builder)
	cmd := exec.Command("/proc/self/exe", "-test.run=^$")
	cmd.Env = append(os.Environ(), "LAB_TEST=links")
	cmd.Stdout = out
	if err := errors.Join(ns.Start(cmd), cmd.Wait()); err != nil {
		t.Fatal(err)
	}
	if out.String() != "lo\n" {
		t.Errorf("the command saw the links %q, want only lo", out)
	}
}

func TestKernelLogFamilies(t *testing.T) {
	arp := append([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0xbe, 0xef, 8, 6}, Packets(1).arp()...)
	copy(arp[14:], []byte{0, 1, 8, 0, 6, 4, 0, 1})
	m := Packets(1)
	m.Malformed = 0
	ip4 := slices.Concat([]byte{2, 0, 0, 0, 0, 0x0a, 2, 0, 0, 0, 0xbe, 0xef, 8, 0}, m.ip4())
	ip6 := slices.Concat([]byte{2, 0, 0, 0, 0, 0x0a, 2, 0, 0, 0, 0xbe, 0xef, 0x86, 0xdd}, m.ip6())
	f := func(r Rule, frames ...[]byte) {
		t.Helper()
		t.Run(r.Family+" "+r.Hook, func(t *testing.T) {
			host, guest := pair(t)
			if r.Family == "bridge" {
				host, guest = bridged(t)
			}
			r.SrcMAC, r.Prefix, r.Groups = frameMAC, "hello "+r.Family, []uint16{5}
			counter := must[*Counter](t)(host.Log(r))
			log := read(t, host, 5)
			if err := guest.SendFrames("vb", frames...); err != nil {
				t.Fatal(err)
			}
			var got []nflog.Attribute
			if r.Family != "arp" && r.Family != "netdev" { // go-nflog can't read messages of those families
				got = log.wait(t, len(frames))
			}
			if hits := must[uint64](t)(counter.Packets()); hits != uint64(len(frames)) {
				t.Errorf("the rule counted %d packets, want %d", hits, len(frames))
			}
			for i, a := range got {
				if a.Prefix == nil || strings.TrimRight(*a.Prefix, "\x00") != r.Prefix {
					t.Errorf("packet %d has prefix %v, want %q", i, a.Prefix, r.Prefix)
				}
				wantIn, wantPhys := uint32(11), uint32(0)
				if r.Family == "bridge" {
					wantIn, wantPhys = 10, 11
				}
				if in, phys := number(a.InDev), number(a.PhysInDev); in != wantIn || phys != wantPhys {
					t.Errorf("packet %d came in by %d, port %d, want %d, %d", i, in, phys, wantIn, wantPhys)
				}
				if string(*a.Payload) != string(frames[i][14:]) {
					t.Errorf("packet %d has payload %x, want %x", i, *a.Payload, frames[i][14:])
				}
			}
		})
	}
	f(Rule{Family: "ip", Hook: "prerouting", Priority: PriorityRaw}, ip4, ip4)
	f(Rule{Family: "ip6", Hook: "prerouting", Priority: PriorityRaw}, ip6)
	f(Rule{Family: "inet", Hook: "prerouting", Priority: PriorityFirst}, ip4, ip6)
	f(Rule{Family: "arp", Hook: "input"}, arp)
	f(Rule{Family: "bridge", Hook: "prerouting"}, ip4, arp, ip6)
	f(Rule{Family: "bridge", Hook: "forward"}, arp)
	f(Rule{Family: "netdev", Hook: "ingress", InName: "va"}, ip4, arp, ip6)
}

func number(p *uint32) uint32 {
	if p == nil {
		return 0
	}
	return *p
}

func TestKernelMatchAndMark(t *testing.T) {
	host, guest := pair(t)
	rule := Rule{Family: "inet", Hook: "prerouting", Priority: PriorityRaw, InName: "va", Protocol: 17, DstPort: 1001,
		Mark: 0xdeadbeef, Prefix: "marked", Groups: []uint16{7}, Snaplen: 24, QThreshold: 1}
	counter := must[*Counter](t)(host.Log(rule))
	log := read(t, host, 7)
	err := guest.Do(func() error {
		for _, to := range []string{"192.0.2.1:1000", "192.0.2.1:1001", "[2001:db8::1]:1001"} {
			conn, err := net.Dial("udp", to)
			if err != nil {
				return err
			}
			defer conn.Close()
			if _, err := conn.Write([]byte("hello")); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range log.wait(t, 2) {
		if number(a.Mark) != 0xdeadbeef || len(*a.Payload) != 24 {
			t.Errorf("mark %#x and %d bytes, want 0xdeadbeef and 24", number(a.Mark), len(*a.Payload))
		}
	}
	if hits := must[uint64](t)(counter.Packets()); hits != 2 {
		t.Errorf("the rule counted %d packets, want 2", hits)
	}
}

func TestKernelGroupsSeeTheSame(t *testing.T) {
	host, guest := bridged(t)
	m := Packets(42)
	m.VLAN = 20
	stamps := must[interface{ Close() error }](t)(host.Timestamps())
	defer stamps.Close()
	counter := must[*Counter](t)(host.Log(Rule{Family: "bridge", Hook: "prerouting", SrcMAC: frameMAC, Prefix: "p", Groups: []uint16{1, 2}}))
	one, two := read(t, host, 1), read(t, host, 2)
	const n = 1000
	var first, second []nflog.Attribute
	for range n / 50 { // few enough to fit into the receive buffers
		if err := guest.SendFrames("vb", m.Frames(50)...); err != nil {
			t.Fatal(err)
		}
		hits := must[uint64](t)(counter.Packets())
		first, second = one.wait(t, int(hits)), two.wait(t, int(hits))
	}
	// The kernel itself drops a frame that is too short for its VLAN tag.
	if len(first) < n*99/100 || len(first) != len(second) {
		t.Errorf("the groups got %d and %d of %d packets, want nearly all and the same", len(first), len(second), n)
	}
	if diff := cmp.Diff(first, second); diff != "" {
		t.Errorf("two groups of one rule differ:\n%s", diff)
	}
	for i, a := range first {
		if a.Timestamp == nil {
			t.Fatalf("packet %d has no time stamp", i)
		}
	}
}

func TestKernelListeners(t *testing.T) {
	ns := Test(t)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := ns.WaitListener(ctx, 9); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("waiting for a group that nobody reads gave %v", err)
	}
	read(t, ns, 9)
	got := must[wire.Bound](t)(ns.WaitListener(t.Context(), 9))
	if got.Group != 9 || got.PortID == 0 || got.CopyMode != int(nflog.CopyPacket) {
		t.Errorf("listener %+v, want group 9 with a port and packets copied", got)
	}
}

func TestKernelSysctl(t *testing.T) {
	ns := Test(t)
	if err := ns.Sysctl("net.ipv4.ip_forward", "1"); err != nil {
		t.Fatal(err)
	}
	ns.Do(func() error {
		got, err := os.ReadFile("/proc/sys/net/ipv4/ip_forward")
		if string(got) != "1\n" || err != nil {
			t.Errorf("ip_forward is %q, %v inside, want 1", got, err)
		}
		return nil
	})
	if err := ns.Sysctl("net.ipv4.no_such_thing", "1"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("an unknown setting gave %v, want not exist", err)
	}
}

func TestKernelRuleErrors(t *testing.T) {
	ns := Test(t)
	f := func(r Rule, want string) {
		t.Helper()
		if _, err := ns.Log(r); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Log(%+v) = %v, want an error about %q", r, err, want)
		}
	}
	f(Rule{Family: "ipx", Hook: "input"}, `unknown family "ipx"`)
	f(Rule{Family: "arp", Hook: "forward"}, `family arp has no hook "forward"`)
	f(Rule{Family: "netdev", Hook: "input", InName: "lo"}, `family netdev has no hook "input"`)
	f(Rule{Family: "netdev", Hook: "ingress"}, "netdev without InName")
	f(Rule{Family: "ip", Hook: "input", DstPort: 53}, "destination port 53 without a protocol")
	f(Rule{Family: "ip", Hook: "input", Verdict: "reject"}, `unknown verdict "reject"`)
	f(Rule{Family: "ip", Hook: "input", SrcMAC: "x"}, "source MAC")
}
