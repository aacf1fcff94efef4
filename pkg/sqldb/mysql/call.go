package mysql

import (
	"context"
	"errors"
	"strconv"
	"strings"

	"github.com/go-sql-driver/mysql"

	"github.com/ulogd-go/ulogd/pkg/queue"
	"github.com/ulogd-go/ulogd/pkg/sqldb"
)

// caller stores each row by calling a routine, with the arguments that ulogd
// would pass: the table's columns in order, without the first. Many calls are sent
// at once, and their results are read: an error may show only there.
type caller struct {
	*conn
	statement  sqldb.Statement
	parameters []sqldb.Column // types of the routine, if they are as many as there are arguments

	arguments sqldb.Arguments
	width     int
	warned    bool // that the procedure commits
}

// discover finds the types of the parameters.
func (w *caller) discover(ctx context.Context) error {
	name := w.statement.Text[strings.LastIndexByte(w.statement.Text, '.')+1:]
	rows, err := w.query(ctx, `select data_type, dtd_identifier, coalesce(character_maximum_length, 0), coalesce(character_set_name, '')
		from information_schema.parameters where specific_schema = database() and lower(specific_name) = lower(`+quoteText(name)+`)
		and ordinal_position > 0 order by ordinal_position`)
	if err != nil {
		return err
	}
	w.parameters = nil
	own := w.table.columns[1:]
	if len(rows) != len(own) {
		return nil // the columns' own types have to do
	}
	for i, v := range rows {
		length, err := strconv.Atoi(v[2])
		if err != nil {
			length = 0
		}
		w.parameters = append(w.parameters, newColumn(own[i].Name, strings.ToLower(v[0]), strings.ToLower(v[1]), length, v[3]))
	}
	return nil
}

func (w *caller) plan(columns []string) error {
	w.width = len(columns)
	w.arguments = sqldb.NewArguments(w.table.columns[1:], w.parameters, columns)
	return nil
}

func (w *caller) done(bool) {}

// write calls the routine for each row. A procedure may have committed by itself, with
// COMMIT or with a statement that implies it: then a savepoint from before is not known
// any more.
func (w *caller) write(ctx context.Context, blk *queue.Block) error {
	if _, err := w.exec(ctx, "savepoint ulogd"); err != nil {
		return err
	}
	if err := w.call(ctx, blk); err != nil {
		return err
	}
	_, err := w.exec(ctx, "release savepoint ulogd")
	if my := (*mysql.MySQLError)(nil); !errors.As(err, &my) || my.Number != errNoSavepoint {
		return err
	}
	if !w.warned {
		w.warned = true
		w.config.Log.Warn(w.statement.Text + " commits or rolls back by itself: rows are stored at least once, and may be there twice, or not, after a failure (take COMMIT and ROLLBACK out of it)")
	}
	return nil
}

// errNoSavepoint says that a savepoint, or a routine, does not exist.
const errNoSavepoint = 1305

func (w *caller) call(ctx context.Context, blk *queue.Block) error {
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
		if len(w.sql) > 0 {
			w.sql = append(w.sql, ";\n"...)
		}
		w.sql = append(w.arguments.Append(append(w.sql, head...), w.fitter, values, appendLiteral), ')')
		if len(w.sql) < w.packet/4 && i+1 < blk.Rows() {
			continue
		}
		if _, err := w.query(ctx, string(w.sql)); err != nil {
			return err
		}
		w.sql = w.sql[:0]
	}
	return nil
}
