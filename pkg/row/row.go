// Package row is what outputs to databases have in common: which key a column
// takes, and how the values of a row lie in a block until a database takes them.
// A row says what the packet had, not what a column makes of it, so that it can
// wait on disk for a table that is not there yet, or that has changed meanwhile.
package row

import (
	"encoding/binary"
	"errors"
	"strings"
)

// maxKey is the number of bytes of a column's name that count, as in ulogd.
const maxKey = 31

// Key is the name of the key that the column of that name takes: the first 31
// bytes with a dot for each underscore.
//
// See reference page "ulogd2-outputs", section 14.2.
func Key(column string) string {
	return strings.ReplaceAll(column[:min(len(column), maxKey)], "_", ".")
}

// Kind is how a value is stored.
type Kind uint8

// The kinds of values. The numbers are part of the encoding.
const (
	Null Kind = iota // no value
	Bool             // Num is 0 or 1; tcp.res1 and tcp.res2 hold small numbers
	Int              // Num is a signed integer in two's complement
	Uint             // Num is an unsigned integer
	IP4              // Num is the address as a number, 10.0.0.1 = 0x0a000001
	IP6              // Bytes are the 16 bytes of the address
	Text             // Bytes are in no particular character set
	Raw              // Bytes are just that
	Bin              // Bytes are the 16 bytes of an address by IP2BIN, IPv4 as ::ffff:a.b.c.d
)

// Value is one value of a row.
type Value struct {
	Kind  Kind
	Num   uint64
	Bytes []byte // a part of the encoded row
}

// A value begins with its kind in the lower four bits of a byte. The upper four
// of a Null are the number of further ones that it stands for.
const (
	kindMask = 0x0f
	maxNulls = 16
)

// AppendNulls appends the absence of n values.
func AppendNulls(dst []byte, n int) []byte {
	for ; n > 0; n -= maxNulls {
		dst = append(dst, byte(min(n, maxNulls)-1)<<4|byte(Null))
	}
	return dst
}

// AppendNum appends a value of a kind that holds a number.
func AppendNum(dst []byte, k Kind, n uint64) []byte {
	return binary.AppendUvarint(append(dst, byte(k)), n)
}

// AppendBytes appends a value of a kind that holds bytes.
func AppendBytes(dst []byte, k Kind, b []byte) []byte {
	return append(binary.AppendUvarint(append(dst, byte(k)), uint64(len(b))), b...)
}

// ErrMalformed says that bytes are no encoded row.
var ErrMalformed = errors.New("malformed row")

// Decode appends the values of the row src to dst. Their Bytes are parts of src.
// The error is ErrMalformed.
func Decode(dst []Value, src []byte) ([]Value, error) {
	for len(src) > 0 {
		k := Kind(src[0] & kindMask)
		nulls := int(src[0]>>4) + 1
		if src = src[1:]; k == Null {
			for range nulls {
				dst = append(dst, Value{})
			}
			continue
		}
		n, size := binary.Uvarint(src)
		if size <= 0 || k > Bin || nulls > 1 {
			return dst, ErrMalformed
		}
		src = src[size:]
		if k <= IP4 {
			dst = append(dst, Value{Kind: k, Num: n})
			continue
		}
		if n > uint64(len(src)) || (k == IP6 || k == Bin) && n != 16 {
			return dst, ErrMalformed
		}
		dst = append(dst, Value{Kind: k, Bytes: src[:n:n]})
		src = src[n:]
	}
	return dst, nil
}
