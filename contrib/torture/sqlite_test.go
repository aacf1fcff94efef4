package torture

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"time"

	_ "modernc.org/sqlite" // used through database/sql
)

// newFile is a target in an SQLite database, with that journal and a table that
// refuses some rows.
func newFile(t *testing.T, journal string) *target {
	t.Helper()
	path := filepath.Join(t.TempDir(), "test.db")
	d := &target{rows: func(t *testing.T) []string { return texts(t, path, "select ip_saddr_str from t") }}
	for _, s := range []string{"pragma journal_mode=" + journal, "create table t (oob_prefix text, ip_saddr_str text check (ip_saddr_str not like '%0.77'), udp_dport int)"} {
		texts(t, path, s)
	}
	d.config = stack + fmt.Sprintf("SQLITE3\n[log1]\ngroup=1\nnetlink_socket_buffer_size=33554432\n[db1]\ndb=\"%s\"\ntable=\"t\"\nspool=\"DIR/spool\"\nbatch_time=50ms\nbusy_timeout=100ms\n", path)
	d.file = path
	return d
}

func open(t *testing.T, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(60000)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// texts are the values of a query's only column.
func texts(t *testing.T, path, query string) (list []string) {
	t.Helper()
	rows, err := open(t, path).Query(query)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	defer rows.Close()
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			t.Fatal(err)
		}
		list = append(list, text)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return list
}

// lock locks a database now and then, for longer than busy_timeout too, until stop
// is closed.
func lock(t *testing.T, path string, rnd *rand.Rand, stop chan struct{}) (done chan error) {
	t.Helper()
	db, done := open(t, path), make(chan error, 1)
	go func() {
		c, err := db.Conn(context.Background())
		for err == nil {
			select {
			case <-stop:
				done <- c.Close()
				return
			case <-time.After(time.Duration(rnd.IntN(100)) * time.Millisecond):
			}
			if _, err = c.ExecContext(context.Background(), "begin immediate"); err == nil {
				time.Sleep(time.Duration(rnd.IntN(200)) * time.Millisecond) // is locked
				_, err = c.ExecContext(context.Background(), "rollback")
			}
		}
		done <- err
	}()
	return done
}

// TestSQLite: the daemon is killed at random moments, while another program locks
// the database and the table refuses some rows. Each is there once.
func TestSQLite(t *testing.T) {
	for _, journal := range []string{"delete", "wal"} {
		t.Run(journal, func(t *testing.T) {
			rnd := random(t)
			fw, db := newFirewall(t), newFile(t, journal)
			d := newDaemon(t, fw, newManager(t), db.config)
			d.start(t)
			stop := make(chan struct{})
			done := fw.flood(t, rand.New(rand.NewPCG(*seed, 2)), 5000, stop)
			locked := lock(t, db.file, rand.New(rand.NewPCG(*seed, 3)), stop)
			for range times(4, 100) {
				time.Sleep(time.Duration(rnd.IntN(300)) * time.Millisecond) // the random moment
				d.kill(t)
				d.start(t)
			}
			close(stop)
			<-done
			if err := <-locked; err != nil {
				t.Error(err)
			}
			if b := db.settle(t, d); b.rejected == 0 || b.lost+b.refused > 0 {
				t.Errorf("%+v: want rejected rows, and none missing", b)
			}
		})
	}
}

// TestOtherColumnsSQLite: while the table has no column for them rows wait, with all that
// may be wanted of them. One that has only what is no column any more is rejected.
func TestOtherColumnsSQLite(t *testing.T) {
	fw, db := newFirewall(t), newFile(t, "wal")
	texts(t, db.file, "drop table t")
	texts(t, db.file, "create table t (oob_prefix text)")
	d := newDaemon(t, fw, nil, db.config)
	d.start(t)
	fw.send(t, 2)
	d.await(t, "stored", func() bool { return d.status(t).written == 2 })
	texts(t, db.file, "alter table t rename to old")
	texts(t, db.file, "create table t (nonsense text)")
	fw.send(t, 1)
	d.await(t, "complaining", func() bool { return strings.Contains(d.log(t), "key nonsense") })
	fw.send(t, 3)
	d.await(t, "waiting", func() bool { return d.status(t).waiting == 4 })
	texts(t, db.file, "alter table t add column udp_dport int")
	d.await(t, "stored", func() bool { b := d.status(t); return b.written == 5 && b.rejected == 1 })
	if got := fmt.Sprint(texts(t, db.file, "select udp_dport from t")); got != "[53 53 53]" {
		t.Errorf("rows %s", got)
	}
}
