package mysql

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ulogd-go/ulogd/contrib/dbtest"
	"github.com/ulogd-go/ulogd/contrib/sqldbtest"
	"github.com/ulogd-go/ulogd/pkg/plugin"
	"github.com/ulogd-go/ulogd/pkg/queue"
	"github.com/ulogd-go/ulogd/pkg/row"
	"github.com/ulogd-go/ulogd/pkg/sqldb"
	"github.com/ulogd-go/ulogd/pkg/stats"
	"github.com/ulogd-go/ulogd/schema"
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
		Host: d.Socket, DB: d.Name, User: d.User, Pass: d.Password, Table: table, Procedure: procedure,
		Ledger: "ulogd_ledger", Source: "fw1/db1", Direct: sqldb.DirectAuto, Login: sqldb.LoginDefaults, Stats: new(stats.Set),
		Log: slog.New(slog.NewTextHandler(&s.Log, nil)),
	}
	return s
}

type fieldsOf = sqldbtest.Fields

var (
	num  = sqldbtest.Num
	text = sqldbtest.Text
	bin  = sqldbtest.Bin
	flag = sqldbtest.Flag
)

// packets are one of each sort.
func packets1() []fieldsOf {
	return []fieldsOf{
		{"oob_time_sec": num(1795420850), "oob_prefix": text("tcp\t\\'\n"), "oob_mark": num(7), "oob_in": text("eth0"), "oob_out": text(""), "oob_family": num(2),
			"ip_saddr_bin": bin("\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\xc0\x00\x02\x01"), "ip_daddr_bin": bin("\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\xc0\x00\x02\x02"), "ip_protocol": num(6), "tcp_sport": num(1024), "tcp_dport": num(22), "tcp_seq": num(4294967295), "tcp_syn": flag(1), "tcp_ack": flag(0),
			"raw_type": num(1), "mac_str": text("00:0c:29:01:02:03:00:50:56:01:02:03:08:00"), "mac_saddr_str": text("00:50:56:01:02:03"), "mac_daddr_str": text("00:0c:29:01:02:03"), "oob_protocol": num(2048), "raw_label": num(1)},
		{"oob_prefix": text("udp"), "oob_family": num(10), "ip_saddr_bin": bin("\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01"), "ip_daddr_bin": bin("\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02"), "ip_protocol": num(17), "udp_sport": num(53), "udp_dport": num(5353), "udp_len": num(20),
			"raw_type": num(1), "mac_saddr_str": text("00:50:56:01:02:03"), "mac_daddr_str": text("00:0c:29:01:02:03"), "oob_protocol": num(34525)},
		{"oob_prefix": text("sctp over loopback"), "ip_protocol": num(132), "sctp_sport": num(1), "sctp_csum": num(17), "raw_type": num(772), "mac_str": text("00:00")},
		{"oob_prefix": text("icmp"), "ip_protocol": num(1), "icmp_type": num(8), "icmp_code": num(0), "icmp_echoid": num(5)},
		{"oob_prefix": text("icmpv6"), "ip_protocol": num(58), "icmpv6_type": num(128), "raw_type": num(1), "mac_saddr_str": text("00:50:56:01:02:04"), "mac_daddr_str": text("00:0c:29:01:02:03"), "oob_protocol": num(34525)},
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

// TestRelationalIsTheProcedure writes the same packets by INSERT and by calling the
// function that was shipped: all tables are equal.
func TestRelationalIsTheProcedure(t *testing.T) {
	server := dbtest.Get(t, dbtest.MySQL)
	var dumps [2][]string
	for i, change := range []func(d *dbtest.Database){
		func(*dbtest.Database) {},
		func(d *dbtest.Database) {
			// Another body with the same effect is not known, and called.
			def := d.Query(t, "show create procedure PACKET_ADD_UDP")[0][2]
			d.Exec(t, "drop procedure PACKET_ADD_UDP", regexp.MustCompile("(?i)begin").ReplaceAllString(def, "begin do 1;"))
		},
	} {
		d := server.Database(t)
		d.LoadOriginal(t, "ulogd2")
		change(d)
		s := newSubject(t, d, "ulog", "INSERT_PACKET_FULL")
		s.MustConnect(t)
		s.Logged(t, []string{"into the base tables, as INSERT_PACKET_FULL", "by calling INSERT_PACKET_FULL"}[i])
		s.Write(t, packets1()...)
		s.Write(t, packets1()...)
		dumps[i] = dump(t, d)
	}
	if len(dumps[0]) < 30 {
		t.Fatalf("only %d rows:\n%s", len(dumps[0]), strings.Join(dumps[0], "\n"))
	}
	if diff := cmp.Diff(dumps[1], dumps[0]); diff != "" {
		t.Errorf("by calling, and by INSERT (-want +got):\n%s", diff)
	}
}

func TestFingerprints(t *testing.T) {
	d := dbtest.Get(t, dbtest.MySQL).Database(t)
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
	for name, load := range map[string]func(d *dbtest.Database){
		"ulogd's tables":        func(d *dbtest.Database) { d.LoadOriginal(t, "ulogd2") },
		"a partition for a day": func(d *dbtest.Database) { d.LoadOurs(t, "v2", schema.Options{Daily: true}) },
	} {
		t.Run(name, func(t *testing.T) { belongTogether(t, load) })
	}
}

func belongTogether(t *testing.T, load func(*dbtest.Database)) {
	d := dbtest.Get(t, dbtest.MySQL).Database(t)
	load(d)
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
	sqldbtest.Ledger(t, &newSubject(t, dbtest.Get(t, dbtest.MySQL).Database(t), "t", "INSERT").Subject)
}

func TestChangedTable(t *testing.T) {
	sqldbtest.ChangedTable(t, &newSubject(t, dbtest.Get(t, dbtest.MySQL).Database(t), "t", "INSERT").Subject)
}

// TestConnectErrors say what to mend, and never the password.
func TestConnectErrors(t *testing.T) {
	d := dbtest.Get(t, dbtest.MySQL).Database(t)
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
	d := dbtest.Get(t, dbtest.MySQL).Database(t)
	d.Exec(t, "create table t (mark bigint, prefix varchar(5))", "create view v as select 0 as _id, mark as oob_mark, prefix as oob_prefix from t")
	d.Exec(t, []string{"create table direct (oob_mark bigint, oob_prefix varchar(5))",
		"create function log_one(m bigint, p varchar(5)) returns int modifies sql data begin insert into t values (m, p); return 1; end",
		"create procedure log_two(m bigint, p varchar(5)) begin insert into t values (m, p); end"}...)
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

// TestProcedureThatCommits: its rows are stored, and a warning says how well.
func TestProcedureThatCommits(t *testing.T) {
	d := dbtest.Get(t, dbtest.MySQL).Database(t)
	d.Exec(t, "create table t (oob_mark bigint)", "create view v as select 0 as _id, oob_mark from t",
		"create procedure plain(m bigint) begin insert into t values (m); end", "create procedure eager(m bigint) begin insert into t values (m); commit; end")
	for _, procedure := range []string{"CALL plain", "CALL eager"} {
		s := newSubject(t, d, "v", procedure)
		s.config.Source = procedure
		s.MustConnect(t)
		for range 2 {
			s.Write(t, fieldsOf{"oob_mark": num(7)}, fieldsOf{"oob_mark": num(8)})
		}
		if got, want := strings.Count(s.Log.String(), "commits or rolls back by itself"), strings.Count(procedure, "eager"); got != want {
			t.Errorf("%s: %d warnings, want %d:\n%s", procedure, got, want, &s.Log)
		}
	}
	if got := d.Count(t, "t"); got != "8" {
		t.Errorf("%s rows, want 8", got)
	}
}

// TestErrorInResult: a function that fails only when its result is read, with which
// ulogd loses the row without a word.
func TestErrorInResult(t *testing.T) {
	d := dbtest.Get(t, dbtest.MySQL).Database(t)
	d.Exec(t, "create table narrow (m tinyint)", "create view v as select 0 as _id, 1 as oob_mark",
		"create function f(m bigint) returns int modifies sql data begin insert into narrow values (m); return 1; end")
	s := newSubject(t, d, "v", "f")
	s.MustConnect(t)
	blk := s.Block(fieldsOf{"oob_mark": num(1)}, fieldsOf{"oob_mark": num(1000)}, fieldsOf{"oob_mark": num(2)})
	var reject *plugin.RejectError
	if err := s.Conn.Write(t.Context(), blk); !errors.As(err, &reject) || d.Count(t, "narrow") != "0" {
		t.Errorf("error %v, %s rows; want a *plugin.RejectError and none", err, d.Count(t, "narrow"))
	}
	for i := range 3 {
		if err := s.Conn.Write(t.Context(), blk.Slice(i, i+1)); (err != nil) != (i == 1) {
			t.Errorf("row %d: %v", i, err)
		}
	}
	if got := d.Count(t, "narrow"); got != "2" {
		t.Errorf("%s rows, want 2", got)
	}
}

// narrow are the values of the packets of TestFailingValues, in their order.
const narrow = "select coalesce(oob_mark, icmp_gateway, icmp_fragmtu, udp_len, nullif(ip_fragoff, 0), sctp_csum, ip_totlen, ip6_fragoff), ip_protocol from ulog2 " +
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
		d := dbtest.Get(t, dbtest.MySQL).Database(t)
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
			want := "[[2147483648 NULL] [3232235521 1] [40000 1] [40000 17] [32768 NULL] [3735928559 132] [48879 132] [40028 NULL] [32767 NULL] [32760 NULL]]"
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

// TestRightsOfTheOwner: a user who may call the function and not write the tables
// stores packets, as with ulogd.
func TestRightsOfTheOwner(t *testing.T) {
	d := dbtest.Get(t, dbtest.MySQL).Database(t)
	d.LoadOriginal(t, "ulogd2")
	caller := *d
	caller.User, caller.Password = d.User+"c", "x"
	user := "'" + caller.User + "'@'localhost'"
	read := "show_routine on *.*" // the bodies of routines
	if d.MariaDB(t) {
		read = "select on mysql.proc"
	}
	d.Exec(t, "create user "+user+" identified by 'x'", "grant select, execute on "+d.Name+".* to "+user, "grant "+read+" to "+user)
	t.Cleanup(func() { d.Exec(t, "drop user "+user) })
	packet := fieldsOf{"oob_time_sec": num(5), "oob_prefix": text("x"), "ip_protocol": num(17), "udp_sport": num(7), "udp_dport": num(53)}
	for i, grant := range []string{"", "insert on " + d.Name + ".ulog2", "insert on " + d.Name + ".*"} {
		if grant != "" {
			d.Exec(t, "grant "+grant+" to "+user)
		}
		s := newSubject(t, &caller, "ulog", "INSERT_PACKET_FULL")
		s.config.Ledger = sqldb.None
		s.MustConnect(t)
		if i < 2 {
			s.Logged(t, "INSERT command denied")
		} else if strings.Contains(s.Log.String(), "denied") {
			t.Errorf("all is granted, and the log says: %s", &s.Log)
		}
		s.Write(t, packet)
		if got, want := d.Count(t, "udp"), fmt.Sprint(i+1); got != want {
			t.Errorf("%q: %s packets, want %s", grant, got, want)
		}
	}
}

// TestTables: a partitioned table, and one with other types than ulogd's.
func TestTables(t *testing.T) {
	d := dbtest.Get(t, dbtest.MySQL).Database(t)
	d.Exec(t, []string{
		"create table parts (oob_time_sec bigint, ip_saddr varchar(16), raw_mac varchar(80), oob_prefix varchar(2)) partition by range (oob_time_sec) (partition p0 values less than (10))",
		"create table v1 (id int unsigned auto_increment, oob_time_sec int unsigned, ip_saddr int unsigned, raw_mac varbinary(20), oob_prefix varchar(32) character set latin1, unique (id)) engine=MyISAM"}...)
	want := map[string]string{
		"parts": "[[5 16908480 00:01:ff łé]]",
		"v1":    "[[5 16908480 0x0001ff ?é\t]]",
	}
	for _, table := range []string{"parts", "v1"} {
		s := newSubject(t, d, table, "INSERT")
		s.MustConnect(t)
		if table == "v1" {
			s.Logged(t, "no transactions (MyISAM")
		}
		s.Write(t, fieldsOf{"oob_time_sec": num(5), "ip_saddr": {Kind: row.IP4, Num: 0xc0000201}, "raw_mac": {Kind: row.Raw, Bytes: []byte{0, 1, 255}}, "oob_prefix": text("łé\t")})
		if got := fmt.Sprint(d.Query(t, "select oob_time_sec, ip_saddr, raw_mac, oob_prefix from "+table)); got != want[table] {
			t.Errorf("%s: %s, want %s", table, got, want[table])
		}
	}
}

// TestTypes: what is loaded is what an INSERT stores, also in types of which the server
// reads bytes in another way than texts.
func TestTypes(t *testing.T) {
	d := dbtest.Get(t, dbtest.MySQL).Database(t)
	values := fieldsOf{"oob_hook": num(5), "oob_mark": num(1), "ip_saddr": {Kind: row.IP6, Bytes: []byte("\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\xab\xcd")},
		"ip_daddr": {Kind: row.IP4, Num: 0xc0000201}, "oob_prefix": text("1234567890123456")}
	for _, column := range []string{"oob_hook bit(8)", "oob_mark bit(1)", "oob_hook bit(16)", "ip_saddr inet6", "ip_daddr inet6", "ip_daddr inet4", "oob_hook enum('x', '5')",
		"oob_hook year", "oob_prefix json", "oob_hook decimal(5, 2)", "oob_hook float", "oob_hook set('a', 'b', 'c')", "oob_prefix binary(16)", "oob_prefix varchar(16) character set utf16", "oob_prefix inet6"} {
		name, typ, _ := strings.Cut(column, " ")
		if strings.HasPrefix(typ, "inet") && !d.MariaDB(t) {
			continue // which has no such types
		}
		var got [2]string
		for i, procedure := range []string{"INSERT INTO t", "INSERT"} {
			d.Exec(t, "drop table if exists t", "create table t ("+column+")")
			s := newSubject(t, d, "t", procedure)
			s.MustConnect(t)
			err := s.Conn.Write(t.Context(), s.Block(fieldsOf{name: values[name]}))
			got[i] = fmt.Sprint(d.Query(t, "select hex("+name+"), cast("+name+" as char) from t"), err != nil)
		}
		if got[0] != got[1] {
			t.Errorf("%s: %s, by INSERT %s", column, got[1], got[0])
		}
	}
}

// TestDefaults: a column without a value is NULL, whatever it is by default, also if no
// row of a batch has a value for it. With the right to load, and without.
func TestDefaults(t *testing.T) {
	d := dbtest.Get(t, dbtest.MySQL).Database(t)
	defer d.Exec(t, "set global local_infile = on")
	for _, local := range []string{"on", "off"} {
		d.Exec(t, "drop table if exists t", "create table t (oob_mark bigint, oob_hook int default 9, oob_prefix varchar(9) default 'NULL', oob_in varchar(9) default null, oob_out varchar(9))",
			"set global local_infile = "+local)
		s := newSubject(t, d, "t", "INSERT")
		s.MustConnect(t)
		null := row.Value{}
		s.Write(t, fieldsOf{"oob_mark": num(1), "oob_hook": null, "oob_prefix": null, "oob_in": null, "oob_out": null},
			fieldsOf{"oob_mark": num(2), "oob_hook": null, "oob_prefix": null, "oob_in": null, "oob_out": text("x")})
		s.Write(t, fieldsOf{"oob_mark": null, "oob_hook": null, "oob_in": null})
		if got := fmt.Sprint(d.Query(t, "select * from t order by oob_mark desc")); got != "[[2 NULL NULL NULL x] [1 NULL NULL NULL NULL] [NULL NULL NULL NULL NULL]]" {
			t.Errorf("local_infile %s: rows %s", local, got)
		}
	}
}

// TestEveryForm: rows that waited for a server that was not there yet have addresses in
// each form, of which the view shows one. With the right to load, and without.
func TestEveryForm(t *testing.T) {
	d := dbtest.Get(t, dbtest.MySQL).Database(t)
	d.LoadOriginal(t, "ulogd2")
	const b = "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01"
	packet := fieldsOf{"oob_prefix": text("x"), "ip_protocol": num(17), "udp_sport": num(7), "arp_saddr": num(9), "mac_id": num(9)}
	flow := fieldsOf{"oob_family": num(10), "orig_ip_protocol": num(6), "orig_raw_pktlen": num(70), "orig_bytes": num(9)}
	for name, v := range map[string]row.Value{"": {Kind: row.IP6, Bytes: []byte("0123456789abcdef")}, "_bin": bin(b), "_str": text("x")} {
		packet["ip_saddr"+name], flow["orig_ip_saddr"+name] = v, v
	}
	defer d.Exec(t, "set global local_infile = on")
	for _, local := range []string{"on", "off"} {
		d.Exec(t, "delete from udp", "delete from hwhdr", "delete from ulog2", "delete from ulog2_ct", "set global local_infile = "+local)
		s := newSubject(t, d, "ulog", "INSERT_PACKET_FULL")
		s.MustConnect(t)
		s.Write(t, packet, packet)
		s = newSubject(t, d, "conntrack", "INSERT_CT")
		s.config.Source = "fw1/db2"
		s.MustConnect(t)
		s.Logged(t, ", as INSERT_CT would")
		s.Write(t, flow)
		if got := fmt.Sprint(d.Query(t, "select hex(ip_saddr), oob_prefix, mac_id, udp_sport from ulog2 join udp on _udp_id = _id")); got != "[[20010DB8000000000000000000000001 x NULL 7] [20010DB8000000000000000000000001 x NULL 7]]" {
			t.Errorf("local_infile %s: packets %s", local, got)
		}
		if got := fmt.Sprint(d.Query(t, "select hex(orig_ip_saddr), orig_ip_protocol, orig_bytes from ulog2_ct")); got != "[[20010DB8000000000000000000000001 6 70]]" {
			t.Errorf("local_infile %s: connections %s", local, got)
		}
	}
}

// TestTooLarge: a row for which the server takes no statement is rejected, and costs
// neither the connection nor the others.
func TestTooLarge(t *testing.T) {
	d := dbtest.Get(t, dbtest.MySQL).Database(t)
	d.Exec(t, "create table t (oob_mark bigint, raw_pkt mediumtext)", "create function f(m bigint, p mediumtext) returns int modifies sql data begin insert into t values (m, p); return 1; end",
		"create view v as select 0 as _id, oob_mark, raw_pkt from t", "set global local_infile = off, global max_allowed_packet = 65536")
	defer d.Exec(t, "set global local_infile = on, global max_allowed_packet = default")
	for _, way := range [][2]string{{"t", "INSERT"}, {"v", "f"}} {
		d.Exec(t, "delete from t")
		s := newSubject(t, d, way[0], way[1])
		s.config.Source = way[0]
		s.MustConnect(t)
		large := text(strings.Repeat("x", 70000))
		blk := s.Block(fieldsOf{"oob_mark": num(1), "raw_pkt": text("a")}, fieldsOf{"oob_mark": num(2), "raw_pkt": large}, fieldsOf{"oob_mark": num(3), "raw_pkt": text("b")})
		for i, part := range []*queue.Block{blk, blk.Slice(0, 1), blk.Slice(1, 2), blk.Slice(2, 3)} {
			var reject *plugin.RejectError
			err := s.Conn.Write(t.Context(), part)
			if want := i%2 == 0 && i < 3; errors.As(err, &reject) != want || want && !strings.Contains(err.Error(), "max_allowed_packet") || !want && err != nil {
				t.Errorf("%s: write %d: error %v", way, i, err)
			}
		}
		if got := fmt.Sprint(d.Query(t, "select * from t order by 1")); got != "[[1 a] [3 b]]" {
			t.Errorf("%s: rows %s", way, got)
		}
	}
}

// TestNoLedger: rows are stored without a ledger, and a warning says what that
// means.
func TestNoLedger(t *testing.T) {
	d := dbtest.Get(t, dbtest.MySQL).Database(t)
	d.Exec(t, "create table t (oob_mark bigint)")
	admin := func(sql string) {
		t.Helper()
		if _, err := d.DB.Exec(sql); err != nil {
			t.Fatal(err)
		}
	}
	for _, sql := range []string{"revoke all on DB.* from USER@localhost", "grant insert, select on DB.t to USER@localhost"} {
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
