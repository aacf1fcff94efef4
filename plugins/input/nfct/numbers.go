package nfct

import (
	"crypto/rand"
	"encoding/binary"
	"hash/crc32"

	"github.com/ulogd-go/ulogd/pkg/event"
	"github.com/ulogd-go/ulogd/pkg/fdstore"
)

// numbers number the records of a socket that is kept for the next process, so that
// those that it sees again are known as such. Without a page it does nothing.
type numbers struct {
	page   *fdstore.Page
	stream [16]byte
	next   uint64 // number of the next record
	last   uint32 // checksum of the datagram that was taken out of the socket last, or is about to be
	doubt  bool   // it may still be there
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// fresh begins a stream.
func (n *numbers) fresh(page *fdstore.Page) {
	n.page = page
	_, _ = rand.Read(n.stream[:]) // never fails
	n.save()
}

// begin prepares a batch.
func (n *numbers) begin(b *event.Batch) {
	if n.page != nil {
		b.Stream, b.First, b.Lost = n.stream, n.next, 0
	}
}

// seen reports whether a datagram, the first of this process, was dealt with by the
// earlier one, which could not take it out of the socket any more.
func (n *numbers) seen(datagram []byte) bool {
	doubt := n.doubt
	n.doubt = false
	return doubt && crc32.Checksum(datagram, castagnoli) == n.last
}

// note notes that records are dealt with, before the datagram that they are of is
// taken out of the socket.
func (n *numbers) note(datagram []byte) {
	if n.page != nil {
		n.last = crc32.Checksum(datagram, castagnoli)
		n.save()
	}
}

// pageRoom is what save stores.
const pageRoom = 16 + 8 + 4

func (n *numbers) save() {
	if n.page == nil {
		return
	}
	var b [pageRoom]byte
	copy(b[:], n.stream[:])
	binary.LittleEndian.PutUint64(b[16:], n.next)
	binary.LittleEndian.PutUint32(b[24:], n.last)
	n.page.Store(b[:])
}

// load goes on where an earlier process was. It reports whether that is known.
func (n *numbers) load(page *fdstore.Page, content []byte) bool {
	if len(content) != pageRoom {
		return false
	}
	n.page = page
	copy(n.stream[:], content)
	n.next = binary.LittleEndian.Uint64(content[16:])
	n.last = binary.LittleEndian.Uint32(content[24:])
	n.doubt = true
	return true
}

func (n *numbers) close() error {
	if n.page == nil {
		return nil
	}
	return n.page.Close()
}
