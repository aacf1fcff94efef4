package queue

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
)

// A record is the rows of one batch as they lie in a segment, all numbers in
// little-endian order: a header of fixed size, where each row ends, the rows. Header
// and contents have a checksum each, so that the rows of a record whose contents
// are spoiled can still be counted.
type record struct {
	first    uint64 // number of the first row
	rows     uint32
	size     uint32 // bytes behind the header
	sum      uint32 // checksum of those
	progress Progress
}

// Offsets in a record's header.
const (
	recordMagic = 0x524c5501 // of version 1
	offSum      = 4          // checksum of the header from offSize on
	offSize     = 8
	offBodySum  = 12
	offRows     = 16
	offFirst    = 20
	offStream   = 28
	offCounts   = 44
	recordHead  = offCounts + 6*8
)

// maxRecord bounds what a reader allocates for the sake of a header.
const maxRecord = 64 << 20

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func checksum(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

// appendRecord appends the rows of blk from row from on as a record.
func appendRecord(dst []byte, blk *Block, from int, p Progress) []byte {
	at := len(dst)
	dst = append(dst, make([]byte, recordHead)...)
	base := blk.start(from)
	for _, end := range blk.Ends[from:] {
		dst = binary.LittleEndian.AppendUint32(dst, end-base)
	}
	dst = append(dst, blk.Data[base:]...)
	body := dst[at+recordHead:]
	r := record{
		first: blk.First + uint64(from), rows: uint32(blk.Rows() - from),
		size: uint32(len(body)), sum: checksum(body), progress: p,
	}
	r.put(dst[at:])
	return dst
}

func (r *record) put(h []byte) {
	le := binary.LittleEndian
	le.PutUint32(h, recordMagic)
	le.PutUint32(h[offSize:], r.size)
	le.PutUint32(h[offBodySum:], r.sum)
	le.PutUint32(h[offRows:], r.rows)
	le.PutUint64(h[offFirst:], r.first)
	r.progress.put(h[offStream:])
	le.PutUint32(h[offSum:], checksum(h[offSize:recordHead]))
}

// errRecord says that bytes are no header of a record.
var errRecord = errors.New("no record")

// parseRecord reads a header.
func parseRecord(h []byte) (r record, err error) {
	le := binary.LittleEndian
	if len(h) < recordHead || le.Uint32(h) != recordMagic || le.Uint32(h[offSum:]) != checksum(h[offSize:recordHead]) {
		return r, errRecord
	}
	r.size, r.sum = le.Uint32(h[offSize:]), le.Uint32(h[offBodySum:])
	r.rows, r.first = le.Uint32(h[offRows:]), le.Uint64(h[offFirst:])
	r.progress.get(h[offStream:])
	if r.size > maxRecord || uint64(r.rows)*4 > uint64(r.size) {
		return r, errRecord
	}
	return r, nil
}

// appendTo appends the rows of the record's contents to blk. The error is
// errRecord if they are not what the header says.
func (r *record) appendTo(blk *Block, body []byte) error {
	if checksum(body) != r.sum {
		return errRecord
	}
	ends, data := body[:4*r.rows], body[4*r.rows:]
	base, last := uint32(len(blk.Data)), uint32(0)
	for ; len(ends) > 0; ends = ends[4:] {
		end := binary.LittleEndian.Uint32(ends)
		if end < last || int64(end) > int64(len(data)) {
			blk.Ends = blk.Ends[:len(blk.Ends)-(int(r.rows)-len(ends)/4)]
			return errRecord
		}
		last = end
		blk.Ends = append(blk.Ends, base+end)
	}
	blk.Data = append(blk.Data, data[:last]...)
	return nil
}

// end is the number behind that of the last row.
func (r *record) end() uint64 { return r.first + uint64(r.rows) }

func (p *Progress) put(b []byte) {
	copy(b, p.Stream[:])
	for i, n := range [...]uint64{p.Next, p.StreamLost, p.Packets, p.Lost, p.Filtered, p.Refused} {
		binary.LittleEndian.PutUint64(b[16+8*i:], n)
	}
}

func (p *Progress) get(b []byte) {
	copy(p.Stream[:], b)
	for i, n := range [...]*uint64{&p.Next, &p.StreamLost, &p.Packets, &p.Lost, &p.Filtered, &p.Refused} {
		*n = binary.LittleEndian.Uint64(b[16+8*i:])
	}
}
