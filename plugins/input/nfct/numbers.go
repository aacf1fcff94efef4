package nfct

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"os"

	"golang.org/x/sys/unix"

	"github.com/ulogd-go/ulogd/pkg/event"
	"github.com/ulogd-go/ulogd/pkg/fdstore"
)

// numbers keep what is beside a socket that outlives the process: the datagrams that
// were received last, in memory that the kernel has written them to, and how many records
// are dealt with. So the next process sees again what has not passed, under the same
// numbers. Without a page nothing of it is done.
type numbers struct {
	page   *fdstore.Page
	memory *fdstore.Memory

	stream     [16]byte
	next       uint64 // number of the next record
	generation uint32 // of what is in the memory
}

// The memory begins with the generation of what is in it, and then has a piece for each
// datagram; one that was not written begins with 0, which no datagram does.
const (
	pieces     = 64
	pieceSize  = 4 << 10 // an event has some hundred bytes
	memoryHead = 4 << 10
	memorySize = memoryHead + pieces*pieceSize
)

// fresh begins a stream. The files are to be stored.
func (n *numbers) fresh() (files []*os.File, err error) {
	if n.page, err = fdstore.NewPage("nfct"); err != nil {
		return nil, err
	}
	if n.memory, err = fdstore.NewMemory("nfct events", memorySize); err != nil {
		return nil, errors.Join(err, n.close())
	}
	_, _ = rand.Read(n.stream[:]) // never fails
	n.advance()
	return []*os.File{n.page.File, n.memory.File}, nil
}

// open goes on where an earlier process was. What it has received and not dealt with is
// the result, which is valid until advance.
func (n *numbers) open(page, memory *os.File) (datagrams [][]byte, err error) {
	var content []byte
	if n.page, content, err = fdstore.OpenPage(page); err != nil {
		return nil, errors.Join(err, memory.Close())
	}
	if n.memory, err = fdstore.OpenMemory(memory, memorySize); err != nil {
		return nil, errors.Join(err, n.close())
	}
	if len(content) != pageRoom {
		return nil, errors.Join(errors.New("how far it was is not known"), n.close())
	}
	copy(n.stream[:], content)
	n.next = binary.LittleEndian.Uint64(content[16:])
	n.generation = binary.LittleEndian.Uint32(content[24:])
	if binary.LittleEndian.Uint32(n.memory.Bytes) != n.generation {
		return nil, nil
	}
	for i := range pieces {
		piece := n.piece(i)
		if size := binary.NativeEndian.Uint32(piece); size >= unix.NLMSG_HDRLEN && size <= pieceSize {
			datagrams = append(datagrams, piece[:size])
		}
	}
	return datagrams, nil
}

func (n *numbers) piece(i int) []byte { return n.memory.Bytes[memoryHead+i*pieceSize:][:pieceSize] }

// room is where datagrams are received to.
func (n *numbers) room() []byte {
	if n.memory == nil {
		return make([]byte, pieces*pieceSize)
	}
	return n.memory.Bytes[memoryHead:]
}

// begin prepares a batch.
func (n *numbers) begin(b *event.Batch) {
	if n.page != nil {
		b.Stream, b.First, b.Lost = n.stream, n.next, 0
	}
}

// advance notes that all records are dealt with, and with them what is in the memory.
func (n *numbers) advance() {
	if n.page == nil {
		return
	}
	n.generation++
	n.save() // from here on what is in the memory is of no more use
	for i := range pieces {
		binary.NativeEndian.PutUint32(n.piece(i), 0)
	}
	binary.LittleEndian.PutUint32(n.memory.Bytes, n.generation)
}

// pageRoom is what save stores.
const pageRoom = 16 + 8 + 4

// save notes how many records are dealt with.
func (n *numbers) save() {
	if n.page == nil {
		return
	}
	var b [pageRoom]byte
	copy(b[:], n.stream[:])
	binary.LittleEndian.PutUint64(b[16:], n.next)
	binary.LittleEndian.PutUint32(b[24:], n.generation)
	n.page.Store(b[:])
}

// close gives up the memory. Where it is stored it stays.
func (n *numbers) close() (err error) {
	if n.page != nil {
		err = n.page.Close()
	}
	if n.memory != nil {
		err = errors.Join(err, n.memory.Close())
	}
	n.page, n.memory = nil, nil
	return err
}
