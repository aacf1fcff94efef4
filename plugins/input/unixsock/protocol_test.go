package unixsock

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ulogd-go/ulogd/pkg/event"
)

// option appends an option with its padding.
func option(dst []byte, number uint32, value string) []byte {
	dst = binary.BigEndian.AppendUint32(dst, number)
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(value)))
	dst = append(dst, value...)
	return append(dst, make([]byte, align8(len(value))-len(value))...)
}

// packet is a packet on the stream.
func packet(payload string, options ...byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, magic)
	b = binary.BigEndian.AppendUint16(b, uint16(headerLen-magicLen+align8(len(payload))+len(options)))
	b = append(b, 0, 0, 0, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(len(payload)))
	b = append(b, payload...)
	b = append(b, make([]byte, align8(len(payload))-len(payload))...)
	return append(b, options...)
}

func u32(n uint32) string { return string(binary.NativeEndian.AppendUint32(nil, n)) }

// rig takes packets as the source does, but from memory.
type rig struct {
	keys
	all   []event.Bound
	batch *event.Batch
}

type sink struct{ all *[]event.Bound }

func (s sink) Bind(b *event.Binder) { b.All(s.all, func(event.Key) bool { return true }) }

func newRig(tb testing.TB) *rig {
	tb.Helper()
	r := new(rig)
	tree := event.NewTree("nu1", &r.keys)
	if err := tree.Stack([]string{"sink"}, []event.Bindable{sink{&r.all}}); err != nil {
		tb.Fatal(err)
	}
	r.batch = event.NewBatch(tree.Layout())
	return r
}

// decode decodes one packet. The result is its event as text; empty if there is none.
func (r *rig) decode(p []byte) (text string, unknown int, err error) {
	r.batch.Reset()
	r.batch.Buf = append(append(r.batch.Buf, "before"...), p...)
	unknown, err = r.keys.decode(r.batch, len("before"), len(r.batch.Buf))
	if (err == nil) != (r.batch.Len() == 1) {
		panic("an event in spite of an error, or none without")
	}
	r.batch.Buf = append(r.batch.Buf, "behind"...)
	var out []string
	for e := range r.batch.Rows().All() {
		for _, k := range r.all {
			if v := e[k.Slot]; v.K == event.Raw {
				out = append(out, k.Name+"="+string(r.batch.Bytes(v)))
			} else if value, ok := r.batch.AppendText(nil, v); ok {
				out = append(out, k.Name+"="+string(value))
			}
		}
	}
	return strings.Join(out, " "), unknown, err
}

func TestDecode(t *testing.T) {
	all := option(nil, 200, "alice\x00")
	all = option(all, 201, u32(1000))
	all = option(all, 202, "Linux\x00")
	all = option(all, 203, "6.1\x00")
	all = option(all, 204, "#1 SMP\x00")
	all = option(all, 205, "/usr/bin/ssh\x00")
	all = option(all, 206, "\x02")
	all = option(all, 4, u32(1700000000))
	all = option(all, 3, "eth1\x00")
	all = option(all, 2, "eth0\x00")
	all = option(all, 1, "FW: \x00")
	cut := func(b []byte, size int) []byte { // to a total size
		binary.BigEndian.PutUint16(b[magicLen:], uint16(size-magicLen))
		return b[:size]
	}
	const bare = "raw.pkt=E2345678 raw.pktlen=8 raw.pktcount=1"
	r := newRig(t)
	for _, tt := range []struct {
		name    string
		packet  []byte
		want    string
		unknown int
		err     string
	}{
		{"bare", packet("E2345678"), bare + " oob.family=2", 0, ""},
		{"IPv6", packet("`2"), "raw.pkt=`2 raw.pktlen=2 raw.pktcount=1 oob.family=10", 0, ""},
		{"neither", packet("\x10"), "raw.pkt=\x10 raw.pktlen=1 raw.pktcount=1 oob.family=0", 0, ""},
		{"empty", packet(""), "raw.pkt= raw.pktlen=0 raw.pktcount=1 oob.family=0", 0, ""},
		{"all options", packet("E2345678", all...), bare + " oob.prefix=FW:  oob.time.sec=1700000000 oob.in=eth0 oob.out=eth1 oob.family=2 raw.label=2 " +
			"nufw.user.name=alice nufw.user.id=1000 nufw.os.name=Linux nufw.os.rel=6.1 nufw.os.vers=#1 SMP nufw.app.name=/usr/bin/ssh", 0, ""},
		{"a text without its end", packet("E2345678", option(option(nil, 1, "12345678"), 2, "lo")...), bare + " oob.prefix=12345678 oob.in=lo oob.family=2", 0, ""},
		{"an empty text", packet("E2345678", option(nil, 1, "")...), bare + " oob.prefix= oob.family=2", 0, ""},
		{"an option twice", packet("E2345678", option(option(nil, 1, "a"), 1, "b")...), bare + " oob.prefix=b oob.family=2", 0, ""},
		{"unknown options", packet("E2345678", option(option(option(nil, 0, ""), 207, "x"), 1, "p")...), bare + " oob.prefix=p oob.family=2", 2, ""},
		{"no padding behind the payload", cut(packet("E23"), headerLen+3), "raw.pkt=E23 raw.pktlen=3 raw.pktcount=1 oob.family=2", 0, ""},
		{"no padding behind the last option", cut(packet("E2345678", option(nil, 1, "abc")...), headerLen+8+11), bare + " oob.prefix=abc oob.family=2", 0, ""},
		{"less than an option at the end", packet("E2345678", 0, 0, 0, 1, 0, 0, 0), bare + " oob.family=2", 0, ""},
		{"a number in more bytes than it needs", packet("E2345678", option(nil, 4, u32(7)+"more")...), bare + " oob.time.sec=7 oob.family=2", 0, ""},
		{"an option beyond the end", packet("E2345678", 0, 0, 0, 1, 0, 0, 0, 9, 1, 2, 3, 4, 5, 6, 7, 8), "", 0, "an option whose length is wrong"},
		{"an option of 4 GiB", packet("E2345678", 0, 0, 0, 1, 255, 255, 255, 255), "", 0, "an option whose length is wrong"},
		{"a number of 3 bytes", packet("E2345678", option(nil, 4, "abc")...), "", 0, "an option whose length is wrong"},
		{"a user of no bytes", packet("E2345678", option(nil, 201, "")...), "", 0, "an option whose length is wrong"},
		{"a state of no bytes", packet("E2345678", option(nil, 206, "")...), "", 0, "an option whose length is wrong"},
		{"a payload beyond the end", cut(packet("E2345678"), headerLen+4), "", 0, "a payload of 8 bytes in a packet with room for 4"},
	} {
		got, unknown, err := r.decode(tt.packet)
		if diff := cmp.Diff(tt.want, got); diff != "" || unknown != tt.unknown {
			t.Errorf("%s: %d unknown, want %d (-want +got)\n%s", tt.name, unknown, tt.unknown, diff)
		}
		if (err == nil) != (tt.err == "") || err != nil && err.Error() != tt.err {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.err)
		}
	}
}

func TestWholePackets(t *testing.T) {
	one, two := packet("E"), packet("E2345678", option(nil, 1, "p")...)
	short := packet("")
	binary.BigEndian.PutUint16(short[magicLen:], 7)
	for _, tt := range []struct {
		name   string
		stream []byte
		size   int
		err    string
	}{
		{"nothing", nil, 0, ""},
		{"a part of the magic", one[:3], 0, ""},
		{"the magic", one[:5], 0, ""},
		{"all but a byte", one[:len(one)-1], 0, ""},
		{"one", one, len(one), ""},
		{"two and a part", slices.Concat(one, two, one[:7]), len(one) + len(two), ""},
		{"one and nonsense", append(slices.Clone(one), "nonsense"...), len(one), "ulogd2: invalid packet marked received (read 6e6f6e73, expected 41c90fd4)"},
		{"a size below the header's", append(slices.Clone(one), short...), len(one), "a packet of 11 bytes, which is less than its header has"},
	} {
		size, err := wholePackets(tt.stream)
		if size != tt.size || (err == nil) != (tt.err == "") || err != nil && err.Error() != tt.err {
			t.Errorf("%s: %d, %v; want %d, %q", tt.name, size, err, tt.size, tt.err)
		}
	}
	longest := make([]byte, maxPacket)
	copy(longest, packet(""))
	binary.BigEndian.PutUint16(longest[magicLen:], 0xffff)
	if size, err := wholePackets(longest); size != maxPacket || err != nil {
		t.Errorf("the longest packet: %d, %v; want %d", size, err, maxPacket)
	}
}

// FuzzStream reads a stream as a client's goroutine and the pipeline do together.
func FuzzStream(f *testing.F) {
	f.Add(packet("E2345678", option(option(nil, 1, "FW: \x00"), 4, u32(7))...), uint8(3))
	f.Add(slices.Concat(packet("E"), packet("`", option(nil, 206, "\x01")...), packet("")), uint8(100))
	f.Add(packet("E2345678", 0, 0, 0, 1, 255, 255, 255, 255), uint8(1))
	r := newRig(f)
	f.Fuzz(func(t *testing.T, stream []byte, pieces uint8) {
		taken := 0
		var buf []byte
		for piece := range slices.Chunk(stream, int(pieces)+1) {
			buf = append(buf, piece...)
			size, bad := wholePackets(buf)
			for rest := buf[:size]; len(rest) > 0; {
				n, err := packetLen(rest)
				if err != nil || n < headerLen || n > len(rest) {
					t.Fatalf("packet of %d bytes in %d, %v", n, len(rest), err)
				}
				if _, _, err := r.decode(rest[:n]); err != nil {
					return
				}
				rest = rest[n:]
			}
			taken += size
			buf = buf[size:]
			if bad != nil {
				return
			}
			if len(buf) >= maxPacket {
				t.Fatalf("%d bytes are left, in which there is a packet", len(buf))
			}
		}
		if taken > len(stream) || !bytes.Equal(stream[taken:], buf) {
			t.Fatal("bytes have got lost")
		}
	})
}
