package nfct

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"github.com/ulogd-go/ulogd/contrib/lab"
	"github.com/ulogd-go/ulogd/pkg/ctnetlink"
	"github.com/ulogd-go/ulogd/pkg/nlsock"
	"github.com/ulogd-go/ulogd/pkg/plugin"
)

// host is a namespace that tracks connections to itself.
func host(t *testing.T) *lab.NS {
	t.Helper()
	ns := lab.Test(t)
	for name, value := range map[string]string{"acct": "1", "timestamp": "1", "events": "1", "udp_timeout": "600"} {
		if err := ns.Sysctl("net.netfilter.nf_conntrack_"+name, value); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(ns.Track(42), ns.AddAddr("lo", "192.0.2.0/24")); err != nil {
		t.Fatal(err)
	}
	addAddr6(t, ns, "2001:db8::1")
	flush(t, ns)
	return ns
}

// addAddr6 adds an address of IPv6 and waits until it can be used, which takes the kernel
// a moment.
func addAddr6(t *testing.T, ns *lab.NS, addr string) {
	t.Helper()
	if err := ns.AddAddr("lo", addr+"/128"); err != nil {
		t.Fatal(err)
	}
	usable := func() error {
		c, err := net.ListenPacket("udp", net.JoinHostPort(addr, "0"))
		if err != nil {
			return err
		}
		defer c.Close()
		if _, err := c.WriteTo([]byte("hello"), c.LocalAddr()); err != nil {
			return err
		}
		if err := c.SetReadDeadline(time.Now().Add(10 * time.Millisecond)); err != nil {
			return err
		}
		_, _, err = c.ReadFrom(make([]byte, 10))
		return err
	}
	for deadline := time.Now().Add(10 * time.Second); ns.Do(usable) != nil; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the address %s can't be used", addr)
		}
	}
}

// talk sends a datagram from each of n ports, which are n connections. Nobody listens
// there, and nobody is told so.
func talk(t *testing.T, ns *lab.NS, from, n int, to string) {
	t.Helper()
	addr := netip.MustParseAddrPort(to)
	err := ns.Do(func() error {
		for i := range n {
			c, err := net.DialUDP("udp", &net.UDPAddr{Port: from + i}, net.UDPAddrFromAddrPort(addr))
			if err != nil {
				return err
			}
			_, err = c.Write([]byte("hello"))
			if err = errors.Join(err, c.Close()); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func flush(t *testing.T, ns *lab.NS) {
	t.Helper()
	if err := ns.FlushConnections(); err != nil {
		t.Fatal(err)
	}
}

// perConnection counts records by the port of the first packet, and complains of those
// that are of another event.
func perConnection(t *testing.T, rows []row, event string) map[string]int {
	t.Helper()
	count := map[string]int{}
	for _, r := range rows {
		count[r["orig.l4.sport"]]++
		if r["ct.event"] != event {
			t.Errorf("event %s, want %s: %v", r["ct.event"], event, r)
		}
	}
	return count
}

// each checks that there are n connections with one record each.
func each(t *testing.T, rows []row, event string, n int) {
	t.Helper()
	count := perConnection(t, rows, event)
	if len(count) != n || len(rows) != n {
		t.Errorf("%d records of %d connections, want one of each of %d", len(rows), len(count), n)
	}
}

func TestKernelConnections(t *testing.T) {
	ns := host(t)
	in := newInput(t, defaults)
	in.start(t, ns)
	in.Await(t, "NFCT plugin working in event mode")
	talk(t, ns, 20000, 10, "192.0.2.1:9")
	talk(t, ns, 20010, 10, "[2001:db8::1]:9")
	flush(t, ns)
	rows := in.read(t, 20)
	each(t, rows, "4", 20)
	for _, r := range rows {
		if r["orig.raw.pktcount"] != "1" || r["ct.mark"] != "42" || r["flow.start.sec"] == "" || r["flow.end.sec"] == "" || r["orig.l4.dport"] != "9" {
			t.Errorf("%v", r)
		}
	}
	if in.Counter("events") != 40 || in.Counter("records") != 20 || in.table.n != 0 {
		t.Errorf("%d events, %d records, %d connections left; want 40, 20, none", in.Counter("events"), in.Counter("records"), in.table.n)
	}
}

// TestKernelFirstDump: connections that are there at start have a beginning.
func TestKernelFirstDump(t *testing.T) {
	ns := host(t)
	listener := newInput(t, defaults) // without one the kernel would prepare no events
	listener.start(t, ns)
	talk(t, ns, 20000, 500, "192.0.2.1:9")
	in := newInput(t, defaults)
	in.start(t, ns)
	in.drain(t)
	if in.table.n != 500 {
		t.Errorf("%d connections are followed, want 500", in.table.n)
	}
	flush(t, ns)
	rows := in.read(t, 500)
	each(t, rows, "4", 500)
	for _, r := range rows {
		if r["flow.start.sec"] == "" {
			t.Fatalf("no beginning: %v", r)
		}
	}
}

func TestKernelTranslation(t *testing.T) {
	ns := host(t)
	if err := ns.Translate(lab.Translation{Source: true, Protocol: unix.IPPROTO_UDP, DstPort: 4000, To: netip.MustParseAddrPort("192.0.2.7:33333")}); err != nil {
		t.Fatal(err)
	}
	o := defaults
	o.NATOnly = true
	if err := o.Emit.UnmarshalText([]byte("new,update,destroy")); err != nil {
		t.Fatal(err)
	}
	in := newInput(t, o)
	in.start(t, ns)
	talk(t, ns, 20000, 1, "192.0.2.1:9")
	talk(t, ns, 20001, 1, "192.0.2.1:4000")
	flush(t, ns)
	rows := in.drain(t)
	if len(rows) < 2 || rows[0]["ct.event"] != "1" || rows[len(rows)-1]["ct.event"] != "4" {
		t.Fatalf("%v: want a connection that begins and ends", rows)
	}
	for _, r := range rows {
		if r["orig.l4.sport"] != "20001" || r["reply.ip.daddr"] != "192.0.2.7" || r["reply.l4.dport"] != "33333" || r["flow.start.sec"] == "" {
			t.Errorf("%v: want the translated one with its public address", r)
		}
	}
}

// TestKernelResync has the kernel lose events, counts them, and finds by a dump what
// was missed.
func TestKernelResync(t *testing.T) {
	ns := host(t)
	o := defaults
	o.SocketSize, o.SocketMax, o.Resync = 64<<10, 64<<10, 1
	in := newInput(t, o)
	in.start(t, ns)
	const n = 50 // fit the buffer
	talk(t, ns, 20000, n, "192.0.2.1:9")
	if rows := in.drain(t); len(rows) > 0 || in.table.n != n {
		t.Fatalf("%d records, %d connections; want none, %d", len(rows), in.table.n, n)
	}
	flush(t, ns)                           // these fit,
	talk(t, ns, 30000, 300, "192.0.2.1:9") // and of these some do not
	before := in.Counter("events")
	rows := in.read(t, n)
	each(t, rows, "4", n)
	in.Await(t, "lost ")
	read, lost := in.Counter("events")-before, in.Counter("events_lost")
	if lost == 0 || read+lost != n+300 {
		t.Errorf("%d events read and %d lost of %d", read, lost, n+300)
	}
	if in.Counter("overruns") == 0 {
		t.Error("no overrun is counted")
	}
	in.Await(t, "Maximum buffer size (65536) in NFCT has been reached")
	for deadline := time.Now().Add(10 * time.Second); in.table.n < 300 && time.Now().Before(deadline); {
		if more := in.once(t); len(more) > 0 {
			t.Errorf("records by a dump: %v", more)
		}
	}
	begun := lost
	in.Await(t, fmt.Sprintf("resynchronised after a loss of events: %d connections had begun and 0 had ended unnoticed", begun))

	// Now ends are lost.
	flush(t, ns)
	rows = in.read(t, 300)
	each(t, rows, "4", 300)
	if got := in.Counter("flows_missed"); got == begun || in.table.n != 0 {
		t.Errorf("%d connections were missed, %d are left", got, in.table.n)
	}
	for _, r := range rows {
		if r["flow.start.sec"] == "" || r["flow.end.sec"] == "" {
			t.Errorf("%v: want both times", r)
		}
	}
}

// TestKernelBacklog: events that wait in the socket are read one batch after the other,
// without a rest between them. A socket that outlives the process is no slower.
func TestKernelBacklog(t *testing.T) {
	const connections = 10000
	for name, kept := range map[string]store{"socket of the process": nil, "kept socket": {}} {
		t.Run(name, func(t *testing.T) {
			ns := host(t)
			o := defaults
			o.HashEnable, o.Emit = false, emit(ctnetlink.New)
			in := newInput(t, o, func(env *plugin.Env) {
				if kept != nil {
					env.Store = kept
				}
			})
			in.start(t, ns)
			talk(t, ns, 20000, connections, "192.0.2.1:9")
			begin := time.Now()
			each(t, in.read(t, connections), "1", connections)
			if rests := time.Since(begin) / gather; rests > connections/enough/4 {
				t.Errorf("%v passed, as if there were a rest of %v now and then", time.Since(begin), gather)
			}
		})
	}
}

// TestKernelBufferGrows: an overrun makes the buffer larger.
func TestKernelBufferGrows(t *testing.T) {
	ns := host(t)
	o := defaults
	o.HashEnable, o.SocketSize, o.SocketMax = false, 32<<10, 128<<10
	in := newInput(t, o)
	in.start(t, ns)
	talk(t, ns, 20000, 300, "192.0.2.1:9")
	in.drain(t)
	in.Await(t, "We are losing events, increasing buffer size to 131072") // twice 64 KiB, as the kernel counts
	if got := in.Counter("events") + in.Counter("events_lost"); got != 300 {
		t.Errorf("%d events and losses, want 300", got)
	}
}

// TestKernelReliable: what did not fit comes again.
func TestKernelReliable(t *testing.T) {
	ns := host(t)
	o := defaults
	o.HashEnable, o.Reliable, o.Emit = false, true, emit(ctnetlink.Destroy)
	o.SocketSize, o.SocketMax = 32<<10, 32<<10
	in := newInput(t, o)
	in.start(t, ns)
	talk(t, ns, 20000, 300, "192.0.2.1:9")
	in.drain(t)
	flush(t, ns)
	rows := in.read(t, 300)
	each(t, rows, "4", 300)
}

// TestKernelDump: SIGUSR2 reports all connections, and sets their counters to 0.
func TestKernelDump(t *testing.T) {
	for _, hash := range []bool{true, false} {
		ns := host(t)
		o := defaults
		o.HashEnable, o.Emit = hash, emit(ctnetlink.Destroy)
		in := newInput(t, o)
		in.Dump() // before Open nothing comes of it
		in.start(t, ns)
		in.drain(t)
		talk(t, ns, 20000, 300, "192.0.2.1:9")
		in.drain(t)
		for i, packets := range []string{"1", "0"} {
			in.Dump()
			rows := in.read(t, 300)
			each(t, rows, "2", 300)
			for _, r := range rows {
				if r["orig.raw.pktcount"] != packets || r["flow.start.sec"] == "" || r["flow.end.sec"] != "" {
					t.Fatalf("hash %v, dump %d: %v; want %s packets, a beginning and no end", hash, i, r, packets)
				}
			}
		}
		flush(t, ns)
		each(t, in.read(t, 300), "4", 300)
	}
}

func TestKernelPolling(t *testing.T) {
	ns := host(t)
	o := defaults
	o.Poll = 1
	in := newInput(t, o)
	in.start(t, ns)
	in.Await(t, "NFCT working in polling mode")
	talk(t, ns, 20000, 300, "192.0.2.1:9")
	for deadline := time.Now().Add(10 * time.Second); in.table.n < 300 && time.Now().Before(deadline); {
		if rows := in.once(t); len(rows) > 0 {
			t.Fatalf("records of connections that go on: %v", rows)
		}
	}
	flush(t, ns)
	rows := in.read(t, 300)
	each(t, rows, "4", 300)
	for _, r := range rows {
		if r["orig.raw.pktcount"] != "1" || r["flow.start.sec"] == "" || r["flow.end.sec"] == "" {
			t.Errorf("%v: want the counters of the last dump, and both times", r)
		}
	}
	if in.Counter("flows_missed") != 0 {
		t.Error("connections that polling finds gone are counted as missed")
	}
}

// TestKernelPollingWithUpdates reports what goes on, at each dump.
func TestKernelPollingWithUpdates(t *testing.T) {
	ns := host(t)
	o := defaults
	o.Poll, o.Emit = 1, emit(ctnetlink.New|ctnetlink.Update)
	in := newInput(t, o)
	in.start(t, ns)
	talk(t, ns, 20000, 10, "192.0.2.1:9")
	each(t, in.read(t, 10), "1", 10)
	each(t, in.read(t, 10), "2", 10)
	if err := in.Close(); err != nil {
		t.Error(err)
	}
}

// TestKernelFilter runs the filter in the kernel on connections of many sorts, and
// compares what it lets pass with what accepts does.
func TestKernelFilter(t *testing.T) {
	ns := host(t)
	addrs := []string{"192.0.2.1", "192.0.2.77", "192.0.2.130", "127.0.0.1", "2001:db8::1", "::1"}
	for _, src := range []string{"2001:db8::77", "2001:db8::8000"} {
		addAddr6(t, ns, src)
		addrs = append(addrs, src)
	}
	texts := []string{"", "192.0.2.0/24", "192.0.2.1/32,127.0.0.0/8", "192.0.2.64/26,2001:db8::/113", "2001:db8::77/128", "::/0", "0.0.0.0/0", "::1/128,2001:db8::8000/128,10.0.0.0/8"}
	protos := []string{"", "udp", "6", "tcp,17", "icmp,sctp"}
	rnd := rand.New(rand.NewPCG(1, 1))
	port := 20000
	for range 40 {
		o := defaults
		o.HashEnable = false
		if err := errors.Join(
			o.AcceptSrc.UnmarshalText([]byte(texts[rnd.IntN(len(texts))])),
			o.AcceptDst.UnmarshalText([]byte(texts[rnd.IntN(len(texts))])),
			o.AcceptProto.UnmarshalText([]byte(protos[rnd.IntN(len(protos))]))); err != nil {
			t.Fatal(err)
		}
		all, filtered := listener(t, ns, nil), listener(t, ns, o.program())
		for _, src := range addrs {
			for _, dst := range addrs {
				a, b := netip.MustParseAddr(src), netip.MustParseAddr(dst)
				if a.Is4() == b.Is4() {
					port++
					sendFrom(t, ns, netip.AddrPortFrom(a, uint16(port)), netip.AddrPortFrom(b, 9))
				}
			}
		}
		want := map[uint32]bool{}
		total := 0
		for _, f := range receiveAll(t, all) {
			total++
			if o.accepts(&f) {
				want[f.ID] = true
			}
		}
		got := map[uint32]bool{}
		for _, f := range receiveAll(t, filtered) {
			got[f.ID] = true
		}
		if total < len(addrs) || fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%+v: the kernel lets %d of %d pass, want %d", o, len(got), total, len(want))
		}
	}
}

// listener is a socket that hears of connections that begin.
func listener(t *testing.T, ns *lab.NS, program []bpf.RawInstruction) *nlsock.Multicast {
	t.Helper()
	var sock *nlsock.Multicast
	err := ns.Do(func() (err error) {
		sock, err = nlsock.Listen(unix.NETLINK_NETFILTER, "")
		return err
	})
	if err == nil {
		t.Cleanup(func() { sock.Close() })
		err = sock.Filter(program)
	}
	if err == nil {
		err = sock.Join(1)
	}
	if err != nil {
		t.Fatal(err)
	}
	return sock
}

func receiveAll(t *testing.T, sock *nlsock.Multicast) (flows []ctnetlink.Flow) {
	t.Helper()
	many := nlsock.NewMany(make([]byte, pieces*pieceSize), pieceSize)
	for {
		more, err := sock.Receive(many)
		if err != nil {
			t.Fatal(err)
		}
		if !more {
			return flows
		}
		for i := range many.Len() {
			m, _, _ := nlsock.NextMessage(many.At(i))
			var f ctnetlink.Flow
			if err := f.Decode(m.Body); err != nil {
				t.Fatal(err)
			}
			flows = append(flows, f)
		}
	}
}

func sendFrom(t *testing.T, ns *lab.NS, from, to netip.AddrPort) {
	t.Helper()
	err := ns.Do(func() error {
		c, err := net.DialUDP("udp", net.UDPAddrFromAddrPort(from), net.UDPAddrFromAddrPort(to))
		if err != nil {
			return err
		}
		defer c.Close()
		_, err = c.Write([]byte("hello"))
		return err
	})
	if err != nil && !errors.Is(err, unix.EADDRNOTAVAIL) && !errors.Is(err, unix.ENETUNREACH) && !errors.Is(err, unix.EINVAL) {
		t.Fatal(err)
	}
}

func TestKernelNamespaceByPath(t *testing.T) {
	ns := host(t)
	o := defaults
	o.HashEnable, o.NetNS = false, fmt.Sprintf("/proc/self/fd/%d", ns.FD())
	in := newInput(t, o)
	if err := in.Open(); err != nil { // outside the namespace
		t.Fatal(err)
	}
	t.Cleanup(func() { in.source.Close() })
	talk(t, ns, 20000, 3, "192.0.2.1:9")
	each(t, in.read(t, 3), "1", 3)
	in.Dump() // in the same namespace
	each(t, in.read(t, 3), "2", 3)
	o.NetNS = "/nonexistent"
	if err := newInput(t, o).Open(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a namespace that is not there: %v", err)
	}
}

// TestKernelNothingIsLostAtTheEnd ends a source that has not read its events yet.
func TestKernelNothingIsLostAtTheEnd(t *testing.T) {
	ns := host(t)
	o := defaults
	o.HashEnable = false
	in := newInput(t, o)
	in.start(t, ns)
	talk(t, ns, 20000, 300, "192.0.2.1:9")
	rows, err := in.end(t)
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	each(t, rows, "1", 300)
	if n, err := ns.Members(unix.NETLINK_NETFILTER, 1); err != nil || n != 0 {
		t.Errorf("%d sockets still listen, %v", n, err)
	}
}

// end reads to the end of a context that has ended.
func (in *input) end(t *testing.T) (rows []row, err error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for err == nil {
		in.Batch.Reset()
		err = in.Read(ctx, in.Batch)
		rows = append(rows, in.rows()...)
	}
	return rows, err
}

// store is a service manager's.
type store map[string][]*os.File

func (s store) Take(name string) []*os.File {
	files := s[name]
	delete(s, name)
	return files
}

func (s store) Keep(name string, fds ...int) error {
	for _, fd := range fds {
		dup, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			return err
		}
		s[name] = append(s[name], os.NewFile(uintptr(dup), name))
	}
	return nil
}

// again is what the next process finds: copies of what is stored.
func (s store) again(t *testing.T) store {
	t.Helper()
	next := store{}
	for name, files := range s {
		for _, f := range files {
			if err := next.Keep(name, int(f.Fd())); err != nil {
				t.Fatal(err)
			}
		}
	}
	return next
}

// TestKernelSocketOutlivesTheProcess kills a source after each of its steps, and has the
// next one go on: each record is there once by its number.
func TestKernelSocketOutlivesTheProcess(t *testing.T) {
	ns := host(t)
	kept := store{}
	o := defaults
	o.HashEnable = false
	start := func(s store) *input {
		in := newInput(t, o, func(env *plugin.Env) { env.Store = s })
		if err := ns.Do(in.Open); err != nil {
			t.Fatal(err)
		}
		return in
	}
	in := start(kept)
	records := map[uint64]string{}
	note := func(rows []row) {
		for i, r := range rows {
			number := in.Batch.First + uint64(i)
			if old, ok := records[number]; ok && old != r["orig.l4.sport"] {
				t.Errorf("record %d is of port %s, and was of %s", number, r["orig.l4.sport"], old)
			}
			records[number] = r["orig.l4.sport"]
		}
	}
	rnd := rand.New(rand.NewPCG(1, 1))
	const kills, each5 = 30, 5
	for i := range kills {
		talk(t, ns, 20000+each5*i, each5, "192.0.2.1:9")
		for range rnd.IntN(3) {
			note(in.once(t))
		}
		if rnd.IntN(4) == 0 && in.at == in.many.Len() && len(in.left) == 0 { // killed when all is noted
			in.numbers.advance()
		}
		// Its end closes its descriptors, and nothing else.
		_ = in.source.Close()
		in = start(kept.again(t))
		in.Await(t, "going on with the socket of an earlier process")
	}
	defer func() { in.source.Close() }()
	for deadline := time.Now().Add(20 * time.Second); len(records) < kills*each5 && time.Now().Before(deadline); {
		note(in.once(t))
	}
	ports := map[string]bool{}
	for _, port := range records {
		ports[port] = true
	}
	if len(records) != kills*each5 || len(ports) != kills*each5 {
		t.Errorf("%d numbers of %d connections, want %d", len(records), len(ports), kills*each5)
	}
	note(in.once(t))
	// An orderly end reads what is in the socket, since there may be no next process. If
	// there is one it has what comes then.
	talk(t, ns, 30000, 5, "192.0.2.1:9")
	rows, err := in.end(t)
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	each(t, rows, "1", 5)
	talk(t, ns, 31000, 5, "192.0.2.1:9")
	next := start(kept.again(t))
	each(t, next.read(t, 5), "1", 5)

	// What does not fit while no process is there is counted.
	next.drain(t)
	if _, err := next.sock.SetReadBuffer(32 << 10); err != nil {
		t.Fatal(err)
	}
	if err := next.source.Close(); err != nil {
		t.Error(err)
	}
	talk(t, ns, 40000, 300, "192.0.2.1:9")
	last := start(kept.again(t))
	defer last.source.Close()
	rows = last.drain(t)
	if lost := last.Counter("events_lost"); lost == 0 || len(rows)+int(lost) != 300 {
		t.Errorf("%d records and %d lost events of 300 connections", len(rows), lost)
	}
}

// TestKernelUselessStore: what is no socket is reported, and a new one is made.
func TestKernelUselessStore(t *testing.T) {
	ns := host(t)
	name := newInput(t, defaults).storeName()
	null := func() *os.File {
		f, err := os.Open(os.DevNull)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	for _, files := range [][]*os.File{{null()}, {null(), null(), null()}} {
		in := newInput(t, defaults, func(env *plugin.Env) { env.Store = store{name: files} })
		in.start(t, ns)
		in.Await(t, "the socket of an earlier process is of no use")
	}
}

func TestKernelReadDoesNotAllocate(t *testing.T) {
	ns := host(t)
	o := defaults
	o.HashEnable = false
	in := newInput(t, o)
	in.start(t, ns)
	talk(t, ns, 20000, 30*enough, "192.0.2.1:9")
	records := 0
	step := func() {
		in.Batch.Reset()
		if err := in.Read(t.Context(), in.Batch); err != nil {
			t.Fatal(err)
		}
		records += in.Batch.Len()
	}
	for range 5 {
		step() // buffers grow to their size
	}
	if n := testing.AllocsPerRun(20, step); n != 0 {
		t.Errorf("%v allocations for a batch", n)
	}
	if records != 26*enough {
		t.Errorf("%d records in 26 batches, want %d in each", records, enough)
	}
}

// TestKernelReliableOutlivesTheProcess: events that found the buffer full while no process
// was there come again, and are none that are lost.
func TestKernelReliableOutlivesTheProcess(t *testing.T) {
	ns := host(t)
	kept := store{}
	o := defaults
	o.HashEnable, o.Reliable, o.Emit = false, true, emit(ctnetlink.Destroy)
	o.SocketSize, o.SocketMax = 32<<10, 32<<10
	in := newInput(t, o, func(env *plugin.Env) { env.Store = kept })
	in.start(t, ns)
	talk(t, ns, 20000, 300, "192.0.2.1:9")
	in.drain(t)
	if err := in.source.Close(); err != nil {
		t.Error(err)
	}
	flush(t, ns)
	next := newInput(t, o, func(env *plugin.Env) { env.Store = kept.again(t) })
	next.start(t, ns)
	next.Await(t, "going on with the socket of an earlier process")
	rows := next.read(t, 300)
	each(t, rows, "4", 300)
	if drops, err := next.sock.Drops(); err != nil || drops == 0 {
		t.Errorf("%d drops, %v; want some events that did not fit at first", drops, err)
	}
	if lost := next.Counter("events_lost"); lost != 0 {
		t.Errorf("%d events are counted as lost, and all 300 came", lost)
	}
}

// TestKernelNamespaceIsAnotherOne: a namespace that was made anew has the path of the old
// one, in which the kept socket still is.
func TestKernelNamespaceIsAnotherOne(t *testing.T) {
	kept := store{}
	o := defaults
	o.NetNS = filepath.Join(t.TempDir(), "ns")
	for _, line := range []string{"", "another network namespace"} {
		ns := host(t)
		_ = os.Remove(o.NetNS) // there is none the first time
		if err := os.Symlink(fmt.Sprintf("/proc/self/fd/%d", ns.FD()), o.NetNS); err != nil {
			t.Fatal(err)
		}
		in := newInput(t, o, func(env *plugin.Env) { env.Store = kept.again(t) })
		if err := in.Open(); err != nil {
			t.Fatal(err)
		}
		kept = in.env.Store.(store)
		if line != "" {
			in.Await(t, line)
		}
		talk(t, ns, 20000, 10, "192.0.2.1:9")
		flush(t, ns)
		each(t, in.read(t, 10), "4", 10)
		if err := in.source.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestKernelEndWhileADumpIsRead: a dump that the end of the daemon breaks off does not
// keep it from the events that the kernel has handed over.
func TestKernelEndWhileADumpIsRead(t *testing.T) {
	ns := host(t)
	in := newInput(t, defaults)
	in.start(t, ns) // the first dump is to be read now
	talk(t, ns, 20000, 10, "192.0.2.1:9")
	flush(t, ns)
	rows, err := in.end(t)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("the source ends with %v", err)
	}
	each(t, rows, "4", 10)
}

// TestKernelEndWhileCountersAreReset is the same for a dump that was asked for.
func TestKernelEndWhileCountersAreReset(t *testing.T) {
	ns := host(t)
	o := defaults
	o.HashEnable = false
	in := newInput(t, o)
	in.start(t, ns)
	talk(t, ns, 20000, 2*chunk, "192.0.2.1:9")
	in.Dump()
	in.drain(t)
	talk(t, ns, 30000, 10, "192.0.2.1:9")
	if err := in.startDump(dumpReset); err != nil {
		t.Fatal(err)
	}
	for in.source.dump.state == reading { // to when some counters are 0, and not reported
		in.readDump(in.Batch)
	}
	in.zeroMore()
	in.wanted.Store(true) // a signal that comes too late
	rows, err := in.end(t)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("the source ends with %v", err)
	}
	events := map[string]int{}
	for _, r := range rows {
		events[r["ct.event"]]++
	}
	if events["2"] != chunk || events["1"] != 10 || len(events) != 2 {
		t.Errorf("records by event: %v; want %d whose counters were reset (2), and 10 that were waiting (1)", events, chunk)
	}
}

// TestKernelLeftEventsHaveATime: events that the next process sees again have the time at
// which it reads them, if the kernel gives none.
func TestKernelLeftEventsHaveATime(t *testing.T) {
	ns := host(t)
	if err := ns.Sysctl("net.netfilter.nf_conntrack_timestamp", "0"); err != nil {
		t.Fatal(err)
	}
	kept := store{}
	o := defaults
	o.HashEnable = false
	in := newInput(t, o, func(env *plugin.Env) { env.Store = kept })
	in.start(t, ns)
	talk(t, ns, 20000, 5, "192.0.2.1:9")
	flush(t, ns)
	in.read(t, 10) // but it is killed before they are in the queues
	if err := in.source.Close(); err != nil {
		t.Error(err)
	}
	next := newInput(t, o, func(env *plugin.Env) { env.Store = kept.again(t) })
	next.start(t, ns)
	rows := next.read(t, 10)
	for _, r := range rows {
		key := map[string]string{"1": "flow.start.sec", "4": "flow.end.sec"}[r["ct.event"]]
		if n, err := strconv.ParseInt(r[key], 10, 64); err != nil || time.Since(time.Unix(n, 0)) > time.Minute {
			t.Errorf("%s of %v is not of now", key, r)
		}
	}
	if age := time.Since(next.Batch.Now); age > time.Minute {
		t.Errorf("the batch is %v old", age)
	}
}
