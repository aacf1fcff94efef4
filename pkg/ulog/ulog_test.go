package ulog

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ulogd-go/ulogd/contrib/lab"
	"github.com/ulogd-go/ulogd/pkg/event"
)

// What two kernels send for the same packet: reference page "ulogd1", section 10.4.
const (
	message64 = "ef0000006f00000000000000000000001f0000000000000000f1536500000000" +
		"40e2010000000000010000006574683000000000000000000000000000000000" +
		"000000000000000000000000000000001f0000000000000046573a0000000000" +
		"0000000000000000000000000000000000000000000000000e00112233445566" +
		"778899aabb080000000000000000000000000000000000000000000000000000" +
		"0000000000000000000000000000000000000000000000000000000000000000" +
		"0000000000000000004500001f1234400040113c63c0000201c6336402003514" +
		"e9000bcafe6162630000000000000000"
	message32 = "d70000006f00000000000000000000001f00000000f1536540e2010001000000" +
		"6574683000000000000000000000000000000000000000000000000000000000" +
		"1f00000046573a00000000000000000000000000000000000000000000000000" +
		"000000000e00112233445566778899aabb080000000000000000000000000000" +
		"0000000000000000000000000000000000000000000000000000000000000000" +
		"0000000000000000000000000000000000000000004500001f1234400040113c" +
		"63c0000201c6336402003514e9000bcafe61626300000000"
)

func unhex(tb testing.TB, text string) []byte {
	tb.Helper()
	b, err := hex.DecodeString(text)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// rig is a decoder whose keys are all read.
type rig struct {
	Decoder
	all   []event.Bound
	batch *event.Batch
}

type sink struct{ all *[]event.Bound }

func (s sink) Bind(b *event.Binder) { b.All(s.all, func(event.Key) bool { return true }) }

func newRig(tb testing.TB) *rig {
	tb.Helper()
	r := &rig{Decoder: Decoder{Label: 7}}
	tree := event.NewTree("ulog1", &r.Decoder)
	if err := tree.Stack([]string{"sink"}, []event.Bindable{sink{&r.all}}); err != nil {
		tb.Fatal(err)
	}
	r.batch = event.NewBatch(tree.Layout())
	return r
}

// decode decodes one datagram. The results are the events as text.
func (r *rig) decode(datagram []byte) (events []string, malformed int) {
	r.batch.Reset()
	r.batch.Buf = append(r.batch.Buf, "before"...)
	off := len(r.batch.Buf)
	r.batch.Buf = append(r.batch.Buf, datagram...)
	malformed = r.Decode(r.batch, off, len(r.batch.Buf))
	for e := range r.batch.Rows().All() {
		var out []string
		for _, k := range r.all {
			if v := e[k.Slot]; v.K != event.None {
				out = append(out, k.Name+"="+text(r.batch, v))
			}
		}
		events = append(events, strings.Join(out, " "))
	}
	return events, malformed
}

func text(b *event.Batch, v event.Value) string {
	switch v.K {
	case event.Raw:
		return hex.EncodeToString(b.Bytes(v))
	case event.String:
		return strconv.Quote(string(b.Bytes(v)))
	}
	return strconv.FormatUint(v.V, 10)
}

func TestBothKernels(t *testing.T) {
	want := []string{"raw.mac=00112233445566778899aabb0800 " +
		"raw.pkt=4500001f1234400040113c63c0000201c6336402003514e9000bcafe616263 raw.pktlen=31 raw.pktcount=1 " +
		`oob.prefix="FW:" oob.time.sec=1700000000 oob.time.usec=123456 oob.mark=31 oob.in="eth0" oob.out="" oob.hook=1 ` +
		"raw.mac_len=14 oob.family=2 oob.protocol=0 raw.label=7"}
	packet := lab.ULOG{
		Mark: 31, Sec: 1700000000, Usec: 123456, Hook: 1, In: "eth0", Prefix: "FW:",
		MAC:    unhex(t, "00112233445566778899aabb0800"),
		Packet: unhex(t, "4500001f1234400040113c63c0000201c6336402003514e9000bcafe616263"),
	}
	for name, datagram := range map[string][]byte{
		"64 bits": unhex(t, message64), "32 bits": unhex(t, message32),
		"64 bits of the lab": packet.Append(nil, 8, lab.ULOGEvent, 0), "32 bits of the lab": packet.Append(nil, 4, lab.ULOGEvent, 0),
	} {
		got, malformed := newRig(t).decode(datagram)
		if diff := cmp.Diff(want, got); diff != "" || malformed != 0 {
			t.Errorf("%s: %d malformed (-want +got)\n%s", name, malformed, diff)
		}
	}
}

// packet is one of which tests only look at the mark.
func packet(mark uint32) lab.ULOG { return lab.ULOG{Mark: mark, Packet: make([]byte, 20+mark)} }

// TestDatagrams has batches, whose last message is of type NLMSG_DONE and holds a
// packet all the same, and what is wrong with messages.
func TestDatagrams(t *testing.T) {
	type part struct {
		mark       uint32
		typ, flags uint16
	}
	build := func(long int, parts ...part) (b []byte) {
		for _, p := range parts {
			b = packet(p.mark).Append(b, long, p.typ, p.flags)
		}
		return b
	}
	patch := func(b []byte, at int, with ...byte) []byte {
		copy(b[at:], with)
		return b
	}
	const event, done, multi = lab.ULOGEvent, lab.ULOGDone, lab.ULOGMulti
	for _, long := range []int{8, 4} {
		length := 16 + 64 // of the field that has the packet's length
		if long == 4 {
			length = 16 + 48
		}
		for _, tt := range []struct {
			name      string
			datagram  []byte
			marks     []int
			malformed int
		}{
			{"nothing", nil, nil, 0},
			{"one", build(long, part{1, event, 0}), []int{1}, 0},
			{"a batch", build(long, part{1, event, multi}, part{2, event, multi}, part{3, done, 0}), []int{1, 2, 3}, 0},
			{"a batch whose timer was up", build(long, part{1, event, multi}, part{2, event, multi}, part{3, event, 0}), []int{1, 2, 3}, 0},
			{"a batch of one", build(long, part{1, done, 0}), []int{1}, 0},
			{"bytes behind the last", append(build(long, part{1, done, 0}), 1, 2, 3), []int{1}, 0},
			{"messages behind the last", build(long, part{1, done, multi}, part{2, event, 0}), []int{1}, 0},
			{"messages behind one without the flag", build(long, part{1, event, 0}, part{2, event, 0}), []int{1}, 0},
			{"no-op and error", build(long, part{1, 1, multi}, part{2, 2, multi}, part{3, done, 0}), []int{3}, 0},
			{"no message", []byte{1, 2, 3}, nil, 1},
			{"a length below a header's", patch(build(long, part{1, event, multi}, part{2, done, 0}), 0, 15, 0, 0, 0), nil, 1},
			{"a length beyond the end", patch(build(long, part{1, event, 0}), 0, 0, 1, 1, 0), nil, 1},
			{"a length of 4 GiB", patch(build(long, part{1, event, 0}), 0, 255, 255, 255, 255), nil, 1},
			{"no room for the structure", append([]byte{20, 0, 0, 0, 111, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, build(long, part{2, done, 0})...), []int{2}, 1},
			{"a packet longer than its message", patch(build(long, part{1, event, multi}, part{2, done, 0}), length, 200, 0, 0, 0), []int{2}, 1},
			{"a packet of 4 GiB", patch(build(long, part{1, event, multi}, part{2, done, 0}), length, 255, 255, 255, 255), []int{2}, 1},
			{"a packet shorter than its message", patch(build(long, part{1, event, 0}), length, 5, 0, 0, 0), nil, 1},
			{"a length rounded up", patch(build(long, part{1, event, 0}), 0, byte(len(build(long, part{1, event, 0})))), []int{1}, 0},
		} {
			events, malformed := newRig(t).decode(tt.datagram)
			var marks []int
			for _, e := range events {
				var mark int
				if _, err := fmt.Sscanf(e[strings.Index(e, "oob.mark="):], "oob.mark=%d", &mark); err != nil {
					t.Fatalf("%s: %v", e, err)
				}
				marks = append(marks, mark)
			}
			if !slices.Equal(marks, tt.marks) || malformed != tt.malformed {
				t.Errorf("%d bits, %s: marks %v and %d malformed, want %v and %d", 8*long, tt.name, marks, malformed, tt.marks, tt.malformed)
			}
		}
	}
}

// TestFields has what is left out, and texts that fill their fields.
func TestFields(t *testing.T) {
	for _, long := range []int{8, 4} {
		r := newRig(t)
		full := lab.ULOG{
			Mark: 0xffffffff, Sec: 0xffffffff, Usec: 999999, Hook: 4, In: strings.Repeat("i", 16), Out: strings.Repeat("o", 20),
			Prefix: strings.Repeat("p", 40), MAC: make([]byte, 200),
		}
		got, _ := r.decode(full.Append(nil, long, lab.ULOGEvent, 0))
		want := []string{"raw.mac=" + strings.Repeat("00", 80) + ` raw.pkt= raw.pktlen=0 raw.pktcount=1 oob.prefix="` + strings.Repeat("p", 32) +
			`" oob.time.sec=4294967295 oob.time.usec=999999 oob.mark=4294967295 oob.in="` + strings.Repeat("i", 16) +
			`" oob.out="` + strings.Repeat("o", 16) + `" oob.hook=4 raw.mac_len=80 oob.family=2 oob.protocol=0 raw.label=7`}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%d bits, full (-want +got)\n%s", 8*long, diff)
		}
		got, _ = r.decode(lab.ULOG{Usec: 5, Packet: []byte{0x45}}.Append(nil, long, lab.ULOGEvent, 0))
		want = []string{`raw.pkt=45 raw.pktlen=1 raw.pktcount=1 oob.prefix="" oob.mark=0 oob.in="" oob.out="" oob.hook=0 ` +
			"oob.family=2 oob.protocol=0 raw.label=7"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%d bits, empty (-want +got)\n%s", 8*long, diff)
		}
	}
}

// TestSizes: each packet is known for that of its kernel, also where the message is as
// long as one of the other kernel without a packet.
func TestSizes(t *testing.T) {
	for _, long := range []int{8, 4} {
		for n := 20; n < 300; n++ {
			got, malformed := newRig(t).decode(lab.ULOG{Mark: 1, Prefix: "FW-DROP:", Packet: make([]byte, n)}.Append(nil, long, lab.ULOGEvent, 0))
			if want := fmt.Sprintf("raw.pktlen=%d ", n); len(got) != 1 || malformed != 0 || !strings.Contains(got[0], want) {
				t.Errorf("%d bits, %d bytes: %q, %d malformed", 8*long, n, got, malformed)
			}
		}
	}
}

func TestDecodeDoesNotAllocate(t *testing.T) {
	r := newRig(t)
	r.batch.Buf = packet(1).Append(packet(2).Append(nil, 8, lab.ULOGEvent, lab.ULOGMulti), 8, lab.ULOGDone, 0)
	end := len(r.batch.Buf)
	if n := testing.AllocsPerRun(100, func() {
		r.batch.Reset()
		r.batch.Buf = r.batch.Buf[:end]
		r.Decode(r.batch, 0, end)
	}); n != 0 {
		t.Errorf("%v allocations for two packets", n)
	}
	if r.batch.Len() != 2 {
		t.Errorf("%d packets, want 2", r.batch.Len())
	}
}

// TestSupported agrees with the version of the kernel: no kernel on which the tests
// can run has ULOG, and one that had would be older than 3.17.
func TestSupported(t *testing.T) {
	if Supported() {
		t.Error("this kernel has netlink protocol 5; is it older than 3.17?")
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(unhex(f, message64))
	f.Add(unhex(f, message32))
	for _, long := range []int{8, 4} {
		batch := packet(1).Append(nil, long, lab.ULOGEvent, lab.ULOGMulti)
		f.Add(packet(2).Append(batch, long, lab.ULOGDone, 0))
	}
	r := newRig(f)
	f.Fuzz(func(t *testing.T, datagram []byte) {
		events, malformed := r.decode(datagram)
		if n := len(events) + malformed; n > len(datagram)/headerLen+1 {
			t.Errorf("%d messages in %d bytes", n, len(datagram))
		}
	})
}
