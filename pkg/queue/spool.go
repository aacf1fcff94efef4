package queue

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"slices"
)

// spool is the part of a queue that is on disk: segments, oldest first, and the
// state. Its methods are called with the queue locked, but for those of its reader.
type spool struct {
	files       files
	log         *slog.Logger
	max         int64 // bytes of all segments
	segmentSize int64
	power       bool

	page     page
	unlock   func() error
	segments []segment
	file     file   // of the last segment
	buf      []byte // for a record
	failing  bool   // the last record could not be written
	epoch    string
	bytes    int64 // of all segments
}

// Sizes of segments, and how many there have to be room for. In a spool that is smaller
// than that a segment is half of it: one that never got full would never be removed.
const (
	segmentMax  = 16 << 20
	segmentMin  = 64 << 10
	segmentsMin = 8
)

// newEpoch names the numbering of a queue's rows.
func newEpoch() string {
	var b [epochSize / 2]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// openSpool opens what is in the directory, and says how far it is.
func openSpool(f files, o Options, log *slog.Logger) (*spool, state, error) {
	s := &spool{files: f, log: log, max: int64(o.SpoolMax), power: o.Durability == Power}
	s.segmentSize = min(max(min(segmentMax, s.max/segmentsMin), segmentMin), s.max/2)
	var err error
	if s.unlock, err = f.lock(); err != nil {
		return nil, state{}, err
	}
	st, err := s.recover()
	if err != nil {
		return nil, state{}, errors.Join(err, s.close())
	}
	return s, st, nil
}

func (s *spool) close() error {
	var errs []error
	if s.file != nil {
		errs = append(errs, s.file.Close())
	}
	if s.page.release != nil {
		errs = append(errs, s.page.release())
	}
	return errors.Join(append(errs, s.unlock())...)
}

// hasRoom tells whether a record like the last one will fit.
func (s *spool) hasRoom() bool { return s.bytes+int64(len(s.buf)) <= s.max }

// last is the segment that is written to, or nil.
func (s *spool) last() *segment {
	if len(s.segments) == 0 {
		return nil
	}
	return &s.segments[len(s.segments)-1]
}

var errFull = errors.New("as much waits on disk as spool_max allows")

// append writes the rows of blk from row from on as a record.
func (s *spool) append(blk *Block, from int, p Progress) error {
	s.buf = appendRecord(s.buf[:0], blk, from, p)
	err := s.write(s.buf, blk.First+uint64(from), blk.Layout)
	switch {
	case err != nil && !s.failing:
		s.log.Error(fmt.Sprintf("spool: %v; new rows are kept in memory only, as far as it goes, until they can be written", err))
	case err == nil && s.failing:
		s.log.Warn("spool: rows can be written to disk again")
	}
	s.failing = err != nil
	return err
}

func (s *spool) write(b []byte, first uint64, layout string) error {
	if s.bytes+int64(len(b)) > s.max {
		return errFull
	}
	g := s.last()
	if s.file == nil || g.layout != layout || g.size >= s.segmentSize {
		if err := s.begin(first, layout); err != nil {
			return err
		}
		g = s.last()
	}
	_, err := s.file.WriteAt(b, g.size)
	if err == nil && s.power {
		err = s.file.Sync()
	}
	if err != nil {
		// What was written of it must not be taken for a record later.
		return errors.Join(err, s.file.Truncate(g.size))
	}
	g.size += int64(len(b))
	s.bytes += int64(len(b))
	return nil
}

// begin makes a segment. One that is still without a record is made again.
func (s *spool) begin(first uint64, layout string) error {
	s.leave()
	if g := s.last(); g != nil && g.first == first {
		s.bytes -= g.size
		s.segments = s.segments[:len(s.segments)-1]
	}
	head := appendSegmentHead(nil, s.epoch, layout)
	f, err := s.files.open(segmentName(first), true)
	if err != nil {
		return err
	}
	if err = f.Truncate(0); err == nil {
		_, err = f.WriteAt(head, 0)
	}
	if err == nil && s.power {
		err = errors.Join(f.Sync(), s.files.sync())
	}
	if err != nil {
		return errors.Join(err, f.Close(), s.files.remove(segmentName(first)))
	}
	s.file = f
	s.segments = append(s.segments, segment{first, int64(len(head)), int64(len(head)), layout, s.epoch})
	s.bytes += int64(len(head))
	return nil
}

// trim removes the segments of which all rows are dealt with. The last one stays
// as long as it is written to.
func (s *spool) trim(cursor, taken uint64) {
	for len(s.segments) > 1 && s.segments[1].first <= cursor {
		s.drop()
	}
	if g := s.last(); len(s.segments) == 1 && cursor == taken && g.size >= s.segmentSize {
		s.leave()
		s.drop()
	}
}

// leave closes the last segment, if it is open, so that the next rows begin another. All
// of it was written, and synced if that matters.
func (s *spool) leave() {
	if s.file != nil {
		_ = s.file.Close()
		s.file = nil
	}
}

// drop removes the oldest segment.
func (s *spool) drop() {
	if err := s.files.remove(segmentName(s.segments[0].first)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.log.Error(fmt.Sprintf("spool: %v; the file is of no more use, remove it", err))
	}
	s.bytes -= s.segments[0].size
	s.segments = slices.Delete(s.segments, 0, 1)
}

// forget gives up a segment that somebody has removed. Its rows are missing from then on.
func (s *spool) forget(first uint64) {
	i := slices.IndexFunc(s.segments, func(g segment) bool { return g.first == first })
	if i < 0 {
		return // it is made anew right now
	}
	if i == len(s.segments)-1 {
		s.leave()
	}
	s.log.Error(fmt.Sprintf("spool: somebody has removed %s, and the rows in it count as lost", segmentName(first)))
	s.bytes -= s.segments[i].size
	s.segments = slices.Delete(s.segments, i, i+1)
}

// find is the segment that has row number n, or the first behind it; ok is false
// if all segments end before.
func (s *spool) find(n uint64) (g segment, ok bool) {
	if len(s.segments) == 0 {
		return segment{}, false
	}
	i := 0
	for i+1 < len(s.segments) && s.segments[i+1].first <= n {
		i++
	}
	return s.segments[i], true
}

// after is the segment that follows the one with that first row.
func (s *spool) after(first uint64) (segment, bool) {
	for _, g := range s.segments {
		if g.first > first {
			return g, true
		}
	}
	return segment{}, false
}

// corruptMax bounds what is set aside of a segment, and in how many files.
const (
	corruptMax   = 1 << 20
	corruptFiles = 16
)

// setAside keeps bytes of a segment that are no record, for whoever wants to see
// what happened.
func (s *spool) setAside(f io.ReaderAt, g segment, from, to int64) {
	name := fmt.Sprintf("corrupt-%016x-%d", g.first, from)
	s.log.Error(fmt.Sprintf("spool: bytes %d to %d of %s are no record; they are set aside as %s, and their rows count as lost", from, to, segmentName(g.first), name))
	names, err := s.files.list()
	if err != nil || countCorrupt(names) >= corruptFiles {
		return
	}
	b := make([]byte, min(to-from, corruptMax))
	n, _ := f.ReadAt(b, from)
	out, err := s.files.open(name, true)
	if err == nil {
		_, err = out.WriteAt(b[:n], 0)
		err = errors.Join(err, out.Close())
	}
	if err != nil {
		s.log.Error(fmt.Sprintf("spool: set aside: %v", err))
	}
}

func countCorrupt(names []string) (n int) {
	for _, name := range names {
		if len(name) > 8 && name[:8] == "corrupt-" {
			n++
		}
	}
	return n
}
