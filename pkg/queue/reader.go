package queue

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
)

// reader reads the rows of a spool in order. It is the consumer's.
type reader struct {
	file file
	seg  segment // as it was when it was found; it may have grown since
	off  int64   // of the next record
	body []byte
}

// removedError says that somebody has removed the segment with that first row.
type removedError struct{ first uint64 }

func (e *removedError) Error() string { return segmentName(e.first) + " was removed" }

func (r *reader) close() {
	if r.file != nil {
		_ = r.file.Close() // it was only read
		r.file = nil
	}
}

// seek goes to a segment. One without a record may have been made again meanwhile.
func (r *reader) seek(s *spool, g segment) error {
	if r.file != nil && r.seg.first == g.first && r.seg.layout == g.layout {
		r.seg.size = g.size
		return nil
	}
	r.close()
	f, err := s.files.open(segmentName(g.first), false)
	if errors.Is(err, fs.ErrNotExist) {
		return &removedError{g.first}
	}
	if err != nil {
		return err
	}
	r.file, r.seg, r.off = f, g, g.head
	return nil
}

// next reads the header of the next record that does not end before row number
// from. At the end of the segment ok is false.
func (r *reader) next(s *spool, from uint64) (rec record, ok bool, err error) {
	for r.off < r.seg.size {
		rec, err = readRecord(r.file, r.off, r.seg.size)
		switch {
		case errors.Is(err, errRecord):
			if err := r.skip(s); err != nil {
				return rec, false, err
			}
		case err != nil:
			return rec, false, err
		case rec.end() <= from:
			r.off += recordHead + int64(rec.size)
		default:
			return rec, true, nil
		}
	}
	return rec, false, nil
}

// skip goes on at the next bytes that are a record.
func (r *reader) skip(s *spool) error {
	at, err := findRecord(r.file, r.off+1, r.seg.size)
	if err != nil {
		return err
	}
	s.setAside(r.file, r.seg, r.off, at)
	r.off = at
	return nil
}

// take appends the rows of a record, whose header was read, to blk. Those of one
// that is spoiled are left out, and ok is false.
func (r *reader) take(s *spool, rec record, blk *Block) (ok bool, err error) {
	if n := int(rec.size); cap(r.body) < n {
		r.body = make([]byte, n)
	}
	body := r.body[:rec.size]
	at := r.off
	n, err := r.file.ReadAt(body, at+recordHead)
	if err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	r.off += recordHead + int64(rec.size)
	if n < len(body) || rec.appendTo(blk, body) != nil {
		s.setAside(r.file, r.seg, at, r.off)
		return false, nil
	}
	return true, nil
}

// read fills the empty blk with rows from number from on, as many as a batch has,
// of one layout and without a gap. A gap before the first row shows in its number.
// With none left on disk blk stays empty. Segments are looked up by find and after,
// which lock the queue.
func (r *reader) read(s *spool, find func(uint64) (segment, bool), after func(uint64) (segment, bool), blk *Block, from uint64, b Batching) error {
	g, ok := find(from)
	for ok {
		if err := r.seek(s, g); err != nil {
			return fmt.Errorf("spool: %w", err)
		}
		full, err := r.fill(s, blk, from, b)
		if err != nil {
			return fmt.Errorf("spool: %s: %w", segmentName(g.first), err)
		}
		if full || blk.Rows() > 0 {
			return nil
		}
		g, ok = after(g.first)
	}
	return nil
}

// fill takes records of the present segment. It is full at a gap, too.
func (r *reader) fill(s *spool, blk *Block, from uint64, b Batching) (full bool, err error) {
	for blk.Rows() < b.Rows && len(blk.Data) < b.Bytes {
		rec, ok, err := r.next(s, from)
		if err != nil || !ok {
			return false, err
		}
		if blk.Rows() == 0 {
			blk.First, blk.Layout = rec.first, r.seg.layout
		} else if rec.first != from {
			return true, nil
		}
		ok, err = r.take(s, rec, blk)
		if err != nil {
			return false, err
		}
		if ok {
			blk.Lost = rec.progress.Lost + rec.progress.Refused
			from = rec.end()
		}
	}
	return true, nil
}
