package sqldbtest

import (
	"errors"
	"fmt"
	"testing"

	"github.com/ulogd-go/ulogd/pkg/plugin"
)

// Ledger tests that rows and ledger are one transaction, and that a row that the server
// refuses costs neither the connection nor the others. The subject's table is t, and its
// source "fw1/db1".
func Ledger(t *testing.T, s *Subject) {
	s.Exec(t, "create table t (_id bigint, oob_mark bigint, constraint c check (oob_mark <> 13))")
	s.MustConnect(t)
	resume := func(epoch string, want uint64) {
		t.Helper()
		if upto, err := s.Conn.Resume(t.Context(), epoch); err != nil || upto != want {
			t.Errorf("Resume(%s) = %d, %v; want %d", epoch, upto, err, want)
		}
	}
	mark := func(n uint64) Fields { return Fields{"oob_mark": Num(n)} }
	s.Write(t, mark(1), mark(2))
	resume("e1", 2)
	resume("e2", 0)
	var reject *plugin.RejectError
	err := s.Conn.Write(t.Context(), s.Block(mark(3), mark(13)))
	if !errors.As(err, &reject) || len(reject.Rows) != 0 {
		t.Errorf("error %v, want a *plugin.RejectError without rows", err)
	}
	resume("e1", 2)
	s.Write(t, mark(5))
	resume("e1", 5)
	if got := fmt.Sprint(s.Query(t, "select oob_mark from t order by 1")); got != "[[1] [2] [5]]" {
		t.Errorf("rows %s", got)
	}
	// A logger or a server was off for long. Only what other epochs have left goes.
	s.Exec(t, "update ulogd_ledger set updated = now() - interval '30' day",
		"insert into ulogd_ledger values ('fw1/db1', 'e0', 7, 0, now() - interval '30' day)")
	s.MustConnect(t)
	resume("e1", 5)
	if got := fmt.Sprint(s.Query(t, "select source, epoch, upto, lost from ulogd_ledger")); got != "[[fw1/db1 e1 5 3]]" {
		t.Errorf("ledger %s", got)
	}
}

// ChangedTable tests that rows are matched to columns by name, whatever has become of the
// table, and that what can't be stored is an error to connect anew after. The subject's
// table is t.
func ChangedTable(t *testing.T, s *Subject) {
	s.Exec(t, "create table t (oob_mark bigint, oob_hook int, more int default 9)")
	s.MustConnect(t)
	s.Write(t, Fields{"oob_mark": Num(1), "oob_hook": Num(2)})
	s.Exec(t, "alter table t drop column oob_hook")
	blk := s.Block(Fields{"oob_mark": Num(3), "oob_hook": Num(4)})
	if err := s.Conn.Write(t.Context(), blk); !errors.Is(err, plugin.ErrNotConnected) {
		t.Errorf("error %v, want plugin.ErrNotConnected", err)
	}
	s.MustConnect(t)
	if err := s.Conn.Write(t.Context(), blk); err != nil {
		t.Fatal(err)
	}
	s.Logged(t, "columns that table t has not, whose values are not stored: oob_hook")
	if got := fmt.Sprint(s.Query(t, "select oob_mark, more from t order by 1")); got != "[[1 9] [3 9]]" {
		t.Errorf("rows %s", got)
	}
}
