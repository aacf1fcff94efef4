package nfct

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ulogd-go/ulogd/pkg/ctnetlink"
	"github.com/ulogd-go/ulogd/pkg/nflog"
	"github.com/ulogd-go/ulogd/pkg/nlsock"
)

// second is a time in nanoseconds since 1970, some seconds behind another.
func second(n int) int64 { return (1795421690 + int64(n)) * int64(time.Second) }

// connection is connection number i, of TCP.
func connection(i int) ctnetlink.Flow {
	f := ctnetlink.Flow{
		Family: nflog.FamilyIPv4, ID: uint32(1000 + i), Has: ctnetlink.HasID,
		Orig:  ctnetlink.Tuple{SrcPort: uint16(i), DstPort: 80, Proto: protoTCP},
		Reply: ctnetlink.Tuple{SrcPort: 80, DstPort: uint16(i), Proto: protoTCP},
	}
	copy(f.Orig.Src[:], []byte{10, 0, byte(i >> 8), byte(i)})
	copy(f.Orig.Dst[:], []byte{192, 0, 2, 1})
	f.Reply.Src, f.Reply.Dst = f.Orig.Dst, f.Orig.Src
	return f
}

// message is what the kernel would send of a flow.
func message(what ctnetlink.Event, f ctnetlink.Flow) nlsock.Message {
	m := nlsock.Message{Type: ctnetlink.TypeNew, Body: append([]byte{f.Family, 0, 0, 0}, f.AppendAttrs(nil)...)}
	switch what {
	case ctnetlink.New:
		m.Flags = 0x600
	case ctnetlink.Destroy:
		m.Type = ctnetlink.TypeDelete
	}
	return m
}

// said is a record in short: event, connection, beginning and end in seconds.
func said(r row) string {
	short := func(key string) string {
		if text := r[key]; text != "" {
			return strings.TrimPrefix(text, "17954216")
		}
		return "-"
	}
	return fmt.Sprintf("%s:%s %s..%s", r["ct.event"], strings.TrimPrefix(r["ct.id"], "1"), short("flow.start.sec"), short("flow.end.sec"))
}

// TestEvents has events and answers of dumps come one a second, and looks at what is
// reported.
func TestEvents(t *testing.T) {
	a, stamped := connection(1), connection(1)
	stamped.Start = second(-50)
	stopped := stamped
	stopped.Stop = second(3)
	other := a
	other.ID += 100
	type step struct {
		what ctnetlink.Event
		f    ctnetlink.Flow
	}
	events := func(o *options) *options { return o }
	with := func(change func(*options)) *options {
		o := defaults
		change(&o)
		return events(&o)
	}
	plain := with(func(o *options) {})
	loose := with(func(o *options) { o.HashEnable = false })
	all := with(func(o *options) { o.Emit = emit(ctnetlink.New | ctnetlink.Update | ctnetlink.Destroy) })
	looseAll := with(func(o *options) { o.HashEnable, o.Emit = false, 7 })
	for _, tt := range []struct {
		name  string
		o     *options
		steps []step
		want  string
	}{
		{"table", plain, []step{{1, a}, {2, a}, {4, a}}, "4:001 90..92"},
		{"the kernel's times", plain, []step{{1, a}, {4, stopped}}, "4:001 90..93"},
		{"a beginning by the kernel", plain, []step{{2, stamped}, {4, a}}, "4:001 40..91"},
		{"not in the table", plain, []step{{4, a}}, "4:001 -..90"},
		{"not in the table, the kernel's times", plain, []step{{4, stopped}}, "4:001 40..93"},
		{"begins by an update", plain, []step{{2, a}, {2, a}, {4, a}}, "4:001 90..92"},
		{"twice", plain, []step{{1, a}, {4, a}, {1, a}, {4, a}}, "4:001 90..91, 4:001 92..93"},
		{"another one in its place", plain, []step{{1, a}, {1, other}, {4, other}}, "4:001 90..91, 4:101 91..92"},

		{"no table", loose, []step{{1, a}, {2, a}, {4, a}}, "1:001 90..-, 4:001 -..92"},
		{"no table, the kernel's times", loose, []step{{1, stamped}, {4, stopped}}, "1:001 40..-, 4:001 40..93"},

		{"all events", all, []step{{1, a}, {2, a}, {4, a}}, "1:001 90..-, 2:001 90..-, 4:001 90..92"},
		{"all events, no table", looseAll, []step{{1, a}, {2, stamped}, {2, a}, {4, a}}, "1:001 90..-, 2:001 40..-, 2:001 -..-, 4:001 -..93"},
		{"new only", with(func(o *options) { o.Emit = emit(ctnetlink.New) }), []step{{1, a}, {2, a}, {4, a}, {1, a}}, "1:001 90..-, 1:001 93..-"},
	} {
		in := newInput(t, *tt.o)
		if tt.o.HashEnable {
			in.table = newTable(1, 10)
		}
		for i, s := range tt.steps {
			in.now = second(i)
			in.event(in.Batch, message(s.what, s.f))
		}
		var got []string
		for _, r := range in.rows() {
			got = append(got, said(r))
		}
		if got := strings.Join(got, ", "); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}

// TestKeys has the keys of a connection of ICMPv6 that is translated.
func TestKeys(t *testing.T) {
	f := ctnetlink.Flow{
		Family: nflog.FamilyIPv6, ID: 7, Mark: 8, Zone: 9, Status: 10, Timeout: 11,
		Orig:      ctnetlink.Tuple{Src: netip.MustParseAddr("fd00::1").As16(), Dst: netip.MustParseAddr("2001:db8::1").As16(), SrcPort: 99, Type: 128, Code: 0, Proto: protoICMPv6},
		Reply:     ctnetlink.Tuple{Src: netip.MustParseAddr("2001:db8::1").As16(), Dst: netip.MustParseAddr("2001:db8::2").As16(), SrcPort: 99, Type: 129, Proto: protoICMPv6},
		OrigCount: ctnetlink.Counters{Packets: 1, Bytes: 100}, ReplyCount: ctnetlink.Counters{Packets: 2, Bytes: 1 << 40},
		Start: second(0) + 123456789, Stop: second(1) + 1999,
		Labels: [16]byte{0x05, 15: 0x80},
		Has:    ctnetlink.HasID | ctnetlink.HasMark | ctnetlink.HasZone | ctnetlink.HasStatus | ctnetlink.HasTimeout | ctnetlink.HasLabels | ctnetlink.HasCounters,
	}
	o := defaults
	o.HashEnable, o.NATOnly = false, true
	in := newInput(t, o)
	in.event(in.Batch, message(ctnetlink.Destroy, f))
	in.event(in.Batch, message(ctnetlink.Destroy, connection(1))) // is not translated
	in.event(in.Batch, nlsock.Message{Type: ctnetlink.TypeDelete, Body: []byte{2, 0, 0, 0, 1}})
	want := []row{{
		"orig.ip.saddr": "fd00::1", "orig.ip.daddr": "2001:db8::1", "orig.ip.protocol": "58", "orig.raw.pktlen": "100", "orig.raw.pktcount": "1",
		"reply.ip.saddr": "2001:db8::1", "reply.ip.daddr": "2001:db8::2", "reply.ip.protocol": "58", "reply.raw.pktlen": "1099511627776", "reply.raw.pktcount": "2",
		"icmpv6.code": "0", "icmpv6.type": "128", "ct.mark": "8", "ct.id": "7", "ct.event": "4",
		"flow.start.sec": "1795421690", "flow.start.usec": "123456", "flow.end.sec": "1795421691", "flow.end.usec": "1",
		"oob.family": "10", "oob.protocol": "0", "ct": "", "ct.zone": "9", "ct.labels": "80000000000000000000000000000005", "ct.status": "10", "ct.timeout": "11",
	}}
	if diff := cmp.Diff(want, in.rows()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if in.Counter("messages_malformed") != 1 {
		t.Error("a malformed message is not counted")
	}
	// The attributes are the kernel's, byte for byte.
	e := in.Batch.At(0)
	if got := in.Batch.Bytes(e[in.keys.ct]); string(got) != string(f.AppendAttrs(nil)) {
		t.Errorf("attributes %x", got)
	}
}

// TestFullTable: connections that find no room are reported and counted.
func TestFullTable(t *testing.T) {
	in := newInput(t, defaults)
	in.table = newTable(1, 2)
	in.now = second(0)
	for i := range 5 {
		in.event(in.Batch, message(ctnetlink.New, connection(i)))
	}
	in.now = second(1)
	for i := range 5 {
		in.event(in.Batch, message(ctnetlink.Destroy, connection(i)))
	}
	var got []string
	for _, r := range in.rows() {
		got = append(got, said(r))
	}
	want := []string{"4:000 90..91", "4:001 90..91", "4:002 -..91", "4:003 -..91", "4:004 -..91"}
	if diff := cmp.Diff(want, got); diff != "" || in.Counter("flows_refused") != 3 || in.table.n != 0 {
		t.Errorf("%d refused, %d left (-want +got)\n%s", in.Counter("flows_refused"), in.table.n, diff)
	}
	in.Await(t, "raise hash_max_entries")
}

// TestTable compares the table with a map, under random use.
func TestTable(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 1))
	table, model := newTable(3, 3000), map[int]bool{}
	for range 100000 {
		i := rnd.IntN(4000)
		f := connection(i)
		e := table.find(&f)
		if (e != nil) != model[i] || e != nil && e.ID != f.ID {
			t.Fatalf("connection %d: %+v, want it to be there: %v", i, e, model[i])
		}
		switch {
		case e != nil && rnd.IntN(3) == 0:
			table.remove(e)
			delete(model, i)
		case e == nil:
			if added := table.add(&f); (added != nil) != (len(model) < 3000) {
				t.Fatalf("%d connections of 3000, and one more is %v", len(model), added)
			} else if added != nil {
				added.seen = 1
				model[i] = true
			}
		}
		if table.n != len(model) {
			t.Fatalf("%d connections, want %d", table.n, len(model))
		}
	}
	found := 0
	for i := 1; i <= table.used; i++ {
		if table.at(uint32(i)).seen != 0 {
			found++
		}
	}
	if found != len(model) || table.used > 3000 || len(table.buckets) < 2048 {
		t.Errorf("%d entries in use of %d, %d chains; want %d connections", found, table.used, len(table.buckets), len(model))
	}
	other := connection(1)
	other.Zone = 5
	if model[1] = true; table.find(&other) != nil {
		t.Error("a connection in another zone is the same")
	}
}

// TestEventsAllocateNothing: connections come and go without an allocation.
func TestEventsAllocateNothing(t *testing.T) {
	in := newInput(t, defaults)
	in.table = newTable(1000, 1000)
	var messages []nlsock.Message
	for _, what := range []ctnetlink.Event{ctnetlink.New, ctnetlink.Update, ctnetlink.Destroy} {
		for i := range 50 {
			messages = append(messages, message(what, connection(i)))
		}
	}
	run := func() {
		in.Batch.Reset()
		for _, m := range messages {
			in.event(in.Batch, m)
		}
	}
	run()
	if n := testing.AllocsPerRun(20, run); n != 0 || in.Batch.Len() != 50 {
		t.Errorf("%v allocations, %d records", n, in.Batch.Len())
	}
}

func BenchmarkEvents(b *testing.B) {
	in := newInput(b, defaults)
	in.table = newTable(8192, 1<<20)
	var messages [2]nlsock.Message
	b.ReportAllocs()
	for i := range 500000 {
		in.event(in.Batch, message(ctnetlink.New, connection(i)))
	}
	messages[0], messages[1] = message(ctnetlink.New, connection(600000)), message(ctnetlink.Destroy, connection(600000))
	for b.Loop() {
		in.Batch.Reset()
		in.event(in.Batch, messages[0])
		in.event(in.Batch, messages[1])
	}
}

// TestDumpIsAheadOfEvents: a dump finds a connection that has taken the place of another,
// whose end is an event that waits. That is reported once, with what the kernel has counted.
func TestDumpIsAheadOfEvents(t *testing.T) {
	a := connection(1)
	other := a
	other.ID += 100
	ended := a
	ended.Has |= ctnetlink.HasCounters
	ended.OrigCount.Packets = 5
	for _, k := range []kind{dumpResync, dumpReset} {
		in := newInput(t, defaults)
		in.table = newTable(1, 10)
		in.now = second(0)
		in.event(in.Batch, message(ctnetlink.New, a))
		in.now = second(1)
		in.source.dump.kind, in.source.dump.state, in.source.dump.number = k, reading, 1
		in.answer(in.Batch, message(ctnetlink.Update, other))
		in.source.dump.state = idle
		for i, m := range []nlsock.Message{
			message(ctnetlink.Destroy, ended), message(ctnetlink.New, other), message(ctnetlink.Destroy, other),
		} {
			in.now = second(2 + i)
			in.event(in.Batch, m)
		}
		var got []string
		for _, r := range in.rows() {
			if r["ct.event"] == "4" {
				got = append(got, said(r)+" "+r["orig.raw.pktcount"])
			}
		}
		want := []string{"4:001 90..92 5", "4:101 91..94 0"}
		if diff := cmp.Diff(want, got); diff != "" || in.table.n != 0 || in.Counter("flows_missed") != 0 {
			t.Errorf("kind %d: %d missed, %d left (-want +got)\n%s", k, in.Counter("flows_missed"), in.table.n, diff)
		}
	}
}
