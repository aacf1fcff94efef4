package sqlite3

import (
	"context"
	"database/sql/driver"
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
	"github.com/ulogd-go/ulogd/schema"
)

// Connect opens the database, makes the table if there is none, and prepares the
// statement. An error that time alone may mend is plugin.ErrNotConnected.
func (o *output) Connect(ctx context.Context) error {
	if o.unseen != nil {
		return o.wrap(o.unseen)
	}
	if err := errors.Join(o.Close(), writable(o.DB)); err != nil {
		return err
	}
	if err := o.connect(ctx); err != nil {
		_ = o.Close() // the first error says why
		if transient(err) {
			return fmt.Errorf("%w: %w", plugin.ErrNotConnected, o.wrap(err))
		}
		return o.wrap(err)
	}
	return nil
}

// wrap says which table an error is about.
func (o *output) wrap(err error) error {
	return fmt.Errorf("database %s, table %s: %w", o.DB, o.Table, err)
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

func (o *output) connect(ctx context.Context) (err error) {
	fresh, err := isEmpty(o.DB)
	if err != nil {
		return err
	}
	if o.conn, err = dial(ctx, o.DB, "rwc", o.BusyTimeout); err != nil {
		return err
	}
	o.files = files{}
	if fresh {
		if err := o.conn.exec(ctx, "pragma journal_mode=wal"); err != nil {
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
	o.files = statFiles(o.DB)
	if fresh {
		return o.give()
	}
	return nil
}

// give leaves the files of a new database to the user that the daemon becomes.
func (o *output) give() error {
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if err := o.env.Files.Give(o.DB + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// relax leaves syncing to checkpoints if there is a write-ahead log, which keeps
// the database sound all the same. Without one SQLite's default stays, and for rows
// that are to survive a power cut, too.
func (o *output) relax(ctx context.Context) error {
	mode := ""
	err := o.conn.query(ctx, "pragma journal_mode", "", func(v []driver.Value) { mode, _ = v[0].(string) })
	if err != nil || mode != "wal" || o.Durability == queue.Power {
		return err
	}
	return o.conn.exec(ctx, "pragma synchronous=normal")
}

// ready makes the table as it was last seen if there is none, and finds out what
// it is like now.
func (o *output) ready(ctx context.Context) error {
	if err := o.conn.exec(ctx, "begin immediate"); err != nil {
		return err
	}
	t, err := readTable(ctx, o.conn, o.Table)
	if err == nil && len(t.columns) == 0 {
		o.env.Log.Log(ctx, logging.Notice, fmt.Sprintf("database %s has no table %s, making it", o.DB, o.Table))
		err = o.conn.exec(ctx, strings.Join(o.seen.sql, ";\n"))
		t = o.seen
	}
	if err == nil && o.Generation == plugin.First {
		o.signed, err = t.signed(ctx, o.conn, o.Table)
	}
	if err == nil {
		err = o.openLedger(ctx)
	}
	if err == nil {
		err = o.conn.exec(ctx, "commit")
	}
	if err != nil {
		o.conn.rollback()
		return err
	}
	o.learn(t)
	return o.check()
}

// check is an error if every row would be refused.
func (o *output) check() error {
	keys := row.Columns(o.keyed())
	if !slices.ContainsFunc(keys, func(name string) bool { return o.seen.find(name) != nil }) {
		return errors.New("no plugin of the stack publishes the key of any column; name the columns after keys, with _ for each dot")
	}
	for _, c := range o.seen.columns {
		if c.required && !slices.Contains(keys, c.name) {
			return fmt.Errorf("column %s is NOT NULL without a default, and no plugin of the stack publishes the key %s; give the column a default", c.name, row.Key(c.name))
		}
	}
	return nil
}

// plan compiles the statement for rows of a layout, of whose columns the table
// still has some.
func (o *output) plan(ctx context.Context, layout string) (err error) {
	var names, marks, gone []string
	o.fields = o.fields[:0]
	for _, name := range row.Columns(layout) {
		f := field{place: -1, signed: o.signed}
		f.natural = o.Generation == plugin.First || row.Key(name) == "icmp.gateway" // swapped by ulogd 2.0.8 beforehand
		if c := o.seen.find(name); c == nil {
			gone = append(gone, name)
		} else {
			f.column, f.place = *c, len(names)
			names = append(names, schema.QuoteSQLite(name))
			marks = append(marks, "?")
		}
		o.fields = append(o.fields, f)
	}
	if len(gone) > 0 {
		o.env.Log.Warn(fmt.Sprintf("table %s has lost columns, whose values are not stored: %s", o.Table, strings.Join(gone, ", ")))
	}
	o.args = make([]driver.NamedValue, len(names))
	for i := range o.args {
		o.args[i].Ordinal = i + 1
	}
	o.statement = fmt.Sprintf("insert into %s (%s) values (%s)",
		schema.QuoteSQLite(o.Table), strings.Join(names, ","), strings.Join(marks, ","))
	if o.insert != nil {
		_ = o.insert.Close() // an error repeats that of the last row
	}
	o.layout = layout
	o.insert, err = o.conn.prepare(ctx, o.statement)
	return err
}

// Write inserts the rows of a block in one transaction.
func (o *output) Write(ctx context.Context, blk *queue.Block) error {
	if err := o.current(ctx); err != nil {
		return err
	}
	if blk.Layout != o.layout {
		if err := o.plan(ctx, blk.Layout); err != nil {
			return o.failure(err)
		}
	}
	if err := o.conn.exec(ctx, "begin immediate"); err != nil {
		return o.failure(err)
	}
	err := o.insertAll(blk)
	if err == nil {
		err = o.moveLedger(blk)
	}
	if err == nil {
		err = o.conn.exec(context.Background(), "commit")
	}
	if err != nil {
		o.conn.rollback()
		return o.failure(err)
	}
	return nil
}

// insertAll inserts all rows. At one that the table refuses nothing is stored:
// the ledger must not pass it before it is kept elsewhere.
func (o *output) insertAll(blk *queue.Block) error {
	for i := range blk.Rows() {
		err := o.insertRow(blk.Row(i))
		if err != nil && o.refused(err) {
			return &plugin.RejectError{Err: o.wrap(err)}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (o *output) insertRow(r []byte) (err error) {
	if o.values, err = row.Decode(o.values[:0], r); err != nil {
		return err
	}
	if len(o.values) != len(o.fields) {
		return row.ErrMalformed
	}
	for i := range o.fields {
		if f := &o.fields[i]; f.place >= 0 {
			f.set(&o.args[f.place].Value, o.values[i])
		}
	}
	_, err = o.insert.ExecContext(context.Background(), o.args)
	return err
}

// refused tells whether err is about the row: no later attempt will do better.
func (o *output) refused(err error) bool {
	switch code(err) {
	case codeConstraint, codeMismatch, codeTooBig:
		return true
	case codeError:
		// Either the table has changed, or one of its triggers stumbled over the row.
		s, err := o.conn.prepare(context.Background(), o.statement)
		if err == nil {
			_ = s.Close()
		}
		return err == nil
	}
	return errors.Is(err, row.ErrMalformed)
}

// failure is err as the engine understands it: either the same will do later, or
// a new connection is worth a try.
func (o *output) failure(err error) error {
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
func (o *output) current(ctx context.Context) error {
	if o.conn != nil && !o.files.moved() {
		return nil
	}
	if o.conn != nil {
		o.env.Log.Log(ctx, logging.Notice, fmt.Sprintf("database %s was moved or removed, opening the path anew", o.DB))
	}
	err := o.Connect(ctx)
	if err == nil || errors.Is(err, plugin.ErrNotConnected) {
		return err
	}
	return fmt.Errorf("%w: %w", plugin.ErrNotConnected, err)
}

// Reopen closes the database and opens it again. After an error the next Write
// tries the same.
func (o *output) Reopen() error { return o.Connect(context.Background()) }

// Close gives the database up.
func (o *output) Close() error {
	if o.conn == nil {
		return nil
	}
	if o.files.moved() {
		if err := o.settle(); err != nil {
			return err
		}
		defer o.files.clear()
	}
	if o.insert != nil {
		_ = o.insert.Close() // an error repeats that of the last row
	}
	err := o.conn.Close()
	o.conn, o.insert = nil, nil
	return err
}

// settle prepares for closing a database that was moved. The error is that this
// has to wait.
func (o *output) settle() error {
	err := o.conn.settle()
	if errors.Is(err, errRead) || transient(err) {
		return o.wrap(err)
	}
	if err != nil {
		o.env.Log.Error(fmt.Sprintf("%v; the moved file may lack the rows that were written last", o.wrap(err)))
	}
	return nil
}
