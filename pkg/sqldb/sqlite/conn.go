package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"time"

	"modernc.org/sqlite"
)

// Result codes, the low byte of what SQLite reports (https://www.sqlite.org/rescode.html).
const (
	codeError      = 1
	codeBusy       = 5
	codeLocked     = 6
	codeNoMem      = 7
	codeFull       = 13
	codeTooBig     = 18
	codeConstraint = 19
	codeMismatch   = 20
)

// code is SQLite's result code in err; 0 if there is none.
func code(err error) int {
	var e *sqlite.Error
	if errors.As(err, &e) {
		return e.Code() & 0xff
	}
	return 0
}

// transient tells whether the same will work later on the same connection.
func transient(err error) bool {
	switch code(err) {
	case codeBusy, codeLocked, codeNoMem, codeFull:
		return true
	}
	return false
}

// conn is a connection to a database. It speaks to the driver itself, since
// package database/sql would check and copy each value of each row.
type conn struct {
	driver.Conn
}

// memory is the path of a database that lives as long as its connection.
const memory = ":memory:"

// dial opens the database at path. The mode is that of SQLite's file names: "rwc",
// or "ro" to only read. No statement waits longer than wait for a lock.
func dial(ctx context.Context, path, mode string, wait time.Duration) (*conn, error) {
	file := (&url.URL{Path: path}).EscapedPath()
	dsn := fmt.Sprintf("file:%s?mode=%s&_pragma=busy_timeout(%d)", file, mode, wait.Milliseconds())
	if path == memory {
		dsn = memory
	}
	connector, err := sqlite.NewConnector(dsn)
	if err != nil {
		return nil, err
	}
	c, err := connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return &conn{c}, nil
}

// open is a pool of connections beside the one that stores rows, for retention.
func (o *Output) open() (*sql.DB, error) {
	file := (&url.URL{Path: o.config.DB}).EscapedPath()
	return sql.Open("sqlite", fmt.Sprintf("file:%s?mode=rw&_pragma=busy_timeout(%d)&_txlock=immediate", file, o.config.BusyTimeout.Milliseconds()))
}

// exec runs one or more statements.
func (c *conn) exec(ctx context.Context, sql string) error {
	_, err := c.Conn.(driver.ExecerContext).ExecContext(ctx, sql, nil)
	return err
}

// query runs a statement with one argument, if it is not empty, and calls scan
// with each row of the result. The row is valid until scan returns.
func (c *conn) query(ctx context.Context, sql, arg string, scan func([]driver.Value)) error {
	var args []driver.NamedValue
	if arg != "" {
		args = []driver.NamedValue{{Ordinal: 1, Value: arg}}
	}
	rows, err := c.Conn.(driver.QueryerContext).QueryContext(ctx, sql, args)
	if err != nil {
		return err
	}
	defer rows.Close()
	values := make([]driver.Value, len(rows.Columns()))
	for {
		if err := rows.Next(values); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		scan(values)
	}
}

// statement is a compiled statement. It is not to be used after its connection
// is closed.
type statement interface {
	driver.Stmt
	driver.StmtExecContext
}

// prepare compiles a statement that is to run often.
func (c *conn) prepare(ctx context.Context, sql string) (statement, error) {
	s, err := c.Conn.(driver.ConnPrepareContext).PrepareContext(ctx, sql)
	if err != nil {
		return nil, err
	}
	return s.(statement), nil
}

// insert is a statement that inserts rows.
type insert struct {
	sql      string
	compiled statement
}

// close gives the statement up, if there is one. An error would repeat that of the
// last row.
func (i *insert) close() {
	if i.compiled != nil {
		_ = i.compiled.Close()
	}
	*i = insert{}
}

// compile prepares a statement in place of the one that was there.
func (i *insert) compile(ctx context.Context, c *conn, sql string) (err error) {
	i.close()
	i.sql = sql
	i.compiled, err = c.prepare(ctx, sql)
	return err
}

// rollback ends a transaction. The error would be that SQLite has done so
// itself, as it does after some errors.
func (c *conn) rollback() { _ = c.exec(context.Background(), "rollback") }

// errRead says that a log is in use.
var errRead = errors.New("the file was moved while another program reads it; the new file waits until that program is done")

// settle brings what is in the write-ahead log into the database. SQLite does
// that itself when the last connection is closed, unless the file was renamed.
// The error is errRead while a reader needs the log.
func (c *conn) settle() error {
	busy := false
	err := c.query(context.Background(), "pragma wal_checkpoint(truncate)", "", func(v []driver.Value) { busy = v[0] != int64(0) })
	if err == nil && busy {
		return errRead
	}
	return err
}

// files are a database and what SQLite keeps beside it.
type files struct {
	path string
	db   os.FileInfo
	kept map[string]os.FileInfo // of the write-ahead log and its index, by path
}

func statFiles(path string) files {
	f := files{path: path, kept: map[string]os.FileInfo{}}
	f.db, _ = os.Stat(path)
	for _, kept := range []string{path + "-wal", path + "-shm"} {
		if info, err := os.Stat(kept); err == nil {
			f.kept[kept] = info
		}
	}
	return f
}

// moved tells whether the path no longer leads to the database.
func (f files) moved() bool {
	if f.db == nil {
		return false
	}
	info, err := os.Stat(f.path)
	return err != nil || !os.SameFile(info, f.db)
}

// clear removes the log and the index of a database that was moved, lest SQLite
// takes them for those of the new file at path: both files in one index would
// spoil each other. Whoever has them open can still use them.
func (f files) clear() {
	for path, was := range f.kept {
		if info, err := os.Stat(path); err == nil && os.SameFile(info, was) {
			_ = os.Remove(path) // if that fails, opening the database does too
		}
	}
}
