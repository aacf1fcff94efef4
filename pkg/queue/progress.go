package queue

// Progress is how far a queue has come in the packets of its source, and what
// became of those that are no rows. The counts are cumulative over the life of
// the queue's spool, or of the queue if it has none.
type Progress struct {
	Stream     [16]byte // identity of the source's numbering; zero if it does not number
	Next       uint64   // number of the first packet of Stream that was not dealt with
	StreamLost uint64   // how many packets of Stream, of those that the source lost, are in Lost

	Packets  uint64 // all: Lost + Filtered + Refused + rows taken
	Lost     uint64 // that the source could not get
	Filtered uint64 // that a filter took out, or of which the output makes no row
	Refused  uint64 // that found no room
}

// Tally is what became of the rows that a queue has taken, over the same time:
// Taken = Written + Rejected + Lost + Waiting.
type Tally struct {
	Taken, Written, Rejected uint64
	Lost                     uint64 // unreadable on disk, or never written there when the daemon was killed
	Waiting                  uint64
	SpoolBytes               int64
}
