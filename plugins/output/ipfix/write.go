package ipfix

import (
	"context"
	"encoding/binary"
	"errors"

	"github.com/ulogd-go/ulogd/pkg/plugin"
	"github.com/ulogd-go/ulogd/pkg/queue"
)

// errForeign says that a row is none of a template that we have: it waited on disk
// while the daemon was configured otherwise.
var errForeign = errors.New("the record was made for other options of IPFIX")

// Write sends a block as messages. After plugin.ErrNotConnected the same block is
// to be given again: on the next connection it goes on with the first record that
// was not sent.
func (x *exporter) Write(ctx context.Context, blk *queue.Block) error {
	for i := range blk.Rows() {
		if x.templateOf(blk.Row(i)) == nil {
			return &plugin.RejectError{Err: errForeign}
		}
	}
	x.pack(blk, x.done, x.templateOf)
	err := x.Conn.Write(ctx, &x.messages)
	var reject *plugin.RejectError
	switch {
	case errors.Is(err, plugin.ErrNotConnected):
		sent := x.marks[x.Abandon()]
		x.done, x.seq = sent.row, sent.seq
		return err
	case errors.As(err, &reject):
		err = &plugin.RejectError{Rows: x.records(reject.Rows), Err: reject.Err}
	}
	x.done = 0
	return err
}

// records are the rows that are in messages.
func (x *exporter) records(messages []int) (rows []int) {
	for _, m := range messages {
		for row := x.marks[m].row; row < x.marks[m+1].row; row++ {
			rows = append(rows, row)
		}
	}
	return rows
}

// templateOf is the template that a row was made for, or nil.
func (x *exporter) templateOf(row []byte) *template {
	for _, t := range []*template{x.v4, x.v6} {
		if len(row) == idSize+t.size && binary.BigEndian.Uint16(row) == t.id {
			return t
		}
	}
	return nil
}
