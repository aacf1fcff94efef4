package ctnetlink

import (
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ulogd-go/ulogd/pkg/nflog"
	"github.com/ulogd-go/ulogd/pkg/nlsock"
)

// Messages of Linux 6.18, as they were multicast: a connection of TCP that has begun, one
// of ICMP that has changed, and one of UDP in IPv6 that has ended.
const (
	tcpNew = "d800000000010006000000000000000002000000340001801400018008000100c000020208000200c00002011c0002800500010006000000060002009c400000060003001f900000340002801400018008000100c000020108000200c00002021c0002800500010006000000060002001f900000060003009c40000008000c009747d98108000300000000080800070000000078300004802c0001800500010001000000050002000a000000050003000000000006000400030000000600050000000000080008000000002a0c001b0018ea9e84bc319839"

	icmpUpdate = "b8000000000100000000000000000000020000003c0001801400018008000100c000020208000200c00002012400028005000100010000000600040000070000050005000800000005000600000000003c0002801400018008000100c000020108000200c000020224000280050001000100000006000400000700000500050000000000050006000000000008000c00a255158a080003000000000a080007000000001e080008000000002a0c001b0018ea9e84bc72860f"

	udp6Destroy = "2c0100000201000000000000c6a4aa9f0a0000004c0001802c0001801400030020010db80000000000000000000000021400040020010db80000000000000000000000011c0002800500010011000000060002000457000006000300000900004c0002802c0001801400030020010db80000000000000000000000011400040020010db80000000000000000000000021c00028005000100110000000600020000090000060003000457000008000c0061d76fd40800030000000208080007000000001c1c0009800c00010000000000000000010c00020000000000000000311c000a800c00010000000000000000000c00020000000000000000001c0014800c00010018ea9e84bc4bd9fb0c00020018ea9e851c962ec9080008000000002b0c001b0018ea9e851c9630b4"
)

func message(tb testing.TB, text string) nlsock.Message {
	tb.Helper()
	data, err := hex.DecodeString(text)
	if err != nil {
		tb.Fatal(err)
	}
	m, rest, ok := nlsock.NextMessage(data)
	if !ok || len(rest) > 0 {
		tb.Fatalf("no message, or %d bytes behind it", len(rest))
	}
	return m
}

func addr(text string) (b [16]byte) {
	copy(b[:], netip.MustParseAddr(text).AsSlice())
	return b
}

func TestDecode(t *testing.T) {
	for _, tt := range []struct {
		name, message string
		event         Event
		want          Flow
	}{
		{"TCP begins", tcpNew, New, Flow{
			Orig:  Tuple{Src: addr("192.0.2.2"), Dst: addr("192.0.2.1"), SrcPort: 40000, DstPort: 8080, Proto: 6},
			Reply: Tuple{Src: addr("192.0.2.1"), Dst: addr("192.0.2.2"), SrcPort: 8080, DstPort: 40000, Proto: 6},
			Mark:  42, ID: 2538068353, Status: 8, Timeout: 120, State: 1, Family: 2,
			Has: HasMark | HasID | HasStatus | HasTimeout | HasState,
		}},
		{"ICMP changes", icmpUpdate, Update, Flow{
			Orig:  Tuple{Src: addr("192.0.2.2"), Dst: addr("192.0.2.1"), SrcPort: 7, Type: 8, Proto: 1},
			Reply: Tuple{Src: addr("192.0.2.1"), Dst: addr("192.0.2.2"), SrcPort: 7, Proto: 1},
			Mark:  42, ID: 2723485066, Status: 10, Timeout: 30, Family: 2,
			Has: HasMark | HasID | HasStatus | HasTimeout,
		}},
		{"UDP in IPv6 ends", udp6Destroy, Destroy, Flow{
			Orig:      Tuple{Src: addr("2001:db8::2"), Dst: addr("2001:db8::1"), SrcPort: 1111, DstPort: 9, Proto: 17},
			Reply:     Tuple{Src: addr("2001:db8::1"), Dst: addr("2001:db8::2"), SrcPort: 9, DstPort: 1111, Proto: 17},
			OrigCount: Counters{1, 49}, Start: 1795421694392523259, Stop: 1795421696008007369,
			Mark: 43, ID: 1641508820, Status: 520, Timeout: 28, Family: 10,
			Has: HasMark | HasID | HasStatus | HasTimeout | HasCounters,
		}},
	} {
		m := message(t, tt.message)
		if got := EventOf(m); got != tt.event {
			t.Errorf("%s: event %d, want %d", tt.name, got, tt.event)
		}
		got := Flow{Zone: 9, Orig: Tuple{Zone: 9}} // of the flow before
		if err := got.Decode(m.Body); err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got)\n%s", tt.name, diff)
		}
		if got.Translated() {
			t.Errorf("%s: taken for translated", tt.name)
		}
	}
}

func TestEventOf(t *testing.T) {
	for _, tt := range []struct {
		m    nlsock.Message
		want Event
	}{
		{nlsock.Message{Type: TypeNew, Flags: 0x2}, Update}, // an answer to a dump
		{nlsock.Message{Type: TypeNew, Flags: 0x400}, Update},
		{nlsock.Message{Type: TypeGet}, 0},
		{nlsock.Message{Type: nlsock.TypeDone}, 0},
		{nlsock.Message{Type: nflog.TypePacket}, 0},
	} {
		if got := EventOf(tt.m); got != tt.want {
			t.Errorf("%+v: event %d, want %d", tt.m, got, tt.want)
		}
	}
}

func TestGroups(t *testing.T) {
	if got := (New | Destroy).Groups(); !slices.Equal(got, []int{1, 3}) {
		t.Errorf("groups %v, want those of new and destroy", got)
	}
	if got := Event(0).Groups(); got != nil {
		t.Errorf("groups %v of no event", got)
	}
}

// TestMalformed cuts messages, and has their attributes lie.
func TestMalformed(t *testing.T) {
	var f Flow
	for _, text := range []string{tcpNew, icmpUpdate, udp6Destroy} {
		body := message(t, text).Body
		for n := range body {
			cut := body[:n]
			if err := f.Decode(cut); err == nil && !boundary(cut) {
				t.Errorf("a message cut to %d bytes has no error", n)
			}
		}
	}
	short := func(typ uint16, n int) []byte {
		attrs := nflog.AppendAttr(nil, AttrOrig|nested)
		return append(make([]byte, nflog.FamilyHeaderLen), nflog.AppendAttr(attrs, typ, make([]byte, n)...)...)
	}
	for _, typ := range []uint16{attrStatus, attrTimeout, attrMark, attrID} {
		if f.Decode(short(typ, 3)) == nil || f.Decode(short(typ, 4)) != nil {
			t.Errorf("attribute %d: 3 bytes must be an error, and 4 none", typ)
		}
	}
	if f.Decode(short(attrZone, 1)) == nil || f.Decode(short(attrZone, 2)) != nil {
		t.Error("a zone of one byte must be an error")
	}
	if err := f.Decode(make([]byte, nflog.FamilyHeaderLen)); err != ErrMalformed {
		t.Errorf("no connection: %v, want an error", err)
	}
}

// boundary tells whether b ends between two attributes, of which one is the connection's
// first direction: then nothing shows that some are missing.
func boundary(b []byte) bool {
	if len(b) < nflog.FamilyHeaderLen {
		return false
	}
	rest := b[nflog.FamilyHeaderLen:]
	found := false
	for {
		typ, _, tail, ok := nflog.Next(rest)
		if !ok {
			return found && len(rest) == 0
		}
		found = found || typ == AttrOrig
		rest = tail
	}
}

func TestLabelsZonesAndState(t *testing.T) {
	f := flow(rand.New(rand.NewPCG(1, 1)))
	f.Orig.Proto, f.Reply.Proto = 132, 132
	f.State, f.Zone, f.Orig.Zone = 3, 7, 8
	f.Labels = [16]byte{1, 15: 0x80}
	f.Has = HasLabels | HasZone | HasState
	var got Flow
	if err := got.Decode(append([]byte{f.Family, 0, 0, 0}, f.AppendAttrs(nil)...)); err != nil {
		t.Fatal(err)
	}
	if got.State != 3 || got.Zone != 7 || got.Orig.Zone != 8 || got.Labels != f.Labels || got.Has != f.Has {
		t.Errorf("%+v", got)
	}
}

// flow is a random connection.
func flow(rnd *rand.Rand) Flow {
	f := Flow{Family: nflog.FamilyIPv4, Has: Has(rnd.IntN(256)), Start: rnd.Int64(), Zone: uint16(rnd.Uint32())}
	n := 4
	if rnd.IntN(2) == 0 {
		f.Family, n = nflog.FamilyIPv6, 16
	}
	proto := []uint8{1, 6, 17, 33, 47, 58, 132}[rnd.IntN(7)]
	for _, t := range []*Tuple{&f.Orig, &f.Reply} {
		for i := range n {
			t.Src[i], t.Dst[i] = byte(rnd.Uint32()), byte(rnd.Uint32())
		}
		t.Proto, t.SrcPort = proto, uint16(rnd.Uint32())
		if proto == protoICMP || proto == protoICMPv6 {
			t.Type, t.Code = byte(rnd.Uint32()), byte(rnd.Uint32())
		} else {
			t.DstPort = uint16(rnd.Uint32())
		}
		t.Zone = uint16(rnd.IntN(2))
	}
	f.OrigCount, f.ReplyCount = Counters{rnd.Uint64(), rnd.Uint64()}, Counters{rnd.Uint64(), rnd.Uint64()}
	f.Mark, f.ID, f.Status, f.Timeout = rnd.Uint32(), rnd.Uint32(), rnd.Uint32(), rnd.Uint32()
	f.State = byte(rnd.Uint32())
	if rnd.IntN(2) == 0 {
		f.Stop = rnd.Int64()
	}
	for i := range f.Labels {
		f.Labels[i] = byte(rnd.Uint32())
	}
	f.forget()
	return f
}

// forget sets what a flow does not have to 0.
func (f *Flow) forget() {
	for has, clear := range map[Has]func(){
		HasCounters: func() { f.OrigCount, f.ReplyCount = Counters{}, Counters{} },
		HasMark:     func() { f.Mark = 0 }, HasID: func() { f.ID = 0 }, HasStatus: func() { f.Status = 0 },
		HasTimeout: func() { f.Timeout = 0 }, HasZone: func() { f.Zone = 0 }, HasLabels: func() { f.Labels = [16]byte{} },
		HasState: func() { f.State = 0 },
	} {
		if has == HasState && infoOf(f.Orig.Proto) == 0 {
			f.Has &^= HasState
		}
		if f.Has&has == 0 {
			clear()
		}
	}
}

// TestAppendAttrs: what is appended is what is decoded.
func TestAppendAttrs(t *testing.T) {
	rnd := rand.New(rand.NewPCG(2, 2))
	for range 1000 {
		want := flow(rnd)
		var got Flow
		if err := got.Decode(append([]byte{want.Family, 0, 0, 0}, want.AppendAttrs(nil)...)); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("(-want +got)\n%s", diff)
		}
	}
}

func TestMerge(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 3))
	old, newer := flow(rnd), flow(rnd)
	old.Has, newer.Has = HasMark|HasID, 0
	want := old
	old.Merge(&newer)
	if old != want {
		t.Error("a message that says nothing changes something")
	}
	newer.Has = HasCounters | HasMark | HasStatus | HasTimeout | HasState | HasLabels
	old.Merge(&newer)
	if old.OrigCount != newer.OrigCount || old.Mark != newer.Mark || old.Status != newer.Status || old.Timeout != newer.Timeout ||
		old.State != newer.State || old.Labels != newer.Labels {
		t.Errorf("%+v, want what is new of %+v", old, newer)
	}
	if old.ID != want.ID || old.Start != want.Start || old.Orig != want.Orig || old.Has != newer.Has|HasID {
		t.Errorf("%+v, want to keep what is not new of %+v", old, want)
	}
}

func TestTranslated(t *testing.T) {
	plain := func(proto uint8) Flow {
		f := Flow{
			Orig:  Tuple{Src: addr("10.0.0.1"), Dst: addr("192.0.2.1"), SrcPort: 1000, DstPort: 80, Proto: proto},
			Reply: Tuple{Src: addr("192.0.2.1"), Dst: addr("10.0.0.1"), SrcPort: 80, DstPort: 1000, Proto: proto},
		}
		if proto == protoICMP {
			f.Orig.DstPort, f.Reply.SrcPort, f.Reply.DstPort = 0, 1000, 0
		}
		return f
	}
	for _, tt := range []struct {
		name   string
		proto  uint8
		change func(*Flow)
		want   bool
	}{
		{"not", 6, func(*Flow) {}, false},
		{"an echo is not", protoICMP, func(f *Flow) { f.Orig.Type = 8 }, false},
		{"source address", 6, func(f *Flow) { f.Reply.Dst = addr("203.0.113.7") }, true},
		{"source port", 17, func(f *Flow) { f.Reply.DstPort = 33333 }, true},
		{"destination address", 6, func(f *Flow) { f.Reply.Src = addr("10.1.1.1") }, true},
		{"destination port", 6, func(f *Flow) { f.Reply.SrcPort = 8080 }, true},
		{"identifier of an echo", protoICMP, func(f *Flow) { f.Reply.SrcPort = 7 }, true},
	} {
		f := plain(tt.proto)
		tt.change(&f)
		if got := f.Translated(); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestDecodeAllocatesNothing(t *testing.T) {
	bodies := [][]byte{message(t, tcpNew).Body, message(t, icmpUpdate).Body, message(t, udp6Destroy).Body}
	var f Flow
	if n := testing.AllocsPerRun(100, func() {
		for _, body := range bodies {
			if err := f.Decode(body); err != nil {
				t.Error(err)
			}
		}
	}); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

// FuzzDecode: no message does harm, and what is read can be written and read again.
func FuzzDecode(f *testing.F) {
	for _, text := range []string{tcpNew, icmpUpdate, udp6Destroy} {
		f.Add([]byte(message(f, text).Body))
	}
	rnd := rand.New(rand.NewPCG(4, 4))
	for range 20 {
		x := flow(rnd)
		f.Add(append([]byte{x.Family, 0, 0, 0}, x.AppendAttrs(nil)...))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var first Flow
		if first.Decode(body) != nil {
			return
		}
		first.Translated()
		if first.Family != nflog.FamilyIPv4 {
			first.Family = nflog.FamilyIPv6
		}
		written := first.AppendAttrs(nil)
		var second Flow
		if err := second.Decode(append([]byte{first.Family, 0, 0, 0}, written...)); err != nil {
			t.Fatalf("what was written can't be read: %v", err)
		}
		if third := second.AppendAttrs(nil); string(third) != string(written) {
			t.Errorf("read and written again:\n%x\n%x", written, third)
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	body := message(b, strings.Clone(udp6Destroy)).Body
	var f Flow
	b.ReportAllocs()
	for b.Loop() {
		if err := f.Decode(body); err != nil {
			b.Fatal(err)
		}
	}
}

func TestAllFamilies(t *testing.T) {
	if b := AllFamilies(); len(b) != nflog.FamilyHeaderLen || binary.NativeEndian.Uint32(b) != 0 {
		t.Errorf("%x, want a header of family 0", b)
	}
}

// TestOne: a request for a connection says which it is, and nothing else.
func TestOne(t *testing.T) {
	v6 := Flow{Family: nflog.FamilyIPv6, Has: HasZone | HasMark | HasID | HasCounters, Zone: 7, Mark: 1, ID: 2}
	v6.Orig = Tuple{Src: [16]byte{0x20, 1}, Dst: [16]byte{0x20, 2}, SrcPort: 5, Proto: protoICMPv6, Type: 128}
	v4 := Flow{Family: nflog.FamilyIPv4, Has: HasStatus | HasTimeout, Orig: Tuple{SrcPort: 1, DstPort: 2, Proto: 17, Zone: 3}}
	for _, f := range []Flow{v4, v6} {
		body := f.AppendAttrs([]byte{f.Family, 0, 0, 0})
		var got Flow
		if err := got.Decode(One(body)); err != nil {
			t.Fatal(err)
		}
		want := Flow{Family: f.Family, Orig: f.Orig, Zone: f.Zone, Has: f.Has & HasZone}
		if got != want {
			t.Errorf("asked for %+v, want %+v", got, want)
		}
	}
}
