// Package row is what outputs to databases have in common: which key a column
// takes, and how the values of a row lie in a block until a database takes them.
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
	Int              // a signed integer of 64 bits
	Text             // bytes in no particular character set
	Blob             // bytes
)

// Value is one value of an encoded row.
type Value struct {
	Kind  Kind
	Int   int64
	Bytes []byte // of Text and Blob; a part of the row
}

// AppendNull appends the absence of a value.
func AppendNull(dst []byte) []byte { return append(dst, byte(Null)) }

// AppendInt appends a number.
func AppendInt(dst []byte, n int64) []byte {
	return binary.AppendVarint(append(dst, byte(Int)), n)
}

// AppendText appends a text.
func AppendText(dst, text []byte) []byte { return append(AppendHead(dst, Text, len(text)), text...) }

// AppendBlob appends bytes.
func AppendBlob(dst, blob []byte) []byte { return append(AppendHead(dst, Blob, len(blob)), blob...) }

// AppendHead begins a value of kind Text or Blob, of which the caller appends
// the n bytes.
func AppendHead(dst []byte, k Kind, n int) []byte {
	return binary.AppendUvarint(append(dst, byte(k)), uint64(n))
}

// ErrMalformed says that bytes are no encoded row.
var ErrMalformed = errors.New("malformed row")

// Next decodes the first value of src. The result's Bytes are a part of src, and
// rest is what follows. The error is ErrMalformed.
func Next(src []byte) (v Value, rest []byte, err error) {
	if len(src) == 0 {
		return Value{}, nil, ErrMalformed
	}
	v.Kind, src = Kind(src[0]), src[1:]
	switch v.Kind {
	case Null:
		return v, src, nil
	case Int:
		n, size := binary.Varint(src)
		if size <= 0 {
			return Value{}, nil, ErrMalformed
		}
		v.Int = n
		return v, src[size:], nil
	case Text, Blob:
		n, size := binary.Uvarint(src)
		if size <= 0 || n > uint64(len(src)-size) {
			return Value{}, nil, ErrMalformed
		}
		end := size + int(n)
		v.Bytes = src[size:end:end]
		return v, src[end:], nil
	}
	return Value{}, nil, ErrMalformed
}
