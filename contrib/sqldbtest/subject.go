// Package sqldbtest is what the tests of all engines share: a connection whose log can
// be read, rows by the names of their columns, and the tests that any connection has to
// pass.
package sqldbtest

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/ulogd-go/ulogd/contrib/dbtest"
	"github.com/ulogd-go/ulogd/pkg/queue"
	"github.com/ulogd-go/ulogd/pkg/row"
	"github.com/ulogd-go/ulogd/pkg/sqldb"
)

// Subject is a connection to a database, and what it logs.
type Subject struct {
	*dbtest.Database
	Dial func(context.Context) (sqldb.Conn, error)
	Log  bytes.Buffer
	Conn sqldb.Conn
	Next uint64 // number of the next row
}

// Connect dials and prepares; the result is the error of whichever fails.
func (s *Subject) Connect(t testing.TB) error {
	t.Helper()
	c, err := s.Dial(t.Context())
	if err != nil {
		return err
	}
	t.Cleanup(func() { _ = c.Close() })
	s.Conn = c
	if _, err := c.Columns(t.Context()); err != nil {
		return err
	}
	return c.Prepare(t.Context())
}

// MustConnect is Connect for what has to work.
func (s *Subject) MustConnect(t testing.TB) {
	t.Helper()
	if err := s.Connect(t); err != nil {
		t.Fatalf("%v\n%s", err, &s.Log)
	}
}

// Fields is a row by columns.
type Fields map[string]row.Value

// Num is a number without a sign.
func Num(n uint64) row.Value { return row.Value{Kind: row.Uint, Num: n} }

// Text is a text.
func Text(s string) row.Value { return row.Value{Kind: row.Text, Bytes: []byte(s)} }

// Bin is an address in bytes.
func Bin(s string) row.Value { return row.Value{Kind: row.Bin, Bytes: []byte(s)} }

// Flag is 0 or 1.
func Flag(n uint64) row.Value { return row.Value{Kind: row.Bool, Num: n} }

// Block is rows of the columns that occur in them, numbered on from the last ones.
func (s *Subject) Block(rows ...Fields) *queue.Block {
	var columns []string
	for _, r := range rows {
		for name := range r {
			if !slices.Contains(columns, name) {
				columns = append(columns, name)
			}
		}
	}
	slices.Sort(columns)
	blk := &queue.Block{Epoch: "e1", First: s.Next, Layout: strings.Join(columns, "\x00"), Lost: 3}
	for _, r := range rows {
		for _, name := range columns {
			v := r[name]
			switch {
			case v.Kind == row.Null:
				blk.Data = row.AppendNulls(blk.Data, 1)
			case v.Kind <= row.IP4:
				blk.Data = row.AppendNum(blk.Data, v.Kind, v.Num)
			default:
				blk.Data = row.AppendBytes(blk.Data, v.Kind, v.Bytes)
			}
		}
		blk.End()
	}
	s.Next += uint64(len(rows))
	return blk
}

// Write stores rows, which has to work.
func (s *Subject) Write(t testing.TB, rows ...Fields) {
	t.Helper()
	if err := s.Conn.Write(t.Context(), s.Block(rows...)); err != nil {
		t.Fatalf("%v\n%s", err, &s.Log)
	}
}

// Logged is an error unless the log has a text.
func (s *Subject) Logged(t *testing.T, want string) {
	t.Helper()
	if !strings.Contains(s.Log.String(), want) {
		t.Errorf("the log lacks %q:\n%s", want, &s.Log)
	}
}
