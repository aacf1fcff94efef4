package generator

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/ulogd-go/ulogd/contrib/lab"
)

func TestFrames(t *testing.T) {
	frames := Frames(1, 10000)
	count := map[layers.IPProtocol]int{}
	for i, b := range frames {
		p := gopacket.NewPacket(b, layers.LayerTypeEthernet, gopacket.Default)
		ip, ok := p.NetworkLayer().(*layers.IPv4)
		load := p.TransportLayer() != nil || p.Layer(layers.LayerTypeICMPv4) != nil
		if !ok || !load || int(ip.Length) != len(b)-headerLen || ip.Length < 40 || ip.Length > 120 {
			t.Fatalf("frame %d is not a good IPv4 packet of 40 to 120 bytes: %v", i, p)
		}
		if dst, _ := netip.AddrFromSlice(ip.DstIP); !local.Masked().Contains(dst) || ip.SrcIP[0] != 10 {
			t.Fatalf("frame %d goes from %v to %v", i, ip.SrcIP, ip.DstIP)
		}
		if sum := checksum(ip.Contents); sum != 0 {
			t.Fatalf("frame %d: header checksum is off by %#x", i, sum)
		}
		count[ip.Protocol]++
	}
	for proto, want := range map[layers.IPProtocol]int{layers.IPProtocolTCP: 4000, layers.IPProtocolUDP: 4000, layers.IPProtocolICMPv4: 2000} {
		if got := count[proto]; got < want*9/10 || got > want*11/10 {
			t.Errorf("%d of 10000 packets are %v, want about %d", got, proto, want)
		}
	}
	if diff := cmp.Diff(frames, Frames(1, 10000)); diff != "" {
		t.Errorf("the same seed gave other frames:\n%s", diff)
	}
}

func TestDue(t *testing.T) {
	f := func(load Load, offered int, elapsed time.Duration, want int) {
		t.Helper()
		if got := due(load, offered, elapsed); got != want {
			t.Errorf("due(%+v, %d, %v) = %d, want %d", load, offered, elapsed, got, want)
		}
	}
	f(Load{Count: 1000}, 0, 0, maxBatch)
	f(Load{Count: 1000}, 990, 0, 10)
	f(Load{Count: 1000, Rate: 1000}, 0, 0, 0)
	f(Load{Count: 1000, Rate: 1000}, 10, 15*time.Millisecond, 5)
	f(Load{Count: 1000, Rate: 1000}, 20, 15*time.Millisecond, 0)
	f(Load{Count: 1000, Rate: 1000}, 0, time.Second, maxBatch)
}

func TestKernelRun(t *testing.T) {
	f := func(name string, rule lab.Rule, load Load, atLeast time.Duration) {
		t.Run(name, func(t *testing.T) {
			ns := lab.Test(t)
			counter, err := ns.Log(rule)
			if err != nil {
				t.Fatal(err)
			}
			got, err := Run(t.Context(), ns, load)
			if err != nil {
				t.Fatal(err)
			}
			hits, err := counter.Packets()
			if err != nil || got.Offered != load.Count || hits != uint64(load.Count) {
				t.Errorf("offered %d, rule hit %d times, %v, want %d", got.Offered, hits, err, load.Count)
			}
			if got.Elapsed < atLeast {
				t.Errorf("took %v, faster than %d packets per second", got.Elapsed, load.Rate)
			}
		})
	}
	f("input", lab.Rule{Family: "ip", Hook: "input", Verdict: "drop"}, Load{Count: 10001}, 0)
	f("prerouting", lab.Rule{Family: "ip", Hook: "prerouting", Verdict: "drop"}, Load{Count: 5000}, 0)
	f("rate", lab.Rule{Family: "ip", Hook: "input", Verdict: "drop"}, Load{Count: 2000, Rate: 20000}, 99*time.Millisecond)
}

func TestKernelRunStops(t *testing.T) {
	ns := lab.Test(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Run(ctx, ns, Load{Count: 10}); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled run returned %v", err)
	}
}
