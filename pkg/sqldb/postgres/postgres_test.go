package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ulogd-go/ulogd/contrib/dbtest"
	"github.com/ulogd-go/ulogd/contrib/sqldbtest"
	"github.com/ulogd-go/ulogd/pkg/plugin"
	"github.com/ulogd-go/ulogd/pkg/row"
	"github.com/ulogd-go/ulogd/pkg/sqldb"
	"github.com/ulogd-go/ulogd/pkg/stats"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

// subject is a connection to a database, by a configuration that may be changed first.
type subject struct {
	sqldbtest.Subject
	config Config
}

func newSubject(t testing.TB, d *dbtest.Database, table, procedure string) *subject {
	t.Helper()
	s := new(subject)
	s.Database = d
	s.Dial = func(ctx context.Context) (sqldb.Conn, error) { return New(s.config).Dial(ctx) }
	s.config = Config{
		Host: d.Socket, DB: d.Name, User: d.User, Pass: d.Password, Schema: "public", Table: table, Procedure: procedure,
		Ledger: "ulogd_ledger", Source: "fw1/db1", Direct: sqldb.DirectAuto, Login: sqldb.LoginDefaults, Stats: new(stats.Set),
		Log: slog.New(slog.NewTextHandler(&s.Log, nil)),
	}
	return s
}

type fieldsOf = sqldbtest.Fields

var (
	num  = sqldbtest.Num
	text = sqldbtest.Text
	flag = sqldbtest.Flag
)

// packets are one of each sort.
func packets1() []fieldsOf {
	return []fieldsOf{
		{"oob_time_sec": num(1795420850), "oob_prefix": text("tcp\t\\'\n"), "oob_mark": num(7), "oob_in": text("eth0"), "oob_out": text(""), "oob_family": num(2),
			"ip_saddr_str": text("192.0.2.1"), "ip_daddr_str": text("192.0.2.2"), "ip_protocol": num(6), "tcp_sport": num(1024), "tcp_dport": num(22), "tcp_seq": num(4294967295), "tcp_syn": flag(1), "tcp_ack": flag(0),
			"raw_type": num(1), "mac_str": text("00:0c:29:01:02:03:00:50:56:01:02:03:08:00"), "mac_saddr_str": text("00:50:56:01:02:03"), "mac_daddr_str": text("00:0c:29:01:02:03"), "oob_protocol": num(2048), "raw_label": num(1)},
		{"oob_prefix": text("udp"), "oob_family": num(10), "ip_saddr_str": text("2001:db8::1"), "ip_daddr_str": text("2001:db8::2"), "ip_protocol": num(17), "udp_sport": num(53), "udp_dport": num(5353), "udp_len": num(20),
			"raw_type": num(1), "mac_saddr_str": text("00:50:56:01:02:03"), "mac_daddr_str": text("00:0c:29:01:02:03"), "oob_protocol": num(34525)},
		{"oob_prefix": text("sctp over loopback"), "ip_protocol": num(132), "sctp_sport": num(1), "sctp_csum": num(17), "raw_type": num(772), "mac_str": text("00:00")},
		{"oob_prefix": text("icmp"), "ip_protocol": num(1), "icmp_type": num(8), "icmp_code": num(0), "icmp_echoid": num(5)},
		{"oob_prefix": text("icmpv6"), "ip_protocol": num(58), "icmpv6_type": num(128), "raw_type": num(1), "mac_saddr_str": text("00:50:56:01:02:04"), "oob_protocol": num(34525)},
		{"oob_prefix": text("igmp"), "ip_protocol": num(2)},
		{"oob_prefix": text("arp"), "oob_family": num(7), "oob_protocol": num(2054), "raw_type": num(1), "mac_saddr_str": text("00:50:56:01:02:03"), "mac_daddr_str": text("ff:ff:ff:ff:ff:ff")},
	}
}

// tables of the relational schema, with the columns that differ from one writer to
// the next.
var relationalTables = []string{"ulog2", "mac", "tcp", "udp", "sctp", "icmp", "icmpv6", "hwhdr"}

// dump is all rows of the relational schema, ids in the order of the packets.
func dump(t *testing.T, d *dbtest.Database) (lines []string) {
	t.Helper()
	for _, table := range relationalTables {
		for _, line := range d.Dump(t, table, "timestamp") {
			if strings.Contains(line, "raw_type=NULL raw_header=NULL") {
				continue // which no reader can tell from none
			}
			lines = append(lines, table+": "+line)
		}
	}
	return lines
}

// TestRelationalIsTheProcedure writes the same packets by COPY and by calling the
// function that was shipped: all tables are equal.
func TestRelationalIsTheProcedure(t *testing.T) {
	server := dbtest.Get(t, dbtest.PostgreSQL)
	var dumps [2][]string
	for i, change := range []func(d *dbtest.Database){
		func(*dbtest.Database) {},
		func(d *dbtest.Database) {
			// Another body with the same effect is not known, and called.
			def := d.Query(t, "select pg_get_functiondef(oid) from pg_proc where proname = 'insert_udp'")[0][0]
			d.Exec(t, strings.Replace(def, "$function$", "$function$ select 1;", 1))
		},
	} {
		d := server.Database(t)
		d.LoadOriginal(t, "ulogd2")
		change(d)
		s := newSubject(t, d, "ulog", "INSERT_PACKET_FULL")
		s.MustConnect(t)
		s.Logged(t, []string{"by COPY into the base tables", "by calling INSERT_PACKET_FULL"}[i])
		s.Write(t, packets1()...)
		s.Write(t, packets1()...)
		dumps[i] = dump(t, d)
	}
	if len(dumps[0]) < 30 {
		t.Fatalf("only %d rows:\n%s", len(dumps[0]), strings.Join(dumps[0], "\n"))
	}
	if diff := cmp.Diff(dumps[1], dumps[0]); diff != "" {
		t.Errorf("by calling, and by COPY (-want +got):\n%s", diff)
	}
}

func TestFingerprints(t *testing.T) {
	d := dbtest.Get(t, dbtest.PostgreSQL).Database(t)
	d.LoadOriginal(t, "ulogd2")
	s := newSubject(t, d, "ulog", "INSERT_PACKET_FULL")
	s.MustConnect(t)
	for name, r := range stockRoutines {
		print, err := s.Conn.(*conn).fingerprint(context.Background(), append([]string{name}, r.calls...))
		if err != nil || !slices.Contains(r.bodies, print) {
			t.Errorf("%s: fingerprint %q is none of %q (%v)", name, print, r.bodies, err)
		}
	}
}

// TestRowsBelongTogether: what is stored in several tables has the packet's number
// in all of them, although somebody else stores packets meanwhile.
func TestRowsBelongTogether(t *testing.T) {
	d := dbtest.Get(t, dbtest.PostgreSQL).Database(t)
	d.LoadOriginal(t, "ulogd2")
	errs := make(chan error, 2)
	for range 2 {
		s := newSubject(t, d, "ulog", "INSERT_PACKET_FULL")
		s.config.Ledger = sqldb.None
		s.MustConnect(t)
		go func() {
			for from := 0; from < 20000; from += 5000 {
				rows := make([]fieldsOf, 5000)
				for i := range rows {
					rows[i] = udp(from + i)
				}
				if err := s.Conn.Write(context.Background(), s.Block(rows...)); err != nil {
					errs <- err
					return
				}
			}
			errs <- nil
		}()
	}
	if err := errors.Join(<-errs, <-errs); err != nil {
		t.Fatal(err)
	}
	n := d.Query(t, "select count(*) from ulog2 p join udp u on u._udp_id = p._id and u.udp_sport = 1024 + p.ip_id")[0][0]
	if n != "40000" {
		t.Errorf("%s of 40000 packets have the right ports", n)
	}
}

func TestLedger(t *testing.T) {
	sqldbtest.Ledger(t, &newSubject(t, dbtest.Get(t, dbtest.PostgreSQL).Database(t), "t", "INSERT").Subject)
}

func TestChangedTable(t *testing.T) {
	sqldbtest.ChangedTable(t, &newSubject(t, dbtest.Get(t, dbtest.PostgreSQL).Database(t), "t", "INSERT").Subject)
}

// TestConnectErrors say what to mend, and never the password.
func TestConnectErrors(t *testing.T) {
	d := dbtest.Get(t, dbtest.PostgreSQL).Database(t)
	for _, tt := range []struct {
		name   string
		change func(*Config)
		want   string
	}{
		{"no table", func(c *Config) { c.Table = "nothing" }, "ulogd-migrate init"},
		{"wrong password", func(c *Config) { c.Pass = "hunter2" }, "connect"},
		{"no server", func(c *Config) { c.Host = "/nowhere" }, "connect"},
		{"no password file", func(c *Config) { c.Login.PasswordFile = "/nowhere/file" }, "password_file"},
	} {
		s := newSubject(t, d, "t", "INSERT")
		tt.change(&s.config)
		err := s.Connect(t)
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), d.Password) {
			t.Errorf("%s: error %v, want one with %q", tt.name, err, tt.want)
		}
	}
}

// TestProcedures: others than ulogd's own are called with the table's columns as
// arguments, and views that a trigger or the server itself can fill are filled.
func TestProcedures(t *testing.T) {
	d := dbtest.Get(t, dbtest.PostgreSQL).Database(t)
	d.Exec(t, "create table t (mark bigint, prefix varchar(5))", "create view v as select 0 as _id, mark as oob_mark, prefix as oob_prefix from t")
	d.Exec(t, []string{"create table direct (oob_mark bigint, oob_prefix varchar(5))",
		"create function log_one(m bigint, p varchar) returns int language sql as 'insert into t values (m, p); select 1'",
		"create procedure log_two(m bigint, p varchar) language sql as 'insert into t values (m, p)'"}...)
	for _, procedure := range []string{"log_one", "CALL log_two", "INSERT INTO direct"} {
		s := newSubject(t, d, "v", procedure)
		s.MustConnect(t)
		s.Next = 0
		s.Write(t, fieldsOf{"oob_mark": num(7), "oob_prefix": text("it's\\ long")}, fieldsOf{"oob_mark": num(8)})
	}
	if got := fmt.Sprint(d.Query(t, "select * from t union all select oob_mark, oob_prefix from direct order by 1")); strings.Count(got, "[7 it's\\]") != 3 || strings.Count(got, "[8 NULL]") != 3 {
		t.Errorf("rows %s", got)
	}
}

// TestProcedureThatCommits: rows wait until it does not.
func TestProcedureThatCommits(t *testing.T) {
	d := dbtest.Get(t, dbtest.PostgreSQL).Database(t)
	d.Exec(t, "create table t (oob_mark bigint)", "create procedure p(m bigint) language plpgsql as 'begin insert into t values (m); commit; end'")
	s := newSubject(t, d, "t", "CALL p")
	s.MustConnect(t)
	blk := s.Block(fieldsOf{"oob_mark": num(7)})
	err := s.Conn.Write(t.Context(), blk)
	var reject *plugin.RejectError
	if err == nil || errors.As(err, &reject) || !strings.Contains(err.Error(), "take COMMIT and ROLLBACK out") {
		t.Errorf("Write: %v", err)
	}
	d.Exec(t, "create or replace procedure p(m bigint) language plpgsql as 'begin insert into t values (m); end'")
	if err := s.Conn.Write(t.Context(), blk); err != nil || d.Count(t, "t") != "1" {
		t.Errorf("Write: %v, %s rows", err, d.Count(t, "t"))
	}
}

// narrow are the values of the packets of TestFailingValues, in their order.
const narrow = "select coalesce(oob_mark, icmp_gateway, icmp_fragmtu, udp_len, ip_fragoff, sctp_csum, ip_totlen, ip6_fragoff), ip_protocol from ulog2 " +
	"where oob_prefix is null order by _id limit 10"

// TestFailingValues stores each packet that ulogd loses (reference page "schemas",
// section 6.6), in both layouts.
func TestFailingValues(t *testing.T) {
	long := strings.Repeat("0123456789", 4)
	packets := []fieldsOf{
		{"oob_prefix": text(long)},
		{"oob_prefix": text(strings.Repeat("é", 32))},
		{"oob_prefix": text("a\xff\x00b")},
		{"oob_mark": num(0x80000000)},
		{"ip_protocol": num(1), "icmp_type": num(5), "icmp_gateway": {Kind: row.IP4, Num: 0xc0a80001}},
		{"ip_protocol": num(1), "icmp_type": num(3), "icmp_fragmtu": num(40000)},
		{"ip_protocol": num(17), "udp_len": num(40000)},
		{"ip_fragoff": num(0x8000)},
		{"ip_protocol": num(132), "sctp_csum": num(0xdeadbeef)},
		{"ip_protocol": num(132), "sctp_csum": num(0xbeef)},
		{"ip_totlen": num(40028)},
		{"raw_type": num(1), "mac_saddr_str": text("00:50:56:01:02:03"), "mac_daddr_str": text("00:0c:29:01:02:03"), "oob_protocol": num(34525), "ip6_fragoff": num(40000)},
		{"ip6_fragoff": num(32760)},
	}
	for _, layout := range [][3]string{{"ulogd2", "ulog", "INSERT_PACKET_FULL"}, {"ulogd2-flat", "ulog2", "INSERT"}} {
		d := dbtest.Get(t, dbtest.PostgreSQL).Database(t)
		d.LoadOriginal(t, layout[0])
		s := newSubject(t, d, layout[1], layout[2])
		s.MustConnect(t)
		for i, p := range packets {
			if err := s.Conn.Write(t.Context(), s.Block(p)); err != nil {
				t.Errorf("%s: packet %d: %v", layout[0], i, err)
			}
		}
		s.Write(t, packets...)
		if got, want := d.Count(t, "ulog2"), fmt.Sprint(2*len(packets)); got != want {
			t.Errorf("%s: %s packets, want %s", layout[0], got, want)
		}
		if layout[0] == "ulogd2-flat" {
			// What fits in as many bits is in two's complement; the checksum of SCTP has more.
			want := "[[-2147483648 NULL] [-1062731775 1] [-25536 1] [-25536 17] [-32768 NULL] [NULL 132] [-16657 132] [-25508 NULL] [40000 NULL] [32760 NULL]]"
			if got := fmt.Sprint(d.Query(t, narrow)); got != want {
				t.Errorf("values %s, want %s", got, want)
			}
		}
		prefixes := fmt.Sprint(d.Query(t, "select oob_prefix from ulog2 where oob_prefix is not null order by _id"))
		if want := fmt.Sprintf("[[%[1]s] [%[2]s] [a\ufffdb] [%[1]s] [%[2]s] [a\ufffdb]]", long[:32], strings.Repeat("é", 32)); prefixes != want {
			t.Errorf("prefixes %s, want %s", prefixes, want)
		}
	}
}

// TestTables: a partitioned table, and one with other types than ulogd's.
func TestTables(t *testing.T) {
	d := dbtest.Get(t, dbtest.PostgreSQL).Database(t)
	d.Exec(t, []string{
		"create table parts (oob_time_sec bigint, ip_saddr inet, raw_mac varchar(80), oob_prefix varchar(2)) partition by range (oob_time_sec)",
		"create table parts1 partition of parts for values from (0) to (10)",
		"create table v1 (id integer, oob_time_sec timestamptz, ip_saddr bigint, raw_mac bytea, oob_prefix text)"}...)
	want := map[string]string{
		"parts": "[[5 192.0.2.1 00:01:ff łé]]",
		"v1":    "[[1970-01-01 00:00:05 +0000 UTC 16908480 0x0001ff łé\t]]",
	}
	for _, table := range []string{"parts", "v1"} {
		s := newSubject(t, d, table, "INSERT")
		s.MustConnect(t)
		s.Write(t, fieldsOf{"oob_time_sec": num(5), "ip_saddr": {Kind: row.IP4, Num: 0xc0000201}, "raw_mac": {Kind: row.Raw, Bytes: []byte{0, 1, 255}}, "oob_prefix": text("łé\t")})
		if got := fmt.Sprint(d.Query(t, "select oob_time_sec, ip_saddr, raw_mac, oob_prefix from "+table)); got != want[table] {
			t.Errorf("%s: %s, want %s", table, got, want[table])
		}
	}
}

// TestDefaults: a column without a value is NULL, whatever it is by default, also if no
// row of a batch has a value for it.
func TestDefaults(t *testing.T) {
	d := dbtest.Get(t, dbtest.PostgreSQL).Database(t)
	d.Exec(t, "create domain hook as int default 8", "create table t (oob_mark bigint, oob_hook hook, oob_prefix text default 'x', oob_in text default null, oob_out text)")
	s := newSubject(t, d, "t", "INSERT")
	s.MustConnect(t)
	null := row.Value{}
	s.Write(t, fieldsOf{"oob_mark": num(1), "oob_hook": null, "oob_prefix": null, "oob_in": null, "oob_out": null},
		fieldsOf{"oob_mark": num(2), "oob_hook": null, "oob_prefix": null, "oob_in": null, "oob_out": text("x")})
	s.Write(t, fieldsOf{"oob_mark": null, "oob_hook": null, "oob_in": null, "oob_prefix": null})
	if got := fmt.Sprint(d.Query(t, "select * from t order by oob_mark desc nulls last")); got != "[[2 NULL NULL NULL x] [1 NULL NULL NULL NULL] [NULL NULL NULL NULL NULL]]" {
		t.Errorf("rows %s", got)
	}
}

// TestNoLedger: rows are stored without a ledger, and a warning says what that
// means.
func TestNoLedger(t *testing.T) {
	d := dbtest.Get(t, dbtest.PostgreSQL).Database(t)
	d.Exec(t, "create table t (oob_mark bigint)")
	admin := func(sql string) {
		t.Helper()
		if _, err := d.DB.Exec(sql); err != nil {
			t.Fatal(err)
		}
	}
	for _, sql := range []string{"revoke create on schema public from public", "alter schema public owner to postgres", "grant insert, select on t to USER"} {
		admin(strings.NewReplacer("USER", d.User, "DB", d.Name).Replace(sql))
	}
	s := newSubject(t, d, "t", "INSERT")
	s.MustConnect(t)
	s.Logged(t, "at least once")
	s.Write(t, fieldsOf{"oob_mark": num(1)})
	if upto, err := s.Conn.Resume(t.Context(), "e1"); upto != 0 || err != nil {
		t.Errorf("Resume: %d, %v", upto, err)
	}
	if got := d.Count(t, "t"); got != "1" {
		t.Errorf("%s rows", got)
	}
}

// TestNoRoomInIndex: a text that is too long for an index costs no other row.
func TestNoRoomInIndex(t *testing.T) {
	d := dbtest.Get(t, dbtest.PostgreSQL).Database(t)
	d.Exec(t, "create table t (oob_prefix text)", "create index on t (oob_prefix)")
	s := newSubject(t, d, "t", "INSERT")
	s.MustConnect(t)
	rnd, long := rand.New(rand.NewPCG(1, 1)), make([]byte, 9000)
	for i := range long {
		long[i] = byte(' ' + rnd.IntN(90)) // what can't be compressed
	}
	var reject *plugin.RejectError
	if err := s.Conn.Write(t.Context(), s.Block(fieldsOf{"oob_prefix": text(string(long))})); !errors.As(err, &reject) {
		t.Errorf("error %v, want a *plugin.RejectError", err)
	}
	s.Write(t, fieldsOf{"oob_prefix": text("short")})
}

// TestRowSecurity: a table with policies takes no COPY, of which rows would be
// rejected one by one.
func TestRowSecurity(t *testing.T) {
	d := dbtest.Get(t, dbtest.PostgreSQL).Database(t)
	d.Exec(t, "create table t (oob_mark bigint)", "alter table t enable row level security", "alter table t force row level security",
		"create policy p on t for insert with check (oob_mark <> 13)")
	s := newSubject(t, d, "t", "INSERT")
	s.MustConnect(t)
	s.Write(t, fieldsOf{"oob_mark": num(1)}, fieldsOf{"oob_mark": num(2)})
	var reject *plugin.RejectError
	if err := s.Conn.Write(t.Context(), s.Block(fieldsOf{"oob_mark": num(13)})); !errors.As(err, &reject) {
		t.Errorf("error %v, want a *plugin.RejectError", err)
	}
	if n := d.Count(t, "t"); n != "2" {
		t.Errorf("%s rows, want 2", n)
	}
}

// TestRowSecurityBehind: the same of a base table. The function is called, as it was.
func TestRowSecurityBehind(t *testing.T) {
	for _, table := range []string{"ulog2", "udp"} {
		d := dbtest.Get(t, dbtest.PostgreSQL).Database(t)
		d.LoadOriginal(t, "ulogd2")
		d.Exec(t, "alter table "+table+" enable row level security", "alter table "+table+" force row level security",
			"create policy p on "+table+" using (true) with check (true)")
		s := newSubject(t, d, "ulog", "INSERT_PACKET_FULL")
		s.MustConnect(t)
		s.Write(t, packets1()...)
		if n := d.Count(t, "ulog2"); n != "7" {
			t.Errorf("%s: %s packets, want 7", table, n)
		}
	}
}

// TestDefiner: a function that writes with the rights of its owner is called, since
// the daemon may have none on the tables.
func TestDefiner(t *testing.T) {
	d := dbtest.Get(t, dbtest.PostgreSQL).Database(t)
	d.LoadOriginal(t, "ulogd2")
	role := d.Name + "_w"
	if _, err := d.DB.Exec("create role " + role + " login password 'x'"); err != nil {
		t.Fatal(err)
	}
	for _, r := range d.Query(t, "select oid::regprocedure::text from pg_proc where proowner = $1::regrole", d.User) {
		d.Exec(t, "alter function "+r[0]+" security definer")
	}
	d.Exec(t, "grant create on schema public to "+role)
	s := newSubject(t, d, "ulog", "INSERT_PACKET_FULL")
	s.config.User, s.config.Pass = role, "x"
	s.MustConnect(t)
	s.Write(t, packets1()...)
	if n := d.Count(t, "ulog2"); n != "7" {
		t.Errorf("%s packets, want 7", n)
	}
}
