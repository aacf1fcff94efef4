package sqlite

import (
	"unsafe"

	"modernc.org/libc"
	lib "modernc.org/sqlite/lib"
)

// statement is a compiled statement of a connection, to be closed before it.
type statement struct {
	*conn
	stmt   uintptr
	bound  int32 // the first result code of a bind that was none of success
	buffer buffer
}

// prepare compiles a statement.
func (c *conn) prepare(sql string) (*statement, error) {
	text, err := libc.CString(sql)
	if err != nil {
		return nil, err
	}
	defer libc.Xfree(c.tls, text)
	stmt := c.tls.Alloc(pointerSize)
	defer c.tls.Free(pointerSize)
	if err := c.check(lib.Xsqlite3_prepare_v2(c.tls, c.db, text, -1, stmt, 0)); err != nil {
		return nil, err
	}
	return &statement{conn: c, stmt: load(stmt), buffer: buffer{tls: c.tls}}, nil
}

// close gives the statement up. An error would repeat that of the last step.
func (s *statement) close() {
	lib.Xsqlite3_finalize(s.tls, s.stmt)
	s.buffer.close()
}

func (s *statement) note(rc int32) {
	if rc != lib.SQLITE_OK && s.bound == lib.SQLITE_OK {
		s.bound = rc
	}
}

// bindNull, bindInt, bindText and bindBlob set parameter i, from 1 on, for the next
// step. What goes wrong is step's error.
func (s *statement) bindNull(i int) { s.note(lib.Xsqlite3_bind_null(s.tls, s.stmt, int32(i))) }

func (s *statement) bindInt(i int, n int64) {
	s.note(lib.Xsqlite3_bind_int64(s.tls, s.stmt, int32(i), n))
}

func (s *statement) bindText(i int, text []byte) {
	p, ok := s.buffer.copy(text)
	if !ok {
		s.note(lib.SQLITE_NOMEM)
		return
	}
	s.note(lib.Xsqlite3_bind_text(s.tls, s.stmt, int32(i), p, int32(len(text)), lib.SQLITE_STATIC))
}

func (s *statement) bindBlob(i int, b []byte) {
	p, ok := s.buffer.copy(b)
	if !ok {
		s.note(lib.SQLITE_NOMEM)
		return
	}
	s.note(lib.Xsqlite3_bind_blob(s.tls, s.stmt, int32(i), p, int32(len(b)), lib.SQLITE_STATIC))
}

// step goes to the next row of the result, and tells whether there is one.
func (s *statement) step() (more bool, err error) {
	if rc := s.bound; rc != lib.SQLITE_OK {
		s.bound = lib.SQLITE_OK
		return false, s.check(rc)
	}
	rc := lib.Xsqlite3_step(s.tls, s.stmt)
	return rc == lib.SQLITE_ROW, s.check(rc)
}

// run executes a statement that has no result, and readies it for other values.
func (s *statement) run() error {
	_, err := s.step()
	lib.Xsqlite3_reset(s.tls, s.stmt) // its error is step's
	s.buffer.reset()
	return err
}

// insert is a statement that inserts rows.
type insert struct {
	sql string
	*statement
}

// close gives the statement up, if there is one.
func (i *insert) close() {
	if i.statement != nil {
		i.statement.close()
	}
	*i = insert{}
}

// compile prepares a statement in place of the one that was there.
func (i *insert) compile(c *conn, sql string) (err error) {
	i.close()
	i.sql = sql
	i.statement, err = c.prepare(sql)
	return err
}

// result is the present row of a statement's result. Columns count from 0.
type result struct{ *statement }

// integer is a column as a number; 0 for NULL.
func (r result) integer(column int) int64 {
	return lib.Xsqlite3_column_int64(r.tls, r.stmt, int32(column))
}

// text is a column as text; empty for NULL.
func (r result) text(column int) string {
	p := lib.Xsqlite3_column_text(r.tls, r.stmt, int32(column))
	n := lib.Xsqlite3_column_bytes(r.tls, r.stmt, int32(column))
	if p == 0 {
		return ""
	}
	return string(unsafe.Slice((*byte)(pointer(p)), n))
}

// buffer keeps texts where SQLite can read them: in memory that is not Go's.
type buffer struct {
	tls    *libc.TLS
	chunks []chunk
	chunk  int // that is being filled
	used   int // bytes of it
}

type chunk struct {
	p    uintptr
	size int
}

// chunkSize is enough for the texts of many rows.
const chunkSize = 64 << 10

// copy keeps b until reset. It fails if there is no memory.
func (b *buffer) copy(text []byte) (p uintptr, ok bool) {
	for b.chunk < len(b.chunks) && b.chunks[b.chunk].size-b.used <= len(text) {
		b.chunk, b.used = b.chunk+1, 0
	}
	if b.chunk == len(b.chunks) {
		size := max(chunkSize, len(text)+1)
		p := libc.Xmalloc(b.tls, libc.Tsize_t(size))
		if p == 0 {
			return 0, false
		}
		b.chunks = append(b.chunks, chunk{p, size})
	}
	p = b.chunks[b.chunk].p + uintptr(b.used)
	copy(unsafe.Slice((*byte)(pointer(p)), len(text)), text)
	b.used += len(text)
	return p, true
}

// reset forgets all texts, and keeps the memory.
func (b *buffer) reset() { b.chunk, b.used = 0, 0 }

func (b *buffer) close() {
	for _, c := range b.chunks {
		libc.Xfree(b.tls, c.p)
	}
	b.chunks = nil
}
