package all

import (
	"database/sql"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// fieldText is the text of the packet that the configurations of ulogd 1.x log.
const fieldText = `field:  IN= OUT=lo MAC= SRC=127\.0\.0\.1 DST=127\.0\.0\.1 LEN=33 TOS=00 PREC=0x00 TTL=64 ID=\d+ DF PROTO=UDP SPT=\d+ DPT=4711 LEN=13 `

// hasFirstLine waits for the packet's line in the form of ulogd 1.x.
func hasFirstLine(name string) func(*testing.T, *field) {
	line := regexp.MustCompile(`^[A-Z][a-z]{2} [ 1-3][0-9] [0-9:]{8} [^ .]+ ` + fieldText + `$`)
	return func(t *testing.T, f *field) {
		t.Helper()
		until(t, "a line of ulogd 1.x in "+name, func() bool {
			list := lines(f.path(name))
			return len(list) == 1 && line.MatchString(list[0])
		})
	}
}

// hasFirstRecord waits for the packet's record by OPRINT of ulogd 1.x.
func hasFirstRecord(name string) func(*testing.T, *field) {
	record := regexp.MustCompile(`^===>PACKET BOUNDARY
udp.csum=\d+
udp.len=13
udp.dport=4711
udp.sport=\d+
ip.fragoff=16384
ip.id=\d+
ip.csum=\d+
ip.ihl=5
ip.totlen=33
ip.ttl=64
ip.tos=0
ip.protocol=17
ip.daddr=127.0.0.1
ip.saddr=127.0.0.1
oob.out=lo
oob.in=
oob.mark=0
oob.time.usec=\d+
oob.time.sec=\d+
oob.prefix=field:` + " " + `
raw.pktlen=33
raw.pkt=
$`)
	return func(t *testing.T, f *field) {
		t.Helper()
		until(t, "a record of ulogd 1.x in "+name, func() bool {
			data, err := os.ReadFile(f.path(name))
			return err == nil && record.Match(data)
		})
	}
}

// firstSQLite is the table of ulogd 1.x (reference page "schemas", section 1.2).
const firstSQLite = `CREATE TABLE ulog (raw_mac VARCHAR(80), oob_time_sec INT UNSIGNED, oob_time_usec INT UNSIGNED,
	ip_saddr INT UNSIGNED, ip_daddr INT UNSIGNED, ip_protocol TINYINT UNSIGNED, ip_totlen SMALLINT UNSIGNED,
	tcp_sport SMALLINT UNSIGNED, tcp_dport SMALLINT UNSIGNED, udp_sport SMALLINT UNSIGNED, udp_dport SMALLINT UNSIGNED,
	udp_len SMALLINT UNSIGNED, icmp_type TINYINT UNSIGNED, icmp_code TINYINT UNSIGNED, icmp_echoid SMALLINT UNSIGNED,
	icmp_echoseq SMALLINT UNSIGNED, icmp_gateway INT UNSIGNED, icmp_fragmtu SMALLINT UNSIGNED)`

// firstLog is in the place of the system's log, in configuration 18.
type firstLog struct{ conn *net.UnixConn }

// files makes the database and the socket of the configuration.
func (l *firstLog) files(t *testing.T, dir string) {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(dir, "pkts.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(firstSQLite); err != nil {
		t.Fatal(err)
	}
	if l.conn, err = net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dir, "log"), Net: "unixgram"}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.conn.Close() })
}

// hasMessage waits for the packet's message: local3.warning is 156.
func (l *firstLog) hasMessage(t *testing.T) {
	t.Helper()
	if err := l.conn.SetReadDeadline(time.Now().Add(15 * time.Second)); err != nil {
		t.Fatal(err)
	}
	message := make([]byte, 1024)
	n, err := l.conn.Read(message)
	if err != nil {
		t.Fatal(err)
	}
	want := regexp.MustCompile(`^<156>[A-Z][a-z]{2} [ 1-3][0-9] [0-9:]{8} ulogd\[\d+\]:  ` + fieldText + `\n$`)
	if !want.Match(message[:n]) {
		t.Errorf("%q, want %s", message[:n], want)
	}
}

// hasFirstRow waits for the packet's row.
func hasFirstRow(t *testing.T, f *field, name string) {
	t.Helper()
	until(t, "a row in "+name, func() bool {
		copied := filepath.Join(t.TempDir(), "copy.db")
		for _, suffix := range []string{"", "-journal"} {
			data, err := os.ReadFile(f.path(name) + suffix)
			if err == nil && os.WriteFile(copied+suffix, data, 0o600) != nil {
				return false
			}
		}
		db, err := sql.Open("sqlite", copied)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		var row string
		err = db.QueryRow(`SELECT printf('%s %d %d %d %d %d %s', raw_mac, ip_saddr, ip_daddr, ip_protocol, ip_totlen, udp_dport, tcp_dport) FROM ulog`).Scan(&row)
		return err == nil && strings.TrimSpace(row) == "2130706433 2130706433 17 33 4711"
	})
}
