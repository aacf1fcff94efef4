package retention

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	_ "modernc.org/sqlite"

	"github.com/ulogd-go/ulogd/contrib/dbtest"
	"github.com/ulogd-go/ulogd/schema"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

func TestAge(t *testing.T) {
	for text, want := range map[string]time.Duration{"": 0, "off": 0, "0": 0, "90d": 90 * day, "2w": 14 * day, "36h": 36 * time.Hour, "1h30m": 90 * time.Minute} {
		var a Age
		if err := a.UnmarshalText([]byte(text)); err != nil || time.Duration(a) != want {
			t.Errorf("%q: %v, %v", text, time.Duration(a), err)
		}
		var again Age
		if err := again.UnmarshalText([]byte(a.String())); err != nil || again != a {
			t.Errorf("%q is written %q, which is %v, %v", text, a, again, err)
		}
	}
	for _, text := range []string{"90", "-1d", "1s", "d", "99999999d", "1.5d", "ninety days", "30501w", "65535w", "15251w", "-30501w"} {
		if err := new(Age).UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}

// now of the tests, in the middle of a day.
var now = time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)

// subject is a database with one of our schemas.
type subject struct {
	engine schema.Engine
	db     *sql.DB
}

// subjects are databases with a schema, made on a day.
func subjects(t *testing.T, v schema.Version, o schema.Options) map[string]subject {
	t.Helper()
	list := map[string]subject{}
	for engine, e := range map[schema.Engine]dbtest.Engine{schema.MySQL: dbtest.MySQL, schema.Postgres: dbtest.PostgreSQL} {
		d := dbtest.Get(t, e).Database(t)
		d.LoadOurs(t, v, o)
		list[string(engine)] = subject{engine, d.AsUser(t)}
	}
	if o.Daily {
		return list
	}
	if v == schema.V2 {
		v = schema.V2Flat // SQLite has no relational one
	}
	statements, err := schema.Statements(schema.SQLite, v, o)
	if err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", "file:"+filepath.Join(t.TempDir(), "db")+"?_pragma=busy_timeout(20000)&_txlock=immediate&_pragma=journal_mode(wal)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	list["sqlite"] = subject{schema.SQLite, db}
	for _, s := range statements {
		list["sqlite"].exec(t, s.SQL)
	}
	return list
}

func (s subject) exec(t *testing.T, statements ...string) {
	t.Helper()
	for _, q := range statements {
		if _, err := s.db.Exec(q); err != nil {
			t.Fatalf("%s: %v", q, err)
		}
	}
}

func (s subject) count(t *testing.T, from string) (n int) {
	t.Helper()
	if err := s.db.QueryRow("select count(*) from " + from).Scan(&n); err != nil {
		t.Fatalf("%s: %v", from, err)
	}
	return n
}

// fill makes packets, numbered from on, at a time; each second one is of TCP, and
// all have the same hardware addresses.
func (s subject) fill(t *testing.T, from, n int, at time.Time, mac string) {
	t.Helper()
	relational := s.engine != schema.SQLite
	var packets, tcp []string
	for i := range n {
		id := from + i
		if relational {
			packets = append(packets, fmt.Sprintf("(%d, %d, %d, %s)", id, at.Unix()+int64(i%60), 6+11*(i%2), mac))
		} else {
			packets = append(packets, fmt.Sprintf("(%d, %d, %d)", id, at.Unix()+int64(i%60), 6))
		}
		if i%2 == 0 {
			tcp = append(tcp, fmt.Sprintf("(%d, 22)", id))
		}
	}
	if !relational {
		s.exec(t, "insert into ulog2 (_id, oob_time_sec, ip_protocol) values "+strings.Join(packets, ","))
		return
	}
	s.exec(t, fmt.Sprintf("insert into ulog2 (_id, oob_time_sec, ip_protocol, mac_id) values %s", strings.Join(packets, ",")),
		"insert into tcp (_tcp_id, tcp_dport) values "+strings.Join(tcp, ","))
}

func (s subject) run(t *testing.T, age Age, tables ...string) Report {
	t.Helper()
	r, err := New(s.engine, s.db, tables...).Run(t.Context(), now, age)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

const ninety = Age(90 * day)

// TestDelete: in tables without partitions what is old goes, with what belongs to
// it, and nothing else does, while rows are written.
func TestDelete(t *testing.T) {
	for name, s := range subjects(t, schema.V2, schema.Options{}) {
		t.Run(name, func(t *testing.T) {
			relational := s.engine != schema.SQLite
			if relational {
				s.exec(t, "insert into mac (_mac_id, mac_saddr) values (1, '00:00:00:00:00:01'), (2, '00:00:00:00:00:02')")
			}
			limit := now.Add(-time.Duration(ninety))
			s.fill(t, 1, 2500, limit.Add(-time.Minute), "1")
			s.fill(t, 10000, 500, limit, "2")
			s.exec(t, "insert into ulog2 (_id) values (20000)") // without a time
			s.exec(t, fmt.Sprintf("insert into ulog2_ct (flow_start_sec, flow_end_sec) values (1, %d), (1, %d), (%[1]d, 0), (%[2]d, null), (0, 0)", limit.Unix()-1, limit.Unix()))
			s.exec(t, fmt.Sprintf("insert into %s (%s) values (%d), (%d)", map[bool]string{true: "nfacct", false: "ulog2_ct"}[s.engine != schema.MySQL],
				map[bool]string{true: "oob_time_sec", false: "flow_end_sec"}[s.engine != schema.MySQL], limit.Unix()-1, limit.Unix()))

			var written atomic.Int64
			ctx, stop := context.WithCancel(t.Context())
			done := make(chan error)
			go func() {
				for ctx.Err() == nil {
					if _, err := s.db.Exec(fmt.Sprintf("insert into ulog2 (_id, oob_time_sec) values (%d, %d)", 100000+written.Load(), now.Unix())); err != nil {
						done <- err
						return
					}
					written.Add(1)
					time.Sleep(2 * time.Millisecond) // the rate
				}
				done <- nil
			}()
			report := s.run(t, ninety)
			stop()
			if err := <-done; err != nil {
				t.Fatalf("writing meanwhile: %v", err)
			}
			if written.Load() == 0 {
				t.Error("nothing was written meanwhile")
			}
			if want := int64(2500 + 2 + 1); report.Rows != want {
				t.Errorf("%d rows removed, want %d", report.Rows, want)
			}
			want := map[string]int{"ulog2": 501 + int(written.Load()), "ulog2_ct": 3}
			if s.engine == schema.MySQL {
				want["ulog2_ct"]++
			} else {
				want["nfacct"] = 1
			}
			if relational {
				want["tcp"], want["mac where _mac_id = 2"], want["mac"] = 250, 1, 1
			}
			for from, n := range want {
				if got := s.count(t, from); got != n {
					t.Errorf("%s has %d rows, want %d", from, got, n)
				}
			}
			if r := s.run(t, ninety); r.Rows != 0 {
				t.Errorf("again: %v", r)
			}
		})
	}
}

// TestPartitions: days that are old as a whole are dropped, days to come are made,
// and rows of days without a partition move there.
func TestPartitions(t *testing.T) {
	for _, v := range []schema.Version{schema.V1, schema.V2, schema.V2Flat} {
		const age = 14
		began := now.AddDate(0, 0, -20)
		for name, s := range subjects(t, v, schema.Options{Daily: true, Now: began}) {
			t.Run(fmt.Sprint(name, " ", v), func(t *testing.T) {
				table := "ulog2"
				if v == schema.V1 {
					table = "ulog"
				}
				if v != schema.V2 {
					s.exec(t, fmt.Sprintf("insert into %s (oob_time_sec) values (%d), (%d), (%d), (null), (5)", table, began.Unix(), now.Add(-age*day).Unix(), now.Unix()))
				} else {
					s.exec(t, "insert into mac (_mac_id, mac_saddr) values (1, '00:00:00:00:00:01'), (2, '00:00:00:00:00:02')")
					s.fill(t, 1, 2500, began, "1")
					s.fill(t, 10000, 100, now.AddDate(0, 0, -17), "1") // in a partition that is there beforehand
					s.fill(t, 20000, 10, now.AddDate(0, 0, -age), "2") // of this day some is old, and some is not
					s.fill(t, 30000, 10, now, "2")                     // in the partition for all other times
				}
				report := s.run(t, Age(age*day))
				if n := len(report.Dropped); n != 20-age {
					t.Errorf("dropped %d partitions: %v", n, report)
				}
				if v == schema.V2 {
					for from, want := range map[string]int{"ulog2": 20, "tcp": 10, "mac": 1, "view_tcp": 10, "ulog where mac_saddr_str is not null": 20} {
						if got := s.count(t, from); got != want {
							t.Errorf("%s has %d rows, want %d", from, got, want)
						}
					}
				} else if got := s.count(t, table); got != 3 {
					t.Errorf("%d rows are left, want 3", got)
				}
				s.covered(t, table)
				if r := s.run(t, Age(age*day)); len(r.Made)+len(r.Dropped) > 0 {
					t.Errorf("again: %v", r)
				}
			})
		}
	}
}

// TestPartitionsOfAnotherAge: a machine without a clock has made the schema in 1970.
// Days whose rows would be old are not made.
func TestPartitionsOfAnotherAge(t *testing.T) {
	const age = 14
	for name, s := range subjects(t, schema.V2Flat, schema.Options{Daily: true, Now: time.Unix(100, 0)}) {
		t.Run(name, func(t *testing.T) {
			s.exec(t, fmt.Sprintf("insert into ulog2 (oob_time_sec) values (90000), (%d), (%d), (null)", now.Add(-age*day).Unix(), now.Unix()))
			report := s.run(t, Age(age*day))
			if n := len(report.Made); n != age+1+schema.Ahead {
				t.Errorf("made %d partitions: %v", n, report)
			}
			if got := s.count(t, "ulog2"); got != 3 {
				t.Errorf("%d rows are left, want 3", got)
			}
			s.covered(t, "ulog2")
		})
	}
}

// covered is an error unless today's rows are in today's partition, and the next
// days have one each.
func (s subject) covered(t *testing.T, table string) {
	t.Helper()
	for _, d := range schema.Days(now, schema.Ahead) {
		from := fmt.Sprintf("%s partition (%s)", table, d.Name)
		if s.engine == schema.Postgres {
			from = table + "_" + d.Name
		}
		got := s.count(t, from)
		if (got > 0) != (d == schema.DayOf(now)) {
			t.Errorf("partition %s has %d rows", d.Name, got)
		}
	}
}

// TestBusy: one removes rows at a time.
func TestBusy(t *testing.T) {
	for name, s := range subjects(t, schema.V1, schema.Options{}) {
		if s.engine == schema.SQLite {
			continue // whose lock of the file does that
		}
		c, err := s.db.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if free, err := dialects[s.engine].begin(t.Context(), c); err != nil || !free {
			t.Fatalf("%s: %v, %v", name, free, err)
		}
		if r := s.run(t, ninety); !r.Busy {
			t.Errorf("%s: %v while another is at it", name, r)
		}
		dialects[s.engine].end(c)
		if r := s.run(t, ninety); r.Busy {
			t.Errorf("%s: still busy", name)
		}
		c.Close()
	}
}

// TestNames: a view of ulogd's schemas stands for its table, and any other is an
// error, as a table without a time is.
func TestNames(t *testing.T) {
	for name, s := range subjects(t, schema.V2Flat, schema.Options{}) {
		s.exec(t, "insert into ulog2 (_id, oob_time_sec) values (1, 5)", "create view mine as select 1 as x", "create table timeless (x integer)")
		if r := s.run(t, ninety, "ulog"); r.Rows != 1 {
			t.Errorf("%s: %v", name, r)
		}
		for table, want := range map[string]string{"mine": "is a view", "timeless": "has no time", "nothing": "there is no table nothing"} {
			if _, err := New(s.engine, s.db, table).Run(t.Context(), now, ninety); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s %s: %v, want %q", name, table, err, want)
			}
		}
	}
}

// TestMissing: days are made from the last partition on, or the oldest day that stays.
func TestMissing(t *testing.T) {
	p := func(t time.Time) partition { d := schema.DayOf(t); return partition{d.Name, d.To, false} }
	names := func(days []schema.Day) (list []string) {
		for _, d := range days {
			list = append(list, d.Name)
		}
		return list
	}
	for name, tt := range map[string]struct {
		last time.Time
		want []string
	}{
		"a week ahead":  {now.AddDate(0, 0, schema.Ahead), nil},
		"a day too few": {now.AddDate(0, 0, schema.Ahead-1), []string{"p20261204"}},
		"in 1970":       {time.Unix(0, 0), []string{"p20261125", "p20261126", "p20261127", "p20261128", "p20261129", "p20261130", "p20261201", "p20261202", "p20261203", "p20261204"}},
		"two days ago":  {now.AddDate(0, 0, -2), []string{"p20261126", "p20261127", "p20261128", "p20261129", "p20261130", "p20261201", "p20261202", "p20261203", "p20261204"}},
	} {
		table := table{partitions: []partition{{rest: true}, p(tt.last)}}
		oldest := schema.DayOf(now.AddDate(0, 0, -2)).From
		if diff := cmp.Diff(tt.want, names(table.missing(now, oldest))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// TestWorker removes rows until it is stopped, and says once what is wrong.
func TestWorker(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	open := func() (*sql.DB, error) { return sql.Open("sqlite", path) }
	db, err := open()
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec("create table ulog (oob_time_sec integer); insert into ulog values (1), (99999999999)"); err != nil {
		t.Fatal(err)
	}
	log := make(logged, 10)
	w := Worker{Engine: schema.SQLite, Table: "ulog", Age: ninety, Open: open, Now: time.Now, Log: slog.New(slog.NewTextHandler(log, nil))}
	w.Start()
	w.Start()
	if line := <-log; !strings.Contains(line, "1 rows removed") {
		t.Error(line)
	}
	w.Stop()
	w.Table = "other"
	w.Start()
	if line := <-log; !strings.Contains(line, "there is no table other") {
		t.Error(line)
	}
	w.Stop()
	w.Stop()
	var off Worker
	off.Start() // without an age it does nothing
	off.Stop()
}

type logged chan string

func (l logged) Write(p []byte) (int, error) {
	l <- string(slices.Clone(p))
	return len(p), nil
}

// TestOtherPartitions: in a table that is parted by something else than days, or that
// other tables inherit from, young rows stay.
func TestOtherPartitions(t *testing.T) {
	for name, statements := range map[string][]string{
		"list": {"create table ulog2 (oob_time_sec bigint, oob_hook int) partition by list (oob_hook)",
			"create table one partition of ulog2 for values in (1)", "create table two partition of ulog2 for values in (2)"},
		"inheritance": {"create table ulog2 (oob_time_sec bigint, oob_hook int)", "create table one (check (oob_hook = 1)) inherits (ulog2)",
			"create table two (check (oob_hook = 2)) inherits (ulog2)"},
	} {
		d := dbtest.Get(t, dbtest.PostgreSQL).Database(t)
		s := subject{schema.Postgres, d.AsUser(t)}
		s.exec(t, statements...)
		s.exec(t, fmt.Sprintf("insert into one select %d, 1 from generate_series(1, 100)", now.AddDate(-1, 0, 0).Unix()),
			fmt.Sprintf("insert into two select %d, 2 from generate_series(1, 100)", now.Unix()))
		if r := s.run(t, ninety, "ulog2"); r.Rows != 100 {
			t.Errorf("%s: %v, want 100 rows removed", name, r)
		}
		if n, young := s.count(t, "ulog2"), s.count(t, "two"); n != 100 || young != 100 {
			t.Errorf("%s: %d rows are left, and %d of 100 young ones", name, n, young)
		}
	}
}

// TestEndFrozen: a server that does not answer does not hold up the daemon's end.
func TestEndFrozen(t *testing.T) {
	for engine, e := range map[schema.Engine]dbtest.Engine{schema.MySQL: dbtest.MySQL, schema.Postgres: dbtest.PostgreSQL} {
		server := dbtest.Get(t, e)
		db := server.Database(t).AsUser(t)
		conn, err := db.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if free, err := dialects[engine].begin(t.Context(), conn); err != nil || !free {
			t.Fatalf("%t, %v", free, err)
		}
		server.Freeze()
		ended := make(chan struct{})
		go func() {
			dialects[engine].end(conn)
			_ = conn.Close()
			close(ended)
		}()
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
			t.Errorf("%s: still waiting after 10 s", engine)
		}
		server.Thaw()
		<-ended
		db.Close()
	}
}
