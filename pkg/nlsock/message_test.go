package nlsock

import (
	"bytes"
	"encoding/binary"
	"slices"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ulogd-go/ulogd/pkg/nflog"
)

func TestNextMessage(t *testing.T) {
	one := AppendMessage(nil, nflog.TypePacket, 7, []byte("abcde"))
	done := AppendMessage(nil, TypeDone, 7, []byte{0, 0, 0, 0})
	lying := func(n uint32) []byte {
		m := slices.Clone(one)
		binary.NativeEndian.PutUint32(m, n)
		return m
	}
	first := Message{nflog.TypePacket, 0, 7, []byte("abcde")}
	last := Message{TypeDone, 0, 7, []byte{0, 0, 0, 0}}
	tests := []struct {
		name     string
		datagram []byte
		want     []Message
		rest     int // bytes that are no message
	}{
		{"nothing", nil, nil, 0},
		{"one", one, []Message{first}, 0},
		{"several and the end", slices.Concat(one, one, done), []Message{first, first, last}, 0},
		{"without the padding at the end", one[:HeaderLen+5], []Message{first}, 0},
		{"no body", AppendMessage(nil, TypeNoop, 1, nil), []Message{{TypeNoop, 0, 1, []byte{}}}, 0},
		{"cut header", append(slices.Clone(one), one[:15]...), []Message{first}, 15},
		{"cut body", one[:HeaderLen+4], nil, HeaderLen + 4},
		{"length 0", lying(0), nil, len(one)},
		{"length 15", lying(15), nil, len(one)},
		{"length beyond the end", lying(uint32(len(one) + 1)), nil, len(one)},
		{"length of 4 GiB", lying(0xffffffff), nil, len(one)},
	}
	for _, tt := range tests {
		var got []Message
		rest := tt.datagram
		for {
			m, tail, ok := NextMessage(rest)
			rest = tail
			if !ok {
				break
			}
			got = append(got, m)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" || len(rest) != tt.rest {
			t.Errorf("%s: %d bytes left, want %d (-want +got):\n%s", tt.name, len(rest), tt.rest, diff)
		}
	}
}

func TestEnd(t *testing.T) {
	code := func(n int32) []byte { return binary.NativeEndian.AppendUint32(nil, uint32(n)) }
	for _, tt := range []struct {
		m    Message
		done bool
		err  error
	}{
		{Message{Type: nflog.TypePacket, Body: code(-1)}, false, nil},
		{Message{Type: TypeDone, Body: code(0)}, true, nil},
		{Message{Type: TypeDone}, true, nil},
		{Message{Type: TypeDone, Body: code(-int32(syscall.EINTR))}, true, syscall.EINTR},
		{Message{Type: TypeError, Body: append(code(-int32(syscall.ENOENT)), "request"...)}, true, syscall.ENOENT},
		{Message{Type: TypeError, Body: code(0)}, true, nil},
	} {
		if done, err := tt.m.End(); done != tt.done || err != tt.err {
			t.Errorf("%+v: %v, %v; want %v, %v", tt.m, done, err, tt.done, tt.err)
		}
	}
}

// FuzzMessages asserts that any datagram is walked to its end, and that what was
// walked over is all there.
func FuzzMessages(f *testing.F) {
	var datagram []byte
	for i := range 30 {
		body := nflog.AppendAttr([]byte{2, 0, 0, 1}, nflog.AttrPayload, bytes.Repeat([]byte{'x'}, i)...)
		datagram = AppendMessage(datagram, nflog.TypePacket, uint32(i), body)
		if i%10 == 9 {
			f.Add(AppendMessage(datagram, TypeDone, uint32(i), []byte{0, 0, 0, 0}))
			datagram = nil
		}
	}
	f.Fuzz(func(t *testing.T, datagram []byte) {
		rest := datagram
		for {
			m, tail, ok := NextMessage(rest)
			if !ok {
				if len(tail) != len(rest) {
					t.Fatalf("a message that is none took %d bytes", len(rest)-len(tail))
				}
				return
			}
			if taken := len(rest) - len(tail); taken < HeaderLen+len(m.Body) || taken > HeaderLen+align(len(m.Body)) {
				t.Fatalf("a message of %d bytes took %d", HeaderLen+len(m.Body), taken)
			}
			rest = tail
		}
	})
}
