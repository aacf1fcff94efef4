package sqlite

import (
	"database/sql/driver"
	"encoding/hex"
	"math"
	"math/bits"

	"github.com/ulogd-go/ulogd/pkg/event"
	"github.com/ulogd-go/ulogd/pkg/row"
)

// set makes dst hold v as the column takes it. What it held for the previous row
// is kept if it is the same, which saves allocating it.
func (f *field) set(dst *driver.Value, v row.Value) {
	var room [64]byte
	switch v.Kind {
	case row.Null:
		*dst = nil
	case row.Bool, row.Int:
		setInt(dst, int64(v.Num))
	case row.Uint:
		f.setUint(dst, v.Num)
	case row.IP4:
		f.setIP4(dst, uint32(v.Num))
	case row.IP6:
		// A number of 64 bits can't hold it, so it is text in any column.
		setText(dst, event.AppendIP6(room[:0], v.Bytes))
	case row.Text:
		setText(dst, v.Bytes)
	case row.Raw:
		f.setRaw(dst, v.Bytes)
	case row.Bin:
		if f.text {
			setText(dst, hex.AppendEncode(append(room[:0], "0x"...), v.Bytes))
		} else {
			*dst = v.Bytes
		}
	}
}

func setInt(dst *driver.Value, n int64) {
	if old, ok := (*dst).(int64); !ok || old != n {
		*dst = n
	}
}

// setUint sets an unsigned number. In a table of ulogd 1.x it is what 32 bits with a
// sign make of it, as is what was stored before.
func (f *field) setUint(dst *driver.Value, n uint64) {
	if f.signed && n <= math.MaxUint32 {
		setInt(dst, int64(int32(uint32(n))))
		return
	}
	setInt(dst, int64(n))
}

func setText(dst *driver.Value, text []byte) {
	if old, ok := (*dst).(string); !ok || old != string(text) {
		*dst = string(text)
	}
}

// setIP4 sets the dotted quad in a column for text. Elsewhere it is the number
// that ulogd 2.0.8 takes from the bytes in memory of a little-endian machine,
// 192.0.2.1 = 0x010200c0, which readers of its tables expect; only icmp.gateway is
// the natural number there.
func (f *field) setIP4(dst *driver.Value, a uint32) {
	var room [15]byte
	switch {
	case f.text:
		setText(dst, event.AppendIP4(room[:0], a))
	case f.natural:
		f.setUint(dst, uint64(a))
	default:
		setInt(dst, int64(bits.ReverseBytes32(a)))
	}
}

// setRaw sets bytes as they are, or as hex with colons in a column for text.
func (f *field) setRaw(dst *driver.Value, b []byte) {
	if f.text {
		setText(dst, event.AppendMAC(nil, b))
		return
	}
	*dst = b
}
