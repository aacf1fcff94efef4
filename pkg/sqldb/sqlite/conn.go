package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"net/url"
	"os"
	"time"
	"unsafe"

	"modernc.org/libc"
	_ "modernc.org/sqlite" // used through database/sql
	lib "modernc.org/sqlite/lib"
)

// Result codes, the low byte of what SQLite reports (https://www.sqlite.org/rescode.html).
const (
	codeError      = lib.SQLITE_ERROR
	codeBusy       = lib.SQLITE_BUSY
	codeLocked     = lib.SQLITE_LOCKED
	codeNoMem      = lib.SQLITE_NOMEM
	codeFull       = lib.SQLITE_FULL
	codeTooBig     = lib.SQLITE_TOOBIG
	codeConstraint = lib.SQLITE_CONSTRAINT
	codeMismatch   = lib.SQLITE_MISMATCH
	codeReadOnly   = lib.SQLITE_READONLY
)

// callError is what SQLite says of a call that has failed.
type callError struct {
	code int32  // with the extension
	text string // of the code
	more string // of the call
}

func (e *callError) Error() string {
	if e.more == "" || e.more == e.text {
		return fmt.Sprintf("%s (%d)", e.text, e.code)
	}
	return fmt.Sprintf("%s: %s (%d)", e.text, e.more, e.code)
}

// code is SQLite's result code in err; 0 if there is none.
func code(err error) int {
	var e *callError
	if errors.As(err, &e) {
		return int(e.code) & 0xff
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

// conn is a connection to a database. It calls SQLite itself: package database/sql
// and its driver would allocate, copy and lock for each value of each row, which is
// twice the work of storing it. It is not for concurrent use.
type conn struct {
	tls  *libc.TLS
	db   uintptr
	wait time.Duration // for a lock
}

// memory is the path of a database that lives as long as its connection.
const memory = ":memory:"

// dial opens the database at path. The mode is that of SQLite's file names: "rwc",
// or "ro" to only read. No statement waits longer than wait for a lock.
func dial(path, mode string, wait time.Duration) (*conn, error) {
	name := path
	if path != memory {
		name = fmt.Sprintf("file:%s?mode=%s", (&url.URL{Path: path}).EscapedPath(), mode)
	}
	c := &conn{tls: libc.NewTLS(), wait: wait}
	if err := c.open(name); err != nil {
		_ = c.Close() // the first error says why
		return nil, err
	}
	lib.Xsqlite3_extended_result_codes(c.tls, c.db, 1)
	c.limit(wait)
	return c, nil
}

func (c *conn) open(name string) error {
	text, err := libc.CString(name)
	if err != nil {
		return err
	}
	defer libc.Xfree(c.tls, text)
	const flags = lib.SQLITE_OPEN_READWRITE | lib.SQLITE_OPEN_CREATE | lib.SQLITE_OPEN_URI | lib.SQLITE_OPEN_NOMUTEX
	db := c.tls.Alloc(pointerSize)
	defer c.tls.Free(pointerSize)
	rc := lib.Xsqlite3_open_v2(c.tls, text, db, flags, 0)
	c.db = load(db)
	return c.check(rc)
}

const pointerSize = int(unsafe.Sizeof(uintptr(0)))

// pointer is a pointer to memory of SQLite's, which Go neither moves nor frees.
func pointer(p uintptr) unsafe.Pointer { return *(*unsafe.Pointer)(unsafe.Pointer(&p)) }

// load is the pointer that SQLite has stored at p.
func load(p uintptr) uintptr { return *(*uintptr)(pointer(p)) }

// limit sets how long a statement may wait for a lock.
func (c *conn) limit(wait time.Duration) {
	lib.Xsqlite3_busy_timeout(c.tls, c.db, int32(min(wait.Milliseconds(), math.MaxInt32)))
}

// check is the error that a result code stands for, or nil.
func (c *conn) check(rc int32) error {
	switch rc {
	case lib.SQLITE_OK, lib.SQLITE_ROW, lib.SQLITE_DONE:
		return nil
	}
	e := &callError{code: rc, text: libc.GoString(lib.Xsqlite3_errstr(c.tls, rc))}
	if c.db != 0 {
		e.more = libc.GoString(lib.Xsqlite3_errmsg(c.tls, c.db))
	}
	return e
}

// Close ends the connection. Its statements are closed before.
func (c *conn) Close() error {
	err := c.check(lib.Xsqlite3_close(c.tls, c.db))
	c.tls.Close()
	return err
}

// open is a pool of connections beside the one that stores rows, for retention.
func (o *Output) open() (*sql.DB, error) {
	file := (&url.URL{Path: o.config.DB}).EscapedPath()
	return sql.Open("sqlite", fmt.Sprintf("file:%s?mode=rw&_pragma=busy_timeout(%d)&_txlock=immediate", file, o.config.BusyTimeout.Milliseconds()))
}

// exec runs one or more statements.
func (c *conn) exec(sql string) error {
	text, err := libc.CString(sql)
	if err != nil {
		return err
	}
	defer libc.Xfree(c.tls, text)
	return c.check(lib.Xsqlite3_exec(c.tls, c.db, text, 0, 0, 0))
}

// glance is how long SQLite waits for a lock before the context is looked at.
const glance = 50 * time.Millisecond

// begin starts a transaction that can write. It waits for the lock, but not when
// ctx has ended.
func (c *conn) begin(ctx context.Context) error {
	c.limit(min(glance, c.wait))
	defer c.limit(c.wait)
	for start := time.Now(); ; {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := c.exec("begin immediate"); code(err) != codeBusy || time.Since(start) >= c.wait {
			return err
		}
	}
}

// query runs a statement with one argument, if it is not empty, and calls scan
// with each row of the result, which is valid until scan returns.
func (c *conn) query(sql, arg string, scan func(result)) error {
	s, err := c.prepare(sql)
	if err != nil {
		return err
	}
	defer s.close()
	if arg != "" {
		s.bindText(1, []byte(arg))
	}
	for {
		more, err := s.step()
		if err != nil || !more {
			return err
		}
		scan(result{s})
	}
}

// rollback ends a transaction. The error would be that SQLite has done so
// itself, as it does after some errors.
func (c *conn) rollback() { _ = c.exec("rollback") }

// errRead says that a log is in use.
var errRead = errors.New("the file was moved while another program reads it; the new file waits until that program is done")

// settle brings what is in the write-ahead log into the database. SQLite does
// that itself when the last connection is closed, unless the file was renamed.
// The error is errRead while a reader needs the log.
func (c *conn) settle() error {
	busy := false
	err := c.query("pragma wal_checkpoint(truncate)", "", func(r result) { busy = r.integer(0) != 0 })
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
