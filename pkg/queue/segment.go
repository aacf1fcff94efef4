package queue

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// A segment is a file of records of one layout: a header, then records, whose
// rows are numbered on.
type segment struct {
	first  uint64 // number of the first row, which is the file's name
	head   int64  // where records begin
	size   int64
	layout string
	epoch  string
}

// Offsets in a segment's header.
const (
	segmentMagic = "ulogseg1"
	segSum       = 8 // checksum of the header from segLayout on
	segLayout    = 12
	segEpoch     = 16
	segmentHead  = segEpoch + epochSize // the layout follows
	segmentEnd   = ".seg"
	maxLayout    = 1 << 20
)

func segmentName(first uint64) string { return fmt.Sprintf("%016x%s", first, segmentEnd) }

// parseName is the number of the first row; ok is false for any other file.
func parseName(name string) (first uint64, ok bool) {
	digits, ok := strings.CutSuffix(name, segmentEnd)
	if !ok || len(digits) != 16 {
		return 0, false
	}
	first, err := strconv.ParseUint(digits, 16, 64)
	return first, err == nil && segmentName(first) == name
}

func appendSegmentHead(dst []byte, epoch, layout string) []byte {
	at := len(dst)
	dst = append(append(dst, segmentMagic...), 0, 0, 0, 0)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(layout)))
	dst = append(dst, epoch...)
	dst = append(dst, layout...)
	binary.LittleEndian.PutUint32(dst[at+segSum:], checksum(dst[at+segLayout:]))
	return dst
}

var errSegment = errors.New("no header of a segment")

// readSegmentHead reads the header of a file.
func readSegmentHead(f io.ReaderAt) (epoch, layout string, err error) {
	h := make([]byte, segmentHead)
	if _, err := f.ReadAt(h, 0); err != nil {
		return "", "", errors.Join(errSegment, err)
	}
	n := binary.LittleEndian.Uint32(h[segLayout:])
	if string(h[:len(segmentMagic)]) != segmentMagic || n > maxLayout {
		return "", "", errSegment
	}
	h = append(h, make([]byte, n)...)
	if _, err := f.ReadAt(h[segmentHead:], segmentHead); err != nil && n > 0 {
		return "", "", errors.Join(errSegment, err)
	}
	if checksum(h[segLayout:]) != binary.LittleEndian.Uint32(h[segSum:]) {
		return "", "", errSegment
	}
	return string(h[segEpoch:segmentHead]), string(h[segmentHead:]), nil
}

// readRecord reads the header of a record at off of a file of that size. The error
// is errRecord if there is none.
func readRecord(f io.ReaderAt, off, size int64) (record, error) {
	var h [recordHead]byte
	if off+recordHead > size {
		return record{}, errRecord
	}
	if _, err := f.ReadAt(h[:], off); errors.Is(err, io.EOF) {
		return record{}, errRecord // somebody has cut the file
	} else if err != nil {
		return record{}, err
	}
	r, err := parseRecord(h[:])
	if err == nil && off+recordHead+int64(r.size) > size {
		err = errRecord
	}
	return r, err
}

// findRecord is the offset of the next header of a record from off on, or size if
// there is none.
func findRecord(f io.ReaderAt, off, size int64) (int64, error) {
	var magic [4]byte
	binary.LittleEndian.PutUint32(magic[:], recordMagic)
	buf := make([]byte, 64<<10)
	for off < size {
		n, err := f.ReadAt(buf[:min(int64(len(buf)), size-off)], off)
		if err != nil && !errors.Is(err, io.EOF) {
			return size, err
		}
		if n == 0 {
			break
		}
		at := bytes.Index(buf[:n], magic[:])
		if at < 0 {
			off += int64(max(n-len(magic)+1, 1))
			continue
		}
		off += int64(at)
		if _, err := readRecord(f, off, size); err == nil {
			return off, nil
		} else if !errors.Is(err, errRecord) {
			return size, err
		}
		off++
	}
	return size, nil
}
