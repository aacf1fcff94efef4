package sqldb

import (
	"encoding/binary"
	"encoding/hex"
	"math"
	"math/bits"
	"net/netip"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/ulogd-go/ulogd/pkg/event"
	"github.com/ulogd-go/ulogd/pkg/row"
)

// Fitter makes values fit columns, so that no value can spoil a batch: what a
// column can't hold is cut, replaced or left out, and counted. It is for one
// goroutine.
type Fitter struct {
	// Natural makes an IPv4 address what people expect, as in ulogd 1.x: the number
	// 192.0.2.1 = 0xc0000201 in a column of integers, and 192.0.2.1 in one of texts.
	Natural bool

	notes *Notes
	buf   []byte // what texts that were made are parts of
}

// NewFitter makes a fitter that counts in notes.
func NewFitter(n *Notes) *Fitter { return &Fitter{notes: n} }

// Reset lets the fitter use the memory of earlier results again.
func (f *Fitter) Reset() { f.buf = f.buf[:0] }

// Fit is v as the column takes it: Null, Bool, Int, Uint, Text (valid UTF-8
// without NUL) or Raw (bytes). Addresses for Inet, MAC and Time are Text. The
// result is valid until Reset.
//
// See reference page "schemas", sections 4.5 and 6.6.
func (f *Fitter) Fit(c *Column, v row.Value) row.Value {
	if v.Kind == row.Null {
		return v
	}
	switch c.Class {
	case Integer:
		return f.integer(c, v)
	case Boolean:
		return f.boolean(c, v)
	case Bytes:
		return f.bytes(c, v)
	case Inet:
		return f.inet(c, v)
	case MAC:
		return f.mac(c, v)
	case Time:
		return f.time(c, v)
	}
	return f.chars(c, v)
}

// null is what becomes of a value for which the column has no place.
func (f *Fitter) null(c *Column, n Note) row.Value {
	f.notes.add(c, n)
	return row.Value{}
}

func (f *Fitter) integer(c *Column, v row.Value) row.Value {
	switch v.Kind {
	case row.Bool, row.Uint:
		return f.unsigned(c, v.Num)
	case row.Int:
		return f.signed(c, int64(v.Num))
	case row.IP4:
		return f.unsigned(c, f.number(c, uint32(v.Num)))
	case row.Text:
		if n, err := strconv.ParseUint(string(v.Bytes), 10, 64); err == nil {
			return f.unsigned(c, n)
		}
	}
	return f.null(c, Unfit)
}

// number is the number that ulogd takes from the bytes of an IPv4 address in the
// memory of a little-endian machine, 192.0.2.1 = 0x010200c0, which readers of its
// tables expect. Only icmp.gateway is the natural number.
func (f *Fitter) number(c *Column, a uint32) uint64 {
	if c.natural || f.Natural {
		return uint64(a)
	}
	return uint64(bits.ReverseBytes32(a))
}

// most is the largest number that the column holds.
func most(c *Column) uint64 {
	n := uint64(math.MaxUint64) >> (64 - c.Bits)
	if c.Signed {
		n >>= 1
	}
	return n
}

func (f *Fitter) unsigned(c *Column, n uint64) row.Value {
	top := most(c)
	switch {
	case n <= top:
		return row.Value{Kind: row.Uint, Num: n}
	case c.exact:
		return f.null(c, Range)
	case !c.Wrap:
		f.notes.add(c, Range)
		return row.Value{Kind: row.Uint, Num: top}
	case n > 2*top+1:
		return f.null(c, Range)
	}
	f.notes.add(c, Wrapped)
	return row.Value{Kind: row.Int, Num: n | ^(2*top + 1)}
}

func (f *Fitter) signed(c *Column, n int64) row.Value {
	if n >= 0 {
		return f.unsigned(c, uint64(n))
	}
	if !c.Signed || n < -int64(most(c))-1 {
		return f.null(c, Range)
	}
	return row.Value{Kind: row.Int, Num: uint64(n)}
}

func (f *Fitter) boolean(c *Column, v row.Value) row.Value {
	if v.Kind > row.Uint {
		return f.null(c, Unfit)
	}
	return row.Value{Kind: row.Bool, Num: min(v.Num, 1)}
}

// keep is the text or the bytes that appendTo added to the fitter's memory.
func (f *Fitter) keep(k row.Kind, appendTo func(dst []byte) []byte) row.Value {
	from := len(f.buf)
	f.buf = appendTo(f.buf)
	return row.Value{Kind: k, Bytes: f.buf[from:len(f.buf):len(f.buf)]}
}

func (f *Fitter) bytes(c *Column, v row.Value) row.Value {
	switch v.Kind {
	case row.IP4:
		v = f.keep(row.Raw, func(dst []byte) []byte {
			if c.Max != 4 {
				dst = append(dst, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff)
			}
			return binary.BigEndian.AppendUint32(dst, uint32(v.Num))
		})
	case row.Bool, row.Int, row.Uint:
		v = f.keep(row.Raw, func(dst []byte) []byte { return appendNumber(dst, v) })
	}
	if c.Max > 0 && len(v.Bytes) > c.Max {
		f.notes.add(c, Cut)
		v.Bytes = v.Bytes[:c.Max]
	}
	return row.Value{Kind: row.Raw, Bytes: v.Bytes}
}

func appendNumber(dst []byte, v row.Value) []byte {
	if v.Kind == row.Int {
		return strconv.AppendInt(dst, int64(v.Num), 10)
	}
	return strconv.AppendUint(dst, v.Num, 10)
}

// address is the text of an address, and of nothing else.
func (f *Fitter) address(v row.Value) (row.Value, bool) {
	switch v.Kind {
	case row.IP4:
		return f.keep(row.Text, func(dst []byte) []byte { return event.AppendIP4(dst, uint32(v.Num)) }), true
	case row.IP6:
		return f.keep(row.Text, func(dst []byte) []byte { return event.AppendIP6(dst, v.Bytes) }), true
	case row.Bin:
		a := netip.AddrFrom16([16]byte(v.Bytes)).Unmap()
		return f.keep(row.Text, func(dst []byte) []byte { return a.AppendTo(dst) }), true
	}
	return v, false
}

func (f *Fitter) inet(c *Column, v row.Value) row.Value {
	if a, ok := f.address(v); ok {
		return a
	}
	if v.Kind == row.Text {
		if a, err := netip.ParseAddr(string(v.Bytes)); err == nil && a.Zone() == "" {
			return v
		}
	}
	return f.null(c, Unfit)
}

func (f *Fitter) mac(c *Column, v row.Value) row.Value {
	switch {
	case v.Kind == row.Raw && len(v.Bytes) == 6:
		return f.keep(row.Text, func(dst []byte) []byte { return event.AppendMAC(dst, v.Bytes) })
	case v.Kind == row.Text && isMAC(v.Bytes):
		return v
	}
	return f.null(c, Unfit)
}

// isMAC tells whether text is six bytes in hex with colons.
func isMAC(text []byte) bool {
	if len(text) != 17 {
		return false
	}
	var b [1]byte
	for i := 0; i < len(text); i += 3 {
		if _, err := hex.Decode(b[:], text[i:i+2]); err != nil || i > 0 && text[i-1] != ':' {
			return false
		}
	}
	return true
}

// time makes a column for a point in time of seconds since 1970, in UTC.
func (f *Fitter) time(c *Column, v row.Value) row.Value {
	if v.Kind != row.Uint || v.Num > math.MaxUint32 {
		return f.null(c, Unfit)
	}
	return f.keep(row.Text, func(dst []byte) []byte {
		return time.Unix(int64(v.Num), 0).UTC().AppendFormat(dst, time.DateTime)
	})
}

func (f *Fitter) chars(c *Column, v row.Value) row.Value {
	switch v.Kind {
	case row.Bool, row.Int, row.Uint:
		return f.whole(c, f.keep(row.Text, func(dst []byte) []byte { return appendNumber(dst, v) }))
	case row.IP4:
		if !f.Natural && !c.address {
			n := f.number(c, uint32(v.Num))
			return f.whole(c, f.keep(row.Text, func(dst []byte) []byte { return strconv.AppendUint(dst, n, 10) }))
		}
	case row.Raw:
		return f.cut(c, f.keep(row.Text, func(dst []byte) []byte { return event.AppendMAC(dst, v.Bytes) }))
	}
	if a, ok := f.address(v); ok {
		return f.whole(c, a)
	}
	return f.cut(c, f.clean(c, v))
}

// whole is a text that means something else when it is cut.
func (f *Fitter) whole(c *Column, v row.Value) row.Value {
	if c.Max > 0 && len(v.Bytes) > c.Max {
		return f.null(c, Unfit)
	}
	return v
}

// clean replaces what is no text: bytes that are not UTF-8 by U+FFFD, NUL by
// nothing, characters that the column does not have by question marks.
func (f *Fitter) clean(c *Column, v row.Value) row.Value {
	if isClean(c, v.Bytes) {
		return v
	}
	f.notes.add(c, Replaced)
	return f.keep(row.Text, func(dst []byte) []byte {
		for b := v.Bytes; len(b) > 0; {
			r, size := utf8.DecodeRune(b)
			b = b[size:]
			switch {
			case r == 0:
			case c.Charset.holds(r):
				dst = utf8.AppendRune(dst, r)
			default:
				dst = append(dst, '?')
			}
		}
		return dst
	})
}

func isClean(c *Column, text []byte) bool {
	ascii := true
	for _, b := range text {
		if b == 0 {
			return false
		}
		ascii = ascii && b < utf8.RuneSelf
	}
	if ascii {
		return true
	}
	if !utf8.Valid(text) {
		return false
	}
	for _, r := range string(text) {
		if !c.Charset.holds(r) {
			return false
		}
	}
	return true
}

// cut shortens a text to as many characters as the column has room for.
func (f *Fitter) cut(c *Column, v row.Value) row.Value {
	if c.Max == 0 || len(v.Bytes) <= c.Max {
		return v
	}
	n := 0
	for i := range string(v.Bytes) {
		if n == c.Max {
			f.notes.add(c, Cut)
			v.Bytes = v.Bytes[:i]
			return v
		}
		n++
	}
	return v
}
