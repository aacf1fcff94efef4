package sqlite

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ulogd-go/ulogd/pkg/plugin"
	"github.com/ulogd-go/ulogd/pkg/queue"
	"github.com/ulogd-go/ulogd/pkg/row"
	"github.com/ulogd-go/ulogd/pkg/sqldb"
)

// open is a new database with a table t.
func open(t *testing.T, table string) *conn {
	t.Helper()
	c, err := dial(filepath.Join(t.TempDir(), "a ?#%&b.db"), "rwc", time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := c.exec(table); err != nil {
		t.Fatal(err)
	}
	return c
}

// prepared is a statement for the test.
func prepared(t *testing.T, c *conn, sql string) *statement {
	t.Helper()
	s, err := c.prepare(sql)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.close)
	return s
}

// TestBind has one statement store values that fit into the buffer, fill it, and
// are larger than it, more than once.
func TestBind(t *testing.T) {
	c := open(t, "create table t (n, a, b)")
	s := prepared(t, c, "insert into t values (?,?,?), (?,?,?), (?,?,?)")
	values := [][]byte{{}, []byte("a\x00b"), bytes.Repeat([]byte("x"), chunkSize-3), bytes.Repeat([]byte("y"), 3*chunkSize), []byte("end")}
	var want []string
	for round := range 2 {
		for k := range 3 {
			v, w := values[(2*round+k)%len(values)], values[(2*round+k+1)%len(values)]
			s.bindInt(3*k+1, int64(-k))
			s.bindText(3*k+2, v)
			s.bindBlob(3*k+3, w)
			want = append(want, "integer", "text", string(v), "blob", string(w))
		}
		if err := s.run(); err != nil {
			t.Fatal(err)
		}
	}
	for k := range 3 {
		s.bindNull(3*k + 1)
		s.bindNull(3*k + 2)
		s.bindNull(3*k + 3)
		want = append(want, "null", "null", "", "null", "")
	}
	if err := s.run(); err != nil {
		t.Fatal(err)
	}
	var got []string
	sum := int64(0)
	err := c.query("select typeof(n), typeof(a), a, typeof(b), b, n from t order by rowid", "", func(r result) {
		for i := range 5 {
			got = append(got, r.text(i))
		}
		sum += r.integer(5)
	})
	if err != nil || strings.Join(got, "|") != strings.Join(want, "|") || sum != -6 {
		t.Errorf("%v, numbers of the sum %d, %d texts of %d, or others", err, sum, len(got), len(want))
	}
}

func TestErrors(t *testing.T) {
	c := open(t, "create table t (a integer primary key)")
	s := prepared(t, c, "insert into t values (?)")
	bad := func() error {
		s.bindInt(2, 1) // there is none
		return s.run()
	}
	tests := []struct {
		name string
		err  func() error
		code int
		text string
	}{
		{"constraint", func() error { return c.exec("insert into t values (1), (1)") }, codeConstraint, "constraint failed: UNIQUE constraint failed: t.a (1555)"},
		{"mismatch", func() error { return c.exec("insert into t values ('x')") }, codeMismatch, "datatype mismatch (20)"},
		{"syntax", func() error { _, err := c.prepare("insert in t"); return err }, codeError, `SQL logic error: near "in": syntax error (1)`},
		{"bind", bad, 25, "column index out of range (25)"},
		{"no database", func() error { _, err := dial(t.TempDir(), "rwc", 0); return err }, 14, "unable to open database file (14)"},
		{"of another", func() error { return errors.New("x") }, 0, "x"},
	}
	for _, tt := range tests {
		if err := tt.err(); err == nil || err.Error() != tt.text || code(err) != tt.code {
			t.Errorf("%s: %v, code %d; want %s, %d", tt.name, err, code(err), tt.text, tt.code)
		}
	}
	// None of it has left the connection or the statement unusable.
	s.bindInt(1, 7)
	if err := s.run(); err != nil {
		t.Error(err)
	}
}

// TestBeginWaits: the lock of another is waited for as long as was said, and no
// longer than the context.
func TestBeginWaits(t *testing.T) {
	c := open(t, "create table t (a)")
	path := ""
	if err := c.query("select file from pragma_database_list", "", func(r result) { path = r.text(0) }); err != nil {
		t.Fatal(err)
	}
	other, err := dial(path, "rwc", 3*glance)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if err := c.begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	if err := other.begin(t.Context()); code(err) != codeBusy || time.Since(start) < 2*glance {
		t.Errorf("after %v: %v, want busy after some %v", time.Since(start), err, 3*glance)
	}
	other.wait = time.Hour
	ctx, stop := context.WithTimeout(t.Context(), glance/2)
	defer stop()
	if err := other.begin(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v, want the context's error", err)
	}
	if err := c.exec("commit"); err != nil {
		t.Fatal(err)
	}
	if err := other.begin(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestRunDoesNotAllocate guards what is done for each row. SQLite's own memory is
// not Go's.
func TestRunDoesNotAllocate(t *testing.T) {
	c := open(t, "create table t (a, b, c)")
	s := prepared(t, c, "insert into t values (?,?,?)")
	text := []byte("192.0.2.1")
	if err := c.begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	n := testing.AllocsPerRun(1000, func() {
		s.bindInt(1, 1<<40)
		s.bindText(2, text)
		s.bindNull(3)
		if err := s.run(); err != nil {
			t.Fatal(err)
		}
	})
	if n != 0 {
		t.Errorf("%v allocations for each row", n)
	}
	if err := c.exec("commit"); err != nil {
		t.Fatal(err)
	}
}

// path is where the database is.
func (c *conn) path(t *testing.T) (path string) {
	t.Helper()
	if err := c.query("pragma database_list", "", func(r result) { path = r.text(2) }); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestNotCompiled: statements that could not be compiled, since the schema had to be
// read and was locked, are compiled for the next attempt.
func TestNotCompiled(t *testing.T) {
	c := open(t, "create table t (a int, b int)")
	o := &Output{conn: c, config: Config{Table: "t", Ledger: sqldb.None}, env: &plugin.Env{Log: slog.New(slog.DiscardHandler)}}
	var err error
	if o.seen, err = readTable(c, "t"); err != nil {
		t.Fatal(err)
	}
	defer o.one.close()
	defer o.many.close()
	write := func(layout string, values int) error {
		blk := &queue.Block{Layout: layout}
		for range values {
			blk.Data = row.AppendNum(blk.Data, row.Uint, 7)
		}
		blk.End()
		return o.Write(t.Context(), blk)
	}
	if err := write("a", 1); err != nil {
		t.Fatal(err)
	}
	other, err := dial(c.path(t), "rw", time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	c.limit(time.Millisecond)
	for _, err := range []error{other.exec("begin exclusive"), c.exec("pragma writable_schema=reset")} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := write("a\x00b", 2); !transient(err) && !errors.Is(err, plugin.ErrNotConnected) {
		t.Errorf("error %v, want one of a lock", err)
	}
	if err := other.exec("rollback"); err != nil {
		t.Fatal(err)
	}
	if err := write("a\x00b", 2); err != nil {
		t.Error(err)
	}
	var n int64
	if err := c.query("select count(*) from t where a = 7", "", func(r result) { n = r.integer(0) }); err != nil || n != 2 {
		t.Errorf("%d rows, %v; want 2", n, err)
	}
}
