package all

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ulogd-go/ulogd/contrib/dbtest"
	"github.com/ulogd-go/ulogd/contrib/lab"
	"github.com/ulogd-go/ulogd/schema"
)

// Tables of ulogd 1.x as they are found on old servers (reference page "schemas",
// section 1.2).
const (
	firstMySQL = `create table ulog (id int unsigned auto_increment unique, raw_mac varchar(80), oob_time_sec int unsigned, oob_time_usec int unsigned,
		oob_prefix varchar(32), oob_mark int unsigned, oob_in varchar(32), oob_out varchar(32), ip_saddr int unsigned, ip_daddr int unsigned,
		ip_protocol tinyint unsigned, ip_tos tinyint unsigned, ip_ttl tinyint unsigned, ip_totlen smallint unsigned, ip_ihl tinyint unsigned,
		ip_csum smallint unsigned, ip_id smallint unsigned, ip_fragoff smallint unsigned, tcp_sport smallint unsigned, tcp_dport smallint unsigned,
		tcp_seq int unsigned, tcp_ackseq int unsigned, tcp_window smallint unsigned, tcp_urg tinyint, tcp_urgp smallint unsigned, tcp_ack tinyint,
		tcp_psh tinyint, tcp_rst tinyint, tcp_syn tinyint, tcp_fin tinyint, udp_sport smallint unsigned, udp_dport smallint unsigned,
		udp_len smallint unsigned, icmp_type tinyint unsigned, icmp_code tinyint unsigned, icmp_echoid smallint unsigned, icmp_echoseq smallint unsigned,
		icmp_gateway int unsigned, icmp_fragmtu smallint unsigned, pwsniff_user varchar(30), pwsniff_pass varchar(30), ahesp_spi int unsigned,
		key index_id (id), state tinyint, timestamp datetime) engine=MyISAM default charset=latin1`
	firstPostgres = `create table ulog (id serial, oob_time_sec integer, oob_time_usec integer, oob_prefix varchar(32), oob_mark bigint, oob_in varchar(32),
		oob_out varchar(32), raw_mac varchar(80), raw_pktlen bigint, ip_ihl smallint, ip_tos smallint, ip_totlen integer, ip_id integer, ip_fragoff integer,
		ip_ttl smallint, ip_protocol smallint, ip_csum integer, ip_saddr bigint, ip_daddr inet, tcp_sport integer, tcp_dport integer, tcp_seq bigint,
		tcp_ackseq bigint, tcp_urg boolean, tcp_ack boolean, tcp_psh boolean, tcp_rst boolean, tcp_syn boolean, tcp_fin boolean, tcp_window integer,
		tcp_urgp integer, udp_sport integer, udp_dport integer, udp_len integer, icmp_type smallint, icmp_code smallint, icmp_echoid integer,
		icmp_echoseq integer, icmp_gateway bigint, icmp_fragmtu integer, pwsniff_user varchar(30), pwsniff_pass varchar(30), ahesp_spi bigint,
		local_time bigint, local_hostname varchar(40))`
)

// TestFirstTables has a configuration of ulogd 1.x fill its table on real servers, and
// compares the rows with what the rules of firstrules_test.go say of the packets.
func TestFirstTables(t *testing.T) {
	program := buildOurs(t)
	tests := []struct {
		name   string
		engine dbtest.Engine
		table  string // statement; empty for our own schema
		o      schema.Options
	}{
		{"MYSQL old", dbtest.MySQL, firstMySQL, schema.Options{}},
		{"MYSQL with host", dbtest.MySQL, "", schema.Options{Host: true}},
		{"MYSQL with texts", dbtest.MySQL, "", schema.Options{IPString: true}},
		{"PGSQL old, inet", dbtest.PostgreSQL, firstPostgres, schema.Options{}},
		{"PGSQL", dbtest.PostgreSQL, "", schema.Options{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			db := dbtest.Get(t, tt.engine).Database(t)
			if tt.table != "" {
				db.Exec(t, tt.table)
			} else {
				db.LoadOurs(t, schema.V1, tt.o)
			}
			firstTable(t, program, db)
		})
	}
}

func firstTable(t *testing.T, program string, db *dbtest.Database) {
	ns, peer := lab.Test(t), lab.Test(t)
	a := lab.Port{NS: ns, Name: "va", MAC: "02:00:00:00:00:0a", Addrs: []string{"192.0.2.1/24"}}
	if err := lab.Veth(a, lab.Port{NS: peer, Name: "vb", MAC: "02:00:00:00:00:0b"}); err != nil {
		t.Fatal(err)
	}
	hits, err := ns.Log(lab.Rule{Family: "inet", Hook: "prerouting", Priority: -450, SrcMAC: "02:00:00:00:be:ef", Groups: []uint16{3}, Prefix: "it's "})
	if err != nil {
		t.Fatal(err)
	}
	runFirst(t, ns, program, db)
	packets := firstPackets(t)
	var frames [][]byte
	for _, l := range packets {
		frames = append(frames, append(slices.Clone(l.attrs[16]), l.p...))
	}
	if err := peer.SendFrames("vb", frames...); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(30 * time.Second); db.Count(t, "ulog") != fmt.Sprint(len(packets)); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			matched, _ := hits.Packets()
			t.Fatalf("%s of %d rows; the rule matched %d", db.Count(t, "ulog"), len(packets), matched)
		}
	}
	columns := db.Columns(t, "ulog")
	var want, got []string
	for _, l := range packets {
		want = append(want, firstRow(l, columns))
	}
	for _, r := range db.Query(t, "select * from ulog order by id") {
		got = append(got, storedRow(r, columns))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-rules +ours):\n%s", diff)
	}
	t.Logf("%d rows are equal, the last of them %s", len(got), got[len(got)-1])
}

// runFirst starts our daemon with a configuration of ulogd 1.x.
func runFirst(t *testing.T, ns *lab.NS, program string, db *dbtest.Database) {
	t.Helper()
	dir := t.TempDir()
	section, alter, host := "PGSQL", "alter role %s password 'plain'", db.Socket
	if db.Engine == dbtest.MySQL {
		section, alter, host = "MYSQL", "alter user %s@localhost identified by 'plain'", "localhost"
	}
	if _, err := db.DB.Exec(fmt.Sprintf(alter, db.User)); err != nil {
		t.Fatal(err)
	}
	conf := filepath.Join(dir, "ulogd.conf")
	text := fmt.Sprintf(`[global]
nlgroup 3
logfile = %s/log
plugin="/usr/lib/ulogd/ulogd_BASE.so"
plugin="/usr/lib/ulogd/ulogd_LOCAL.so"
plugin="/usr/lib/ulogd/ulogd_PWSNIFF.so"
plugin="/usr/lib/ulogd/ulogd_%s.so"
[%[2]s]
table="ulog"
db="%[3]s"
host="%[4]s"
user="%[5]s"
pass="plain"
`, dir, section, db.Name, host, db.User)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "-c", conf)
	cmd.Env = append(os.Environ(), "MYSQL_UNIX_PORT="+db.Socket, "STATE_DIRECTORY="+dir+"/state")
	if err := ns.Start(cmd); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGKILL) // all its rows were seen
		_ = cmd.Wait()
		log, _ := os.ReadFile(filepath.Join(dir, "log"))
		if t.Failed() {
			t.Logf("%s:\n%s", program, log[max(0, len(log)-2000):])
		}
		if strings.Contains(string(log), "which stay NULL") {
			t.Errorf("the daemon complains of columns without a key, which 1.24 does not:\n%s", log)
		}
	})
	if _, err := ns.WaitListener(t.Context(), 3); err != nil {
		t.Fatal(err)
	}
}

// firstPackets are packets of recordings, and one with a password.
func firstPackets(t *testing.T) []logged {
	t.Helper()
	var list []logged
	for _, name := range []string{"01-tcp4-syn", "02-tcp4-syn-options", "05-udp4", "06-icmp4-echo", "08-icmp4-redirect", "09-icmp4-other", "12-esp-ah"} {
		list = append(list, loggedIn(t, "testdata/cases/"+name+"/packets.pcap")...)
	}
	ftp := list[0]
	ftp.p = slices.Clone(ftp.p)
	text := "USER joe\r\nPASS it's \xe9\r\n"
	binary.BigEndian.PutUint16(ftp.p[2:], uint16(len(ftp.p)+len(text)))
	binary.BigEndian.PutUint16(ftp.p[22:], 21)
	ftp.p = append(ftp.p, text...)
	ftp.p[10], ftp.p[11] = 0, 0
	sum := uint32(0)
	for i := 0; i < 20; i += 2 {
		sum += uint32(binary.BigEndian.Uint16(ftp.p[i:]))
	}
	binary.BigEndian.PutUint16(ftp.p[10:], ^uint16(sum+sum>>16))
	return append(list, ftp)
}

// varying are columns whose values the rules don't tell.
var varying = []string{"id", "oob_time_sec", "oob_time_usec", "local_time", "state", "timestamp"}

// firstRow is what the rules say of a packet, for these columns.
func firstRow(l logged, columns []string) string {
	l.attrs = map[uint16][]byte{16: l.attrs[16], 10: []byte("it's \x00"), 4: {0, 0, 0, 1}}
	host, _ := os.Hostname()
	values := map[string]string{}
	for line := range strings.Lines(firstOprint(recording{Hostname: host, Interfaces: map[string]string{"1": "va"}}, l)) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		values[strings.ReplaceAll(name, ".", "_")] = value
	}
	if strings.Contains(string(l.p), "USER ") {
		values["pwsniff_user"], values["pwsniff_pass"] = "joe", "it's"
	}
	var row []string
	for _, c := range columns {
		v, ok := values[c]
		switch {
		case slices.Contains(varying, c):
			continue
		case !ok:
			v = "NULL"
		}
		row = append(row, c+"="+v)
	}
	return strings.Join(row, " ")
}

// storedRow is a row in the same form: addresses as texts, whatever they are in the table,
// which is checked as well.
func storedRow(row, columns []string) string {
	var list []string
	for i, c := range columns {
		v := row[i]
		switch {
		case slices.Contains(varying, c):
			continue
		case strings.HasPrefix(c, "tcp_") && (v == "true" || v == "false"):
			v = map[string]string{"true": "1", "false": "0"}[v]
		case (c == "ip_saddr" || c == "ip_daddr" || c == "icmp_gateway") && v != "NULL" && !strings.Contains(v, "."):
			var n uint32
			_, _ = fmt.Sscan(v, &n)
			v = netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, n))).String()
		case c == "ip_daddr":
			v = strings.TrimSuffix(v, "/32")
		}
		list = append(list, c+"="+v)
	}
	return strings.Join(list, " ")
}
