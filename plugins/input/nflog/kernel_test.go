package nflog

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/ulogd-go/ulogd/contrib/lab"
	"github.com/ulogd-go/ulogd/pkg/event"
	"github.com/ulogd-go/ulogd/pkg/nflog"
	"github.com/ulogd-go/ulogd/pkg/plugintest"
)

// reader reads some keys of a source, and asks for no more than a number of
// bytes of each packet.
type reader struct {
	extent int
	slots  map[string]*event.Slot
	names  []string
}

func (r *reader) Bind(b *event.Binder) {
	r.slots = make(map[string]*event.Slot)
	for _, name := range r.names {
		r.slots[name] = new(event.Slot)
		b.In(r.slots[name], name, event.None)
	}
	if r.extent > 0 {
		r.slots["raw.pkt"] = new(event.Slot)
		b.InPart(r.slots["raw.pkt"], "raw.pkt", event.Raw, r.extent)
	}
}

// input is a source in a namespace, with what a test reads of it.
type input struct {
	*source
	*reader
	*plugintest.Inside
}

// defaults are the options as they are registered.
func defaults() options { return options{BufSize: 150000, Unbind: true, CopyRange: copyAuto} }

func newInput(t *testing.T, o options, extent int, names ...string) *input {
	t.Helper()
	in := &input{reader: &reader{extent: extent, names: names}, Inside: plugintest.NewInside("log1")}
	x, err := open(o, in.Env)
	if err != nil {
		t.Fatal(err)
	}
	in.source = x.(*source)
	in.Connect(t, in.source, in.reader)
	return in
}

// TestGroupNumber: what is no number of a group is one in 16 bits, as in ulogd, but not
// in silence.
func TestGroupNumber(t *testing.T) {
	for group, want := range map[int]uint16{65536: 0, -1: 65535, 65535: 65535} {
		o := defaults()
		o.Group = group
		in := newInput(t, o, 0)
		if got := in.group(0).Number; got != want {
			t.Errorf("group %d stands for %d, want %d", group, got, want)
		}
		if int(want) != group {
			in.Await(t, fmt.Sprintf("group = %d: groups are 0 to 65535, this one stands for %d", group, want))
		}
	}
}

// start opens the source inside a namespace.
func (in *input) start(t *testing.T, ns *lab.NS) {
	t.Helper()
	in.Start(t, in.source, ns.Do)
}

// read reads until there are n events, handing each to see.
func (in *input) read(t *testing.T, n int, see func(event.Event)) {
	t.Helper()
	guard := time.AfterFunc(10*time.Second, in.sock.Interrupt)
	defer guard.Stop()
	for got := 0; got < n; {
		in.Batch.Reset()
		if err := in.Read(t.Context(), in.Batch); err != nil {
			t.Fatalf("%d of %d packets, then %v", got, n, err)
		}
		for e := range in.Batch.Rows().All() {
			got++
			if see != nil {
				see(e)
			}
		}
	}
}

// drain reads what comes within a moment in which the kernel sends all it has.
func (in *input) drain(t *testing.T) (packets uint64) {
	t.Helper()
	defer time.AfterFunc(500*time.Millisecond, in.sock.Interrupt).Stop()
	for {
		in.Batch.Reset()
		if err := in.Read(t.Context(), in.Batch); err != nil {
			if err := in.sock.Resume(); err != nil {
				t.Fatal(err)
			}
			return packets + uint64(in.Batch.Len())
		}
		packets += uint64(in.Batch.Len())
	}
}

// host is a namespace with a peer that sends to it, and a rule that logs the
// packets of that peer.
func host(t *testing.T, r lab.Rule) (ns, peer *lab.NS, hits *lab.Counter) {
	t.Helper()
	ns, peer = lab.Test(t), lab.Test(t)
	if err := lab.Veth(
		lab.Port{NS: ns, Name: "va", Index: 11, MAC: "02:00:00:00:00:0a", Addrs: []string{"192.0.2.1/24"}},
		lab.Port{NS: peer, Name: "vb", MAC: "02:00:00:00:00:0b", Addrs: []string{"192.0.2.2/24"}},
	); err != nil {
		t.Fatal(err)
	}
	r.SrcMAC = "02:00:00:00:be:ef"
	if r.Family == "" {
		r.Family, r.Hook, r.Priority = "inet", "prerouting", lab.PriorityRaw
	}
	hits, err := ns.Log(r)
	if err != nil {
		t.Fatal(err)
	}
	return ns, peer, hits
}

// udp is a frame with a UDP packet that carries a payload of n bytes.
func udp(n int) []byte {
	f := []byte{2, 0, 0, 0, 0, 0x0a, 2, 0, 0, 0, 0xbe, 0xef, 8, 0}
	ip := []byte{0x45, 0, 0, 0, 0, 1, 0, 0, 64, 17, 0, 0, 192, 0, 2, 2, 192, 0, 2, 1}
	binary.BigEndian.PutUint16(ip[2:], uint16(28+n))
	binary.BigEndian.PutUint16(ip[10:], checksum(ip))
	u := []byte{0x30, 0x39, 0, 53, 0, 0, 0, 0}
	binary.BigEndian.PutUint16(u[4:], uint16(8+n))
	return append(append(append(f, ip...), u...), bytes.Repeat([]byte{'x'}, n)...)
}

func checksum(b []byte) uint16 {
	var sum uint32
	for i := 0; i < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}

func send(t *testing.T, peer *lab.NS, frames ...[]byte) {
	t.Helper()
	if err := peer.SendFrames("vb", frames...); err != nil {
		t.Fatal(err)
	}
}

func TestKernelPacketsArriveWithTheirFacts(t *testing.T) {
	ns, peer, _ := host(t, lab.Rule{Prefix: "drop: ", Groups: []uint16{5}, Mark: 0x2a})
	o := defaults()
	o.Group, o.Label, o.SeqLocal = 5, 0x103, true
	in := newInput(t, o, event.Whole, "oob.prefix", "oob.mark", "oob.ifindex_in", "oob.hook", "oob.family",
		"oob.protocol", "raw.label", "raw.mac", "raw.mac_len", "raw.pktlen", "oob.seq.local", "oob.time.sec")
	in.Links()
	in.start(t, ns)
	send(t, peer, udp(100))
	in.read(t, 1, func(e event.Event) {
		want := map[string]uint64{"oob.mark": 0x2a, "oob.ifindex_in": 11, "oob.hook": 0, "oob.family": 2,
			"oob.protocol": 0x0800, "raw.label": 3, "raw.mac_len": 14, "raw.pktlen": 128, "oob.seq.local": 0}
		for name, n := range want {
			if got := e[*in.slots[name]]; got.V != n || got.K == event.None {
				t.Errorf("%s = %d (%v), want %d", name, got.V, got.K, n)
			}
		}
		if got := in.Batch.Bytes(e[*in.slots["oob.prefix"]]); string(got) != "drop: " {
			t.Errorf("prefix %q, want %q", got, "drop: ")
		}
		if age := time.Now().Unix() - int64(e.Uint(*in.slots["oob.time.sec"])); age < 0 || age > 5 {
			t.Errorf("the packet is %d seconds old", age)
		}
	})
	if got := in.Links().Name(11); got != "va" {
		t.Errorf("interface 11 is %q, want va, as in the namespace of the socket", got)
	}
}

// TestKernelALonePacketIsNotKept takes the median of some, since one may be late
// when the machine has other things to do.
func TestKernelALonePacketIsNotKept(t *testing.T) {
	ns, peer, _ := host(t, lab.Rule{Groups: []uint16{5}})
	o := defaults()
	o.Group = 5
	in := newInput(t, o, 64)
	in.start(t, ns)
	quick := 0
	for range 9 {
		send(t, peer, udp(10))
		began := time.Now()
		in.read(t, 1, nil)
		if time.Since(began) < 100*time.Millisecond {
			quick++
		}
	}
	if quick < 5 {
		t.Errorf("%d of 9 lone packets came within 100 ms; want most", quick)
	}
}

func TestKernelCopyRange(t *testing.T) {
	for _, tt := range []struct {
		name   string
		option copyRange
		extent int
		want   int
	}{
		{"headers only", copyAuto, 512, 512},
		{"somebody reads the packet", copyAuto, event.Whole, 1028},
		{"as the user says", 64, event.Whole, 64},
		{"nothing, as the user says", 0, event.Whole, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ns, peer, _ := host(t, lab.Rule{Groups: []uint16{5}})
			o := defaults()
			o.Group, o.CopyRange = 5, tt.option
			in := newInput(t, o, tt.extent)
			in.start(t, ns)
			send(t, peer, udp(1000))
			in.read(t, 1, func(e event.Event) {
				if got := len(in.Batch.Bytes(e[*in.slots["raw.pkt"]])); got != tt.want {
					t.Errorf("%d bytes arrived, want %d", got, tt.want)
				}
			})
		})
	}
}

// TestKernelNobodyReadsThePacket asks the kernel for no payload if all that is
// read is known without.
func TestKernelNobodyReadsThePacket(t *testing.T) {
	ns, peer, _ := host(t, lab.Rule{Groups: []uint16{5}})
	o := defaults()
	o.Group = 5
	in := newInput(t, o, 0, "oob.mark")
	in.start(t, ns)
	send(t, peer, udp(1000))
	in.read(t, 1, nil)
	if n := len(in.Batch.Buf); n > 300 {
		t.Errorf("the message has %d bytes, and so the packet, want only what is known of it", n)
	}
}

func TestKernelSettingsAreInForce(t *testing.T) {
	ns, _, _ := host(t, lab.Rule{Groups: []uint16{5}})
	o := defaults()
	o.Group, o.QTimeout, o.CopyRange = 5, 7, 99
	newInput(t, o, event.Whole).start(t, ns)
	list, err := ns.Listeners()
	if err != nil || len(list) != 1 {
		t.Fatalf("listeners: %+v, %v; want one", list, err)
	}
	if got := list[0]; got.Group != 5 || got.Timeout != 7 || got.CopyRange != 99 || got.CopyMode != 2 {
		t.Errorf("in force: %+v, want group 5, timeout 7, copy range 99, mode 2", got)
	}
}

func TestKernelGroupInUseNamesItsOwner(t *testing.T) {
	ns, _, _ := host(t, lab.Rule{Groups: []uint16{5}})
	o := defaults()
	o.Group = 5
	newInput(t, o, 64).start(t, ns)
	second := newInput(t, o, 64)
	err := ns.Do(second.Open)
	if err == nil {
		t.Fatal("the second reader of the group got it too")
	}
	for _, want := range []string{"unable to bind to log group 5", "in use by port id", "nflog.test"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q lacks %q", err, want)
		}
	}
}

func TestKernelLossIsCountedToThePacket(t *testing.T) {
	ns, peer, hits := host(t, lab.Rule{Groups: []uint16{5}})
	o := defaults()
	o.Group, o.SocketSize, o.SocketMax, o.DatagramSize, o.QThreshold = 5, 40000, 40000, 4096, 8
	in := newInput(t, o, 64)
	in.start(t, ns)
	frames := make([][]byte, 3000)
	for i := range frames {
		frames[i] = udp(20)
	}
	send(t, peer, frames...) // nobody reads: the buffer overflows
	received := in.drain(t)
	send(t, peer, udp(20)) // which shows how many were lost before it
	received += in.drain(t)
	lost := in.Counter("packets_lost")
	matched, err := hits.Packets()
	if err != nil {
		t.Fatal(err)
	}
	if lost == 0 || received+lost != matched {
		t.Errorf("received %d + lost %d = %d, the rule matched %d", received, lost, received+lost, matched)
	}
	if in.Counter("overruns") == 0 {
		t.Error("no overrun was noticed")
	}
	in.Await(t, fmt.Sprintf("lost %d packets of group 5", lost))
}

func TestKernelBufferGrows(t *testing.T) {
	ns, peer, _ := host(t, lab.Rule{Groups: []uint16{5}})
	o := defaults()
	o.Group, o.SocketSize, o.SocketMax, o.DatagramSize = 5, 20000, 400000, 4096
	in := newInput(t, o, 64)
	in.start(t, ns)
	frames := make([][]byte, 2000)
	for i := range frames {
		frames[i] = udp(20)
	}
	for range 3 {
		send(t, peer, frames...)
		in.read(t, 10, nil)
	}
	if in.buffer.Size <= 20000 || in.buffer.Size > 400000 {
		t.Errorf("the buffer was asked for with %d bytes, want more than 20000 and no more than 400000", in.buffer.Size)
	}
	in.Await(t, "We are losing events, increasing buffer size to")
}

func TestKernelBridgePortsAndVLAN(t *testing.T) {
	ns, a, b := lab.Test(t), lab.Test(t), lab.Test(t)
	steps := []error{
		lab.Bridge(lab.Port{NS: ns, Name: "br0", Index: 10}),
		lab.Veth(lab.Port{NS: ns, Name: "p1", Index: 11, Master: "br0"}, lab.Port{NS: a, Name: "vb"}),
		lab.Veth(lab.Port{NS: ns, Name: "p2", Index: 12, Master: "br0"}, lab.Port{NS: b, Name: "vb"}),
	}
	for _, err := range steps {
		if err != nil {
			t.Fatal(err)
		}
	}
	_, err := ns.Log(lab.Rule{Family: "bridge", Hook: "forward", SrcMAC: "02:00:00:00:be:ef", Groups: []uint16{5}})
	if err != nil {
		t.Fatal(err)
	}
	o := defaults()
	o.Group = 5
	in := newInput(t, o, 64, "oob.family", "oob.ifindex_in", "oob.ifindex_physin", "oob.ifindex_physout",
		"oob.vlan.id", "oob.vlan.proto", "oob.vlan.priority")
	in.start(t, ns)
	plain := udp(10)
	tagged := append(append(bytes.Clone(plain[:12]), 0x81, 0, 0x60, 42), plain[12:]...)
	send(t, a, plain, tagged)
	i := 0
	in.read(t, 2, func(e event.Event) {
		want := map[string]uint64{"oob.family": nflog.FamilyBridge, "oob.ifindex_in": 10, "oob.ifindex_physin": 11, "oob.ifindex_physout": 12}
		if i == 1 {
			want["oob.vlan.id"], want["oob.vlan.proto"], want["oob.vlan.priority"] = 42, 0x8100, 3
		}
		for name, n := range want {
			if got := e.Uint(*in.slots[name]); got != n {
				t.Errorf("packet %d: %s = %d, want %d", i, name, got, n)
			}
		}
		if i == 0 && e.Has(*in.slots["oob.vlan.id"]) {
			t.Error("a packet without a tag has a VLAN")
		}
		i++
	})
}

func TestKernelNamespaceByPath(t *testing.T) {
	ns, peer, _ := host(t, lab.Rule{Groups: []uint16{5}})
	o := defaults()
	o.Group, o.NetNS = 5, fmt.Sprintf("/proc/self/fd/%d", ns.FD())
	in := newInput(t, o, 64, "oob.ifindex_in")
	in.Links()
	if err := in.Open(); err != nil { // outside the namespace
		t.Fatal(err)
	}
	t.Cleanup(func() { in.source.Close() })
	send(t, peer, udp(10))
	in.read(t, 1, func(e event.Event) {
		if got := in.Links().Name(uint32(e.Uint(*in.slots["oob.ifindex_in"]))); got != "va" {
			t.Errorf("the packet came in through %q, want va", got)
		}
	})
}

func TestKernelSequences(t *testing.T) {
	ns, peer, _ := host(t, lab.Rule{Groups: []uint16{5, 6}})
	first, second := defaults(), defaults()
	first.Group, first.SeqLocal, first.SeqGlobal = 5, true, true
	second.Group, second.SeqGlobal = 6, true
	a := newInput(t, first, 64, "oob.seq.local", "oob.seq.global")
	b := newInput(t, second, 64, "oob.seq.local", "oob.seq.global")
	a.start(t, ns)
	b.start(t, ns)
	send(t, peer, udp(10), udp(10), udp(10))
	global := map[uint64]bool{}
	n := uint64(0)
	a.read(t, 3, func(e event.Event) {
		if got := e.Uint(*a.slots["oob.seq.local"]); got != n {
			t.Errorf("packet %d of the group has number %d", n, got)
		}
		n++
		global[e.Uint(*a.slots["oob.seq.global"])] = true
	})
	b.read(t, 3, func(e event.Event) {
		if e.Has(*b.slots["oob.seq.local"]) {
			t.Error("oob.seq.local is published without seq_local")
		}
		global[e.Uint(*b.slots["oob.seq.global"])] = true
	})
	if len(global) != 6 {
		t.Errorf("%d different global numbers of 6 packets", len(global))
	}
	if lost := a.Counter("packets_lost") + b.Counter("packets_lost"); lost != 0 {
		t.Errorf("%d packets lost of none", lost)
	}
}

// TestKernelConntrack accepts both kernels that attach connections and kernels
// that can't, as long as the daemon says so and goes on.
func TestKernelConntrack(t *testing.T) {
	ns, peer, _ := host(t, lab.Rule{
		Family: "inet", Hook: "prerouting", Priority: lab.PriorityFilter, Groups: []uint16{5},
		Match: []expr.Any{&expr.Ct{Key: expr.CtKeySTATE, Register: 1}}, // which makes the kernel track
	})
	o := defaults()
	o.Group, o.Conntrack = 5, true
	in := newInput(t, o, 64, "ct")
	in.start(t, ns)
	send(t, peer, udp(10))
	in.read(t, 1, func(e event.Event) {
		if !e.Has(*in.slots["ct"]) {
			in.Await(t, "unable to set flags 0x5")
		}
	})
}

func TestKernelFamiliesAreBound(t *testing.T) {
	ns := lab.Test(t)
	o := defaults()
	o.Group, o.BindFamilies = 5, true
	newInput(t, o, 64).start(t, ns)
	var text []byte
	err := ns.Do(func() (err error) {
		text, err = os.ReadFile("/proc/thread-self/net/netfilter/nf_log")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range []int{nflog.FamilyIPv4, nflog.FamilyBridge, nflog.FamilyIPv6} {
		if !strings.Contains(string(text), fmt.Sprintf("%2d nfnetlink_log", family)) {
			t.Errorf("family %d is not bound:\n%s", family, text)
		}
	}
}

// TestKernelReadDoesNotAllocate goes from the socket to decoded events.
func TestKernelReadDoesNotAllocate(t *testing.T) {
	ns, peer, _ := host(t, lab.Rule{Groups: []uint16{5}})
	o := defaults()
	o.Group, o.QThreshold = 5, 1
	in := newInput(t, o, event.Whole, "oob.prefix", "oob.mark", "raw.mac", "oob.time.sec")
	in.start(t, ns)
	frames := make([][]byte, 100*enough)
	for i := range frames {
		frames[i] = udp(20)
	}
	send(t, peer, frames...)
	packets := 0
	step := func() {
		in.Batch.Reset()
		if err := in.Read(t.Context(), in.Batch); err != nil {
			t.Fatal(err)
		}
		packets += in.Batch.Len()
	}
	for range 10 {
		step() // buffers grow to their size
	}
	if n := testing.AllocsPerRun(50, step); n != 0 {
		t.Errorf("%v allocations for a batch", n)
	}
	if packets < 60*enough {
		t.Errorf("%d packets in 61 batches, want %d in each", packets, enough)
	}
}

// TestKernelNothingIsLostAtTheEnd ends a source that has not read its packets yet. If its
// socket is kept there may be a next process, and there may be none.
func TestKernelNothingIsLostAtTheEnd(t *testing.T) {
	for name, kept := range map[string]store{"socket of the process": nil, "kept socket": {}} {
		t.Run(name, func(t *testing.T) { nothingIsLostAtTheEnd(t, kept) })
	}
}

func nothingIsLostAtTheEnd(t *testing.T, kept store) {
	ns, peer, hits := host(t, lab.Rule{Groups: []uint16{5}})
	o := defaults()
	o.Group, o.QTimeout = 5, 50 // the last datagram is not full, and waits in the kernel
	in := newInput(t, o, 64)
	if kept != nil {
		in.Env.Store = kept
	}
	in.start(t, ns)
	frames := make([][]byte, 2345)
	for i := range frames {
		frames[i] = udp(20)
	}
	send(t, peer, frames...)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	packets := 0
	for {
		in.Batch.Reset()
		err := in.Read(ctx, in.Batch)
		packets += in.Batch.Len()
		if errors.Is(err, context.Canceled) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if matched, err := hits.Packets(); err != nil || int(matched) != packets {
		t.Errorf("%d packets were read, the rule matched %d, %v", packets, matched, err)
	}
	if list, err := ns.Listeners(); err != nil || (len(list) > 0) != (kept != nil) {
		t.Errorf("listeners: %+v, %v; want one only if the socket is kept", list, err)
	}
}

// TestKernelNothingIsLostAtTheEndOfAFlood ends a source whose receive buffer is full, so
// that the answer to its last request finds no room either.
func TestKernelNothingIsLostAtTheEndOfAFlood(t *testing.T) {
	ns, peer, hits := host(t, lab.Rule{Groups: []uint16{5}})
	o := defaults()
	o.Group, o.SocketSize, o.SocketMax, o.DatagramSize, o.QThreshold = 5, 40000, 40000, 4096, 8
	in := newInput(t, o, 64, "oob.mark")
	in.start(t, ns)
	frames := make([][]byte, 3000)
	for i := range frames {
		frames[i] = udp(20)
	}
	send(t, peer, frames...)
	matched, err := hits.Packets()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	packets := uint64(0)
	for err == nil {
		in.Batch.Reset()
		err = in.Read(ctx, in.Batch)
		packets += uint64(in.Batch.Len())
	}
	if !errors.Is(err, context.Canceled) {
		t.Errorf("the source ends with %v", err)
	}
	if packets < 64 || packets >= matched { // 40000 bytes have room for more than 8 datagrams
		t.Errorf("%d of %d packets were read at the end, want those that fit the buffer", packets, matched)
	}
	if list, err := ns.Listeners(); err != nil || len(list) != 0 {
		t.Errorf("listeners: %+v, %v; want none", list, err)
	}
}

// TestKernelWakeWhileAPacketIsDealtWith wakes a source whose last datagram is still in
// the socket, as those are that are to survive the process.
func TestKernelWakeWhileAPacketIsDealtWith(t *testing.T) {
	ns, peer, _ := host(t, lab.Rule{Groups: []uint16{5}})
	o := defaults()
	o.Group, o.QThreshold = 5, 1
	in := newInput(t, o, 64)
	in.start(t, ns)
	in.sock.Peek = true
	for range 3 {
		send(t, peer, udp(10))
		in.read(t, 1, nil)
		in.Wake()
	}
	in.Batch.Reset()
	if err := in.Read(t.Context(), in.Batch); err != nil {
		t.Errorf("after Wake: %v", err)
	}
	if n := in.Counter("packets"); n != 3 || in.Batch.Len() != 0 {
		t.Errorf("%d packets, want 3", n)
	}
}

// TestKernelLateInterrupt: the watch over the context may come to interrupt the socket
// only when the end has begun, because Wake was called at the same time.
func TestKernelLateInterrupt(t *testing.T) {
	ns, peer, _ := host(t, lab.Rule{Groups: []uint16{5}})
	o := defaults()
	o.Group = 5
	in := newInput(t, o, 64)
	in.start(t, ns)
	frames := make([][]byte, 1000)
	for i := range frames {
		frames[i] = udp(20)
	}
	send(t, peer, frames...)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var err error
	packets, late := 0, false
	for err == nil {
		in.Batch.Reset()
		err = in.Read(ctx, in.Batch)
		packets += in.Batch.Len()
		if in.ending && !late {
			late = true
			in.sock.Interrupt()
		}
	}
	if !errors.Is(err, context.Canceled) || packets != len(frames) || !late {
		t.Errorf("%d packets, then %v; want %d, and the end of the context", packets, err, len(frames))
	}
}

// TestKernelDatagramsFit: what the kernel sets aside for a datagram it rounds up, and fills
// all of that. None is longer than there is memory for.
func TestKernelDatagramsFit(t *testing.T) {
	for _, tt := range []struct{ bufSize, nlbufsiz, payload int }{
		{150000, 0, 1400},
		{150000, 131072, 1400},
		{150000, 100000, 1400},
		{65536, 0, 1400},
		{70000, 0, 300},
		{100000, 0, 1400},
		{4096, 0, 300},
	} {
		t.Run(fmt.Sprintf("bufsize=%d,nlbufsiz=%d", tt.bufSize, tt.nlbufsiz), func(t *testing.T) {
			ns, peer, hits := host(t, lab.Rule{Groups: []uint16{5}, Prefix: "a prefix"})
			o := defaults()
			o.Group, o.BufSize, o.DatagramSize = 5, tt.bufSize, tt.nlbufsiz
			in := newInput(t, o, event.Whole)
			in.start(t, ns)
			frames := make([][]byte, 2000)
			for i := range frames {
				frames[i] = udp(tt.payload)
			}
			send(t, peer, frames...)
			received := in.drain(t)
			matched, err := hits.Packets()
			if err != nil || received != matched {
				t.Errorf("%d packets received of %d, %v; %d datagrams were too long", received, matched, err, in.Counter("datagrams_truncated"))
			}
		})
	}
}

// TestKernelWithoutConntrack: what a kernel can't attach it refuses with all else that a
// request asks for, so that it is not asked for again.
func TestKernelWithoutConntrack(t *testing.T) {
	ns, peer, _ := host(t, lab.Rule{Groups: []uint16{5}})
	inForce := func(in *input, want uint32) {
		t.Helper()
		send(t, peer, udp(10))
		in.read(t, 1, nil)
		if list, err := ns.Listeners(); err != nil || len(list) != 1 || list[0].CopyRange != want {
			t.Errorf("in force: %+v, %v; want copy range %d", list, err, want)
		}
	}
	kept := store{}
	o := defaults()
	o.Group, o.Conntrack, o.QThreshold = 5, true, 1
	first := newInput(t, o, 64)
	first.Env.Store = kept
	first.start(t, ns)
	inForce(first, 64)
	first.Extent = 99 // other keys are read
	first.Wake()
	if err := first.Read(t.Context(), first.Batch); err != nil {
		t.Fatal(err)
	}
	inForce(first, 99)
	if err := first.source.Close(); err != nil {
		t.Fatal(err)
	}
	// The next process begins with what that has left, and then has its own options.
	next := newInput(t, o, 70)
	next.Env.Store = kept
	next.start(t, ns)
	next.Await(t, "going on with the socket of an earlier process")
	next.read(t, 1, nil) // what was not consumed
	inForce(next, 70)
	next.refused(unix.EINVAL)
	next.Await(t, "group 5 goes on as it was configured before: invalid argument")
}
