package postgres

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
			d := dbtest.Get(t, dbtest.PostgreSQL).Database(t)
			d.LoadOurs(t, schema.V2, o)
			s := newSubject(t, d, "ulog", "INSERT_PACKET_FULL")
			s.config.Direct = direct
			s.MustConnect(t)
			s.Logged(t, []string{"by COPY into the base tables", "by calling INSERT_PACKET_FULL"}[i])
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
		d := dbtest.Get(t, dbtest.PostgreSQL).Database(t)
		load(d)
		for _, of := range [][3]string{{"ulog", "INSERT_PACKET_FULL", "ulog2"}, {"ulog2_ct", "INSERT_CT", "ulog2_ct"}} {
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

// flow is a connection as NFCT and IP2STR describe it.
func flow(event uint64) fieldsOf {
	return fieldsOf{
		"oob_family": num(2), "orig_ip_saddr_str": text("192.0.2.1"), "orig_ip_daddr_str": text("192.0.2.2"),
		"orig_ip_protocol": num(17), "orig_l4_sport": num(65535), "orig_l4_dport": num(53), "orig_raw_pktlen": num(100), "orig_raw_pktcount": num(1),
		"reply_ip_saddr_str": text("192.0.2.2"), "reply_ip_daddr_str": text("192.0.2.1"), "reply_ip_protocol": num(17),
		"reply_l4_sport": num(53), "reply_l4_dport": num(65535), "reply_raw_pktlen": num(1 << 40), "reply_raw_pktcount": num(2),
		"ct_mark": num(7), "flow_start_sec": num(1795420850), "flow_start_usec": num(5), "flow_end_sec": num(1795420851), "flow_end_usec": num(6),
		"ct_event": num(event),
	}
}

// loads are ulogd's own schemas and ours, all of which take flows.
func loads(t *testing.T) map[string]func(d *dbtest.Database) {
	return map[string]func(d *dbtest.Database){
		"ulogd2":      func(d *dbtest.Database) { d.LoadOriginal(t, "ulogd2") },
		"ulogd2-flat": func(d *dbtest.Database) { d.LoadOriginal(t, "ulogd2-flat") },
		"ours v2":     func(d *dbtest.Database) { d.LoadOurs(t, schema.V2, schema.Options{}) },
		"ours flat":   func(d *dbtest.Database) { d.LoadOurs(t, schema.V2Flat, schema.Options{Host: true}) },
	}
}

// TestFlows: connections and sums are stored as the functions do, in ulogd's own
// schemas and in ours.
func TestFlows(t *testing.T) {
	for name, load := range loads(t) {
		d := dbtest.Get(t, dbtest.PostgreSQL).Database(t)
		load(d)
		for _, of := range [][2]string{{"ulog2_ct", "INSERT_CT"}, {"nfacct", "INSERT_NFACCT"}} {
			if name == "ulogd2-flat" && of[0] == "nfacct" {
				continue // which it does not have
			}
			t.Run(name+" "+of[0], func(t *testing.T) {
				var dumps [2][]string
				for i, direct := range []sqldb.Direct{sqldb.DirectAuto, sqldb.DirectNo} {
					d.Exec(t, "delete from "+of[0])
					s := newSubject(t, d, of[0], of[1])
					s.config.Direct = direct
					s.MustConnect(t)
					s.Logged(t, []string{"by COPY, as " + of[1] + " would", "by calling " + of[1]}[i])
					if of[0] == "nfacct" {
						s.Write(t, fieldsOf{"sum_name": text("web"), "sum_pkts": num(1), "sum_bytes": num(2147483647), "oob_time_sec": num(1795420850), "oob_time_usec": num(0)})
					} else {
						icmp := flow(1)
						delete(icmp, "orig_l4_sport")
						icmp["icmp_type"], icmp["icmp_code"] = num(8), num(0)
						s.Write(t, flow(4), icmp)
					}
					dumps[i] = d.Dump(t, of[0], "_ct_id")
				}
				if diff := cmp.Diff(dumps[1], dumps[0]); diff != "" || len(dumps[0]) == 0 {
					t.Errorf("by calling, and by COPY (-want +got):\n%s", diff)
				}
			})
		}
	}
}

// TestReplacedFlows: the end of a connection completes the last row that is open,
// one without ports too, and is a row of its own if there is none.
func TestReplacedFlows(t *testing.T) {
	for name, load := range loads(t) {
		t.Run(name, func(t *testing.T) {
			d := dbtest.Get(t, dbtest.PostgreSQL).Database(t)
			load(d)
			s := newSubject(t, d, "ulog2_ct", "INSERT_OR_REPLACE_CT")
			s.MustConnect(t)
			s.Logged(t, "by calling INSERT_OR_REPLACE_CT")
			begin, end := flow(1), flow(4)
			for _, without := range []string{"flow_end_sec", "flow_end_usec"} {
				delete(begin, without)
			}
			s.Write(t, begin, end)
			want := [][]string{{"4", "1795420851"}}
			if strings.HasPrefix(name, "ours") {
				gre := flow(1)
				greEnd := flow(4)
				for _, f := range []fieldsOf{gre, greEnd} {
					f["orig_ip_protocol"], f["reply_ip_protocol"] = num(47), num(47)
					for _, port := range []string{"orig_l4_sport", "orig_l4_dport", "reply_l4_sport", "reply_l4_dport"} {
						delete(f, port)
					}
				}
				s.Write(t, begin, begin, end, gre, greEnd, end, end)
				// The first, one of the two that begin, GRE, the other, and one without a beginning.
				want = slices.Repeat(want, 5)
			}
			if diff := cmp.Diff(want, d.Query(t, "select ct_event, flow_end_sec from ulog2_ct")); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestRemovedMAC: hardware addresses that were known, and that somebody has removed
// meanwhile, are made again, with foreign keys and without.
func TestRemovedMAC(t *testing.T) {
	for _, drop := range []string{"select 1", "select ulog2_drop_foreign_keys()"} {
		d := dbtest.Get(t, dbtest.PostgreSQL).Database(t)
		d.LoadOriginal(t, "ulogd2")
		d.Exec(t, drop)
		s := newSubject(t, d, "ulog", "INSERT_PACKET_FULL")
		s.MustConnect(t)
		s.Write(t, packets1()...)
		d.Exec(t, "delete from tcp", "delete from udp", "delete from sctp", "delete from icmp", "delete from icmpv6", "delete from hwhdr", "delete from ulog2", "delete from mac")
		s.Write(t, packets1()...)
		if got := d.Query(t, "select count(*) from ulog2 left join mac on mac_id = _mac_id where mac_id is not null and _mac_id is null")[0][0]; got != "0" {
			t.Errorf("%s: %s packets refer to hardware addresses that are gone", drop, got)
		}
		if got := d.Count(t, "mac"); got != "4" {
			t.Errorf("%s: %s hardware addresses, want 4", drop, got)
		}
	}
}
