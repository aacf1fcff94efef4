package postgres

import (
	"fmt"
	"testing"

	"github.com/ulogd-go/ulogd/contrib/dbtest"
	"github.com/ulogd-go/ulogd/pkg/row"
	"github.com/ulogd-go/ulogd/pkg/sqldb"
)

// BenchmarkWrite stores UDP packets in blocks of some thousands.
func BenchmarkWrite(b *testing.B) {
	for _, layout := range []struct{ name, table, procedure string }{
		{"ulogd2", "ulog", "INSERT_PACKET_FULL"},
		{"ulogd2-flat", "ulog2", "INSERT"},
	} {
		for _, n := range []int{1000, 5000, 20000} {
			b.Run(fmt.Sprintf("%s/%d", layout.name, n), func(b *testing.B) {
				d := dbtest.Get(b, dbtest.PostgreSQL).Database(b)
				d.LoadOriginal(b, layout.name)
				s := newSubject(b, d, layout.table, layout.procedure)
				s.MustConnect(b)
				rows := make([]fieldsOf, n)
				for i := range rows {
					rows[i] = udp(i)
				}
				for b.Loop() {
					s.Write(b, rows...)
				}
				b.ReportMetric(float64(b.N*n)/b.Elapsed().Seconds(), "rows/s")
			})
		}
	}
}

// udp is a packet with all that NFLOG, BASE, IFINDEX and HWHDR say of it.
func udp(i int) fieldsOf {
	p := fieldsOf{"oob_time_sec": num(1795420850), "oob_time_usec": num(uint64(i % 1000000)), "oob_hook": num(1), "oob_prefix": text("burst"), "oob_mark": num(0),
		"oob_in": text("eth0"), "oob_out": text(""), "oob_family": num(2), "ip_protocol": num(17), "ip_tos": num(0), "ip_ttl": num(64), "ip_totlen": num(48), "ip_ihl": num(5),
		"ip_csum": num(uint64(i % 65536)), "ip_id": num(uint64(i % 65536)), "ip_fragoff": num(0), "udp_sport": num(uint64(1024 + i%60000)), "udp_dport": num(2000), "udp_len": num(28),
		"raw_type": num(1), "mac_str": text("00:0c:29:01:02:03:00:50:56:01:02:03:08:00"), "mac_saddr_str": text("00:50:56:01:02:03"), "mac_daddr_str": text("00:0c:29:01:02:03"),
		"oob_protocol": num(2048), "raw_label": num(0)}
	for _, name := range sqldb.WithForm([]string{"ip_saddr_*", "ip_daddr_*"}, "str") {
		p[name] = row.Value{Kind: row.IP4, Num: 0x0a000000 + uint64(i*7919%(1<<24))}
	}
	return p
}
