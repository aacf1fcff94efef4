package schema_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ulogd-go/ulogd/contrib/dbtest"
	"github.com/ulogd-go/ulogd/schema"
)

// call is how a function or a procedure is called by hand.
func call(d *dbtest.Database, routine string, args ...string) string {
	list := routine + "(" + strings.Join(args, ", ") + ")"
	if d.Engine == dbtest.MySQL && (strings.HasPrefix(routine, "PACKET_ADD") || strings.HasPrefix(routine, "DELETE") || strings.HasPrefix(routine, "COMPRESS") || strings.HasPrefix(routine, "ULOG2_") || strings.HasPrefix(routine, "ANALYZE")) {
		return "call " + list
	}
	return "select " + list
}

// full is the arguments of INSERT_PACKET_FULL: NULL but for some, which are
// numbered from 1 (reference page "schemas", section 2.4).
func full(set map[int]string) []string {
	args := make([]string, 59)
	for i := range args {
		args[i] = "NULL"
		if s, ok := set[i+1]; ok {
			args[i] = s
		}
	}
	return args
}

// addresses are two that the engine takes.
func addresses(d *dbtest.Database) (a, b string) {
	if d.Engine == dbtest.MySQL {
		return "0x00000000000000000000ffffc0000201", "0x00000000000000000000ffffc0000202"
	}
	return "'192.0.2.1'", "'192.0.2.2'"
}

// TestRoutines calls the routines of the relational schema by hand, with what
// ulogd's own stumble over.
func TestRoutines(t *testing.T) {
	for _, e := range []schema.Engine{schema.MySQL, schema.Postgres} {
		for name, o := range variants(e, schema.V2) {
			t.Run(fmt.Sprint(e, " ", name), func(t *testing.T) { testRoutines(t, made(t, e, schema.V2, o), o) })
		}
	}
}

func testRoutines(t *testing.T, d *dbtest.Database, o schema.Options) {
	mysql := d.Engine == dbtest.MySQL
	src, dst := addresses(d)
	insert := func(set map[int]string) string {
		t.Helper()
		set[1], set[8], set[9], set[10] = "1795420850", "2", src, dst
		return d.Query(t, call(d, "INSERT_PACKET_FULL", full(set)...))[0][0]
	}
	count := func(want string, from string) {
		t.Helper()
		if got := d.Count(t, from); got != want {
			t.Errorf("%s has %s rows, want %s", from, got, want)
		}
	}
	ethernet := func(set map[int]string) map[int]string {
		set[51], set[53], set[54], set[55] = "1", "'00:50:56:01:02:03'", "'00:0c:29:01:02:03'", "34525"
		return set
	}
	tcp := insert(ethernet(map[int]string{4: "'" + strings.Repeat("ü", 64) + "'", 5: "4294967295", 11: "6", 25: "1024", 26: "22", 27: "4294967295", 30: "'0'", 35: "'1'"}))
	udp := insert(ethernet(map[int]string{11: "17", 14: "40028", 18: "32768", 37: "53", 38: "5353", 39: "40000"}))
	igmp := insert(map[int]string{11: "2"})
	icmp := insert(map[int]string{11: "1", 40: "5", 41: "1", 44: "3221225985", 45: "40000"})
	icmpv6 := insert(map[int]string{11: "58", 46: "128"})
	sctp := insert(map[int]string{11: "132", 57: "1", 58: "2", 59: "3735928559", 51: "772", 52: "'00:00'"})
	for i, id := range []string{tcp, udp, igmp, icmp, icmpv6, sctp} {
		if id != fmt.Sprint(i+1) {
			t.Errorf("packet %d has the number %s", i+1, id)
		}
	}
	count("1", "mac")   // both have the same
	count("1", "hwhdr") // nothing is stored of nothing
	want := [][]string{{tcp, "4294967295", "22", "NULL", "NULL", "NULL", "34525", "NULL"}, {udp, "NULL", "NULL", "40000", "NULL", "NULL", "34525", "NULL"},
		{igmp, "NULL", "NULL", "NULL", "NULL", "NULL", "NULL", "NULL"}, {icmp, "NULL", "NULL", "NULL", "3221225985", "NULL", "NULL", "NULL"},
		{icmpv6, "NULL", "NULL", "NULL", "NULL", "NULL", "NULL", "NULL"}, {sctp, "NULL", "NULL", "NULL", "NULL", "3735928559", "NULL", "00:00"}}
	got := d.Query(t, "select _id, tcp_seq, tcp_dport, udp_len, icmp_gateway, sctp_csum, oob_protocol, mac_str from ulog order by _id")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("view ulog (-want +got):\n%s", diff)
	}

	// The same addresses are found again, and those without a destination, too.
	for range 2 {
		if got := d.Query(t, call(d, "INSERT_OR_SELECT_MAC", "'00:50:56:01:02:03'", "NULL", "NULL"))[0][0]; got != "2" {
			t.Errorf("INSERT_OR_SELECT_MAC: %s, want 2", got)
		}
	}
	count("2", "mac")

	// IGMP packets stay, and what lacks its protocol's row does not.
	short := map[bool][]string{true: {"1", "2", "0", "'p'", "3", "'a'", "'b'", "2", src, dst, "17"}, false: {"1", "2", "'p'", "3", "'a'", "'b'", "2", src, dst, "17"}}[mysql]
	d.Query(t, call(d, "INSERT_IP_PACKET", short...))
	if got := d.Query(t, "select ip_protocol, oob_mark from ulog2 where oob_time_sec = 1"); cmp.Diff([][]string{{"17", "3"}}, got) != "" {
		t.Errorf("INSERT_IP_PACKET: %v", got)
	}
	if !mysql || o.Daily {
		d.Exec(t, "insert into hwhdr (_hw_id) values (4711)")
	}
	d.Exec(t, call(d, "COMPRESS_TABLES"))
	count("6", "ulog2")
	count("1", "mac")
	count("1", "hwhdr")

	if mysql {
		d.Exec(t, call(d, "PACKET_ADD_NUFW", udp, "'user'", "70000", "'os'", "'app'", "5"))
	} else {
		d.Exec(t, "insert into nufw values ("+udp+", 'user', 70000, 'os', 'app')")
	}
	if got := d.Query(t, "select username, user_id from view_nufw"); cmp.Diff([][]string{{"user", "70000"}}, got) != "" {
		t.Errorf("view_nufw: %v", got)
	}
	remove := "DELETE_PACKET"
	if mysql {
		remove = "DELETE_PACKET_FULL"
		d.Exec(t, "insert into state_t values ("+udp+", 1)", call(d, "ANALYZE_TABLES"))
		if got := d.Query(t, "select mac_saddr, username, state from nulog where _id = "+udp); cmp.Diff([][]string{{"00:50:56:01:02:03", "user", "1"}}, got) != "" {
			t.Errorf("nulog: %v", got)
		}
	}
	for _, id := range []string{tcp, udp, icmp, icmpv6, sctp} {
		d.Exec(t, call(d, remove, id))
	}
	for _, table := range []string{"tcp", "udp", "icmp", "icmpv6", "sctp", "hwhdr", "nufw"} {
		count("0", table)
	}
	count("1", "ulog2")

	keys := func(which string) error {
		_, err := d.DB.Exec(call(d, which))
		return err
	}
	for _, which := range []string{"ULOG2_DROP_FOREIGN_KEYS", "ULOG2_ADD_FOREIGN_KEYS", "ULOG2_DROP_FOREIGN_KEYS", "ULOG2_ADD_FOREIGN_KEYS"} {
		if err := keys(which); o.Daily != (err != nil) || o.Daily && !strings.Contains(err.Error(), "partitions") {
			t.Errorf("%s: %v", which, err)
		}
	}
	if mysql {
		got := d.Query(t, "select BIN_TO_IPV6("+src+"), BIN_TO_IPV6(0x20010db8000000000000000000000001), BIN_TO_IPV6(NULL)")
		if diff := cmp.Diff([][]string{{"::ffff:192.0.2.1", "2001:0db8:0000:0000:0000:0000:0000:0001", "NULL"}}, got); diff != "" {
			t.Errorf("BIN_TO_IPV6 (-want +got):\n%s", diff)
		}
	}
}

// TestParts calls the routines that store parts of a packet by themselves.
func TestParts(t *testing.T) {
	parts := []struct{ mysql, postgres, table, args string }{
		{"PACKET_ADD_TCP_FULL", "INSERT_TCP_FULL", "tcp", "1, 2, 3, 4, 5, '0', 6, '1', '0', '1', '0', '1'"},
		{"PACKET_ADD_UDP", "INSERT_UDP", "udp", "1, 2, 40000"},
		{"PACKET_ADD_SCTP", "INSERT_SCTP", "sctp", "1, 2, 3735928559"},
		{"PACKET_ADD_ICMP", "INSERT_ICMP", "icmp", "1, 2, 3, 4, 4294967295, 65535"},
		{"PACKET_ADD_ICMPV6", "INSERT_ICMPV6", "icmpv6", "1, 2, 3, 4, 65535"},
		{"PACKET_ADD_HARDWARE_HEADER", "INSERT_HARDWARE_HEADER", "hwhdr", "772, '00'"},
	}
	for _, e := range []schema.Engine{schema.MySQL, schema.Postgres} {
		d := made(t, e, schema.V2, schema.Options{})
		const id = "5000000000" // more than 32 bits
		d.Exec(t, "insert into ulog2 (_id) values ("+id+")")
		for _, p := range parts {
			name := p.postgres
			if e == schema.MySQL {
				name = p.mysql
			}
			d.Exec(t, call(d, name, id, p.args))
			got := strings.Join(d.Query(t, "select * from "+p.table)[0], ", ")
			want := strings.ReplaceAll(id+", "+p.args, "'", "")
			if e == schema.Postgres && p.table == "tcp" {
				want = id + ", 1, 2, 3, 4, 5, false, 6, true, false, true, false, true"
			}
			if got != want {
				t.Errorf("%s %s: %s, want %s", e, name, got, want)
			}
		}
		if e == schema.MySQL {
			d.Exec(t, "delete from tcp", call(d, "PACKET_ADD_TCP", id, "1", "2"))
			if got := d.Query(t, "select tcp_sport, tcp_dport, tcp_seq from tcp")[0]; cmp.Diff([]string{"1", "2", "NULL"}, got) != "" {
				t.Errorf("PACKET_ADD_TCP: %v", got)
			}
		}
		args := full(nil)[:25]
		args[10], args[24] = "6", "3"
		next := d.Query(t, call(d, "INSERT_IP_PACKET_FULL", args...))[0][0]
		if got := d.Query(t, "select ip_protocol, label from ulog2 where _id = "+next)[0]; cmp.Diff([]string{"6", "3"}, got) != "" {
			t.Errorf("INSERT_IP_PACKET_FULL: %v", got)
		}
		flow := make([]string, 23)
		for i := range flow {
			flow[i] = fmt.Sprint(i + 1)
		}
		a, b := addresses(d)
		flow[1], flow[2], flow[8], flow[9] = a, b, b, a
		if e == schema.MySQL {
			flow = flow[:22]
		}
		ct := d.Query(t, call(d, "INSERT_CT", flow...))[0][0]
		d.Exec(t, call(d, "DELETE_CT_FLOW", "4711"))
		if got := d.Query(t, "select _ct_id, orig_l4_sport, icmp_code, icmp_type, flow_end_usec from ulog2_ct")[0]; cmp.Diff([]string{ct, "5", "16", "17", "22"}, got) != "" {
			t.Errorf("INSERT_CT: %v", got)
		}
		d.Exec(t, call(d, "DELETE_CT_FLOW", ct))
		if got := d.Count(t, "ulog2_ct"); got != "0" {
			t.Errorf("DELETE_CT_FLOW leaves %s rows", got)
		}
	}
}

// TestFlatRoutines: packets of the flat schema go with what belongs to them.
func TestFlatRoutines(t *testing.T) {
	for _, e := range []schema.Engine{schema.MySQL, schema.Postgres} {
		d := made(t, e, schema.V2Flat, schema.Options{})
		d.Exec(t, "insert into ulog2 (_id) values (1), (2)", "insert into nufw (_nufw_id, username) values (1, 'user')", call(d, "DELETE_PACKET", "1"))
		if got := d.Count(t, "ulog2") + d.Count(t, "nufw"); got != "10" {
			t.Errorf("%s: DELETE_PACKET leaves %s rows", e, got)
		}
	}
}

// TestUpdate: a later change of a row is no other time of insertion.
func TestUpdate(t *testing.T) {
	d := made(t, schema.MySQL, schema.V2, schema.Options{})
	d.Exec(t, "insert into ulog2 (timestamp) values ('2001-02-03 04:05:06')", "update ulog2 set label = 1")
	if got := d.Query(t, "select timestamp from ulog2")[0][0]; !strings.HasPrefix(got, "2001") {
		t.Errorf("the time of insertion became %s", got)
	}
}
