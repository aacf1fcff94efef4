package sqldb

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/ulogd-go/ulogd/pkg/row"
	"github.com/ulogd-go/ulogd/pkg/stats"
)

// column is a column with what a change makes of it.
func column(name string, change func(*Column)) Column {
	c := NewColumn(name)
	change(&c)
	return c
}

func unsigned(bits int) func(*Column) {
	return func(c *Column) { c.Class, c.Bits = Integer, bits }
}

func signed(bits int, wrap bool) func(*Column) {
	return func(c *Column) { c.Class, c.Bits, c.Signed, c.Wrap = Integer, bits, true, wrap }
}

func chars(n int, set Charset) func(*Column) {
	return func(c *Column) { c.Class, c.Max, c.Charset = Chars, n, set }
}

func class(class Class, n int) func(*Column) {
	return func(c *Column) { c.Class, c.Max = class, n }
}

func number(n uint64) row.Value { return row.Value{Kind: row.Uint, Num: n} }
func text(s string) row.Value   { return row.Value{Kind: row.Text, Bytes: []byte(s)} }

var (
	v4     = row.Value{Kind: row.IP4, Num: 0xc0000201}
	v6     = row.Value{Kind: row.IP6, Bytes: []byte("\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02")}
	mapped = row.Value{Kind: row.Bin, Bytes: []byte("\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\xc0\x00\x02\x01")}
	mac    = row.Value{Kind: row.Raw, Bytes: []byte{0, 0x0c, 0x29, 1, 2, 0xff}}
)

// show is a value in a few characters.
func show(v row.Value) string {
	switch v.Kind {
	case row.Null:
		return "NULL"
	case row.Bool, row.Uint:
		return fmt.Sprint(v.Num)
	case row.Int:
		return fmt.Sprint(int64(v.Num))
	case row.Text:
		return fmt.Sprintf("%q", v.Bytes)
	}
	return fmt.Sprintf("0x%x", v.Bytes)
}

// TestFit has each kind of value meet each class of column, and all values that
// fail in ulogd (reference page "schemas", section 6.6).
func TestFit(t *testing.T) {
	forty := strings.Repeat("0123456789", 4)
	tests := []struct {
		name  string
		c     Column
		v     row.Value
		want  string
		notes string // counters that went up
	}{
		{"NULL", column("x", unsigned(8)), row.Value{}, "NULL", ""},
		{"a number", column("ip_ttl", unsigned(8)), number(255), "255", ""},
		{"a mark past a signed column", column("oob_mark", signed(32, true)), number(0x80000000), "-2147483648", "values_wrapped"},
		{"a gateway past a signed column", column("icmp_gateway", signed(32, true)), row.Value{Kind: row.IP4, Num: 0xc0a80001}, "-1062731775", "values_wrapped"},
		{"a gateway is the natural number", column("icmp_gateway", unsigned(32)), v4, "3221225985", ""},
		{"an MTU past smallint", column("icmp_fragmtu", signed(16, true)), number(40000), "-25536", "values_wrapped"},
		{"a length past smallint", column("udp_len", signed(16, true)), number(40000), "-25536", "values_wrapped"},
		{"a fragment field past smallint", column("ip_fragoff", signed(16, true)), number(0x8000), "-32768", "values_wrapped"},
		{"a checksum of 32 bits in smallint", column("sctp_csum", signed(16, true)), number(0xdeadbeef), "NULL", "values_out_of_range"},
		{"a checksum that smallint can wrap", column("sctp_csum", signed(16, true)), number(0xbeef), "-16657", "values_wrapped"},
		{"an EtherType past MySQL's smallint", column("oob_protocol", signed(16, false)), number(34525), "32767", "values_out_of_range"},
		{"a time past integer", column("oob_time_sec", signed(32, true)), number(0x80000000), "NULL", "values_out_of_range"},
		{"a sum past integer", column("sum_bytes", signed(32, true)), number(1 << 40), "NULL", "values_out_of_range"},
		{"64 bits", column("x", unsigned(64)), number(1<<64 - 1), "18446744073709551615", ""},
		{"64 bits in bigint", column("x", signed(64, true)), number(1<<64 - 1), "-1", "values_wrapped"},
		{"a negative number", column("x", signed(16, true)), row.Value{Kind: row.Int, Num: 1<<64 - 5}, "-5", ""},
		{"a negative number that is too low", column("x", signed(8, true)), row.Value{Kind: row.Int, Num: 1<<64 - 129}, "NULL", "values_out_of_range"},
		{"a negative number without a sign", column("x", unsigned(32)), row.Value{Kind: row.Int, Num: 1<<64 - 5}, "NULL", "values_out_of_range"},
		{"digits as a number", column("x", unsigned(32)), text("17"), "17", ""},
		{"a word as a number", column("x", unsigned(32)), text("eth0"), "NULL", "values_unfit"},
		{"bytes as a number", column("x", unsigned(32)), mac, "NULL", "values_unfit"},
		{"IPv6 as a number", column("ip_saddr", unsigned(32)), v6, "NULL", "values_unfit"},
		{"IPv4 as a number is ulogd's", column("ip_saddr", unsigned(32)), v4, "16908480", ""},
		{"a flag", column("tcp_syn", class(Boolean, 0)), row.Value{Kind: row.Bool, Num: 1}, "1", ""},
		{"a number as a flag", column("tcp_res1", class(Boolean, 0)), number(6), "1", ""},
		{"a text as a flag", column("tcp_syn", class(Boolean, 0)), text("yes"), "NULL", "values_unfit"},

		{"a prefix of 40 characters", column("oob_prefix", chars(32, Unicode)), text(forty), fmt.Sprintf("%q", forty[:32]), "values_cut"},
		{"32 characters of two bytes", column("oob_prefix", chars(32, Unicode)), text(strings.Repeat("é", 32)), fmt.Sprintf("%q", strings.Repeat("é", 32)), ""},
		{"33 characters of two bytes", column("oob_prefix", chars(32, Unicode)), text(strings.Repeat("é", 33)), fmt.Sprintf("%q", strings.Repeat("é", 32)), "values_cut"},
		{"no UTF-8", column("oob_prefix", chars(32, Unicode)), text("a\xffb"), `"a�b"`, "values_replaced"},
		{"NUL", column("oob_prefix", chars(32, Unicode)), text("a\x00b"), `"ab"`, "values_replaced"},
		{"an emoji in utf8mb3", column("oob_prefix", chars(32, BMP)), text("a😀ł"), `"a?ł"`, "values_replaced"},
		{"Polish in latin1", column("oob_prefix", chars(32, Latin1)), text("łé"), `"?é"`, "values_replaced"},
		{"umlauts in ASCII", column("oob_prefix", chars(32, ASCII)), text("äx"), `"?x"`, "values_replaced"},
		{"no UTF-8 in latin1", column("oob_prefix", chars(32, Latin1)), text("a\xff"), `"a?"`, "values_replaced"},
		{"no limit", column("x", chars(0, Unicode)), text(forty), fmt.Sprintf("%q", forty), ""},
		{"a number as text", column("x", chars(32, Unicode)), number(7), `"7"`, ""},
		{"IPv4 as text is ulogd's number", column("ip_saddr", chars(32, Unicode)), v4, `"16908480"`, ""},
		{"IPv4 as text without IP2STR", column("ip_saddr_str", chars(32, Unicode)), v4, `"192.0.2.1"`, ""},
		{"IPv6 as text", column("ip_saddr", chars(40, Unicode)), v6, `"2001:db8::2"`, ""},
		{"IPv6 as a text for IPv4", column("ip_saddr", chars(16, Unicode)), row.Value{Kind: row.IP6, Bytes: []byte("\x20\x01\x0d\xb8123456789012")}, "NULL", "values_unfit"},
		{"bytes as text", column("raw_mac", chars(80, Unicode)), mac, `"00:0c:29:01:02:ff"`, ""},

		{"IPv4 in 16 bytes", column("ip_saddr_bin", class(Bytes, 16)), v4, "0x00000000000000000000ffffc0000201", ""},
		{"IPv4 in 4 bytes", column("ip_saddr_bin", class(Bytes, 4)), v4, "0xc0000201", ""},
		{"IPv6 in 16 bytes", column("ip_saddr_bin", class(Bytes, 16)), v6, "0x20010db8000000000000000000000002", ""},
		{"IP2BIN's", column("ip_saddr_bin", class(Bytes, 16)), mapped, "0x00000000000000000000ffffc0000201", ""},
		{"bytes that are too long", column("raw_pkt", class(Bytes, 4)), mac, "0x000c2901", "values_cut"},
		{"a number as bytes", column("x", class(Bytes, 4)), number(17), "0x3137", ""},

		{"IPv4 as inet", column("ip_saddr_str", class(Inet, 0)), v4, `"192.0.2.1"`, ""},
		{"IP2BIN's as inet", column("ip_saddr_str", class(Inet, 0)), mapped, `"192.0.2.1"`, ""},
		{"text as inet", column("ip_saddr_str", class(Inet, 0)), text("2001:db8::2"), `"2001:db8::2"`, ""},
		{"a word as inet", column("ip_saddr_str", class(Inet, 0)), text("any"), "NULL", "values_unfit"},
		{"a zone as inet", column("ip_saddr_str", class(Inet, 0)), text("fe80::1%eth0"), "NULL", "values_unfit"},
		{"text as macaddr", column("mac_saddr_str", class(MAC, 0)), text("00:0c:29:01:02:ff"), `"00:0c:29:01:02:ff"`, ""},
		{"bytes as macaddr", column("mac_saddr_str", class(MAC, 0)), mac, `"00:0c:29:01:02:ff"`, ""},
		{"eight bytes as macaddr", column("mac_saddr_str", class(MAC, 0)), text("00:0c:29:01:02:ff:00:00"), "NULL", "values_unfit"},
		{"no hex as macaddr", column("mac_saddr_str", class(MAC, 0)), text("00:0c:29:01:02:fg"), "NULL", "values_unfit"},
		{"points for colons as macaddr", column("mac_saddr_str", class(MAC, 0)), text("00.0c.29.01.02.ff"), "NULL", "values_unfit"},
		{"seconds as a time", column("oob_time_sec", class(Time, 0)), number(1795420850), `"2026-11-23 08:00:50"`, ""},
		{"a word as a time", column("oob_time_sec", class(Time, 0)), text("now"), "NULL", "values_unfit"},
		{"anything else", column("x", class(Other, 0)), number(1), `"1"`, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var s stats.Set
			f := NewFitter(NewNotes(slog.New(slog.DiscardHandler), &s))
			if got := show(f.Fit(&tt.c, tt.v)); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
			var noted string
			for _, c := range s.Counters() {
				if c.Value() > 0 {
					noted += c.Name
				}
			}
			if noted != tt.notes {
				t.Errorf("counted %q, want %q", noted, tt.notes)
			}
		})
	}
}

// TestFitNatural: an IPv4 address is the number that people expect, as in ulogd 1.x.
func TestFitNatural(t *testing.T) {
	f := NewFitter(NewNotes(slog.New(slog.DiscardHandler), new(stats.Set)))
	f.Natural = true
	for _, tt := range []struct {
		c    Column
		want string
	}{
		{column("ip_saddr", unsigned(32)), "3221225985"},
		{column("ip_saddr", signed(64, true)), "3221225985"},
		{column("ip_saddr", chars(16, Unicode)), `"192.0.2.1"`},
		{column("ip_saddr", class(Inet, 0)), `"192.0.2.1"`},
	} {
		if got := show(f.Fit(&tt.c, v4)); got != tt.want {
			t.Errorf("%+v: %s, want %s", tt.c, got, tt.want)
		}
	}
}

// TestNotesWarnOnce: a flood of long prefixes is one warning.
func TestNotesWarnOnce(t *testing.T) {
	var log bytes.Buffer
	var s stats.Set
	f := NewFitter(NewNotes(slog.New(slog.NewTextHandler(&log, nil)), &s))
	c := column("oob_prefix", chars(2, Unicode))
	for range 100 {
		f.Reset()
		f.Fit(&c, text("abc"))
	}
	if n := strings.Count(log.String(), "oob_prefix"); n != 1 || s.Counters()[Cut].Value() != 100 {
		t.Errorf("%d warnings and %d counted, want 1 and 100:\n%s", n, s.Counters()[Cut].Value(), &log)
	}
}

// FuzzFit: whatever the value, a column gets what its server will take.
func FuzzFit(f *testing.F) {
	f.Add(uint8(row.Text), uint64(0), []byte("a\xff\x00b😀"), uint8(Chars), 3, uint8(Latin1))
	f.Add(uint8(row.Uint), uint64(1<<63), []byte(nil), uint8(Integer), 16, uint8(1))
	f.Fuzz(func(t *testing.T, kind uint8, num uint64, b []byte, cl uint8, size int, flags uint8) {
		v := row.Value{Kind: row.Kind(kind % 9), Num: num, Bytes: b}
		if v.Kind == row.IP6 || v.Kind == row.Bin {
			v.Bytes = append(b, make([]byte, 16)...)[:16]
		}
		c := Column{Class: Class(cl % 8), Bits: 8 << (uint(size) % 4), Max: size & 0xff, Charset: Charset(flags % 4), Signed: flags&4 != 0, Wrap: flags&8 != 0}
		var s stats.Set
		got := NewFitter(NewNotes(slog.New(slog.DiscardHandler), &s)).Fit(&c, v)
		switch got.Kind {
		case row.Text:
			text := string(got.Bytes)
			if strings.ToValidUTF8(text, "") != text || strings.ContainsRune(text, 0) {
				t.Errorf("%q is no text", text)
			}
			if n := len([]rune(text)); c.Class == Chars && c.Max > 0 && n > c.Max && (v.Kind == row.Text || v.Kind == row.Raw) {
				t.Errorf("%d characters in a column of %d", n, c.Max)
			}
		case row.Uint:
			if got.Num > most(&c) {
				t.Errorf("%d in a column of %d bits", got.Num, c.Bits)
			}
		case row.IP4, row.IP6, row.Bin:
			t.Errorf("kind %d is left", got.Kind)
		}
	})
}
