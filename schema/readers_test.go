package schema_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ulogd-go/ulogd/contrib/dbtest"
	"github.com/ulogd-go/ulogd/schema"
)

// reader is a query as programs that read these tables send it (reference page
// "schemas", section 5.1).
type reader struct {
	name  string
	query string // of the table or view that TABLE stands for
	want  []string
}

// v1Readers know the schema v1 only.
var v1Readers = []reader{
	{"a page of filters", `select raw_mac, oob_in, ip_saddr, ip_daddr, tcp_sport, tcp_dport from TABLE where oob_prefix = 'drop' and ip_protocol = 6
		and ip_saddr = 3221225985 and tcp_dport = 22 and oob_time_sec between 1795420000 and 1795421000 order by id desc`,
		[]string{"00:0c:29:01:02:03:00:50:56:01:02:03:08:00 eth0 3221225985 3221225986 1024 22"}},
	{"a picture of packets", `select oob_time_sec, ip_protocol, ip_saddr, ip_daddr, ip_totlen, ip_ttl, udp_sport, udp_dport, tcp_sport, tcp_dport, icmp_type, icmp_code
		from TABLE where oob_time_sec > 1795420000 order by oob_time_sec`,
		[]string{"1795420850 6 3221225985 3221225986 60 64 NULL NULL 1024 22 NULL NULL", "1795420851 17 3221225985 3221225986 61 64 53 5353 NULL NULL NULL NULL"}},
	{"all columns of ulogd 1", `select count(pwsniff_user), count(pwsniff_pass), count(ahesp_spi), count(icmp_gateway), count(*) from TABLE`, []string{"0 0 0 0 2"}},
}

// v2Readers know the view ulog, or what it has in common with the flat table.
var v2Readers = []reader{
	{"a log", `select oob_prefix, coalesce(tcp_sport, udp_sport), coalesce(tcp_dport, udp_dport), mac_saddr_str, oob_protocol, raw_label
		from TABLE where oob_family = 2 order by _id`,
		[]string{"drop 1024 22 00:50:56:01:02:03 2048 0", "drop 53 5353 00:50:56:01:02:03 2048 0"}},
	{"numbers of a protocol", "select ip_protocol, count(*) from TABLE group by ip_protocol order by 1", []string{"6 1", "17 1", "58 1"}},
}

// own are the readers of one engine.
var own = map[schema.Engine][]reader{
	schema.MySQL: {
		{"sums of a host", "select inet_ntoa(ip_saddr), sum(ip_totlen), max(from_unixtime(oob_time_sec)) is not null from ulog_v1 group by ip_saddr", []string{"192.0.2.1 121 1"}},
		{"addresses as bytes", "select hex(ip_saddr_bin) from ulog where ip_protocol = 6", []string{"00000000000000000000FFFFC0000201"}},
		{"flows of nulog", "select ip_protocol, tcp_dport from nulog where tcp_syn = 1", []string{"6 22"}},
		{"quads", "select ip_saddr_str, tcp_sport, ip_daddr_str, tcp_dport from view_tcp_quad", []string{"::ffff:192.0.2.1 1024 ::ffff:192.0.2.2 22"}},
		{"which schema it is", `select column_type from information_schema.columns where table_schema = database() and table_name = 'ulog' and column_name = 'ip_saddr_bin'`, []string{"binary(16)"}},
	},
	schema.Postgres: {
		{"addresses of a net", "select host(ip_saddr_str), tcp_dport from ulog where ip_saddr_str << '192.0.2.0/24' and tcp_syn", []string{"192.0.2.1 22"}},
		{"packets of connections", `select c.orig_raw_pktlen, u.oob_prefix from ulog2_ct c join ulog u on u.ip_saddr_str = c.orig_ip_saddr_str
			and u.ip_daddr_str = c.orig_ip_daddr_str and u.ip_protocol = c.orig_ip_protocol and u.tcp_sport = c.orig_l4_sport and u.tcp_dport = c.orig_l4_dport
			where c.ct_event = 4`, []string{"100 drop"}},
		{"quads", "select host(ip_saddr_str), udp_sport, host(ip_daddr_str), udp_dport from view_udp_quad", []string{"192.0.2.1 53 192.0.2.2 5353"}},
	},
}

// TestReaders fills our schemas with a TCP and a UDP packet over IPv4 and one of
// ICMPv6, and reads them in the ways of the programs that people have.
func TestReaders(t *testing.T) {
	for _, e := range []schema.Engine{schema.MySQL, schema.Postgres} {
		d := made(t, e, schema.V1, schema.Options{})
		for i, p := range ipv4 {
			d.Exec(t, fmt.Sprintf("insert into ulog (raw_mac, oob_time_sec, oob_prefix, oob_in, ip_saddr, ip_daddr, ip_protocol, ip_totlen, ip_ttl, %s) values "+
				"('00:0c:29:01:02:03:00:50:56:01:02:03:08:00', %d, 'drop', 'eth0', 3221225985, 3221225986, %s, %d, 64, %s)", p[1], 1795420850+i, p[0], 60+i, p[2]))
		}
		read(t, d, "v1", "ulog", v1Readers)
		for _, v := range []schema.Version{schema.V2, schema.V2Flat} {
			d := made(t, e, v, schema.Options{V1Views: true, Daily: true, Host: true})
			fill(t, d, v)
			read(t, d, string(v), "ulog_v1", v1Readers)
			read(t, d, string(v), "ulog", v2Readers)
			read(t, d, string(v), "ulog_host", v2Readers)
			read(t, d, string(v), "", own[e])
		}
	}
}

// ipv4 are the protocol of packets, columns for it, and what they have.
var ipv4 = [][3]string{{"6", "tcp_sport, tcp_dport, tcp_syn", "1024, 22, '1'"}, {"17", "udp_sport, udp_dport, udp_len", "53, 5353, 41"}}

func fill(t *testing.T, d *dbtest.Database, v schema.Version) {
	t.Helper()
	src, dst := addresses(d)
	six := map[bool]string{true: "0x20010db8000000000000000000000001", false: "'2001:db8::1'"}[d.Engine == dbtest.MySQL]
	bin := map[bool]string{true: "bin", false: "str"}[d.Engine == dbtest.MySQL]
	for i, p := range append(ipv4, [3]string{"58", "icmpv6_type, icmpv6_code, icmpv6_csum", "128, 0, 1"}) {
		family, from, to, ethertype := "2", src, dst, "2048"
		if p[0] == "58" {
			family, from, to, ethertype = "10", six, six, "34525"
		}
		if v == schema.V2Flat {
			d.Exec(t, fmt.Sprintf("insert into ulog2 (oob_time_sec, oob_prefix, oob_in, oob_family, ip_saddr_%s, ip_daddr_%[1]s, ip_protocol, ip_totlen, ip_ttl, "+
				"raw_type, mac_str, mac_saddr_str, mac_daddr_str, oob_protocol, raw_label, %s) values (%d, 'drop', 'eth0', %s, %s, %s, %s, %d, 64, "+
				"1, '00:0c:29:01:02:03:00:50:56:01:02:03:08:00', '00:50:56:01:02:03', '00:0c:29:01:02:03', %s, 0, %s)",
				bin, p[1], 1795420850+i, family, from, to, p[0], 60+i, ethertype, p[2]))
			continue
		}
		args := map[int]string{1: fmt.Sprint(1795420850 + i), 4: "'drop'", 6: "'eth0'", 8: family, 9: from, 10: to, 11: p[0], 13: "64", 14: fmt.Sprint(60 + i),
			51: "1", 53: "'00:50:56:01:02:03'", 54: "'00:0c:29:01:02:03'", 55: ethertype, 56: "0"}
		switch values := strings.Split(p[2], ", "); p[0] {
		case "6":
			args[25], args[26], args[35] = values[0], values[1], values[2]
		case "17":
			args[37], args[38], args[39] = values[0], values[1], values[2]
		}
		d.Query(t, call(d, "INSERT_PACKET_FULL", full(args)...))
	}
	if d.Engine == dbtest.PostgreSQL {
		d.Exec(t, "insert into ulog2_ct (orig_ip_saddr_str, orig_ip_daddr_str, orig_ip_protocol, orig_l4_sport, orig_l4_dport, orig_raw_pktlen, ct_event) "+
			"values ('192.0.2.1', '192.0.2.2', 6, 1024, 22, 100, 4)")
	}
}

func read(t *testing.T, d *dbtest.Database, of, table string, readers []reader) {
	t.Helper()
	for _, r := range readers {
		var got []string
		for _, row := range d.Query(t, strings.ReplaceAll(r.query, "TABLE", table)) {
			got = append(got, strings.Join(row, " "))
		}
		if diff := cmp.Diff(r.want, got); diff != "" {
			t.Errorf("%s %s: %s (-want +got):\n%s", d.Engine, of, r.name, diff)
		}
	}
}
