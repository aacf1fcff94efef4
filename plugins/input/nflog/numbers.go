package nflog

import (
	"crypto/rand"
	"encoding/binary"

	"github.com/ulogd-go/ulogd/pkg/event"
	"github.com/ulogd-go/ulogd/pkg/fdstore"
	"github.com/ulogd-go/ulogd/pkg/logging"
	"github.com/ulogd-go/ulogd/pkg/stats"
)

// numbers follows the kernel's numbering of a group's packets, which begins with
// 0 when the group is bound and is as old as the socket.
type numbers struct {
	stream [16]byte
	next   uint64        // number of the next packet; the kernel has the lower 32 bits
	gone   uint64        // packets that were missing so far
	page   *fdstore.Page // remembers all that, if the socket is kept

	lost  *stats.Counter
	tally *logging.Tally
}

// What add says of a packet.
const (
	added     = iota
	past      // it has been dealt with before
	behindGap // packets are missing between the batch and it
)

// again bounds the packets that come again, which one datagram has. A number that is
// further back is one far ahead: in a flood, half of them pass in an hour.
const again = 1 << 16

// fresh begins a stream.
func (n *numbers) fresh() {
	_, _ = rand.Read(n.stream[:]) // never fails
	n.next, n.gone = 0, 0
}

// begin prepares a batch.
func (n *numbers) begin(b *event.Batch) { b.Stream, b.Lost = n.stream, n.gone }

// add numbers the event that was last added to the batch, whose number the kernel
// gives as seq.
func (n *numbers) add(b *event.Batch, seq uint32) int {
	missing := seq - uint32(n.next)
	switch {
	case -missing <= again && missing > 0:
		return past
	case missing > 0 && b.Len() > 1:
		return behindGap
	case missing > 0:
		n.gone += uint64(missing)
		n.next += uint64(missing)
		b.Lost = n.gone
		n.lost.Add(uint64(missing))
		n.tally.Add(uint64(missing))
	}
	if b.Len() == 1 {
		b.First = n.next
	}
	n.next++
	return added
}

// pageRoom is what save stores.
const pageRoom = 16 + 8 + 8

// save remembers how far the packets are dealt with.
func (n *numbers) save() {
	if n.page == nil {
		return
	}
	var b [pageRoom]byte
	copy(b[:], n.stream[:])
	binary.LittleEndian.PutUint64(b[16:], n.next)
	binary.LittleEndian.PutUint64(b[24:], n.gone)
	n.page.Store(b[:])
}

// load goes on where an earlier process was. It reports whether that is known.
func (n *numbers) load(content []byte) bool {
	if len(content) != pageRoom {
		return false
	}
	copy(n.stream[:], content)
	n.next = binary.LittleEndian.Uint64(content[16:])
	n.gone = binary.LittleEndian.Uint64(content[24:])
	return true
}

func (n *numbers) close() error {
	if n.page == nil {
		return nil
	}
	return n.page.Close()
}
