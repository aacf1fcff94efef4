package queue

// Block is rows on their way out.
type Block struct {
	Data []byte
	Ends []uint32 // where each row of Data ends

	Epoch  string // of the queue that numbered the rows
	First  uint64 // number of the first row in that epoch
	Layout string // what a row is made of, as SetLayout said
	Lost   uint64 // packets lost or refused so far, as of the block's end
}

// End ends a row at the present end of Data.
func (b *Block) End() { b.Ends = append(b.Ends, uint32(len(b.Data))) }

// Rows is the number of rows.
func (b *Block) Rows() int { return len(b.Ends) }

// start is where row i begins in Data.
func (b *Block) start(i int) uint32 {
	if i == 0 {
		return 0
	}
	return b.Ends[i-1]
}

// Row is row number i, valid as long as the block is.
func (b *Block) Row(i int) []byte { return b.Data[b.start(i):b.Ends[i]:b.Ends[i]] }

// Slice is the rows from i to before j as a block of its own, which shares the
// bytes of b.
func (b *Block) Slice(i, j int) *Block {
	from := b.start(i)
	s := &Block{Epoch: b.Epoch, First: b.First + uint64(i), Layout: b.Layout, Lost: b.Lost}
	s.Data = b.Data[from:b.start(j)]
	for _, end := range b.Ends[i:j] {
		s.Ends = append(s.Ends, end-from)
	}
	return s
}

// Reset empties the block and keeps its memory.
func (b *Block) Reset() { b.Data, b.Ends = b.Data[:0], b.Ends[:0] }

// cut takes back what was appended since there were n rows.
func (b *Block) cut(n int) { b.Data, b.Ends = b.Data[:b.start(n)], b.Ends[:n] }
