package postgres

import (
	"context"
	"strconv"
	"strings"

	"github.com/ulogd-go/ulogd/pkg/queue"
	"github.com/ulogd-go/ulogd/pkg/sqldb"
)

// caller stores each row by calling a routine, with the arguments that ulogd
// would pass: the table's columns in order, without a first one whose name begins
// with "_", or with DBI any. Many calls are sent at once.
type caller struct {
	*conn
	statement  sqldb.Statement
	parameters []sqldb.Column // types of the routine, if there is only one that fits

	arguments sqldb.Arguments
	width     int
}

// own are the table's columns that are arguments.
func (w *caller) own() []sqldb.Column {
	columns := w.table.columns
	if w.config.SkipFirst || strings.HasPrefix(columns[0].Name, "_") {
		columns = columns[1:]
	}
	return columns
}

// discover finds the types of the parameters.
func (w *caller) discover(ctx context.Context) error {
	columns := w.own()
	name := w.statement.Text[strings.LastIndexByte(w.statement.Text, '.')+1:]
	rows, err := w.query(ctx, `select p.oid, t.typname from pg_proc p, unnest(p.proargtypes) with ordinality as a(type, n) join pg_type t on t.oid = a.type
		where p.proname in ($1::text, lower($1::text)) and p.pronargs = $2::int and pg_function_is_visible(p.oid) order by p.oid, a.n`, name, strconv.Itoa(len(columns)))
	if err != nil {
		return err
	}
	w.parameters = nil
	if len(rows) != len(columns) {
		return nil // none, or several: the columns' own types have to do
	}
	set, err := w.charset(ctx)
	if err != nil {
		return err
	}
	for i, c := range columns {
		p := newColumn(c.Name, rows[i][1], "", set)
		if p.Class == sqldb.Chars {
			p.Max = c.Max // the parameter has no limit, the table behind it does
		}
		if p.Class == sqldb.Integer && c.Class == sqldb.Integer && c.Bits < p.Bits {
			p = c
		}
		w.parameters = append(w.parameters, p)
	}
	return nil
}

func (w *caller) plan(columns []string) error {
	w.width = len(columns)
	w.arguments = sqldb.NewArguments(w.own(), w.parameters, columns)
	return nil
}

func (w *caller) done(bool) {}

func (w *caller) write(ctx context.Context, blk *queue.Block) error {
	head := "select " + w.statement.Text + "("
	if w.statement.Mode == sqldb.Call {
		head = "call " + w.statement.Text + "("
	}
	w.sql = w.sql[:0]
	for i := range blk.Rows() {
		values, err := w.decode(blk, i, w.width)
		if err != nil {
			return err
		}
		w.sql = append(w.arguments.Append(append(w.sql, head...), w.fitter, values, appendLiteral), ");\n"...)
		if len(w.sql) < statementSize && i+1 < blk.Rows() {
			continue
		}
		if err := w.exec(ctx, string(w.sql)); err != nil {
			return err
		}
		w.sql = w.sql[:0]
	}
	return nil
}
