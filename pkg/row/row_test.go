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

// appendValue encodes v.
func appendValue(dst []byte, v Value) []byte {
	switch v.Kind {
	case Int:
		return AppendInt(dst, v.Int)
	case Text:
		return AppendText(dst, v.Bytes)
	case Blob:
		return AppendBlob(dst, v.Bytes)
	}
	return AppendNull(dst)
}

// decode is all values of a row.
func decode(r []byte) (vs []Value, err error) {
	for len(r) > 0 {
		var v Value
		if v, r, err = Next(r); err != nil {
			return vs, err
		}
		vs = append(vs, v)
	}
	return vs, nil
}

func TestRoundTrip(t *testing.T) {
	want := []Value{
		{},
		{Kind: Int},
		{Kind: Int, Int: math.MaxInt64},
		{Kind: Int, Int: math.MinInt64},
		{Kind: Int, Int: math.MaxUint32},
		{Kind: Text, Bytes: []byte{}},
		{Kind: Text, Bytes: []byte("a\x00\xffb")},
		{Kind: Blob, Bytes: bytes.Repeat([]byte{7}, 300)},
		{},
	}
	var r []byte
	for _, v := range want {
		r = appendValue(r, v)
	}
	got, err := decode(r)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestNextMalformed(t *testing.T) {
	for name, src := range map[string][]byte{
		"empty":               {},
		"unknown kind":        {9},
		"number cut":          {byte(Int), 0x80},
		"number too long":     append([]byte{byte(Int)}, bytes.Repeat([]byte{0xff}, 11)...),
		"text without length": {byte(Text)},
		"text cut":            {byte(Text), 3, 'a', 'b'},
		"blob of 2^63 bytes":  append([]byte{byte(Blob)}, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1),
	} {
		if _, _, err := Next(src); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: error %v, want ErrMalformed", name, err)
		}
	}
}

// FuzzNext shows that no bytes make Next panic, and that what it decodes has the
// same meaning when it is encoded again.
func FuzzNext(f *testing.F) {
	f.Add(AppendInt(AppendText(AppendNull(nil), []byte("eth0")), -5))
	f.Add(AppendBlob(nil, []byte{0}))
	f.Add([]byte{byte(Text), 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Fuzz(func(t *testing.T, r []byte) {
		values, _ := decode(r)
		var again []byte
		for _, v := range values {
			again = appendValue(again, v)
		}
		got, err := decode(again)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(values, got); diff != "" {
			t.Errorf("(-first +second)\n%s", diff)
		}
	})
}
