package fdstore

import (
	"encoding/binary"
	"hash/crc32"
	"os"
)

// Page is some bytes of memory that outlive the process together with what is
// stored beside them. Noting something costs no system call. It is for one
// goroutine.
type Page struct {
	*Memory

	seq uint64
}

// PageRoom is the largest content of a page in bytes.
const PageRoom = slotSize - slotHead

// A page has two slots, of which the whole one with the higher number counts: a
// process that is killed while it writes one leaves the other.
const (
	pageSize = 4096
	slotSize = 256
	slotHead = 16 // checksum, length, number
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// NewPage makes an empty page.
func NewPage(name string) (*Page, error) {
	m, err := NewMemory(name, pageSize)
	if err != nil {
		return nil, err
	}
	return &Page{Memory: m}, nil
}

// OpenPage opens a page that was stored. The content is nil if there is none.
func OpenPage(f *os.File) (p *Page, content []byte, err error) {
	m, err := OpenMemory(f, pageSize)
	if err != nil {
		return nil, nil, err
	}
	p = &Page{Memory: m}
	for i := range uint64(2) {
		b := p.slot(i)
		n, seq := binary.LittleEndian.Uint32(b[4:]), binary.LittleEndian.Uint64(b[8:])
		if n > PageRoom || seq%2 != i || seq <= p.seq || binary.LittleEndian.Uint32(b) != crc32.Checksum(b[4:slotHead+n], castagnoli) {
			continue
		}
		p.seq = seq
		content = append(content[:0], b[slotHead:slotHead+n]...)
	}
	return p, content, nil
}

func (p *Page) slot(seq uint64) []byte {
	at := slotSize * (seq % 2)
	return p.Bytes[at : at+slotSize]
}

// Store notes content, of up to PageRoom bytes.
func (p *Page) Store(content []byte) {
	p.seq++
	b := p.slot(p.seq)
	binary.LittleEndian.PutUint32(b[4:], uint32(len(content)))
	binary.LittleEndian.PutUint64(b[8:], p.seq)
	n := copy(b[slotHead:], content)
	binary.LittleEndian.PutUint32(b, crc32.Checksum(b[4:slotHead+n], castagnoli))
}
