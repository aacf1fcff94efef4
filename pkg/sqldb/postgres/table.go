package postgres

import (
	"context"

	"github.com/ulogd-go/ulogd/pkg/queue"
	"github.com/ulogd-go/ulogd/pkg/row"
	"github.com/ulogd-go/ulogd/pkg/sqldb"
)

// target is columns of a table.
type target struct {
	table string // as statements take it
	sqldb.Target
}

// match finds the columns of r that the rows have a value for.
func match(r relation, columns []string) (t target, gone []string) {
	t.table = r.full()
	for i, name := range columns {
		if !t.Take(name, r.column(name), i) {
			gone = append(gone, name)
		}
	}
	return t, gone
}

// narrow is the target with what the rows of a block need.
func (t *target) narrow(used []bool) target { return target{t.table, t.Narrow(used)} }

// copySQL is the statement that takes the target's columns, and more behind them.
func (t *target) copySQL(more ...string) string {
	return "copy " + t.table + " (" + quoteNames(append(t.Names[:len(t.Names):len(t.Names)], more...)) + ") from stdin"
}

// appendCopy appends a row's values with tabs between.
func (t *target) appendCopy(dst []byte, f *sqldb.Fitter, values []row.Value) []byte {
	for i, c := range t.Columns {
		if i > 0 {
			dst = append(dst, '\t')
		}
		dst = appendCopy(dst, f.Fit(c, values[t.Sources[i]]))
	}
	return dst
}

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

// flat is what writers into one table have in common.
type flat struct {
	*conn
	target
	width int
}

func (w *flat) plan(columns []string) error {
	var gone []string
	w.target, gone = match(w.conn.table, columns)
	w.width = len(columns)
	sqldb.WarnOfColumns(w.config.Log, w.config.Table, gone)
	if len(w.Names) == 0 {
		return sqldb.ErrNoColumn
	}
	return nil
}

func (w *flat) done(bool) {}

// copier stores rows in a table by COPY.
type copier struct{ flat }

func (w *copier) write(ctx context.Context, blk *queue.Block) error {
	used, err := w.blocks.Used(blk, w.width)
	if err != nil {
		return err
	}
	t := w.narrow(used)
	return w.copyFrom(ctx, sqldb.NewStream(blk.Rows(), func(dst []byte, i int) ([]byte, error) {
		values, err := w.decode(blk, i, w.width)
		if err != nil {
			return dst, err
		}
		return append(t.appendCopy(dst, w.fitter, values), '\n'), nil
	}), t.copySQL())
}

// copyFrom sends rows.
func (c *conn) copyFrom(ctx context.Context, rows *sqldb.Stream, sql string) error {
	_, err := c.pg.CopyFrom(ctx, rows, sql)
	if bad := rows.Stop(); bad != nil {
		return bad
	}
	return err
}

// inserter stores rows by an INSERT statement of many rows: into views, and where
// the user has begun the statement.
type inserter struct {
	flat
	prefix string // "insert into t", without the columns
}

// statementSize is the size at which a statement is sent.
const statementSize = 256 << 10

func (w *inserter) write(ctx context.Context, blk *queue.Block) error {
	head := w.prefix + " (" + quoteNames(w.Names) + ") values "
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
		if len(w.sql) < statementSize && i+1 < blk.Rows() {
			continue
		}
		if err := w.exec(ctx, string(w.sql)); err != nil {
			return err
		}
		w.sql = append(w.sql[:0], head...)
	}
	return nil
}
