package sqlite

import (
	"encoding/hex"
	"math"
	"math/bits"

	"github.com/ulogd-go/ulogd/pkg/event"
	"github.com/ulogd-go/ulogd/pkg/row"
)

// bind sets parameter i of a statement to v as the column takes it.
func (f *field) bind(s *statement, i int, v row.Value) {
	var room [64]byte
	switch v.Kind {
	case row.Null:
		s.bindNull(i)
	case row.Bool, row.Int:
		s.bindInt(i, int64(v.Num))
	case row.Uint:
		s.bindInt(i, f.unsigned(v.Num))
	case row.IP4:
		f.bindIP4(s, i, uint32(v.Num))
	case row.IP6:
		// A number of 64 bits can't hold it, so it is text in any column.
		s.bindText(i, event.AppendIP6(room[:0], v.Bytes))
	case row.Text:
		s.bindText(i, v.Bytes)
	case row.Raw:
		if f.text {
			s.bindText(i, event.AppendMAC(room[:0], v.Bytes))
		} else {
			s.bindBlob(i, v.Bytes)
		}
	case row.Bin:
		if f.text {
			s.bindText(i, hex.AppendEncode(append(room[:0], "0x"...), v.Bytes))
		} else {
			s.bindBlob(i, v.Bytes)
		}
	}
}

// unsigned is an unsigned number. In a table of ulogd 1.x it is what 32 bits with a
// sign make of it, as is what was stored before.
func (f *field) unsigned(n uint64) int64 {
	if f.signed && n <= math.MaxUint32 {
		return int64(int32(uint32(n)))
	}
	return int64(n)
}

// bindIP4 binds the dotted quad in a column for text. Elsewhere it is the number
// that ulogd 2.0.8 takes from the bytes in memory of a little-endian machine,
// 192.0.2.1 = 0x010200c0, which readers of its tables expect; only icmp.gateway is
// the natural number there.
func (f *field) bindIP4(s *statement, i int, a uint32) {
	var room [15]byte
	switch {
	case f.text:
		s.bindText(i, event.AppendIP4(room[:0], a))
	case f.natural:
		s.bindInt(i, f.unsigned(uint64(a)))
	default:
		s.bindInt(i, int64(bits.ReverseBytes32(a)))
	}
}
