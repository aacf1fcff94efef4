package queue

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// recover finds out what an earlier process has left.
func (s *spool) recover() (state, error) {
	var err error
	if s.page, err = s.files.share(stateName, stateSize); err != nil {
		return state{}, err
	}
	st, noState := s.page.load()
	if err := s.scan(&st, noState != nil); err != nil {
		return state{}, err
	}
	if st.epoch == "" {
		st.epoch = newEpoch()
	}
	s.epoch = st.epoch
	if err := s.resumeLast(&st); err != nil {
		return state{}, err
	}
	if noState != nil && len(s.segments) > 0 {
		st.cursor = s.segments[0].first
		st.written = st.cursor // what became of them is not known any more
	}
	st.cursor = min(st.cursor, st.taken)
	if noState != nil || st.resumed {
		st.opened, st.resumed = st.taken, false
	}
	s.trim(st.cursor, st.taken)
	s.page.store(&st)
	s.keep()
	return st, nil
}

// keep makes the state survive a power cut: to begin an epoch twice would be to send
// rows twice.
func (s *spool) keep() {
	if err := s.page.sync(); err != nil {
		s.log.Error(fmt.Sprintf("spool: %v; after a power cut rows may be sent twice", err))
	}
}

// scan lists the segments of the state's epoch, and of the one before. If there is no state, the newest
// segment says which epoch that is.
func (s *spool) scan(st *state, noState bool) error {
	names, err := s.files.list()
	if err != nil {
		return err
	}
	slices.Sort(names)
	for _, name := range slices.Backward(names) {
		first, ok := parseName(name)
		if !ok {
			s.stranger(name)
			continue
		}
		g, err := s.look(name, first)
		if errors.Is(err, errSegment) || err == nil && !noState && g.epoch != st.epoch && g.epoch != st.former {
			if err := s.stray(name); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return err
		}
		if noState {
			st.epoch, noState = g.epoch, false
		}
		s.segments = append(s.segments, g)
	}
	slices.Reverse(s.segments)
	for _, g := range s.segments {
		s.bytes += g.size
	}
	return nil
}

// look reads what a segment says of itself.
func (s *spool) look(name string, first uint64) (g segment, err error) {
	f, err := s.files.open(name, false)
	if err != nil {
		return g, err
	}
	defer f.Close()
	epoch, layout, err := readSegmentHead(f)
	if err != nil {
		return g, err
	}
	size, err := f.Size()
	return segment{first, int64(segmentHead + len(layout)), size, layout, epoch}, err
}

// stranger warns of a file that is none of ours.
func (s *spool) stranger(name string) {
	for _, known := range []string{stateName, lockName, "corrupt-", "stray-", "rejects.", "columns."} {
		if strings.HasPrefix(name, known) {
			return
		}
	}
	s.log.Warn(fmt.Sprintf("spool: the file %s does not belong here, and is left alone", name))
}

// stray puts a segment aside that is of another queue, or of which not even the
// header can be read.
func (s *spool) stray(name string) error {
	s.log.Error(fmt.Sprintf("spool: %s is no segment of this queue; it is renamed to stray-%s, and its rows count as lost", name, name))
	return s.files.rename(name, "stray-"+name)
}

// resumeLast finds the end of the newest segment, from where records are appended. One
// of the former epoch takes no more: it would not be known any more in the next.
func (s *spool) resumeLast(st *state) error {
	g := s.last()
	if g == nil {
		return nil
	}
	f, err := s.files.open(segmentName(g.first), false)
	if err != nil {
		return err
	}
	s.file = f
	end, last, err := lastRecord(f, *g)
	if err != nil {
		return err
	}
	if end < g.size {
		s.log.Warn(fmt.Sprintf("spool: %s ends with %d bytes that are no record, as after a crash; they are cut off", segmentName(g.first), g.size-end))
		if err := f.Truncate(end); err != nil {
			return err
		}
		s.bytes -= g.size - end
		g.size = end
	}
	if s.power { // the last record may be written, but not synced
		if err := f.Sync(); err != nil {
			return err
		}
	}
	if g.epoch != st.epoch {
		s.leave()
	}
	st.taken = max(st.taken, g.first, last.end())
	if last.progress.Packets > st.progress.Packets {
		st.progress = last.progress
	}
	return nil
}

// lastRecord is where the last record of a segment ends, and that record.
func lastRecord(f file, g segment) (end int64, last record, err error) {
	end = g.head
	for off := g.head; off < g.size; {
		r, err := readRecord(f, off, g.size)
		if errors.Is(err, errRecord) {
			off, err = findRecord(f, off+1, g.size)
			if err != nil {
				return 0, last, err
			}
			continue
		}
		if err != nil {
			return 0, last, err
		}
		off += recordHead + int64(r.size)
		end, last = off, r
	}
	return end, last, nil
}
