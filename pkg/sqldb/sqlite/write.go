package sqlite

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/ulogd-go/ulogd/pkg/logging"
	"github.com/ulogd-go/ulogd/pkg/plugin"
	"github.com/ulogd-go/ulogd/pkg/queue"
	"github.com/ulogd-go/ulogd/pkg/row"
	"github.com/ulogd-go/ulogd/pkg/sqldb"
	"github.com/ulogd-go/ulogd/schema"
)

// Connect opens the database, makes the table if there is none, and prepares the
// statement. An error that time alone may mend is plugin.ErrNotConnected.
func (o *Output) Connect(ctx context.Context) error {
	if o.unseen != nil {
		return o.wrap(o.unseen)
	}
	if err := errors.Join(o.disconnect(), writable(o.config.DB)); err != nil {
		return err
	}
	if err := o.connect(ctx); err != nil {
		_ = o.disconnect() // the first error says why
		if transient(err) {
			return fmt.Errorf("%w: %w", plugin.ErrNotConnected, o.wrap(err))
		}
		return o.wrap(err)
	}
	o.retain.Start()
	return nil
}

// wrap says which table an error is about.
func (o *Output) wrap(err error) error {
	return fmt.Errorf("database %s, table %s: %w", o.config.DB, o.config.Table, err)
}

// writable is an error if SQLite could not write the file at path, and the
// journal beside it.
func writable(path string) error {
	dir := filepath.Dir(path)
	if err := unix.Access(dir, unix.W_OK|unix.X_OK); err != nil {
		return fmt.Errorf("database %s: directory %s: %w; see to it that the directory exists and that the daemon may write there", path, dir, err)
	}
	if err := unix.Access(path, unix.R_OK|unix.W_OK); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("database %s: %w; let the daemon read and write the file", path, err)
	}
	return nil
}

func (o *Output) connect(ctx context.Context) (err error) {
	fresh, err := isEmpty(o.config.DB)
	if err != nil {
		return err
	}
	if o.conn, err = dial(o.config.DB, "rwc", o.config.BusyTimeout); err != nil {
		return err
	}
	o.files = files{}
	if fresh {
		if err := o.conn.exec("pragma journal_mode=wal"); err != nil {
			return err
		}
	}
	if err := o.relax(ctx); err != nil {
		return err
	}
	if err := o.ready(ctx); err != nil {
		return err
	}
	if err := o.plan(ctx, o.keyed()); err != nil {
		return err
	}
	o.files = statFiles(o.config.DB)
	if fresh {
		return o.give()
	}
	return nil
}

// give leaves the files of a new database to the user that the daemon becomes.
func (o *Output) give() error {
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if err := o.env.Files.Give(o.config.DB + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// relax leaves syncing to checkpoints if there is a write-ahead log, which keeps
// the database sound all the same. Without one SQLite's default stays, and for rows
// that are to survive a power cut, too.
func (o *Output) relax(ctx context.Context) error {
	mode := ""
	err := o.conn.query("pragma journal_mode", "", func(r result) { mode = r.text(0) })
	if err != nil || mode != "wal" || o.config.Queue.Durability == queue.Power {
		return err
	}
	return o.conn.exec("pragma synchronous=normal")
}

// ready makes the table as it was last seen if there is none, and finds out what
// it is like now.
func (o *Output) ready(ctx context.Context) error {
	if err := o.conn.begin(ctx); err != nil {
		return err
	}
	t, err := readTable(o.conn, o.config.Table)
	if err == nil && len(t.columns) == 0 {
		o.env.Log.Log(ctx, logging.Notice, fmt.Sprintf("database %s has no table %s, making it", o.config.DB, o.config.Table))
		err = o.conn.exec(strings.Join(o.seen.sql, ";\n"))
		t = o.seen
	}
	if err == nil && o.config.Generation == plugin.First {
		o.signed, err = t.signed(o.conn, o.config.Table)
	}
	if err == nil {
		err = o.openLedger(ctx)
	}
	if err == nil {
		err = o.conn.exec("commit")
	}
	if err != nil {
		o.conn.rollback()
		return err
	}
	o.learn(t)
	return o.check()
}

// check is an error if every row would be refused.
func (o *Output) check() error {
	keys := row.Columns(o.keyed())
	if !slices.ContainsFunc(keys, func(name string) bool { return o.seen.find(name) != nil }) {
		return sqldb.ErrNoColumn
	}
	for _, c := range o.seen.columns {
		if c.required && !slices.Contains(keys, c.name) {
			return fmt.Errorf("column %s is NOT NULL without a default, and no plugin of the stack publishes the key %s; give the column a default", c.name, o.encoder.Key(c.name))
		}
	}
	return nil
}

// rowsAtOnce is how many rows a statement inserts, which costs a third less than
// one statement for each: not only its start and its end are shared.
const rowsAtOnce = 64

// maxArgs is how many arguments a statement may have
// (https://www.sqlite.org/limits.html, number 9).
const maxArgs = 32766

// plan compiles the statements for rows of a layout, of whose columns the table
// still has some.
func (o *Output) plan(ctx context.Context, layout string) error {
	var names, gone []string
	o.fields = o.fields[:0]
	for _, name := range row.Columns(layout) {
		f := field{place: -1, signed: o.signed}
		f.natural = o.config.Generation == plugin.First || o.encoder.Key(name) == "icmp.gateway" // swapped by ulogd 2.0.8 beforehand
		if c := o.seen.find(name); c == nil {
			gone = append(gone, name)
		} else {
			f.column, f.place = *c, len(names)
			names = append(names, schema.QuoteSQLite(name))
		}
		o.fields = append(o.fields, f)
	}
	sqldb.WarnOfColumns(o.env.Log, o.config.Table, gone)
	o.layout, o.compiled = layout, false
	if o.width = len(names); o.width == 0 {
		return sqldb.ErrNoColumn
	}
	o.atOnce = min(rowsAtOnce, maxArgs/o.width)
	if err := o.one.compile(o.conn, o.statement(names, 1)); err != nil {
		return err
	}
	err := o.many.compile(o.conn, o.statement(names, o.atOnce))
	o.compiled = err == nil
	return err
}

// statement inserts n rows.
func (o *Output) statement(names []string, n int) string {
	into := o.config.Insert
	if into == "" {
		into = "insert into " + schema.QuoteSQLite(o.config.Table)
	}
	values := "(" + strings.TrimSuffix(strings.Repeat("?,", len(names)), ",") + ")"
	return fmt.Sprintf("%s (%s) values %s", into, strings.Join(names, ","), strings.TrimSuffix(strings.Repeat(values+",", n), ","))
}

// Write inserts the rows of a block in one transaction.
func (o *Output) Write(ctx context.Context, blk *queue.Block) error {
	if err := o.current(ctx); err != nil {
		return err
	}
	if !o.compiled || blk.Layout != o.layout {
		if err := o.plan(ctx, blk.Layout); errors.Is(err, sqldb.ErrNoColumn) {
			return sqldb.RejectAll(blk, o.config.Table)
		} else if err != nil {
			return o.failure(err)
		}
	}
	if err := o.conn.begin(ctx); err != nil {
		return o.failure(err)
	}
	err := o.insertAll(blk)
	if err == nil {
		err = o.moveLedger(blk)
	}
	if err == nil {
		err = o.conn.exec("commit")
	}
	if err != nil {
		o.conn.rollback()
		return o.failure(err)
	}
	return nil
}

// insertAll inserts all rows. At one that the table refuses nothing is stored:
// the ledger must not pass it before it is kept elsewhere.
func (o *Output) insertAll(blk *queue.Block) error {
	for i := 0; i < blk.Rows(); {
		insert, n := &o.many, o.atOnce
		if blk.Rows()-i < n {
			insert, n = &o.one, 1
		}
		err := o.insertRows(insert, blk, i, n)
		if err != nil && o.refused(err) {
			return &plugin.RejectError{Err: o.wrap(err)}
		}
		if err != nil {
			return err
		}
		i += n
	}
	return nil
}

// insertRows inserts the n rows from the i-th on by a statement for as many.
func (o *Output) insertRows(insert *insert, blk *queue.Block, i, n int) error {
	for k := range n {
		if err := o.bindRow(insert.statement, k*o.width, blk.Row(i+k)); err != nil {
			return err
		}
	}
	return insert.run()
}

// bindRow sets the parameters for a row, which follow the first ones.
func (o *Output) bindRow(s *statement, first int, r []byte) (err error) {
	if o.values, err = row.Decode(o.values[:0], r); err != nil {
		return err
	}
	if len(o.values) != len(o.fields) {
		return row.ErrMalformed
	}
	for i := range o.fields {
		if f := &o.fields[i]; f.place >= 0 {
			f.bind(s, first+f.place+1, o.values[i])
		}
	}
	return nil
}

// refused tells whether err is about the row: no later attempt will do better.
func (o *Output) refused(err error) bool {
	switch code(err) {
	case codeConstraint, codeMismatch, codeTooBig:
		return true
	case codeError:
		// Either the table has changed, or one of its triggers stumbled over the row.
		s, err := o.conn.prepare(o.one.sql)
		if err == nil {
			s.close()
		}
		return err == nil
	}
	return errors.Is(err, row.ErrMalformed)
}

// failure is err as the engine understands it: either the same will do later, or
// a new connection is worth a try.
func (o *Output) failure(err error) error {
	var reject *plugin.RejectError
	if errors.As(err, &reject) {
		return err
	}
	if transient(err) || errors.Is(err, context.Canceled) {
		return o.wrap(err)
	}
	return fmt.Errorf("%w: %w", plugin.ErrNotConnected, o.wrap(err))
}

// current connects anew if need be: after a failed Reopen, or when the path no
// longer leads to the file that is open, as after a rotation.
func (o *Output) current(ctx context.Context) error {
	if o.conn != nil && !o.files.moved() {
		return nil
	}
	if o.conn != nil {
		o.env.Log.Log(ctx, logging.Notice, fmt.Sprintf("database %s was moved or removed, opening the path anew", o.config.DB))
	}
	err := o.Connect(ctx)
	if err == nil || errors.Is(err, plugin.ErrNotConnected) {
		return err
	}
	return fmt.Errorf("%w: %w", plugin.ErrNotConnected, err)
}

// Reopen closes the database and opens it again. After an error the next Write
// tries the same.
func (o *Output) Reopen(ctx context.Context) error { return o.Connect(ctx) }

// Close gives the database up, and ends the removal of old rows.
func (o *Output) Close() error {
	o.retain.Stop()
	return o.disconnect()
}

func (o *Output) disconnect() error {
	if o.conn == nil {
		return nil
	}
	if o.files.moved() {
		if err := o.settle(); err != nil {
			return err
		}
		defer o.files.clear()
	}
	o.one.close()
	o.many.close()
	err := o.conn.Close()
	o.conn = nil
	return err
}

// settle prepares for closing a database that was moved. The error is that this
// has to wait.
func (o *Output) settle() error {
	err := o.conn.settle()
	if errors.Is(err, errRead) || transient(err) {
		return o.wrap(err)
	}
	if err != nil {
		o.env.Log.Error(fmt.Sprintf("%v; the moved file may lack the rows that were written last", o.wrap(err)))
	}
	return nil
}
