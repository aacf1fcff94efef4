package mysql

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ulogd-go/ulogd/contrib/dbtest"
	"github.com/ulogd-go/ulogd/pkg/sqldb"
	"github.com/ulogd-go/ulogd/schema"
)

// TestOurProcedureIsKnown: the function of our own schema makes the same rows as
// the writes in its place, whatever the schema was made with.
func TestOurProcedureIsKnown(t *testing.T) {
	for _, o := range []schema.Options{{}, {Daily: true, Host: true}} {
		var dumps [2][]string
		for i, direct := range []sqldb.Direct{sqldb.DirectAuto, sqldb.DirectNo} {
			d := dbtest.Get(t, dbtest.MySQL).Database(t)
			d.LoadOurs(t, schema.V2, o)
			s := newSubject(t, d, "ulog", "INSERT_PACKET_FULL")
			s.config.Direct = direct
			s.MustConnect(t)
			s.Logged(t, []string{"into the base tables, as INSERT_PACKET_FULL", "by calling INSERT_PACKET_FULL"}[i])
			s.Write(t, packets1()...)
			s.Write(t, packets1()...)
			dumps[i] = dump(t, d)
			if got := d.Count(t, "hwhdr"); got != "2" {
				t.Errorf("hwhdr has %s rows, want those with something in it only", got)
			}
		}
		if len(dumps[0]) < 30 {
			t.Fatalf("only %d rows:\n%s", len(dumps[0]), strings.Join(dumps[0], "\n"))
		}
		if diff := cmp.Diff(dumps[1], dumps[0]); diff != "" {
			t.Errorf("by calling, and in its place (-want +got):\n%s", diff)
		}
	}
}

// TestHostColumn: a column for the host is filled although the view has none, with
// no more than one ALTER TABLE.
func TestHostColumn(t *testing.T) {
	for name, load := range map[string]func(d *dbtest.Database){
		"ours": func(d *dbtest.Database) { d.LoadOurs(t, schema.V2, schema.Options{Host: true}) },
		"altered": func(d *dbtest.Database) {
			d.LoadOriginal(t, "ulogd2")
			d.Exec(t, "alter table ulog2 add local_hostname varchar(255)", "alter table ulog2_ct add local_hostname varchar(255)")
		},
	} {
		d := dbtest.Get(t, dbtest.MySQL).Database(t)
		load(d)
		for _, of := range [][3]string{{"ulog", "INSERT_PACKET_FULL", "ulog2"}, {"conntrack", "INSERT_CT", "ulog2_ct"}} {
			s := newSubject(t, d, of[0], of[1])
			s.MustConnect(t)
			columns, err := s.Conn.Columns(t.Context())
			if err != nil || !slices.Contains(sqldb.Names(columns), sqldb.HostColumn) {
				t.Fatalf("%s: columns %q, %v", name, sqldb.Names(columns), err)
			}
			s.Write(t, fieldsOf{"oob_family": num(2), "local_hostname": text("fw1")})
			if got := d.Query(t, "select local_hostname from "+of[2])[0][0]; got != "fw1" {
				t.Errorf("%s: the host is %s", name, got)
			}
		}
	}
}

// flow is a connection as NFCT and IP2BIN describe it.
func flow() fieldsOf {
	return fieldsOf{
		"oob_family": num(2), "orig_ip_saddr_bin": bin(strings.Repeat("\x01", 16)), "orig_ip_daddr_bin": bin(strings.Repeat("\x02", 16)),
		"orig_ip_protocol": num(17), "orig_l4_sport": num(65535), "orig_l4_dport": num(53), "orig_raw_pktlen": num(100), "orig_raw_pktcount": num(1),
		"reply_ip_saddr_bin": bin(strings.Repeat("\x02", 16)), "reply_ip_daddr_bin": bin(strings.Repeat("\x01", 16)), "reply_ip_protocol": num(17),
		"reply_l4_sport": num(53), "reply_l4_dport": num(65535), "reply_raw_pktlen": num(1 << 40), "reply_raw_pktcount": num(2),
		"ct_mark": num(7), "flow_start_sec": num(1795420850), "flow_start_usec": num(5), "flow_end_sec": num(1795420851), "flow_end_usec": num(6),
	}
}

// TestFlows: connections are stored as INSERT_CT does, in ulogd's own schemas and
// in ours, and the view of ours shows them.
func TestFlows(t *testing.T) {
	load := map[string]func(d *dbtest.Database){
		"ulogd2":      func(d *dbtest.Database) { d.LoadOriginal(t, "ulogd2") },
		"ulogd2-flat": func(d *dbtest.Database) { d.LoadOriginal(t, "ulogd2-flat") },
		"ours v2":     func(d *dbtest.Database) { d.LoadOurs(t, schema.V2, schema.Options{}) },
		"ours flat":   func(d *dbtest.Database) { d.LoadOurs(t, schema.V2Flat, schema.Options{Host: true}) },
	}
	for name, load := range load {
		t.Run(name, func(t *testing.T) {
			var dumps [2][]string
			d := dbtest.Get(t, dbtest.MySQL).Database(t)
			load(d)
			for i, direct := range []sqldb.Direct{sqldb.DirectAuto, sqldb.DirectNo} {
				d.Exec(t, "delete from ulog2_ct")
				s := newSubject(t, d, "conntrack", "INSERT_CT")
				s.config.Direct = direct
				s.MustConnect(t)
				s.Logged(t, []string{", as INSERT_CT would", "by calling INSERT_CT"}[i])
				icmp := flow()
				delete(icmp, "orig_l4_sport")
				icmp["icmp_type"], icmp["icmp_code"] = num(8), num(0)
				s.Write(t, flow(), icmp)
				dumps[i] = d.Dump(t, "ulog2_ct", "_ct_id")
				if got := d.Count(t, "conntrack"); strings.HasPrefix(name, "ours") && got != "2" {
					t.Errorf("view conntrack has %s rows, want 2", got)
				}
			}
			if diff := cmp.Diff(dumps[1], dumps[0]); diff != "" {
				t.Errorf("by calling, and in its place (-want +got):\n%s", diff)
			}
			if !strings.Contains(strings.Join(dumps[0], "\n"), "orig_l4_sport=65535 orig_l4_dport=53 orig_bytes=100 orig_packets=1") {
				t.Errorf("rows:\n%s", strings.Join(dumps[0], "\n"))
			}
		})
	}
}

// TestRemovedMAC: hardware addresses that were known, and that somebody has removed
// meanwhile, are made again.
func TestRemovedMAC(t *testing.T) {
	d := dbtest.Get(t, dbtest.MySQL).Database(t)
	d.LoadOriginal(t, "ulogd2") // whose table has no foreign key for it
	s := newSubject(t, d, "ulog", "INSERT_PACKET_FULL")
	s.MustConnect(t)
	s.Write(t, packets1()...)
	d.Exec(t, "delete from tcp", "delete from udp", "delete from icmp", "delete from icmpv6", "delete from ulog2", "delete from mac")
	s.Write(t, packets1()...)
	if got := d.Query(t, "select count(*) from ulog2 left join mac on mac_id = _mac_id where mac_id is not null and _mac_id is null")[0][0]; got != "0" {
		t.Errorf("%s packets refer to hardware addresses that are gone", got)
	}
	if got := d.Count(t, "mac"); got != "4" {
		t.Errorf("%s hardware addresses, want 4", got)
	}
}

// TestEngines: each table behind a view is asked for transactions.
func TestEngines(t *testing.T) {
	d := dbtest.Get(t, dbtest.MySQL).Database(t)
	d.LoadOriginal(t, "ulogd2")
	for _, tt := range []struct{ table, engine, view, procedure string }{
		{"ulog2_ct", "MyISAM", "conntrack", "INSERT_CT"},
		{"mac", "MyISAM", "ulog", "INSERT_PACKET_FULL"},
		{"sctp", "MEMORY", "ulog", "INSERT_PACKET_FULL"},
	} {
		d.Exec(t, "alter table "+tt.table+" engine="+tt.engine)
		s := newSubject(t, d, tt.view, tt.procedure)
		s.MustConnect(t)
		s.Logged(t, "table "+tt.table+" has no transactions")
		d.Exec(t, "alter table "+tt.table+" engine=InnoDB")
	}
}
