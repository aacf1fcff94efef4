package sqlite3

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ulogd-go/ulogd/pkg/plugin"
	"github.com/ulogd-go/ulogd/pkg/plugintest"
	"github.com/ulogd-go/ulogd/pkg/queue"
	"github.com/ulogd-go/ulogd/pkg/sqldb/sqlite"
)

// marks is an event for each number.
func marks(numbers ...int) (events []plugintest.Event) {
	for _, n := range numbers {
		events = append(events, plugintest.Event{"oob.mark": uint32(n), "oob.prefix": fmt.Sprint(n)})
	}
	return events
}

func rejected(t *testing.T, err error) *plugin.RejectError {
	t.Helper()
	var reject *plugin.RejectError
	if !errors.As(err, &reject) {
		t.Fatalf("error %v, want a *plugin.RejectError", err)
	}
	return reject
}

// TestRefusedRows: a block with rows that the table refuses is not stored, and
// the runner halves it until they are alone; ulogd is dead after the first.
func TestRefusedRows(t *testing.T) {
	tests := []struct {
		name, table, trigger, reason string
	}{
		{"unique", "create table t (oob_mark int unique, oob_prefix text)", "", "UNIQUE"},
		{"check", "create table t (oob_mark int check (oob_mark <> 2))", "", "CHECK"},
		{"not null", "create table t (oob_mark int, oob_prefix text not null)", "", "NOT NULL"},
		{"strict type", "create table t (oob_mark text, oob_prefix int not null) strict", "", "TEXT value in INT"},
		{"trigger refuses", "create table t (oob_mark int, oob_prefix text)",
			"create trigger r before insert on t when new.oob_mark = 2 begin select raise(abort, 'not two'); end", "not two"},
		{"trigger fails", "create table t (oob_mark int, oob_prefix text)",
			"create trigger r before insert on t when new.oob_mark = 2 begin select abs(-9223372036854775807 - 1); end", "integer overflow"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := newDB(t, tt.table)
			if tt.trigger != "" {
				run(t, path, tt.trigger)
			}
			events := marks(1, 2, 3, 2, 4)
			switch tt.name {
			case "not null":
				delete(events[1], "oob.prefix")
				delete(events[3], "oob.prefix")
			case "strict type":
				events[1]["oob.prefix"], events[3]["oob.prefix"] = "two", "two"
			case "unique":
				events[1] = marks(1)[0]
				events[3] = marks(1)[0]
			}
			o, blk, _ := start(t, path, "t", plugin.Raw, events...)
			connect(t, o)
			reject := rejected(t, o.Write(t.Context(), blk))
			if len(reject.Rows) != 0 {
				t.Errorf("rows %v named, although nothing was stored", reject.Rows)
			}
			for _, want := range []string{tt.reason, path} {
				if !strings.Contains(reject.Error(), want) {
					t.Errorf("reason %q lacks %q", reject, want)
				}
			}
			diff(t, nil, read(t, path, "t", "oob_mark"))
			for i := range blk.Rows() {
				err := o.Write(t.Context(), blk.Slice(i, i+1))
				if bad := i == 1 || i == 3; bad {
					rejected(t, err)
				} else if err != nil {
					t.Fatal(err)
				}
			}
			diff(t, []string{"1", "3", "4"}, read(t, path, "t", "cast(oob_mark as int)"))
			if tt.name != "unique" {
				write(t, o, blk.Slice(4, 5))
				diff(t, []string{"1", "3", "4", "4"}, read(t, path, "t", "cast(oob_mark as int)"))
			}
		})
	}
}

// TestConflictRollback: a table may ask for the whole transaction to be undone.
// Then nothing is stored, and the engine is told to find the culprit.
func TestConflictRollback(t *testing.T) {
	path := newDB(t, "create table t (oob_mark int unique on conflict rollback)")
	o, blk, _ := start(t, path, "t", plugin.Raw, marks(1, 2, 2, 3)...)
	connect(t, o)
	if reject := rejected(t, o.Write(t.Context(), blk)); len(reject.Rows) != 0 {
		t.Errorf("rows %v named, want none", reject.Rows)
	}
	diff(t, nil, read(t, path, "t", "oob_mark"))
	write(t, o, blk.Slice(0, 2))
	rejected(t, o.Write(t.Context(), blk.Slice(2, 3)))
	write(t, o, blk.Slice(3, 4))
	diff(t, []string{"1", "2", "3"}, read(t, path, "t", "oob_mark"))
}

// TestMalformedRow: a block that was spoilt on its way stops nothing.
func TestMalformedRow(t *testing.T) {
	path := newDB(t, "create table t (oob_mark int)")
	o, good, _ := start(t, path, "t", plugin.Raw, marks(1)...)
	connect(t, o)
	for _, row := range [][]byte{{}, good.Data, {99}} {
		blk := queue.Block{Layout: good.Layout, Data: row}
		blk.End()
		err := o.Write(t.Context(), &blk)
		if bytes.Equal(row, good.Data) {
			if err != nil {
				t.Error(err)
			}
			continue
		}
		rejected(t, err)
	}
	diff(t, []string{"1"}, read(t, path, "t", "oob_mark"))
}

// lock takes the database's write lock until the result is called.
func lock(t *testing.T, path, begin string) (unlock func()) {
	t.Helper()
	db := openDB(t, path)
	c, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	exec := func(s string) {
		if _, err := c.ExecContext(context.Background(), s); err != nil {
			t.Error(err)
		}
	}
	exec(begin)
	return func() {
		exec("rollback")
		if err := errors.Join(c.Close(), db.Close()); err != nil {
			t.Error(err)
		}
	}
}

// TestBusy: a lock of another program is waited for, and then the block is to be
// tried again, on the same connection; ulogd loses the row without a word.
func TestBusy(t *testing.T) {
	for _, mode := range []string{"delete", "wal"} {
		path := newDB(t, "pragma journal_mode="+mode, "create table t (oob_mark int)")
		o, blk, _ := start(t, path, "t", plugin.Raw, marks(1, 2)...)
		connect(t, o)
		unlock := lock(t, path, "begin immediate")
		err := o.Write(t.Context(), blk)
		if err == nil || errors.Is(err, plugin.ErrNotConnected) || !strings.Contains(err.Error(), "locked") {
			t.Errorf("%s: error %v, want that it is locked", mode, err)
		}
		unlock()
		write(t, o, blk)
		diff(t, []string{"1", "2"}, read(t, path, "t", "oob_mark"))
	}
}

// TestReaderDuringCommit: without a write-ahead log a reader blocks the COMMIT.
func TestReaderDuringCommit(t *testing.T) {
	path := newDB(t, "create table t (oob_mark int)")
	o, blk, _ := start(t, path, "t", plugin.Raw, marks(1)...)
	connect(t, o)
	unlock := lock(t, path, "begin; select count(*) from t")
	if err := o.Write(t.Context(), blk); err == nil || errors.Is(err, plugin.ErrNotConnected) {
		t.Errorf("error %v, want one to wait for", err)
	}
	unlock()
	write(t, o, blk)
	diff(t, []string{"1"}, read(t, path, "t", "oob_mark"))
}

// TestBusyWaits: a lock that goes away within busy_timeout is not even noticed.
func TestBusyWaits(t *testing.T) {
	path := newDB(t, "create table t (oob_mark int)")
	o, blk, _ := startWith(t, plugintest.Options{"db": path, "table": "t", "busy_timeout": "10s"}, plugin.Raw, marks(1)...)
	connect(t, o)
	unlock := lock(t, path, "begin immediate")
	timer := time.AfterFunc(20*time.Millisecond, unlock)
	defer timer.Stop()
	write(t, o, blk)
	diff(t, []string{"1"}, read(t, path, "t", "oob_mark"))
}

// TestConnectBusy: the stack starts all the same.
func TestConnectBusy(t *testing.T) {
	path := newDB(t, "create table t (oob_mark int)")
	o, blk, _ := start(t, path, "t", plugin.Raw, marks(1)...)
	unlock := lock(t, path, "begin exclusive")
	if err := o.Connect(t.Context()); !errors.Is(err, plugin.ErrNotConnected) {
		t.Errorf("error %v, want plugin.ErrNotConnected", err)
	}
	unlock()
	deliver(t, o, blk)
	diff(t, []string{"1"}, read(t, path, "t", "oob_mark"))
}

// TestCanceled: the end of the context ends the wait for a lock.
func TestCanceled(t *testing.T) {
	path := newDB(t, "create table t (oob_mark int)")
	o, blk, _ := startWith(t, plugintest.Options{"db": path, "table": "t", "busy_timeout": "1h"}, plugin.Raw, marks(1)...)
	connect(t, o)
	defer lock(t, path, "begin immediate")()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := o.Write(ctx, blk); err == nil {
		t.Error("written in spite of the lock")
	}
}

// TestTwoWriters: two stacks write to one table of one fresh file, as in the
// configuration 11-sqlite-several-tables.
func TestTwoWriters(t *testing.T) {
	const blocks, rows = 50, 20
	path := t.TempDir() + "/main.db"
	errs := make(chan error, 2)
	for i := range 2 {
		opts := plugintest.Options{"db": path, "table": "mainlog"}
		o, blk, _ := startWith(t, opts, plugin.Raw, marks(slices.Repeat([]int{i}, rows)...)...)
		connect(t, o)
		go func() {
			errs <- writeAll(t.Context(), o, blk, blocks)
		}()
	}
	if err := errors.Join(<-errs, <-errs); err != nil {
		t.Fatal(err)
	}
	diff(t, []string{"0 1000", "1 1000"}, read(t, path, "(select oob_mark as m, count(*) as n, oob_mark as rowid from mainlog group by 1)", "m,n"))
}

// writeAll writes a block n times, and tries again as the engine does.
func writeAll(ctx context.Context, o *sqlite.Output, blk *queue.Block, n int) error {
	deadline := time.Now().Add(30 * time.Second)
	for n > 0 {
		err := o.Write(ctx, blk)
		switch {
		case err == nil:
			n--
		case time.Now().After(deadline) || errors.Is(err, plugin.ErrNotConnected):
			return err
		}
	}
	return nil
}

// TestSchemaChanges: columns are matched by name when the table is another than
// Bind saw, or changes later.
func TestSchemaChanges(t *testing.T) {
	const table = "create table t (oob_mark int, oob_prefix text)"
	t.Run("before Connect", func(t *testing.T) {
		path := newDB(t, table)
		o, blk, log := start(t, path, "t", plugin.Raw, marks(1)...)
		run(t, path, "drop table t", "create table t (oob_hook int, oob_prefix text, extra text default 'x')")
		deliver(t, o, blk)
		diff(t, []string{"NULL '1' 'x'"}, read(t, path, "t", "oob_hook,oob_prefix,extra"))
		if !strings.Contains(log.String(), "columns that table t has not, whose values are not stored: oob_mark") {
			t.Errorf("the lost column is not mentioned: %s", log)
		}
	})
	t.Run("while running", func(t *testing.T) {
		path := newDB(t, table)
		o, blk, _ := start(t, path, "t", plugin.Raw, marks(1)...)
		deliver(t, o, blk)
		run(t, path, "alter table t add column more text")
		write(t, o, blk)
		run(t, path, "alter table t drop column oob_mark")
		if err := o.Write(t.Context(), blk); !errors.Is(err, plugin.ErrNotConnected) {
			t.Errorf("error %v, want plugin.ErrNotConnected", err)
		}
		deliver(t, o, blk)
		diff(t, []string{"'1' NULL", "'1' NULL", "'1' NULL"}, read(t, path, "t", "oob_prefix,more"))
	})
	t.Run("no column left", func(t *testing.T) {
		o, blk, _ := start(t, newDB(t, table), "t", plugin.Raw, marks(1, 2)...)
		connect(t, o)
		blk.Layout = "gone\x00too" // as rows of before, which have waited
		if r := rejected(t, o.Write(t.Context(), blk)); len(r.Rows) != 2 {
			t.Errorf("rows %v are rejected, want both", r.Rows)
		}
	})
	t.Run("table dropped", func(t *testing.T) {
		path := newDB(t, table, "create index i on t (oob_mark)")
		o, blk, _ := start(t, path, "t", plugin.Raw, marks(1)...)
		deliver(t, o, blk)
		run(t, path, "drop table t")
		if err := o.Write(t.Context(), blk); !errors.Is(err, plugin.ErrNotConnected) {
			t.Errorf("error %v, want plugin.ErrNotConnected", err)
		}
		deliver(t, o, blk)
		diff(t, []string{"1 '1'"}, read(t, path, "t", "oob_mark,oob_prefix"))
		diff(t, []string{"'t'", "'i'"}, read(t, path, "sqlite_schema where name not like '%ulogd_ledger%'", "name"))
	})
}

// TestRotation: when the file is renamed, what was written before is in it, what
// comes later is in a new one of the same layout. Another stack that has the same
// file open, and a reader, come to no harm.
func TestRotation(t *testing.T) {
	for _, mode := range []string{"delete", "wal"} {
		for _, reopen := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s reopen=%t", mode, reopen), func(t *testing.T) {
				path := newDB(t, "pragma journal_mode="+mode, "create table t (oob_mark int)")
				a, one, _ := start(t, path, "t", plugin.Raw, marks(1)...)
				b, two, _ := start(t, path, "t", plugin.Raw, marks(2)...)
				deliver(t, a, one)
				deliver(t, b, two)
				if err := os.Rename(path, path+".1"); err != nil {
					t.Fatal(err)
				}
				for _, o := range []*sqlite.Output{a, b} {
					if reopen {
						if err := o.Reopen(t.Context()); err != nil {
							t.Fatal(err)
						}
					}
				}
				for range 3 {
					write(t, a, one)
					write(t, b, two)
				}
				diff(t, []string{"1", "2", "1", "2", "1", "2"}, read(t, path, "t", "oob_mark"))
				diff(t, []string{"1", "2"}, read(t, path+".1", "t", "oob_mark"))
			})
		}
	}
}

// TestRotationWhileRead: as long as somebody reads the old file's log, the new
// file waits, since closing the old one would lose rows.
func TestRotationWhileRead(t *testing.T) {
	path := newDB(t, "pragma journal_mode=wal", "create table t (oob_mark int)")
	o, blk, _ := start(t, path, "t", plugin.Raw, marks(1)...)
	connect(t, o)
	reader := openDB(t, path)
	defer reader.Close()
	tx, err := reader.BeginTx(t.Context(), &sql.TxOptions{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	var n int
	if err := tx.QueryRow("select count(*) from t").Scan(&n); err != nil || n != 0 {
		t.Fatal(n, err)
	}
	write(t, o, blk)
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	if err := o.Write(t.Context(), blk); !errors.Is(err, plugin.ErrNotConnected) || !strings.Contains(err.Error(), "moved while another program reads it") {
		t.Errorf("error %v, want that there is a reader", err)
	}
	if err := errors.Join(tx.Rollback(), reader.Close()); err != nil {
		t.Fatal(err)
	}
	write(t, o, blk)
	diff(t, []string{"1"}, read(t, path, "t", "oob_mark"))
	diff(t, []string{"1"}, read(t, path+".1", "t", "oob_mark"))
}

// TestRemoved: a file that was deleted is made again.
func TestRemoved(t *testing.T) {
	path := newDB(t, packetTable)
	o, blk, log := start(t, path, "ulog_pkt", plugin.Raw, marks(1)...)
	deliver(t, o, blk)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	write(t, o, blk)
	diff(t, []string{"1 '1' NULL"}, read(t, path, "ulog_pkt", "oob_mark,oob_prefix,raw_pktlen"))
	if !strings.Contains(log.String(), "was moved or removed") {
		t.Errorf("log: %s", log)
	}
}

// TestDirectoryGone: rows wait until the directory is back.
func TestDirectoryGone(t *testing.T) {
	dir := t.TempDir() + "/log"
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	path := dir + "/main.db"
	o, blk, _ := start(t, path, "t", plugin.Raw, marks(1)...)
	deliver(t, o, blk)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := o.Write(t.Context(), blk); !errors.Is(err, plugin.ErrNotConnected) {
			t.Errorf("error %v, want plugin.ErrNotConnected", err)
		}
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, o, blk)
	diff(t, []string{"1"}, read(t, path, "t", "oob_mark"))
}

// TestFull: a full disk is a reason to wait, whatever the journal. Nothing is lost
// when there is room again.
func TestFull(t *testing.T) {
	for _, journal := range []string{"delete", "wal"} {
		t.Run(journal, func(t *testing.T) {
			dir := t.TempDir()
			if err := unix.Mount("full", dir, "tmpfs", 0, "size=1m"); err != nil {
				t.Skipf("NOT TESTED: mount a small disk: %v (needs root)", err)
			}
			t.Cleanup(func() {
				if err := unix.Unmount(dir, 0); err != nil {
					t.Error(err)
				}
			})
			path := filepath.Join(dir, "test.db")
			run(t, path, "pragma journal_mode="+journal, "create table t (oob_prefix text)")
			o, blk, _ := start(t, path, "t", plugin.Raw, plugintest.Event{"oob.prefix": strings.Repeat("x", 100_000)})
			connect(t, o)
			write(t, o, blk)
			ballast := filepath.Join(dir, "ballast")
			if err := os.WriteFile(ballast, make([]byte, 1<<20), 0o600); err == nil {
				t.Fatal("the disk is not full")
			}
			for range 2 {
				err := o.Write(t.Context(), blk)
				if err == nil || errors.Is(err, plugin.ErrNotConnected) || !strings.Contains(err.Error(), "full") {
					t.Errorf("error %v, want that it is full", err)
				}
			}
			if err := os.Remove(ballast); err != nil {
				t.Fatal(err)
			}
			write(t, o, blk)
			diff(t, []string{"100000", "100000"}, read(t, path, "t", "length(oob_prefix)"))
			if err := o.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestReadOnly: a disk that can only be read for a while, as after an error of it, is
// waited for.
func TestReadOnly(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("readonly", dir, "tmpfs", 0, ""); err != nil {
		t.Skipf("NOT TESTED: mount a disk: %v (needs root)", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	path := filepath.Join(dir, "test.db")
	run(t, path, "create table t (oob_mark int)")
	o, blk, _ := start(t, path, "t", plugin.Raw, marks(1)...)
	remount := func(flags uintptr) {
		if err := unix.Mount("readonly", dir, "tmpfs", unix.MS_REMOUNT|flags, ""); err != nil {
			t.Fatal(err)
		}
	}
	remount(unix.MS_RDONLY)
	if err := o.Connect(t.Context()); err == nil || !strings.Contains(err.Error(), "read-only") {
		t.Errorf("error %v, want that it is read-only", err)
	}
	if err := o.Write(t.Context(), blk); !errors.Is(err, plugin.ErrNotConnected) {
		t.Errorf("error %v, want plugin.ErrNotConnected", err)
	}
	remount(0)
	write(t, o, blk)
	diff(t, []string{"1"}, read(t, path, "t", "oob_mark"))
}

// TestCorrupt: a database that was overwritten is an error to try again after.
func TestCorrupt(t *testing.T) {
	path := newDB(t, "create table t (oob_mark int)")
	o, blk, _ := start(t, path, "t", plugin.Raw, marks(1)...)
	deliver(t, o, blk)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	overwrite(t, path, bytes.Repeat([]byte("garbage!"), len(good)/8))
	for range 2 {
		if err := o.Write(t.Context(), blk); !errors.Is(err, plugin.ErrNotConnected) {
			t.Errorf("error %v, want plugin.ErrNotConnected", err)
		}
	}
	overwrite(t, path, good)
	write(t, o, blk)
	diff(t, []string{"1", "1"}, read(t, path, "t", "oob_mark"))
}

// TestBrokenAndMoved: what can't be saved holds up nothing.
func TestBrokenAndMoved(t *testing.T) {
	path := newDB(t, "pragma journal_mode=wal", "create table t (oob_mark int)")
	o, blk, log := start(t, path, "t", plugin.Raw, marks(1)...)
	deliver(t, o, blk)
	if err := os.Truncate(path+"-wal", 100); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	write(t, o, blk)
	diff(t, []string{"1"}, read(t, path, "t", "oob_mark"))
	if !strings.Contains(log.String(), "may lack the rows that were written last") {
		t.Errorf("log: %s", log)
	}
}

// overwrite changes a file in its place.
func overwrite(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestRowsAfterRetry: what fails half way is not stored twice.
func TestRowsAfterRetry(t *testing.T) {
	path := newDB(t, "create table t (oob_mark int)", "create table gate (open int)",
		"create trigger g before insert on t when new.oob_mark = 3 begin insert into gate values (1); end")
	o, blk, _ := start(t, path, "t", plugin.Raw, marks(1, 2, 3)...)
	connect(t, o)
	run(t, path, "drop table gate")
	if err := o.Write(t.Context(), blk); !errors.Is(err, plugin.ErrNotConnected) {
		t.Errorf("error %v, want plugin.ErrNotConnected", err)
	}
	run(t, path, "create table gate (open int)")
	deliver(t, o, blk)
	diff(t, []string{"1", "2", "3"}, read(t, path, "t", "oob_mark"))
}

// TestRetention: rows that are too old go, and those without a time stay.
func TestRetention(t *testing.T) {
	path := newDB(t, "pragma journal_mode=wal", "create table t (oob_mark int, oob_time_sec int)", "insert into t values (1, 1), (2, null), (3, 1e12)")
	o, blk, _ := startWith(t, plugintest.Options{"db": path, "table": "t", "retention": "90d"}, plugin.Raw, marks(4)...)
	connect(t, o)
	write(t, o, blk)
	want := []string{"2", "3", "4"}
	for deadline := time.Now().Add(10 * time.Second); !slices.Equal(want, read(t, path, "t", "oob_mark")); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("rows %q, want %q", read(t, path, "t", "oob_mark"), want)
		}
	}
}

// TestOldLedger: a logger that was off for long knows how far it had come. What other
// epochs have left goes.
func TestOldLedger(t *testing.T) {
	path := newDB(t, "create table t (oob_mark int)")
	o, blk, _ := start(t, path, "t", plugin.Raw, marks(1, 2)...)
	blk.Epoch = "e1"
	deliver(t, o, blk)
	run(t, path, "update ulogd_ledger set updated = 1", "insert into ulogd_ledger select source, 'e0', 7, 0, 1 from ulogd_ledger")
	connect(t, o)
	if upto, err := o.Resume(t.Context(), "e1"); err != nil || upto != 2 {
		t.Errorf("Resume = %d, %v; want 2", upto, err)
	}
	diff(t, []string{"'e1' 2"}, read(t, path, "ulogd_ledger", "epoch,upto"))
}
