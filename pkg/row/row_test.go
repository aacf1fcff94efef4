package row

import (
	"bytes"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestKey(t *testing.T) {
	f := func(column, want string) {
		t.Helper()
		if got := Key(column); got != want {
			t.Errorf("Key(%q) = %q, want %q", column, got, want)
		}
	}
	f("oob_time_sec", "oob.time.sec")
	f("_id", ".id")
	f("print", "print")
	f("Oob_Prefix", "Oob.Prefix")
	f("", "")
	f(strings.Repeat("a_", 15)+"bc", strings.Repeat("a.", 15)+"b")
	f(strings.Repeat("x", 31), strings.Repeat("x", 31))
}

// encode is the inverse of Decode.
func encode(values []Value) (dst []byte) {
	for _, v := range values {
		switch {
		case v.Kind == Null:
			dst = AppendNulls(dst, 1)
		case v.Kind <= IP4:
			dst = AppendNum(dst, v.Kind, v.Num)
		default:
			dst = AppendBytes(dst, v.Kind, v.Bytes)
		}
	}
	return dst
}

func TestRoundTrip(t *testing.T) {
	want := []Value{
		{},
		{Kind: Bool, Num: 1},
		{Kind: Int, Num: math.MaxUint64},
		{Kind: Uint, Num: math.MaxUint64},
		{Kind: IP4, Num: 0xc0a80001},
		{Kind: IP6, Bytes: bytes.Repeat([]byte{7}, 16)},
		{Kind: Text, Bytes: []byte{}},
		{Kind: Text, Bytes: []byte("a\x00\xffb")},
		{Kind: Raw, Bytes: bytes.Repeat([]byte{7}, 300)},
		{Kind: Bin, Bytes: bytes.Repeat([]byte{9}, 16)},
		{},
	}
	got, err := Decode(nil, encode(want))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestNulls(t *testing.T) {
	for _, n := range []int{0, 1, 15, 16, 17, 32, 59} {
		encoded := AppendNulls(nil, n)
		got, err := Decode(nil, encoded)
		if err != nil || len(got) != n || len(encoded) != (n+15)/16 {
			t.Errorf("%d nulls: %d values from %d bytes, %v", n, len(got), len(encoded), err)
		}
	}
}

func TestDecodeMalformed(t *testing.T) {
	for name, src := range map[string][]byte{
		"unknown kind":             {0x0f, 0},
		"a number repeated":        {0x10 | byte(Uint), 0},
		"number cut":               {byte(Uint), 0x80},
		"number missing":           {byte(Uint)},
		"number too long":          append([]byte{byte(Uint)}, bytes.Repeat([]byte{0xff}, 11)...),
		"text without length":      {byte(Text)},
		"text cut":                 {byte(Text), 3, 'a', 'b'},
		"bytes of 2^63":            append([]byte{byte(Raw)}, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1),
		"an address of four bytes": {byte(IP6), 4, 1, 2, 3, 4},
	} {
		if _, err := Decode(nil, src); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: error %v, want ErrMalformed", name, err)
		}
	}
}

// FuzzDecode shows that no bytes make Decode panic, and that what it decodes has
// the same meaning when it is encoded again.
func FuzzDecode(f *testing.F) {
	f.Add(AppendNum(AppendBytes(AppendNulls(nil, 20), Text, []byte("eth0")), Int, 5))
	f.Add(AppendBytes(nil, Raw, []byte{0}))
	f.Add([]byte{byte(Text), 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Fuzz(func(t *testing.T, r []byte) {
		values, _ := Decode(nil, r)
		got, err := Decode(nil, encode(values))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(values, got); diff != "" {
			t.Errorf("(-first +second)\n%s", diff)
		}
	})
}
