package nflog_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	oracle "github.com/florianl/go-nflog/v2"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/ulogd-go/ulogd/contrib/lab"
	"github.com/ulogd-go/ulogd/pkg/event"
	"github.com/ulogd-go/ulogd/pkg/nflog"
	"github.com/ulogd-go/ulogd/pkg/nlsock"
)

const frameMAC = "02:00:00:00:be:ef"

// facts are what is known of a packet, by the names of our keys.
type facts map[string]string

// theirs reads a group with go-nflog.
type theirs struct {
	mu  sync.Mutex
	got []facts
}

func readTheirs(t *testing.T, ns *lab.NS, group uint16) *theirs {
	t.Helper()
	var conn *oracle.Nflog
	if err := ns.Do(func() (err error) {
		conn, err = oracle.Open(&oracle.Config{Group: group, Copymode: oracle.CopyPacket, Bufsize: 0xffff, QThresh: 1, Flags: oracle.FlagSeq})
		return err
	}); err != nil {
		t.Fatal(err)
	}
	r := new(theirs)
	ctx, stop := context.WithCancel(context.Background())
	t.Cleanup(func() { stop(); conn.Close() })
	if err := conn.RegisterWithErrorFunc(ctx, r.add, func(err error) int {
		if ctx.Err() == nil {
			t.Errorf("go-nflog: %v", err)
		}
		return 1
	}); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *theirs) add(a oracle.Attribute) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.got = append(r.got, translate(a))
	return 0
}

func (r *theirs) wait(t *testing.T, n int) []facts {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		r.mu.Lock()
		got := slices.Clone(r.got)
		r.mu.Unlock()
		if len(got) >= n {
			return got
		}
		if time.Now().After(deadline) {
			t.Fatalf("go-nflog read %d packets in 10 s, want %d", len(got), n)
		}
	}
}

func number[T uint8 | uint16 | uint32](f facts, key string, p *T) {
	if p != nil {
		f[key] = fmt.Sprint(*p)
	}
}

func raw(f facts, key string, p *[]byte) {
	if p != nil {
		f[key] = fmt.Sprintf("%x", *p)
	}
}

// translate calls go-nflog's attributes by our names.
func translate(a oracle.Attribute) facts {
	f := facts{"oob.mark": "0"}
	number(f, "oob.protocol", a.HwProtocol)
	number(f, "oob.hook", a.Hook)
	number(f, "oob.mark", a.Mark)
	number(f, "oob.ifindex_in", a.InDev)
	number(f, "oob.ifindex_out", a.OutDev)
	number(f, "oob.ifindex_physin", a.PhysInDev)
	number(f, "oob.ifindex_physout", a.PhysOutDev)
	number(f, "oob.uid", a.UID)
	number(f, "oob.gid", a.GID)
	number(f, "oob.seq.local", a.Seq)
	raw(f, "raw.pkt", a.Payload)
	raw(f, "raw.l2hdr", a.Layer2Hdr)
	raw(f, "raw.mac.saddr", a.HwAddr)
	if a.HwLen != nil && *a.HwLen > 0 {
		number(f, "raw.mac_len", a.HwLen)
		number(f, "raw.type", a.HwType)
		raw(f, "raw.mac", a.HwHeader)
	}
	if a.Payload != nil {
		f["raw.pktlen"] = fmt.Sprint(len(*a.Payload))
	}
	if a.Prefix != nil {
		f["oob.prefix"] = strings.TrimRight(*a.Prefix, "\x00")
	}
	if a.Timestamp != nil {
		f["oob.time.sec"], f["oob.time.usec"] = fmt.Sprint(a.Timestamp.Unix()), fmt.Sprint(a.Timestamp.Nanosecond()/1000)
	}
	if a.VLAN != nil { // which go-nflog reads in the order of memory
		proto, tci := a.VLAN.Proto>>8|a.VLAN.Proto<<8, a.VLAN.TCI>>8|a.VLAN.TCI<<8
		f["oob.vlan.proto"], f["oob.vlan.id"], f["oob.vlan.priority"] = fmt.Sprint(proto), fmt.Sprint(tci&0xfff), fmt.Sprint(tci>>13)
	}
	return f
}

// ours reads a group with our socket and decoder.
type ours struct {
	nflog.Decoder
	all   []event.Bound
	batch *event.Batch
	sock  *nlsock.Socket
}

type sink struct{ all *[]event.Bound }

func (s sink) Bind(b *event.Binder) { b.All(s.all, func(event.Key) bool { return true }) }

func readOurs(t *testing.T, ns *lab.NS, group uint16) *ours {
	t.Helper()
	r := &ours{Decoder: nflog.Decoder{SeqLocal: true}}
	tree := event.NewTree("source", &r.Decoder)
	if err := tree.Stack([]string{"sink"}, []event.Bindable{sink{&r.all}}); err != nil {
		t.Fatal(err)
	}
	r.batch = event.NewBatch(tree.Layout())
	if err := ns.Do(func() (err error) {
		r.sock, err = nlsock.Dial(unix.NETLINK_NETFILTER, "")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.sock.Close() })
	r.sock.Overrun = func() { t.Error("packets were lost") }
	g := nflog.Group{Number: group, CopyRange: 0xffff, QThreshold: 1, Flags: nflog.FlagSeq}
	if err := r.sock.Request(nflog.TypeConfig, g.Bind()); err != nil {
		t.Fatal(err)
	}
	return r
}

// read reads n packets.
func (r *ours) read(t *testing.T, n int) (list []facts) {
	t.Helper()
	guard := time.AfterFunc(10*time.Second, r.sock.Interrupt)
	defer guard.Stop()
	for len(list) < n {
		r.batch.Reset()
		r.batch.Buf = slices.Grow(r.batch.Buf, 1<<17)
		size, err := r.sock.Receive(r.batch.Buf, true)
		if err != nil {
			t.Fatalf("we read %d packets, want %d: %v", len(list), n, err)
		}
		r.batch.Buf = r.batch.Buf[:size]
		r.datagram(t)
		for e := range r.batch.Rows().All() {
			list = append(list, r.facts(e))
		}
	}
	return list
}

func (r *ours) datagram(t *testing.T) {
	t.Helper()
	for rest := r.batch.Buf; ; {
		m, tail, ok := nlsock.NextMessage(rest)
		if !ok {
			if len(rest) > 0 {
				t.Errorf("%d bytes of a datagram are no message", len(rest))
			}
			return
		}
		off := len(r.batch.Buf) - len(rest) + nlsock.HeaderLen
		if m.Type == nflog.TypePacket {
			if err := r.Decode(r.batch, off, off+len(m.Body)); err != nil {
				t.Errorf("%v: %x", err, m.Body)
			}
		}
		rest = tail
	}
}

// facts are an event's values but those that we make up ourselves.
func (r *ours) facts(e event.Event) facts {
	f := facts{}
	for _, k := range r.all {
		v := e[k.Slot]
		switch k.Name {
		case "raw", "raw.pktcount", "raw.label", "raw.mac.addrlen", "oob.family":
			continue
		}
		switch v.K {
		case event.None:
		case event.Raw:
			f[k.Name] = fmt.Sprintf("%x", r.batch.Bytes(v))
		case event.String:
			f[k.Name] = string(r.batch.Bytes(v))
		default:
			f[k.Name] = fmt.Sprint(v.V)
		}
	}
	return f
}

// TestKernelAgreesWithGoNFLOG has the kernel log the same live packets, malformed
// ones among them, to two groups, of which go-nflog reads one and we the other.
func TestKernelAgreesWithGoNFLOG(t *testing.T) {
	t.Run("bridge", func(t *testing.T) {
		host, guest, far := lab.Test(t), lab.Test(t), lab.Test(t)
		err := errors.Join(
			lab.Bridge(lab.Port{NS: host, Name: "br0", Index: 10}),
			lab.Veth(lab.Port{NS: host, Name: "va", Index: 11, Master: "br0"}, lab.Port{NS: guest, Name: "vb"}),
			lab.Veth(lab.Port{NS: host, Name: "vc", Index: 12, Master: "br0"}, lab.Port{NS: far, Name: "vd"}))
		if err != nil {
			t.Fatal(err)
		}
		m := lab.Packets(7)
		m.VLAN, m.Dst = 30, [6]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
		agree(t, host, guest, m, lab.Rule{Family: "bridge", Hook: "forward", Mark: 0xdeadbeef, Prefix: "forward: "}, "oob.vlan.id", "raw.l2hdr", "oob.ifindex_physin")
	})
	t.Run("inet", func(t *testing.T) {
		host, guest := lab.Test(t), lab.Test(t)
		if err := lab.Veth(lab.Port{NS: host, Name: "va", Index: 11, MAC: "02:00:00:00:00:0a", Addrs: []string{"192.0.2.1/24", "2001:db8::1/64"}},
			lab.Port{NS: guest, Name: "vb"}); err != nil {
			t.Fatal(err)
		}
		agree(t, host, guest, lab.Packets(8), lab.Rule{Family: "inet", Hook: "prerouting", Priority: -400}, "raw.mac", "oob.ifindex_in")
	})
}

// agree sends packets and compares what the two readers say of them. The keys
// have to be there in some of the packets.
func agree(t *testing.T, host, guest *lab.NS, m *lab.Maker, rule lab.Rule, keys ...string) {
	stamps, err := host.Timestamps()
	if err != nil {
		t.Fatal(err)
	}
	defer stamps.Close()
	rule.SrcMAC, rule.Groups = frameMAC, []uint16{1, 2}
	counter, err := host.Log(rule)
	if err != nil {
		t.Fatal(err)
	}
	a, b := readTheirs(t, host, 1), readOurs(t, host, 2)
	var got []facts
	for range 20 { // few at a time, so that they fit into the receive buffers
		if err := guest.SendFrames("vb", m.Frames(50)...); err != nil {
			t.Fatal(err)
		}
		hits, err := counter.Packets()
		if err != nil {
			t.Fatal(err)
		}
		a.wait(t, int(hits))
		got = append(got, b.read(t, int(hits)-len(got))...)
	}
	if len(got) < 500 {
		t.Errorf("only %d packets were logged", len(got))
	}
	for i, want := range a.wait(t, len(got)) {
		if diff := cmp.Diff(want, got[i]); diff != "" {
			t.Fatalf("packet %d (-go-nflog +ours):\n%s", i, diff)
		}
	}
	for _, key := range keys {
		if !slices.ContainsFunc(got, func(f facts) bool { return f[key] != "" }) {
			t.Errorf("no packet had the key %s", key)
		}
	}
	if b.Seq != uint32(len(got)-1) {
		t.Errorf("the last packet has number %d, want %d", b.Seq, len(got)-1)
	}
}

// TestKernelTakesSettings reads back what a request set.
func TestKernelTakesSettings(t *testing.T) {
	ns := lab.Test(t)
	r := readOurs(t, ns, 77)
	g := nflog.Group{Number: 78, CopyRange: 1234, Timeout: 17, QThreshold: 3, Flags: nflog.FlagSeq}
	if err := r.sock.Request(nflog.TypeConfig, g.Bind()); err != nil {
		t.Fatal(err)
	}
	list, err := ns.Listeners()
	if err != nil {
		t.Fatal(err)
	}
	want := nflog.Bound{Group: 78, PortID: r.sock.PortID(), CopyMode: 2, CopyRange: 1234, Timeout: 17}
	i := slices.IndexFunc(list, func(b nflog.Bound) bool { return b.Group == 78 })
	if i < 0 || len(list) != 2 {
		t.Fatalf("bound are %+v, want the groups 77 and 78", list)
	}
	if list[i].Users = 0; list[i] != want {
		t.Errorf("the kernel says %+v, want %+v", list[i], want)
	}
	if err := r.sock.Request(nflog.TypeConfig, g.Unbind()); err != nil {
		t.Error(err)
	}
	if list, err := ns.Listeners(); err != nil || len(list) != 1 {
		t.Errorf("after Unbind: %+v, %v", list, err)
	}
	if err := r.sock.Request(nflog.TypeConfig, g.Unbind()); !errors.Is(err, unix.ENODEV) {
		t.Errorf("to unbind what is not bound: %v, want ENODEV", err)
	}
}
