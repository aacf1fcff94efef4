package sqldb

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/ulogd-go/ulogd/pkg/plugin"
	"github.com/ulogd-go/ulogd/pkg/queue"
	"github.com/ulogd-go/ulogd/pkg/row"
)

// ErrNoColumn says that a table has no column for any value of rows.
var ErrNoColumn = errors.New("no plugin of the stack publishes the key of any column; name the columns after keys, with _ for each dot")

// RejectAll rejects the rows of a block, none of whose columns a table has any more.
func RejectAll(blk *queue.Block, table string) error {
	all := make([]int, blk.Rows())
	for i := range all {
		all[i] = i
	}
	return &plugin.RejectError{Rows: all, Err: fmt.Errorf("table %s has none of the columns any more that it had when these rows came", table)}
}

// Target is columns of a table, and which value of a row each takes.
type Target struct {
	Names   []string
	Columns []*Column
	Sources []int
}

// Take adds a column under that name. It does nothing and is false if c is nil,
// which is a column that the table does not have.
func (t *Target) Take(name string, c *Column, source int) bool {
	if c == nil {
		return false
	}
	t.Names = append(t.Names, name)
	t.Columns = append(t.Columns, c)
	t.Sources = append(t.Sources, source)
	return true
}

// Narrow is the target without the columns that no row of a block has a value for,
// used says which, if the server makes them NULL by itself: it takes rows faster
// without them. One column stays at least.
func (t *Target) Narrow(used []bool) Target {
	var n Target
	for i, c := range t.Columns {
		if !c.Empty || used[t.Sources[i]] || i == len(t.Columns)-1 && len(n.Names) == 0 {
			n.Take(t.Names[i], c, t.Sources[i])
		}
	}
	return n
}

// WarnOfColumns says which columns of rows a table does not have, if there are any:
// somebody has dropped them, or the rows are from before the table was seen and have
// every key.
func WarnOfColumns(log *slog.Logger, table string, columns []string) {
	if len(columns) > 0 {
		log.Warn(fmt.Sprintf("rows that wait have columns that table %s has not, whose values are not stored: %s", table, strings.Join(columns, ", ")))
	}
}

// Decoder reads the rows of blocks. It is for one goroutine.
type Decoder struct {
	values []row.Value
	used   []bool
}

// Row is the values of row i of a block, as many as there are columns. They are
// valid until the next call. The error is row.ErrMalformed.
func (d *Decoder) Row(blk *queue.Block, i, columns int) ([]row.Value, error) {
	var err error
	d.values, err = row.Decode(d.values[:0], blk.Row(i))
	if err == nil && len(d.values) != columns {
		err = row.ErrMalformed
	}
	return d.values, err
}

// Used tells of each column whether any row of a block has a value for it. It is
// valid until the next call. The error is row.ErrMalformed.
func (d *Decoder) Used(blk *queue.Block, columns int) ([]bool, error) {
	d.used = append(d.used[:0], make([]bool, columns)...)
	for i := range blk.Rows() {
		values, err := d.Row(blk, i, columns)
		if err != nil {
			return nil, err
		}
		MarkUsed(d.used, values)
	}
	return d.used, nil
}

// MarkUsed marks the columns that a row has a value for.
func MarkUsed(used []bool, values []row.Value) {
	for c, v := range values {
		if v.Kind != row.Null {
			used[c] = true
		}
	}
}
