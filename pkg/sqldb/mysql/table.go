package mysql

import (
	"context"

	"github.com/ulogd-go/ulogd/pkg/queue"
	"github.com/ulogd-go/ulogd/pkg/row"
	"github.com/ulogd-go/ulogd/pkg/sqldb"
)

// target is columns of a table.
type target struct{ sqldb.Target }

// appendLiterals appends a row's values with commas between.
func (t *target) appendLiterals(dst []byte, f *sqldb.Fitter, values []row.Value) []byte {
	for i, c := range t.Columns {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendLiteral(dst, f.Fit(c, values[t.Sources[i]]))
	}
	return dst
}

// decode is the values of row i of a block, as many as there are columns.
func (c *conn) decode(blk *queue.Block, i, columns int) ([]row.Value, error) {
	c.fitter.Reset()
	return c.blocks.Row(blk, i, columns)
}

// inserter stores rows by INSERT statements of many rows.
type inserter struct {
	*conn
	into   relation            // whose columns they are
	rename func(string) string // from the columns of the rows to those
	prefix string              // "insert into t", without the columns
	plain  bool                // the prefix is just that

	target
	width int
}

func (w *inserter) plan(columns []string) error {
	w.target, w.width = target{}, len(columns)
	var gone []string
	for i, column := range columns {
		name := column
		if w.rename != nil {
			name = w.rename(column)
		}
		if !w.offers(column) || !w.Take(name, w.into.column(name), i) {
			gone = append(gone, column)
		}
	}
	sqldb.WarnOfColumns(w.config.Log, w.config.Table, gone)
	if len(w.Names) == 0 {
		return sqldb.ErrNoColumn
	}
	return nil
}

func (w *inserter) done(bool) {}

func (w *inserter) write(ctx context.Context, blk *queue.Block) error {
	used, err := w.blocks.Used(blk, w.width)
	if err != nil {
		return err
	}
	t := target{w.Narrow(used)}
	if w.plain && w.loadable(w.into) {
		return w.loadAll(ctx, t, blk)
	}
	return w.insertAll(ctx, t, blk)
}

// loadAll loads all rows at once.
func (w *inserter) loadAll(ctx context.Context, t target, blk *queue.Block) error {
	return w.loadStream(ctx, w.into.name, t.Names, blk.Rows(), func(dst []byte, i int) ([]byte, error) {
		values, err := w.decode(blk, i, w.width)
		if err != nil {
			return dst, err
		}
		return append(t.appendLoads(dst, w.fitter, values), '\n'), nil
	})
}

// insertAll inserts all rows, as many by each statement as it has room for.
func (w *inserter) insertAll(ctx context.Context, t target, blk *queue.Block) error {
	head := w.prefix + " (" + quoteNames(t.Names) + ") values "
	w.sql = append(w.sql[:0], head...)
	for i := range blk.Rows() {
		values, err := w.decode(blk, i, w.width)
		if err != nil {
			return err
		}
		if len(w.sql) > len(head) {
			w.sql = append(w.sql, ',')
		}
		w.sql = append(t.appendLiterals(append(w.sql, '('), w.fitter, values), ')')
		if len(w.sql) < w.packet && i+1 < blk.Rows() {
			continue
		}
		if _, err := w.exec(ctx, string(w.sql)); err != nil {
			return err
		}
		w.sql = append(w.sql[:0], head...)
	}
	return nil
}
