package lab

import (
	"bytes"
	"net"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
)

func TestPacketsRepeat(t *testing.T) {
	a, b, other := Packets(3), Packets(3), Packets(4)
	first := a.Frames(500)
	if diff := cmp.Diff(first, b.Frames(500)); diff != "" {
		t.Errorf("the same seed gave other frames:\n%s", diff)
	}
	if slices.EqualFunc(first, other.Frames(500), bytes.Equal) {
		t.Error("another seed gave the same frames")
	}
}

// TestPacketsWellFormed has gopacket, written by others, read the frames.
func TestPacketsWellFormed(t *testing.T) {
	m := Packets(5)
	m.Malformed, m.VLAN = 0, 10
	seen := map[gopacket.LayerType]int{}
	for i := range 20000 {
		frame := m.Frame()
		p := gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.Default)
		for _, l := range p.Layers() {
			seen[l.LayerType()]++
		}
		eth := p.LinkLayer().(*layers.Ethernet)
		if want := (net.HardwareAddr)(m.Src[:]); eth.SrcMAC.String() != want.String() {
			t.Fatalf("frame %d comes from %v, want %v", i, eth.SrcMAC, want)
		}
		checkIP(t, i, p)
	}
	for _, want := range []gopacket.LayerType{layers.LayerTypeIPv4, layers.LayerTypeIPv6, layers.LayerTypeARP, layers.LayerTypeDot1Q,
		layers.LayerTypeTCP, layers.LayerTypeUDP, layers.LayerTypeICMPv4, layers.LayerTypeICMPv6, layers.LayerTypeSCTP,
		layers.LayerTypeIPSecESP, layers.LayerTypeIPSecAH, layers.LayerTypeGRE, layers.LayerTypeIGMP, layers.LayerTypeIPv6HopByHop,
		layers.LayerTypeIPv6Destination, layers.LayerTypeIPv6Routing, layers.LayerTypeIPv6Fragment, layers.LayerTypeUDPLite} {
		if seen[want] < 20 {
			t.Errorf("%d of 20000 frames hold %v, want at least 20", seen[want], want)
		}
	}
}

func checkIP(t *testing.T, i int, p gopacket.Packet) {
	size, all := len(p.Data())-14, p.Layers()[1:]
	for len(all) > 0 && all[0].LayerType() == layers.LayerTypeDot1Q {
		size, all = size-4, all[1:]
	}
	if len(all) == 0 {
		return
	}
	switch ip := all[0].(type) {
	case *layers.IPv4:
		if int(ip.Length) != size {
			t.Errorf("frame %d: IPv4 length %d, want %d", i, ip.Length, size)
		}
		if sum := checksum(0, ip.Contents); sum != 0 {
			t.Errorf("frame %d: IPv4 header checksum is off by %#x", i, sum)
		}
		sealed(t, i, p, ip)
	case *layers.IPv6:
		if int(ip.Length) != size-40 {
			t.Errorf("frame %d: IPv6 length %d, want %d", i, ip.Length, size-40)
		}
		sealed(t, i, p, ip)
	}
}

// sealed checks the checksum of a TCP segment of the only IP packet in p.
func sealed(t *testing.T, i int, p gopacket.Packet, ip gopacket.NetworkLayer) {
	headers := 0
	for _, l := range p.Layers() {
		if _, ok := l.(gopacket.NetworkLayer); ok {
			headers++
		}
	}
	tcp, ok := p.TransportLayer().(*layers.TCP)
	if !ok || headers > 1 {
		return
	}
	flow := ip.NetworkFlow()
	sum := addWords(addWords(uint32(len(tcp.Contents)+len(tcp.Payload))+6, flow.Src().Raw()), flow.Dst().Raw())
	if sum := checksum(addWords(sum, tcp.Contents), tcp.Payload); sum != 0 {
		t.Errorf("frame %d: TCP checksum is off by %#x", i, sum)
	}
}

func TestPacketsMalformed(t *testing.T) {
	m := Packets(6)
	m.Malformed = 100
	failed := 0
	for i := range 5000 {
		frame := m.Frame()
		if len(frame) < 14 || len(frame) > 1500 {
			t.Fatalf("frame %d has %d bytes, want 14 to 1500", i, len(frame))
		}
		if p := gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.Default); p.ErrorLayer() != nil || p.Metadata().Truncated {
			failed++
		}
	}
	if failed < 1000 {
		t.Errorf("gopacket objected to %d of 5000 malformed frames, want at least 1000", failed)
	}
}
