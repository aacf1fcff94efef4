package sqlite3

import (
	"encoding/hex"
	"math/bits"

	"github.com/ulogd-go/ulogd/pkg/event"
	"github.com/ulogd-go/ulogd/pkg/queue"
	row "github.com/ulogd-go/ulogd/plugins/output/sqlite3/oldrow"
)

// Encode appends a row of values, in the order of o.fields, for each event.
func (o *output) Encode(blk *queue.Block, rows *event.Rows) {
	for e := range rows.All() {
		data := blk.Data
		for i := range o.fields {
			data = o.fields[i].append(data, rows.Batch, e)
		}
		blk.Data = data
		blk.End()
	}
}

// append appends the field's value in e.
func (f *field) append(dst []byte, b *event.Batch, e event.Event) []byte {
	switch v := e[f.slot]; v.K {
	case event.None:
		return row.AppendNull(dst)
	case event.IP4:
		return f.appendIP4(dst, uint32(v.V))
	case event.IP6:
		// A number of 64 bits can't hold it, so it is text in any column.
		var text [45]byte
		return row.AppendText(dst, event.AppendIP6(text[:0], b.Bytes(v)))
	case event.String:
		return row.AppendText(dst, b.Bytes(v))
	case event.Raw:
		return f.appendRaw(dst, b.Bytes(v))
	case event.Literal:
		return f.appendLiteral(dst, b.Bytes(v))
	default:
		return row.AppendInt(dst, int64(v.V))
	}
}

// appendIP4 appends the dotted quad in a column for text. Elsewhere it is the
// number that ulogd 2.0.8 takes from the bytes in memory of a little-endian
// machine, 192.0.2.1 = 0x010200c0, which readers of its tables expect; only
// icmp.gateway is the natural number there.
func (f *field) appendIP4(dst []byte, a uint32) []byte {
	switch {
	case f.text:
		var text [15]byte
		return row.AppendText(dst, event.AppendIP4(text[:0], a))
	case f.natural:
		return row.AppendInt(dst, int64(a))
	}
	return row.AppendInt(dst, int64(bits.ReverseBytes32(a)))
}

// appendRaw appends bytes as they are, or as hex with colons in a column for text.
func (f *field) appendRaw(dst, b []byte) []byte {
	if !f.text {
		return row.AppendBlob(dst, b)
	}
	return event.AppendMAC(row.AppendHead(dst, row.Text, max(0, 3*len(b)-1)), b)
}

// appendLiteral appends the 16 bytes of an address by IP2BIN, which come as 0x
// and hex digits, or just the digits in a column for text.
func (f *field) appendLiteral(dst, literal []byte) []byte {
	var addr [16]byte
	if f.text || len(literal) != 2+2*len(addr) {
		return row.AppendText(dst, literal)
	}
	if _, err := hex.Decode(addr[:], literal[2:]); err != nil {
		return row.AppendText(dst, literal)
	}
	return row.AppendBlob(dst, addr[:])
}
