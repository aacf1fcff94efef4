package ipfix

import (
	"encoding/binary"
	"time"

	"github.com/ulogd-go/ulogd/pkg/queue"
)

// Sizes in bytes (RFC 7011, section 3).
const (
	headerLen    = 16 // of a message
	setHeaderLen = 4
	maxMessage   = 1<<16 - 1
	maxDatagram  = 65507 // what IPv4 and UDP leave of a packet of 64 KiB
)

const version = 10 // RFC 7011, section 3.1

// packer makes messages of records.
type packer struct {
	mtu       int
	oid       uint32
	now       func() time.Time
	templates []*template   // that are ever sent
	always    bool          // in each message
	refresh   time.Duration // after which they are sent again; 0 for never

	announced time.Time // when all templates were last made pending
	seq       uint32    // records sent before the next message, since the session began

	messages queue.Block // what the present block becomes
	marks    []mark      // where each of them begins, and behind them where they end
	set      int         // where the set that is open begins in messages.Data; 0 if none is
	setID    uint16
}

// mark is how far the records are at the beginning of a message.
type mark struct {
	row int    // of the block
	seq uint32 // of the message
}

// least is the length that a message must be allowed to have.
func (p *packer) least(t *template) int {
	data, announcement := setHeaderLen+t.size, len(t.set)
	if p.always {
		return headerLen + announcement + data
	}
	return headerLen + max(data, announcement)
}

// begin starts a session with a collector that knows no template.
func (p *packer) begin(countAnew bool) {
	if countAnew {
		p.seq = 0
	}
	p.announce()
}

func (p *packer) announce() {
	p.announced = p.now()
	for _, t := range p.templates {
		t.pending = true
	}
}

// pack makes messages of the rows from number from on.
func (p *packer) pack(blk *queue.Block, from int, templateOf func(row []byte) *template) {
	if p.refresh > 0 && p.now().Sub(p.announced) >= p.refresh {
		p.announce()
	}
	p.messages.Reset()
	p.marks = p.marks[:0]
	p.open(from)
	for i := from; i < blk.Rows(); i++ {
		row := blk.Row(i)
		t := templateOf(row)
		p.makeRoom(t, i)
		p.add(t, row[idSize:])
	}
	p.close()
	p.marks = append(p.marks, mark{blk.Rows(), p.seq})
}

// makeRoom sees to it that a record can be added, with its template if that is
// pending, by beginning another message.
func (p *packer) makeRoom(t *template, row int) {
	if p.length()+p.need(t) > p.mtu && p.length() > headerLen {
		p.close()
		p.open(row)
	}
	if p.length()+p.need(t) > p.mtu { // in a message of its own
		p.addTemplate(t)
		p.close()
		p.open(row)
	}
}

// need is how much longer the message becomes by a record.
func (p *packer) need(t *template) int {
	n := t.size
	if t.pending {
		n += len(t.set)
	}
	if t.pending || p.set == 0 || p.setID != t.id {
		n += setHeaderLen
	}
	return n
}

// add adds a record to the message.
func (p *packer) add(t *template, record []byte) {
	if t.pending {
		p.addTemplate(t)
	}
	dst := p.messages.Data
	if p.set == 0 || p.setID != t.id {
		p.closeSet()
		p.set, p.setID = len(dst), t.id
		dst = binary.BigEndian.AppendUint32(dst, uint32(t.id)<<16)
	}
	p.messages.Data = append(dst, record...)
	p.seq++
}

func (p *packer) addTemplate(t *template) {
	p.closeSet()
	p.messages.Data = append(p.messages.Data, t.set...)
	t.pending = false
}

// open begins a message.
func (p *packer) open(row int) {
	p.marks = append(p.marks, mark{row, p.seq})
	if p.always {
		p.announce()
	}
	dst := binary.BigEndian.AppendUint32(p.messages.Data, version<<16)
	dst = binary.BigEndian.AppendUint32(dst, uint32(p.now().Unix()))
	dst = binary.BigEndian.AppendUint32(dst, p.seq)
	p.messages.Data = binary.BigEndian.AppendUint32(dst, p.oid)
}

// start is where the present message begins.
func (p *packer) start() int {
	if n := p.messages.Rows(); n > 0 {
		return int(p.messages.Ends[n-1])
	}
	return 0
}

// length is that of the present message.
func (p *packer) length() int { return len(p.messages.Data) - p.start() }

// close ends the message.
func (p *packer) close() {
	p.closeSet()
	binary.BigEndian.PutUint16(p.messages.Data[p.start()+2:], uint16(p.length()))
	p.messages.End()
}

// closeSet ends the data set that is open, if one is.
func (p *packer) closeSet() {
	if p.set > 0 {
		binary.BigEndian.PutUint16(p.messages.Data[p.set+2:], uint16(len(p.messages.Data)-p.set))
	}
	p.set = 0
}
