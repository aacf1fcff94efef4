package event

import (
	"encoding/binary"
	"math"
	"slices"
	"strconv"
)

// digitPairs are the numbers 00 to 99.
const digitPairs = "00010203040506070809" +
	"10111213141516171819" +
	"20212223242526272829" +
	"30313233343536373839" +
	"40414243444546474849" +
	"50515253545556575859" +
	"60616263646566676869" +
	"70717273747576777879" +
	"80818283848586878889" +
	"90919293949596979899"

// AppendUint appends n in decimal. Numbers are most of what a log consists of:
// strconv's function goes through a buffer of its own, this one does not.
func AppendUint(dst []byte, n uint64) []byte {
	if n < 10 {
		return append(dst, '0'+byte(n))
	}
	if n < 100 {
		return append(dst, digitPairs[2*n], digitPairs[2*n+1])
	}
	if n > math.MaxUint32 {
		return strconv.AppendUint(dst, n, 10)
	}
	v := uint32(n)
	i := len(dst) + decimals(v)
	if i > cap(dst) {
		dst = slices.Grow(dst, i-len(dst))
	}
	dst = dst[:i]
	for v >= 100 {
		pair := v % 100
		v /= 100
		dst[i-1], dst[i-2] = digitPairs[2*pair+1], digitPairs[2*pair]
		i -= 2
	}
	if v >= 10 {
		dst[i-1], dst[i-2] = digitPairs[2*v+1], digitPairs[2*v]
	} else {
		dst[i-1] = '0' + byte(v)
	}
	return dst
}

// decimals is the number of digits of v, which is 100 or more.
func decimals(v uint32) int {
	switch {
	case v < 1000:
		return 3
	case v < 10000:
		return 4
	case v < 100000:
		return 5
	case v < 1000000:
		return 6
	case v < 10000000:
		return 7
	case v < 100000000:
		return 8
	case v < 1000000000:
		return 9
	}
	return 10
}

// AppendIP4 appends the dotted quad of a, as a number with the first octet on top.
func AppendIP4(dst []byte, a uint32) []byte {
	dst = AppendByte(dst, byte(a>>24))
	dst = append(dst, '.')
	dst = AppendByte(dst, byte(a>>16))
	dst = append(dst, '.')
	dst = AppendByte(dst, byte(a>>8))
	dst = append(dst, '.')
	return AppendByte(dst, byte(a))
}

// AppendByte appends a number up to 255 in decimal.
func AppendByte(dst []byte, n byte) []byte {
	switch {
	case n < 10:
		return append(dst, '0'+n)
	case n < 100:
		return append(dst, '0'+n/10, '0'+n%10)
	}
	return append(dst, '0'+n/100, '0'+n/10%10, '0'+n%10)
}

// AppendIP6 appends the text of the 16 bytes of a as the C library's inet_ntop
// does: lower case, the longest run of two or more zero groups compressed (the
// first of equals), and a dotted quad at the end of ::ffff:a.b.c.d and of
// ::a.b.c.d if a and b are not both zero. It panics if a is shorter.
//
// See reference page "ulogd2-core", section 5, and RFC 5952.
func AppendIP6(dst, a []byte) []byte {
	var groups [8]uint16
	for i := range groups {
		groups[i] = binary.BigEndian.Uint16(a[2*i:])
	}
	from, end := longestZeroRun(&groups)
	dotted := from == 0 && (end == 6 || end == 5 && groups[5] == 0xffff)
	for i, g := range groups {
		if from <= i && i < end {
			if i == from {
				dst = append(dst, ':')
			}
			continue
		}
		if i > 0 {
			dst = append(dst, ':')
		}
		if i == 6 && dotted {
			return AppendIP4(dst, binary.BigEndian.Uint32(a[12:]))
		}
		dst = strconv.AppendUint(dst, uint64(g), 16)
	}
	if end == 8 {
		dst = append(dst, ':')
	}
	return dst
}

// longestZeroRun finds the groups to compress, from up to before end; both are
// -1 if no two zero groups stand together.
func longestZeroRun(groups *[8]uint16) (from, end int) {
	from, end = -1, -1
	start := 0
	for i := 0; i <= 8; i++ {
		if i < 8 && groups[i] == 0 {
			continue
		}
		if i-start >= 2 && i-start > end-from {
			from, end = start, i
		}
		start = i + 1
	}
	return from, end
}

const hexDigits = "0123456789abcdef"

// AppendHex appends two lower-case hex digits for each byte of b.
func AppendHex(dst, b []byte) []byte {
	for _, c := range b {
		dst = append(dst, hexDigits[c>>4], hexDigits[c&15])
	}
	return dst
}

// AppendMAC appends the bytes of b in lower-case hex with colons between them.
func AppendMAC(dst, b []byte) []byte {
	for i, c := range b {
		if i > 0 {
			dst = append(dst, ':')
		}
		dst = append(dst, hexDigits[c>>4], hexDigits[c&15])
	}
	return dst
}

// AppendPadded appends n in decimal with leading zeros up to width digits.
func AppendPadded(dst []byte, n uint64, width int) []byte {
	for limit := uint64(10); width > 1; width-- {
		if n < limit {
			for range width - 1 {
				dst = append(dst, '0')
			}
			break
		}
		limit *= 10
	}
	return strconv.AppendUint(dst, n, 10)
}

// AppendText appends v as text: numbers in decimal, addresses in their usual
// form, strings and literals byte for byte. Raw bytes and a missing value have
// no text, and ok is false.
func (b *Batch) AppendText(dst []byte, v Value) (_ []byte, ok bool) {
	switch v.K {
	case Bool, U8, U16, U32, U64:
		return AppendUint(dst, v.V), true
	case I8, I16, I32, I64:
		return strconv.AppendInt(dst, int64(v.V), 10), true
	case IP4:
		return AppendIP4(dst, uint32(v.V)), true
	case IP6:
		return AppendIP6(dst, b.Bytes(v)), true
	case String, Literal:
		return append(dst, b.Bytes(v)...), true
	}
	return dst, false
}
