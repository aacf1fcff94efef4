package all

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"golang.org/x/sys/unix"

	"github.com/ulogd-go/ulogd/contrib/lab"
)

const flowStacks = `[global]
logfile="stdout"
loglevel=5
stack=ct1:NFCT,ip2str1:IP2STR,print1:PRINTFLOW,emu1:LOGEMU
stack=ct1:NFCT,ip2str1:IP2STR,json1:JSON
stack=ct1:NFCT,ip2str1:IP2STR,op1:OPRINT
stack=ct1:NFCT,ip2str1:IP2STR,gp1:GPRINT
stack=ct1:NFCT,xml1:XML
stack=ct1:NFCT,ip2str1:IP2STR,nacct1:NACCT
[ct1]
netlink_socket_buffer_size=16777216
netlink_socket_buffer_maxsize=16777217
%s[emu1]
file="DIR/logemu.log"
sync=1
[json1]
file="DIR/json.log"
sync=1
[op1]
file="DIR/oprint.log"
sync=1
[gp1]
file="DIR/gprint.log"
sync=1
[xml1]
directory="DIR"
sync=1
[nacct1]
file="DIR/nacct.log"
sync=1
`

// startFlows starts a daemon and waits until there are that many sockets that hear of
// connections that end.
func startFlows(t *testing.T, ns *lab.NS, program, options string, sockets int) *sideBySide {
	t.Helper()
	d := launch(t, ns, program, t.TempDir(), fmt.Sprintf(flowStacks, options))
	const destroyGroup = 3 // NFNLGRP_CONNTRACK_DESTROY
	until(t, "a listener", func() bool {
		n, err := ns.Members(unix.NETLINK_NETFILTER, destroyGroup)
		if err != nil {
			t.Fatal(err)
		}
		return n >= sockets
	})
	return d
}

// router is a namespace that tracks connections with its peer, translates some of them
// and serves them.
type router struct {
	ns, peer *lab.NS
}

const (
	routerAddr4, peerAddr4 = "192.0.2.1", "192.0.2.2"
	routerAddr6, peerAddr6 = "2001:db8::1", "2001:db8::2"
)

func newRouter(t *testing.T) *router {
	t.Helper()
	r := &router{ns: lab.Test(t), peer: lab.Test(t)}
	if err := lab.Veth(
		lab.Port{NS: r.ns, Name: "va", MAC: "02:00:00:00:00:0a", Addrs: []string{routerAddr4 + "/24", "192.0.2.3/24", routerAddr6 + "/64"}},
		lab.Port{NS: r.peer, Name: "vb", MAC: "02:00:00:00:00:0b", Addrs: []string{peerAddr4 + "/24", peerAddr6 + "/64"}},
	); err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{"acct": "1", "timestamp": "1", "events": "1"} {
		if err := r.ns.Sysctl("net.netfilter.nf_conntrack_"+name, value); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.ns.Track(42); err != nil {
		t.Fatal(err)
	}
	for _, x := range []lab.Translation{
		{Protocol: unix.IPPROTO_TCP, DstPort: 80, To: netip.MustParseAddrPort(routerAddr4 + ":8080")},
		{Protocol: unix.IPPROTO_UDP, DstPort: 53, To: netip.MustParseAddrPort("192.0.2.3:5353")},
		{Protocol: unix.IPPROTO_TCP, DstPort: 80, To: netip.MustParseAddrPort("[" + routerAddr6 + "]:8080")},
		{Source: true, Protocol: unix.IPPROTO_UDP, DstPort: 4000, To: netip.MustParseAddrPort("192.0.2.3:33333")},
	} {
		if err := r.ns.Translate(x); err != nil {
			t.Fatal(err)
		}
	}
	r.serve(t)
	return r
}

// serve answers on TCP port 8080 of both families.
func (r *router) serve(t *testing.T) {
	t.Helper()
	err := r.ns.Do(func() error {
		for _, addr := range []string{routerAddr4, routerAddr6} {
			l, err := net.Listen("tcp", net.JoinHostPort(addr, "8080"))
			if err != nil {
				return err
			}
			t.Cleanup(func() { l.Close() })
			go func() {
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					_, _ = io.Copy(c, c)
					_ = c.Close()
				}
			}()
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// talk makes connections of all sorts, some of them translated.
func (r *router) talk(t *testing.T, seed uint64, frames int) {
	t.Helper()
	err := r.peer.Do(func() error {
		for _, addr := range []string{routerAddr4 + ":8080", routerAddr4 + ":80", "[" + routerAddr6 + "]:8080", "[" + routerAddr6 + "]:80"} {
			if err := exchange(addr); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		err = r.ns.Do(func() error { return datagram("udp", peerAddr4+":4000") })
	}
	if err == nil {
		err = r.peer.SendFrames("vb", flowFrames(seed, frames)...)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// exchange is a connection of TCP from its beginning to its end.
func exchange(addr string) error {
	c, err := net.DialTimeout("tcp", addr, 5*time.Second)
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := c.Write([]byte("hello")); err != nil {
		return err
	}
	if err := c.(*net.TCPConn).CloseWrite(); err != nil {
		return err
	}
	_, err = io.ReadAll(c)
	return err
}

func datagram(network, addr string) error {
	c, err := net.Dial(network, addr)
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = c.Write([]byte("hello"))
	return err
}

// flowFrames are packets that each begin a connection, or answer none.
func flowFrames(seed uint64, n int) [][]byte {
	rnd := rand.New(rand.NewPCG(seed, 7))
	frames := make([][]byte, n)
	for i := range frames {
		src4, src6 := net.IPv4(192, 0, 2, byte(10+rnd.IntN(200))).To4(), net.ParseIP(fmt.Sprintf("2001:db8::%x", 0x10+rnd.IntN(0xff00)))
		port := layers.UDPPort(1024 + rnd.IntN(60000))
		payload := gopacket.Payload(bytes.Repeat([]byte{'x'}, rnd.IntN(100)))
		switch rnd.IntN(10) {
		case 0, 1:
			frames[i] = frame(src4, 17, &layers.UDP{SrcPort: port, DstPort: 53}, payload)
		case 2:
			frames[i] = frame(src6, 17, &layers.UDP{SrcPort: port, DstPort: 9}, payload)
		case 3:
			frames[i] = frame(src4, 6, &layers.TCP{SrcPort: layers.TCPPort(port), DstPort: layers.TCPPort(1 + rnd.IntN(9000)), Seq: rnd.Uint32(), SYN: true, Window: 1000}, payload[:0])
		case 4:
			frames[i] = frame(src4, 1, &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(8, 0), Id: uint16(port), Seq: 1}, payload)
		case 5:
			frames[i] = frame(src6, 58, &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(128, 0)}, &layers.ICMPv6Echo{Identifier: uint16(port), SeqNumber: 1})
		case 6:
			frames[i] = frame(src4, 132, gopacket.Payload(append([]byte{byte(port >> 8), byte(port), 0, 80, 0, 0, 0, 0, 0, 0, 0, 0}, 1, 0, 0, 20, 1, 2, 3, 4, 0, 0, 16, 0, 0, 1, 0, 1, 0, 0, 0, 9)))
		case 7:
			frames[i] = frame(src4, layers.IPProtocol(50+rnd.IntN(2)), gopacket.Payload(make([]byte, 24)))
		case 8:
			frames[i] = frame(src6, 6, &layers.TCP{SrcPort: layers.TCPPort(port), DstPort: 443, SYN: true, Window: 1000}, payload[:0])
		case 9:
			frames[i] = frame(src4, 47, gopacket.Payload([]byte{0x30, 1, 0x88, 0x0b, 0, 4, 0, byte(port), 0, 0, 0, 1, 'p', 'p', 'p', 'p'}))
		}
	}
	return frames
}

// frame is an Ethernet frame to the router.
func frame(src net.IP, proto layers.IPProtocol, rest ...gopacket.SerializableLayer) []byte {
	eth := &layers.Ethernet{SrcMAC: net.HardwareAddr{2, 0, 0, 0, 0xbe, 0xef}, DstMAC: net.HardwareAddr{2, 0, 0, 0, 0, 0x0a}, EthernetType: layers.EthernetTypeIPv4}
	var ip gopacket.SerializableLayer
	var network gopacket.NetworkLayer
	if src.To4() != nil {
		v4 := &layers.IPv4{Version: 4, TTL: 64, Protocol: proto, SrcIP: src, DstIP: net.ParseIP(routerAddr4)}
		ip, network = v4, v4
	} else {
		v6 := &layers.IPv6{Version: 6, HopLimit: 64, NextHeader: proto, SrcIP: src, DstIP: net.ParseIP(routerAddr6)}
		eth.EthernetType, ip, network = layers.EthernetTypeIPv6, v6, v6
	}
	if x, ok := rest[0].(interface {
		SetNetworkLayerForChecksum(gopacket.NetworkLayer) error
	}); ok {
		_ = x.SetNetworkLayerForChecksum(network) // fails for no layer that is used here
	}
	buf := gopacket.NewSerializeBuffer()
	all := append([]gopacket.SerializableLayer{eth, ip}, rest...)
	if err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, all...); err != nil {
		panic(err)
	}
	return buf.Bytes()
}

// settled waits until both daemons have written as many records into the files of that
// name, a line each, and no more for a while.
func settled(t *testing.T, theirs, ours *sideBySide, least int, names ...string) int {
	t.Helper()
	count := func(d *sideBySide) int {
		smallest := -1
		for _, name := range names {
			if n := len(lines(filepath.Join(d.dir, name))); smallest < 0 || n < smallest {
				smallest = n
			}
		}
		return smallest
	}
	last, since := -1, time.Now()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		a, b := count(theirs), count(ours)
		if a != b || a < least || a != last {
			last, since = -1, time.Now()
			if a == b {
				last = a
			}
		} else if time.Since(since) > 500*time.Millisecond {
			return a
		}
		if time.Now().After(deadline) {
			t.Fatalf("ulogd wrote %d records, ours %d; want as many, and %d at least\n%s\n%s", a, b, least, &theirs.log, &ours.log)
		}
	}
}

// flowClock are times that each daemon takes from its own clock; without the kernel's
// time in a message.
var flowClock = regexp.MustCompile(`"?flow\.(start|end)\.u?sec"?[=:] ?[0-9]+(, |[,\n])`)

// What else depends on when a daemon asks the kernel for connections: the end in a line
// of NACCT, and what XML has of them at that time.
var (
	nacctEnd = regexp.MustCompile(`(?m)^[0-9]+\t`)
	xmlState = regexp.MustCompile(`<(timeout|use|deltatime)>[0-9]+</`)
)

// maskClock masks the times of a kind.
func maskClock(data []byte, kind string) []byte {
	if kind == "end" {
		data = nacctEnd.ReplaceAll(data, []byte("(end)\t"))
		data = xmlState.ReplaceAll(data, []byte("<$1>(n)</"))
	}
	return flowClock.ReplaceAllFunc(data, func(m []byte) []byte {
		if bytes.Contains(m, []byte("flow."+kind)) {
			return nil
		}
		return m
	})
}

// compareFlows compares what two daemons wrote, but for the times that depend on their
// clocks. Unordered records are sorted.
func compareFlows(t *testing.T, theirs, ours *sideBySide, ordered bool, clocks ...string) {
	t.Helper()
	for _, name := range flowOutputs {
		mask := func(data []byte) []byte {
			data = maskFlows(data)
			for _, kind := range clocks {
				data = maskClock(data, kind)
			}
			return data
		}
		want := mask(asSince209(readOutput(t, theirs.dir, name)))
		got := mask(withoutICMPv6(readOutput(t, ours.dir, name)))
		w, g := flowRecords(want), flowRecords(got)
		if !ordered {
			slices.Sort(w)
			slices.Sort(g)
		}
		sameRecords(t, name+" record", w, g)
		if len(w) != len(g) || len(w) == 0 {
			t.Errorf("%s: %d records of ulogd, %d of ours", name, len(w), len(g))
		}
	}
}

func flowRecords(data []byte) []string {
	separator := "\n"
	if bytes.HasPrefix(data, []byte("===>")) {
		separator = "===>PACKET BOUNDARY\n"
	}
	return slices.DeleteFunc(strings.Split(string(data), separator), func(s string) bool { return s == "" })
}

// sameStarts checks that both daemons have the same beginnings, within a time that
// either may need to come to an event.
func sameStarts(t *testing.T, theirs, ours *sideBySide) {
	t.Helper()
	a, b := starts(t, theirs), starts(t, ours)
	for id, at := range a {
		if d := b[id].Sub(at).Abs(); d > 2*time.Second {
			t.Errorf("connection %s: ulogd has it begin at %v, ours at %v", id, at, b[id])
		}
	}
	if len(a) == 0 || len(a) != len(b) {
		t.Errorf("%d beginnings in ulogd's records, %d in ours", len(a), len(b))
	}
}

var startKeys = regexp.MustCompile(`ct\.id=(\d+),ct\.event=(\d+),flow\.start\.sec=(\d+),flow\.start\.usec=(\d+)`)

func starts(t *testing.T, d *sideBySide) map[string]time.Time {
	t.Helper()
	all := make(map[string]time.Time)
	for _, m := range startKeys.FindAllStringSubmatch(string(readFile(t, filepath.Join(d.dir, "gprint.log"))), -1) {
		sec, err := strconv.ParseInt(m[3], 10, 64)
		usec, err2 := strconv.ParseInt(m[4], 10, 64)
		if err != nil || err2 != nil {
			t.Fatal(err, err2)
		}
		all[m[1]+" "+m[2]] = time.Unix(sec, usec*1000)
	}
	return all
}

// TestLiveFlows has both daemons listen to the same connections, and compares what they
// write.
func TestLiveFlows(t *testing.T) {
	needOriginal(t)
	program := buildOurs(t)
	for _, tt := range []struct {
		name, options string
	}{
		{"without the table", "hash_enable=0\n"},
		{"with the table", "hash_enable=1\n"},
		{"with updates", "event_mask=7\n"},
		{"filtered by source and protocol", "hash_enable=0\naccept_src_filter=192.0.2.0/25,10.0.0.0/8,2001:db8::/113\naccept_proto_filter=tcp,udp,icmp\n"},
		// In 2.0.8 no connection of IPv6 passes the filter of destinations.
		{"filtered by destination", "hash_enable=0\naccept_dst_filter=192.0.2.1/32\naccept_proto_filter=icmp,esp\n"},
		{"reliable", "hash_enable=0\nreliable=1\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRouter(t)
			theirs := startFlows(t, r.ns, original, tt.options, 1)
			ours := startFlows(t, r.ns, program, tt.options, 2)
			r.talk(t, 1, 400)
			if err := r.ns.FlushConnections(); err != nil {
				t.Fatal(err)
			}
			n := settled(t, theirs, ours, 100, "logemu.log", "json.log", "gprint.log")
			compareFlows(t, theirs, ours, true, "start")
			sameStarts(t, theirs, ours)
			t.Logf("%d records compared", n)
		})
	}
}

// TestLivePolling has both daemons ask for the same connections again and again. They do
// so at different times, so connections live for a few dumps.
func TestLivePolling(t *testing.T) {
	needOriginal(t)
	program := buildOurs(t)
	for attempt := range 4 {
		r := newRouter(t)
		theirs := startFlows(t, r.ns, original, "pollinterval=1\n", 0)
		ours := startFlows(t, r.ns, program, "pollinterval=1\n", 0)
		r.talk(t, 2, 400)
		time.Sleep(time.Duration(3+3*attempt) * time.Second)
		if err := r.ns.FlushConnections(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(3+3*attempt) * time.Second)
		if a, b := len(lines(filepath.Join(theirs.dir, "gprint.log"))), len(lines(filepath.Join(ours.dir, "gprint.log"))); a != b || a < 100 {
			t.Logf("%d records of ulogd, %d of ours: trying again with more time", a, b)
			continue
		}
		compareFlows(t, theirs, ours, false, "start", "end")
		return
	}
	t.Error("the daemons never wrote as many records")
}
