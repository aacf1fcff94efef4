package nflog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/gopacket/gopacket/pcapgo"

	"github.com/ulogd-go/ulogd/pkg/event"
)

func TestNext(t *testing.T) {
	a := AppendAttr(nil, 9, 1, 2, 3)
	lying := func(n uint16) []byte {
		b := slices.Clone(a)
		binary.NativeEndian.PutUint16(b, n)
		return b
	}
	tests := []struct {
		name  string
		attrs []byte
		want  string // type:value
		rest  int
	}{
		{"nothing", nil, "", 0},
		{"two", AppendAttr(slices.Clone(a), 10), "9:010203 10:", 0},
		{"flags in the type", AppendAttr(nil, 0x8000|0x4000|20, 7), "20:07", 0},
		{"without the padding at the end", a[:7], "9:010203", 0},
		{"cut header", append(slices.Clone(a), 1, 2, 3), "9:010203", 3},
		{"cut value", a[:6], "", 6},
		{"length 0", lying(0), "", 8},
		{"length 3", lying(3), "", 8},
		{"length beyond the end", lying(9), "", 8},
		{"length 65535", lying(0xffff), "", 8},
	}
	for _, tt := range tests {
		var got []string
		rest := tt.attrs
		for {
			typ, value, tail, ok := Next(rest)
			rest = tail
			if !ok {
				break
			}
			got = append(got, fmt.Sprintf("%d:%x", typ, value))
		}
		if text := strings.Join(got, " "); text != tt.want || len(rest) != tt.rest {
			t.Errorf("%s: %q and %d bytes left, want %q and %d", tt.name, text, len(rest), tt.want, tt.rest)
		}
	}
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
	r := &rig{Decoder: Decoder{Label: 3, SeqLocal: true, SeqGlobal: true}}
	tree := event.NewTree("source", &r.Decoder)
	if err := tree.Stack([]string{"sink"}, []event.Bindable{sink{&r.all}}); err != nil {
		tb.Fatal(err)
	}
	r.batch = event.NewBatch(tree.Layout())
	r.batch.Now = time.Unix(1000, 2000)
	return r
}

// decode decodes a message that lies between other bytes.
func (r *rig) decode(message []byte) (event.Event, error) {
	r.batch.Reset()
	r.batch.Buf = append(append(append(r.batch.Buf, "before"...), message...), "\x08\x00\x02\x00behind"...)
	err := r.Decode(r.batch, len("before"), len("before")+len(message))
	if err != nil {
		return nil, err
	}
	return r.batch.At(r.batch.Len() - 1), nil
}

// text is the event's keys but those that each event has, with the same value.
func (r *rig) text(e event.Event) string {
	var out []string
	for _, k := range r.all {
		if v := e[k.Slot]; v.K != event.None && k.Name != "raw" {
			out = append(out, k.Name+"="+r.value(v))
		}
	}
	text := strings.Join(out, " ") + " "
	for _, same := range []string{"raw.pktcount=1 ", "raw.label=3 ", "oob.mark=0 ", "oob.time.sec=1000 oob.time.usec=2 ", "oob.family=2 "} {
		text = strings.Replace(text, same, "", 1)
	}
	return strings.TrimSpace(text)
}

func (r *rig) value(v event.Value) string {
	switch v.K {
	case event.Raw:
		return fmt.Sprintf("%x", r.batch.Bytes(v))
	case event.String:
		return strconv.Quote(string(r.batch.Bytes(v)))
	}
	return strconv.FormatUint(v.V, 10)
}

// message is a message of the family IPv4 with the given attributes, each
// written as its type and its value.
func message(attrs ...any) []byte {
	m := []byte{FamilyIPv4, 0, 0, 5}
	for i := 0; i < len(attrs); i += 2 {
		m = AppendAttr(m, uint16(attrs[i].(int)), []byte(attrs[i+1].(string))...)
	}
	return m
}

const (
	mac14 = "\x02\x00\x00\x00\x00\x0a\x02\x00\x00\x00\xbe\xef\x08\x00"
	macs  = "02000000000a02000000beef0800"
)

func TestDecode(t *testing.T) {
	stamp := "\x00\x00\x00\x00\x6b\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x09"
	vlan := string(AppendAttr(AppendAttr(nil, AttrVLANTCI, 0xb0, 0x0a), AttrVLANProto, 0x81, 0))
	tests := []struct {
		name  string
		attrs []any
		want  string
	}{
		{"nothing", nil, ""},
		{"packet header", []any{AttrPacketHdr, "\x08\x00\x03\x00"}, "oob.hook=3 oob.protocol=2048"},
		{"short packet header", []any{AttrPacketHdr, "\x08\x00"}, ""},
		{"mark", []any{AttrMark, "\xde\xad\xbe\xef"}, "oob.mark=3735928559"},
		{"short mark", []any{AttrMark, "\xde\xad\xbe"}, ""},
		{"time", []any{AttrTimestamp, stamp}, "oob.time.sec=1795162113 oob.time.usec=9"},
		{"time 0", []any{AttrTimestamp, strings.Repeat("\x00", 8) + stamp[8:]}, ""},
		{"short time", []any{AttrTimestamp, stamp[:15]}, ""},
		{"interfaces", []any{AttrIfindexIn, "\x00\x00\x00\x0a", AttrIfindexOut, "\x00\x00\x00\x0b", AttrPhysIn, "\x00\x00\x00\x0c", AttrPhysOut, "\x00\x00\x00\x0d"},
			"oob.ifindex_in=10 oob.ifindex_out=11 oob.ifindex_physin=12 oob.ifindex_physout=13"},
		{"interface 0", []any{AttrIfindexIn, "\x00\x00\x00\x00"}, ""},
		{"payload", []any{AttrPayload, "\x45\x00"}, "raw.pkt=4500 raw.pktlen=2"},
		{"empty payload", []any{AttrPayload, ""}, ""},
		{"prefix", []any{AttrPrefix, "drop: \x00"}, `oob.prefix="drop: "`},
		{"prefix without a zero", []any{AttrPrefix, "drop"}, `oob.prefix="drop"`},
		{"empty prefix", []any{AttrPrefix, "\x00"}, `oob.prefix=""`},
		{"prefix of nothing", []any{AttrPrefix, ""}, `oob.prefix=""`},
		{"bytes behind the prefix's end", []any{AttrPrefix, "a\x00b\x00"}, `oob.prefix="a"`},
		{"user and group", []any{AttrUID, "\x00\x00\x03\xe8", AttrGID, "\x00\x00\xff\xfe"}, "oob.uid=1000 oob.gid=65534"},
		{"sequence numbers", []any{AttrSeq, "\x00\x00\x00\x07", AttrSeqGlobal, "\x00\x00\x00\x08"}, "oob.seq.local=7 oob.seq.global=8"},
		{"link-layer header", []any{AttrHWType, "\x00\x01", AttrHWHeader, mac14, AttrHWLen, "\x00\x0e"}, "raw.mac=" + macs + " raw.mac_len=14 raw.type=1"},
		{"link-layer header of length 0", []any{AttrHWType, "\x00\x01", AttrHWHeader, mac14, AttrHWLen, "\x00\x00"}, ""},
		{"link-layer header without its length", []any{AttrHWType, "\x00\x01", AttrHWHeader, mac14}, ""},
		{"its length is less than its bytes", []any{AttrHWHeader, mac14, AttrHWLen, "\x00\x06"}, "raw.mac=" + macs[:12] + " raw.mac_len=6"},
		{"its length is more than its bytes", []any{AttrHWHeader, mac14, AttrHWLen, "\xff\xff"}, "raw.mac=" + macs + " raw.mac_len=65535"},
		{"its length without it", []any{AttrHWLen, "\x00\x0e"}, "raw.mac_len=14"},
		{"source address", []any{AttrHWAddr, "\x00\x06\x00\x00\x02\x00\x00\x00\xbe\xef\x00\x00"}, "raw.mac.saddr=02000000beef raw.mac.addrlen=6"},
		{"source address with a lying length", []any{AttrHWAddr, "\xff\xff\x00\x00\x02\x00\x00\x00\xbe\xef\x00\x00"}, "raw.mac.saddr=02000000beef0000 raw.mac.addrlen=8"},
		{"short source address", []any{AttrHWAddr, "\x00\x06\x00"}, ""},
		{"connection", []any{AttrConntrack, "\x01\x02", AttrCTInfo, "\x00\x00\x00\x02"}, "ct=0102"},
		{"VLAN", []any{AttrVLAN, vlan, AttrL2Header, mac14[:12] + "\x81\x00"}, "oob.vlan.proto=33024 oob.vlan.id=10 oob.vlan.priority=5 raw.l2hdr=" + macs[:24] + "8100"},
		{"damaged VLAN", []any{AttrVLAN, "\x05\x00\x01\x00\x81\x00\x00\x00\xff\xff\x02\x00"}, ""},
		{"unknown attributes", []any{99, "abc", 0, "abc", AttrMark, "\x00\x00\x00\x01"}, "oob.mark=1"},
		{"twice", []any{AttrMark, "\x00\x00\x00\x01", AttrMark, "\x00\x00\x00\x02"}, "oob.mark=2"},
	}
	for _, tt := range tests {
		r := newRig(t)
		m := message(tt.attrs...)
		e, err := r.decode(m)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if diff := cmp.Diff(strings.Fields(tt.want), strings.Fields(r.text(e))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
		for _, k := range r.all {
			if k.Name == "raw" && !bytes.Equal(r.batch.Bytes(e[k.Slot]), m) {
				t.Errorf("%s: raw is %x, want the message", tt.name, r.batch.Bytes(e[k.Slot]))
			}
		}
	}
}

func TestSequence(t *testing.T) {
	r := newRig(t)
	if _, err := r.decode(message(AttrSeq, "\x00\x00\x01\x00")); err != nil || !r.HasSeq || r.Seq != 256 {
		t.Errorf("number %d, %v, %v; want 256", r.Seq, r.HasSeq, err)
	}
	if _, err := r.decode(message()); err != nil || r.HasSeq {
		t.Errorf("a message without a number has one: %v, %v", r.HasSeq, err)
	}
	r.SeqLocal, r.SeqGlobal = false, false
	e, err := r.decode(message(AttrSeq, "\x00\x00\x01\x00", AttrSeqGlobal, "\x00\x00\x01\x00"))
	if err != nil || r.text(e) != "" || !r.HasSeq {
		t.Errorf("without the options: %q, %v", r.text(e), err)
	}
}

func TestMalformed(t *testing.T) {
	whole := message(AttrMark, "\x00\x00\x00\x01", AttrPayload, "abcd")
	lying := func(n uint16) []byte {
		m := slices.Clone(whole)
		binary.NativeEndian.PutUint16(m[12:], n)
		return m
	}
	for name, m := range map[string][]byte{
		"nothing": {}, "cut family header": whole[:3], "cut attribute header": whole[:14], "cut value": whole[:19],
		"length 0": lying(0), "length 3": lying(3), "length beyond the end": lying(9), "length 65535": lying(0xffff),
	} {
		r := newRig(t)
		if _, err := r.decode(m); !errors.Is(err, ErrMalformed) || r.batch.Len() != 0 {
			t.Errorf("%s: %v and %d events, want ErrMalformed and none", name, err, r.batch.Len())
		}
	}
}

// TestExtent shows which part of a packet the kernel has to be asked for.
func TestExtent(t *testing.T) {
	part := func(name string, n int) bindFunc {
		return func(b *event.Binder) { b.InPart(new(event.Slot), name, event.Raw, n) }
	}
	tests := []struct {
		reader bindFunc
		want   int
	}{
		{func(*event.Binder) {}, 0},
		{part("raw.pkt", 512), 512},
		{part("raw.pktlen", 0), 0},
		{part("raw.mac", event.Whole), 0},
		{part("raw", 100), 100},
		{func(b *event.Binder) { b.In(new(event.Slot), "raw.pktlen", event.U32) }, event.Whole},
	}
	for i, tt := range tests {
		var d Decoder
		tree := event.NewTree("source", &d)
		if err := tree.Stack([]string{"reader"}, []event.Bindable{tt.reader}); err != nil {
			t.Fatal(err)
		}
		if tree.Layout(); d.Extent != tt.want {
			t.Errorf("reader %d: extent %d, want %d", i, d.Extent, tt.want)
		}
	}
}

type bindFunc func(*event.Binder)

func (f bindFunc) Bind(b *event.Binder) { f(b) }

func TestRequests(t *testing.T) {
	if binary.NativeEndian.Uint16([]byte{1, 0}) != 1 {
		t.Skip("the bytes below are those of a little-endian machine")
	}
	f := func(name string, got []byte, want string) {
		t.Helper()
		if text := fmt.Sprintf("%x", got); text != strings.ReplaceAll(want, " ", "") {
			t.Errorf("%s:\n%s, want\n%s", name, text, strings.ReplaceAll(want, " ", ""))
		}
	}
	f("bind, the kernel's defaults", Group{Number: 5, CopyRange: 0xffff}.Bind(),
		"0000 0005  0500 0100 01 000000  0a00 0200 0000ffff 02 00 0000  0600 0600 0000 0000")
	f("bind, all of it", Group{Number: 0x1234, CopyRange: 512, BufferSize: 32 << 10, Timeout: 5, QThreshold: 128, Flags: FlagSeq | FlagConntrack}.Bind(),
		"0000 1234  0500 0100 01 000000  0a00 0200 00000200 02 00 0000"+
			"0800 0300 00008000  0800 0400 00000005  0800 0500 00000080  0600 0600 0005 0000")
	f("unbind", Group{Number: 5}.Unbind(), "0000 0005  0500 0100 02 000000")
	f("bind a family", BindFamily(FamilyIPv6), "0a00 0000  0500 0100 03 000000")
	f("unbind a family", UnbindFamily(FamilyBridge), "0700 0000  0500 0100 04 000000")
}

func TestParseProc(t *testing.T) {
	const list = "    5 123456     0 2 65535    100  1\n 65535 4294967295    12 1     0 4294967295  2\n"
	want := []Bound{
		{Group: 5, PortID: 123456, CopyMode: 2, CopyRange: 65535, Timeout: 100, Users: 1},
		{Group: 65535, PortID: 4294967295, Queued: 12, CopyMode: 1, Timeout: 4294967295, Users: 2},
	}
	got, err := ParseProc(strings.NewReader(list))
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	if got, err := ParseProc(strings.NewReader("")); len(got) != 0 || err != nil {
		t.Errorf("an empty list: %v, %v", got, err)
	}
	if got, err := ParseProc(strings.NewReader(list + "5 x\n")); len(got) != 2 || err == nil || !strings.Contains(err.Error(), `"5 x"`) {
		t.Errorf("a bad line: %v, %v; want an error that shows it", got, err)
	}
	broken := errors.New("broken")
	if _, err := ParseProc(iotest.ErrReader(broken)); !errors.Is(err, broken) {
		t.Errorf("a read error: %v", err)
	}
}

// recorded are the messages of all recordings.
func recorded(tb testing.TB) (messages [][]byte) {
	tb.Helper()
	files, err := filepath.Glob("../../plugins/all/testdata/cases/*/packets.pcap")
	if err != nil || len(files) == 0 {
		tb.Fatalf("recordings: %q, %v", files, err)
	}
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			tb.Fatal(err)
		}
		defer f.Close()
		r, err := pcapgo.NewReader(f)
		for err == nil {
			var data []byte
			if data, _, err = r.ReadPacketData(); err == nil {
				messages = append(messages, data)
			}
		}
		if err != io.EOF {
			tb.Fatalf("%s: %v", name, err)
		}
	}
	return messages
}

// FuzzAttributes asserts that no message makes the decoder panic, and that what
// it finds lies within the message.
func FuzzAttributes(f *testing.F) {
	for _, m := range recorded(f) {
		f.Add(m)
	}
	f.Add(message(AttrVLAN, string(AppendAttr(nil, AttrVLANTCI, 0xb0, 0x0a)), AttrL2Header, mac14))
	r := newRig(f)
	f.Fuzz(func(t *testing.T, m []byte) {
		e, err := r.decode(m)
		if err != nil {
			return
		}
		for _, k := range r.all {
			v := e[k.Slot]
			if v.K != event.Raw && v.K != event.String {
				continue
			}
			off, n := int(v.V>>32), int(uint32(v.V))
			if off < len("before") || off+n > len("before")+len(m) {
				t.Errorf("%s lies at %d, %d bytes, outside of the message", k.Name, off, n)
			}
		}
	})
}

func TestDecodeDoesNotAllocate(t *testing.T) {
	r := newRig(t)
	messages := recorded(t)
	messages = append(messages, message(AttrVLAN, string(AppendAttr(nil, AttrVLANTCI, 0xb0, 0x0a))))
	if n := testing.AllocsPerRun(10, func() {
		for _, m := range messages {
			if _, err := r.decode(m); err != nil {
				t.Fatal(err)
			}
		}
	}); n != 0 {
		t.Errorf("%v allocations for %d packets", n, len(messages))
	}
}
