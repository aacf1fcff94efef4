// Package queue is what stands between a stack and the delivery of its rows: a
// line of blocks of bytes, filled on the pipeline's goroutine and taken on the
// output's.
package queue

// Block is rows on their way out.
type Block struct {
	Data []byte
	Ends []uint32 // where each row of Data ends

	Epoch  string // of the queue that numbered the rows
	First  uint64 // number of the first row in that epoch
	Layout string // what a row is made of
	Lost   uint64 // packets lost or refused so far, as of the block's end
}

// End ends a row at the present end of Data.
func (b *Block) End() { b.Ends = append(b.Ends, uint32(len(b.Data))) }

// Rows is the number of rows.
func (b *Block) Rows() int { return len(b.Ends) }

// Row is row number i, valid as long as the block is.
func (b *Block) Row(i int) []byte {
	from := uint32(0)
	if i > 0 {
		from = b.Ends[i-1]
	}
	return b.Data[from:b.Ends[i]:b.Ends[i]]
}

// Slice is the rows from i to before j as a block of its own, which shares the
// bytes of b.
func (b *Block) Slice(i, j int) *Block {
	from := uint32(0)
	if i > 0 {
		from = b.Ends[i-1]
	}
	s := &Block{Data: b.Data[from:b.Ends[j-1]]}
	for _, end := range b.Ends[i:j] {
		s.Ends = append(s.Ends, end-from)
	}
	return s
}

// Reset empties the block and keeps its memory.
func (b *Block) Reset() { b.Data, b.Ends = b.Data[:0], b.Ends[:0] }
