package sqlite3

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/ulogd-go/ulogd/pkg/plugin"
	"github.com/ulogd-go/ulogd/pkg/plugintest"
)

// TestFirst stores values in a table of ulogd 1.x: addresses are the numbers that people
// expect, and negative ones only where they have been so before. A column without a key
// is not worth a word.
func TestFirst(t *testing.T) {
	const table = "create table ulog (raw_mac varchar(80), ip_saddr int unsigned, ip_daddr int unsigned, oob_mark int unsigned, udp_dport smallint unsigned, local_hostname text, more text)"
	e := plugintest.Event{
		"raw.mac": []byte{2, 0xab}, "ip.saddr": addr("192.0.2.1"), "ip.daddr": addr("10.0.0.1"), "oob.mark": uint32(0xdeadbeef), "udp.dport": uint16(65535),
	}
	f := func(want string, statements ...string) {
		t.Helper()
		path := newDB(t, append([]string{table}, statements...)...)
		o, blk, log := startWith(t, plugintest.Options{"db": path, "table": "ulog", "generation": "1"}, plugin.Packet, e)
		deliver(t, o, blk)
		rows := read(t, path, "ulog", "raw_mac,ip_saddr,ip_daddr,oob_mark,udp_dport,local_hostname,more")
		if got := rows[len(rows)-1]; got != want {
			t.Errorf("%q: %s, want %s", statements, got, want)
		}
		if strings.Contains(log.String(), "level=WARN") {
			t.Errorf("%q: %s", statements, log)
		}
	}
	const positive, negative = "'02:ab' 3221225985 167772161 3735928559 65535 'fw1' NULL", "'02:ab' -1073741311 167772161 -559038737 65535 'fw1' NULL"
	f(positive)
	f(positive, "insert into ulog (ip_saddr, more) values (3232235521, '-5')")
	f(negative, "insert into ulog (ip_saddr) values (1)", "insert into ulog (ip_saddr) values (-1062731775)")
}

// TestFirstTable: where there is no table, one with the columns of ulogd 1.x is made.
func TestFirstTable(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new.db")
	o, blk, _ := startWith(t, plugintest.Options{"db": path, "table": "packets", "generation": "1"}, plugin.Packet,
		plugintest.Event{"oob.prefix": "p", "ip.saddr": addr("192.0.2.1")})
	deliver(t, o, blk)
	diff(t, []string{"'p' 3221225985 NULL 'fw1'"}, read(t, path, "packets", "oob_prefix,ip_saddr,tcp_syn,local_hostname"))
}
