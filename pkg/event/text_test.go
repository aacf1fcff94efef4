package event

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"testing"
)

func TestAppendIP4(t *testing.T) {
	for a, want := range map[uint32]string{
		0: "0.0.0.0", 0x0a000001: "10.0.0.1", 0xffffffff: "255.255.255.255", 0x09630a64: "9.99.10.100",
	} {
		if got := string(AppendIP4([]byte("="), a)); got != "="+want {
			t.Errorf("%#x: %q, want %q", a, got, want)
		}
	}
}

// TestAppendIP6 has the cases of reference page "ulogd2-core", section 5.
func TestAppendIP6(t *testing.T) {
	for _, want := range []string{
		"::", "::1", "::0.2.0.1", "::0.1.0.2", "::1.2.3.4", "::ffff:1.2.3.4", "::ffff:0.0.0.0", "::255.255.0.0",
		"1::", "1::2", "2001:db8::1", "fe80::1:0:0:1", "1:0:0:2::3", "1::2:0:0:3:4", "1:0:2:3:4:5:6:7", "1:2:3:4:5:6:7:0", "0:1:2:3:4:5:6:7",
		"::1:2:3:4:5:6", "0:2:3:4:5:6:7:8", "1:2:3:4:5:6::", "::fffe:102:304", "::1:0:0", "64:ff9b::102:304", "::ffff:0:102:304",
		"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "a:bc:def:1234::",
	} {
		a := net.ParseIP(want).To16() // netip and net read the dotted forms too
		if got := string(AppendIP6([]byte("="), a)); got != "="+want {
			t.Errorf("%x: %q, want %q", []byte(a), got, want)
		}
	}
}

// randomIP6 has many runs of zeros.
func randomIP6(r *rand.Rand) (a [16]byte) {
	for i := 0; i < 16; i += 2 {
		if r.IntN(2) == 0 {
			binary.BigEndian.PutUint16(a[i:], uint16(r.Uint32())>>r.IntN(16))
		}
	}
	return a
}

// TestAppendIP6AgreesWithNetip takes the standard library as the oracle for all
// addresses that the C library does not write with dots.
func TestAppendIP6AgreesWithNetip(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	compared := 0
	for range 200000 {
		a := randomIP6(r)
		want, got := netip.AddrFrom16(a), string(AppendIP6(nil, a[:]))
		if strings.Contains(got, ".") {
			if back, err := netip.ParseAddr(got); err != nil || back != want || !(want.Is4In6() || binary.BigEndian.Uint64(a[:]) == 0) {
				t.Fatalf("%v is %q, which is %v, %v", want, got, back, err)
			}
			continue
		}
		if compared++; got != want.String() {
			t.Fatalf("%q, want %q", got, want)
		}
	}
	if compared < 100000 {
		t.Errorf("only %d addresses were compared", compared)
	}
}

func TestAppendPadded(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	f := func(n uint64, width int) {
		t.Helper()
		if got, want := string(AppendPadded(nil, n, width)), fmt.Sprintf("%0*d", width, n); got != want {
			t.Errorf("%d, %d: %q, want %q", n, width, got, want)
		}
	}
	for width := range 21 {
		f(0, width)
		f(math.MaxUint64, width)
		for range 200 {
			f(r.Uint64()>>r.IntN(64), width)
		}
		for limit, k := uint64(1), 0; k < 19; limit, k = limit*10, k+1 {
			f(limit, width)
			f(limit-1, width)
		}
	}
}

func TestAppendMACAndHex(t *testing.T) {
	for in, want := range map[string]string{"": "", "\x02": "02", "\x02\x00\xbe\xef": "02:00:be:ef"} {
		if got := string(AppendMAC([]byte("="), []byte(in))); got != "="+want {
			t.Errorf("MAC %x: %q, want %q", in, got, want)
		}
		if got := string(AppendHex([]byte("="), []byte(in))); got != "="+strings.ReplaceAll(want, ":", "") {
			t.Errorf("hex %x: %q, want %q without colons", in, got, want)
		}
	}
}

func TestAppendText(t *testing.T) {
	b := NewBatch(Layout{})
	b.Buf = append(make([]byte, 15), "\x01text"...)
	text := Ref(16, 4)
	minus := func(n int64) uint64 { return uint64(n) }
	for _, tt := range []struct {
		v    Value
		want string
		ok   bool
	}{
		{Value{K: None}, "", false}, {Value{3, Bool}, "3", true},
		{Value{255, U8}, "255", true}, {Value{65535, U16}, "65535", true}, {Value{math.MaxUint64, U64}, "18446744073709551615", true},
		{Value{4294967295, U32}, "4294967295", true}, {Value{minus(-1), I8}, "-1", true}, {Value{minus(-2), I16}, "-2", true},
		{Value{minus(-3), I32}, "-3", true}, {Value{minus(math.MinInt64), I64}, "-9223372036854775808", true},
		{Value{0xc0000201, IP4}, "192.0.2.1", true}, {Value{Ref(0, 16), IP6}, "::1", true},
		{Value{text, String}, "text", true}, {Value{text, Literal}, "text", true}, {Value{text, Raw}, "", false},
	} {
		if got, ok := b.AppendText([]byte("="), tt.v); string(got) != "="+tt.want || ok != tt.ok {
			t.Errorf("%v %#x: %q, %v; want %q, %v", tt.v.K, tt.v.V, got, ok, "="+tt.want, tt.ok)
		}
	}
}

func TestTextDoesNotAllocate(t *testing.T) {
	a := netip.MustParseAddr("2001:db8::ffff:1").As16()
	dst := make([]byte, 0, 200)
	if n := testing.AllocsPerRun(100, func() {
		dst = AppendIP6(AppendIP4(dst[:0], 0x0a000001), a[:])
		dst = AppendMAC(AppendHex(AppendPadded(dst, 7, 6), a[:]), a[:6])
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
