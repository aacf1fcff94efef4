package nfacct

import (
	"encoding/binary"
	"strings"
	"testing"

	"github.com/ulogd-go/ulogd/pkg/event"
	"github.com/ulogd-go/ulogd/pkg/nflog"
)

func u64(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

// object is a message as the kernel sends it, with the use count that nobody wants.
func object(name string, packets, bytes uint64) []byte {
	b := nflog.AppendAttr(AllObjects(), attrName, []byte(name)...)
	b = nflog.AppendAttr(b, attrPackets, u64(packets)...)
	b = nflog.AppendAttr(b, attrBytes, u64(bytes)...)
	return nflog.AppendAttr(b, 4, 0, 0, 0, 1)
}

func decode(body []byte) (name string, o Object, ok bool) {
	b := event.NewBatch(event.Layout{})
	b.Buf = append(append(b.Buf, "before"...), body...)
	o, ok = Decode(b, len("before"), len(b.Buf))
	if ok {
		name = string(b.Bytes(o.Name))
	}
	return name, o, ok
}

func TestDecode(t *testing.T) {
	const big = 1<<64 - 1
	without := func(n int) []byte { // attributes of a whole object, without its last n bytes
		b := object("web\x00", 1, 2)
		return b[:len(b)-n]
	}
	for _, tt := range []struct {
		what           string
		body           []byte
		name           string
		packets, bytes uint64
		ok             bool
	}{
		{"an object", object("web\x00", 1, 2), "web", 1, 2, true},
		{"the longest name, without its end", object(strings.Repeat("n", 32), big, big), strings.Repeat("n", 32), big, big, true},
		{"any bytes", object("\xff<\n,=\x01\x00", 0, 0), "\xff<\n,=\x01", 0, 0, true},
		{"something behind the end of the name", object("a\x00bc\x00", 1, 2), "a", 1, 2, true},
		{"an empty name", object("\x00", 1, 2), "", 1, 2, true},
		{"without the use count", without(8), "web", 1, 2, true},
		{"cut in the use count", without(5), "", 0, 0, false},
		{"no bytes", without(8 + 12), "", 0, 0, false},
		{"no packets", without(8 + 12 + 12), "", 0, 0, false},
		{"no name", AllObjects(), "", 0, 0, false},
		{"no family header", []byte{1, 2}, "", 0, 0, false},
		{"nothing", nil, "", 0, 0, false},
		{"a counter of 4 bytes", nflog.AppendAttr(nflog.AppendAttr(nflog.AppendAttr(AllObjects(), attrName, 'a', 0), attrPackets, 0, 0, 0, 1), attrBytes, u64(1)...), "", 0, 0, false},
	} {
		name, o, ok := decode(tt.body)
		if ok != tt.ok || ok && (name != tt.name || o.Packets != tt.packets || o.Bytes != tt.bytes) {
			t.Errorf("%s: %q, %+v, %v", tt.what, name, o, ok)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(object("web\x00", 1, 2))
	f.Add(object("\xff\x00", 1<<63, 0))
	f.Add(ByName([]byte("web")))
	f.Fuzz(func(t *testing.T, body []byte) {
		if name, o, ok := decode(body); ok && strings.Contains(name, "\x00") {
			t.Errorf("%q, %+v", name, o)
		}
	})
}
