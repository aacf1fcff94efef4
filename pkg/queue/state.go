package queue

import (
	"encoding/binary"
	"errors"
	"strings"
)

// state is what a queue remembers of itself. It lies in a file that is mapped
// into memory, so that noting it costs no system call and survives the end of the
// process, however sudden.
type state struct {
	epoch  string
	former string // the epoch before, which segments may still say that they are of

	taken    uint64 // rows: number of the next one
	cursor   uint64 // number of the first row that is not dealt with
	written  uint64
	rejected uint64
	lost     uint64 // rows that were taken and are not on disk
	progress Progress

	opened  uint64 // number of the first row that the receiver can't have been sent before it was asked how far it is
	resumed bool   // it was asked by this process
}

// The file has two slots, of which the one with the higher sequence number
// counts. A process that is killed while it writes one leaves the other.
const (
	stateName  = "state"
	stateSize  = 4096
	slotSize   = 512 // what a disk writes at once
	slotSum    = 0   // checksum of the slot from slotSeq on
	slotSeq    = 4
	slotEpoch  = 12
	epochSize  = 32
	slotRows   = slotEpoch + epochSize
	slotPlace  = slotRows + 5*8       // of the progress
	slotFormer = slotPlace + 16 + 6*8 // the former
	slotOpened = slotFormer + epochSize
	slotAsked  = slotOpened + 8
	slotEnd    = slotAsked + 1
)

// page is the mapped file.
type page struct {
	memory  []byte
	seq     uint64
	sync    func() error // makes it survive a power cut
	release func() error
}

var errState = errors.New("no state")

func (p *page) slot(seq uint64) []byte {
	at := slotSize * int(seq%2)
	return p.memory[at : at+slotEnd]
}

// load is the newer of the two slots that are whole; errState if none is.
func (p *page) load() (s state, err error) {
	err = errState
	for i := range uint64(2) {
		b := p.slot(i)
		seq := binary.LittleEndian.Uint64(b[slotSeq:])
		if binary.LittleEndian.Uint32(b) == checksum(b[slotSeq:]) && seq%2 == i && seq > p.seq {
			p.seq = seq
			s.get(b)
			err = nil
		}
	}
	return s, err
}

// store notes s.
func (p *page) store(s *state) {
	p.seq++
	b := p.slot(p.seq)
	binary.LittleEndian.PutUint64(b[slotSeq:], p.seq)
	s.put(b)
	binary.LittleEndian.PutUint32(b, checksum(b[slotSeq:]))
}

func (s *state) put(b []byte) {
	copy(b[slotEpoch:slotRows], s.epoch)
	for i, n := range [...]uint64{s.taken, s.cursor, s.written, s.rejected, s.lost} {
		binary.LittleEndian.PutUint64(b[slotRows+8*i:], n)
	}
	s.progress.put(b[slotPlace:])
	clear(b[slotFormer:slotEnd])
	copy(b[slotFormer:slotOpened], s.former)
	binary.LittleEndian.PutUint64(b[slotOpened:], s.opened)
	if s.resumed {
		b[slotAsked] = 1
	}
}

func (s *state) get(b []byte) {
	s.epoch = string(b[slotEpoch:slotRows])
	for i, n := range [...]*uint64{&s.taken, &s.cursor, &s.written, &s.rejected, &s.lost} {
		*n = binary.LittleEndian.Uint64(b[slotRows+8*i:])
	}
	s.progress.get(b[slotPlace:])
	s.former = strings.TrimRight(string(b[slotFormer:slotOpened]), "\x00")
	s.opened, s.resumed = binary.LittleEndian.Uint64(b[slotOpened:]), b[slotAsked] == 1
}
