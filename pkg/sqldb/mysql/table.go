package mysql

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/ulogd-go/ulogd/pkg/queue"
	"github.com/ulogd-go/ulogd/pkg/row"
	"github.com/ulogd-go/ulogd/pkg/sqldb"
)

// target is columns of a table, and which value of a row each takes.
type target struct {
	names   []string
	columns []*sqldb.Column
	sources []int
}

// take takes a column, if the table has it.
func (t *target) take(r relation, name string, source int) bool {
	c := r.column(name)
	if c == nil {
		return false
	}
	t.names = append(t.names, name)
	t.columns = append(t.columns, c)
	t.sources = append(t.sources, source)
	return true
}

// appendLiterals appends a row's values with commas between.
func (t *target) appendLiterals(dst []byte, f *sqldb.Fitter, values []row.Value) []byte {
	for i, c := range t.columns {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendLiteral(dst, f.Fit(c, values[t.sources[i]]))
	}
	return dst
}

// decode is the values of row i of a block, as many as there are columns.
func (c *conn) decode(blk *queue.Block, i, columns int) ([]row.Value, error) {
	var err error
	c.fitter.Reset()
	c.values, err = row.Decode(c.values[:0], blk.Row(i))
	if err == nil && len(c.values) != columns {
		err = row.ErrMalformed
	}
	return c.values, err
}

var errNoColumn = errors.New("no plugin of the stack publishes the key of any column; name the columns after keys, with _ for each dot")

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
	for i, name := range columns {
		if w.rename != nil {
			name = w.rename(name)
		}
		if !w.take(w.into, name, i) {
			gone = append(gone, name)
		}
	}
	if len(gone) > 0 {
		w.config.Log.Warn(fmt.Sprintf("table %s has lost columns, whose values are not stored: %s", w.config.Table, strings.Join(gone, ", ")))
	}
	if len(w.names) == 0 {
		return errNoColumn
	}
	return nil
}

func (w *inserter) done(bool) {}

func (w *inserter) write(ctx context.Context, blk *queue.Block) error {
	if w.plain && w.loadable(w.into) {
		return w.loadAll(ctx, blk)
	}
	return w.insertAll(ctx, blk)
}

// loadAll loads all rows at once.
func (w *inserter) loadAll(ctx context.Context, blk *queue.Block) error {
	return w.loadStream(ctx, w.into.name, w.names, blk.Rows(), func(dst []byte, i int) ([]byte, error) {
		values, err := w.decode(blk, i, w.width)
		if err != nil {
			return dst, err
		}
		return append(w.appendLoads(dst, w.fitter, values), '\n'), nil
	})
}

func (w *inserter) insertAll(ctx context.Context, blk *queue.Block) error {
	head := w.prefix + " (" + quoteNames(w.names) + ") values "
	w.sql = append(w.sql[:0], head...)
	for i := range blk.Rows() {
		values, err := w.decode(blk, i, w.width)
		if err != nil {
			return err
		}
		if len(w.sql) > len(head) {
			w.sql = append(w.sql, ',')
		}
		w.sql = append(w.appendLiterals(append(w.sql, '('), w.fitter, values), ')')
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
