package all

import (
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/ulogd-go/ulogd/contrib/dbtest"
	"github.com/ulogd-go/ulogd/contrib/lab"
	"github.com/ulogd-go/ulogd/schema"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

// way is a schema, of ulogd or ours, and how ulogd is told to fill it. With a
// column for the host it needs the view of our flat table, which does not have that.
type way struct {
	engine                   dbtest.Engine
	schema, table, procedure string
	dbi                      bool // by the plugin DBI
}

var ways = []way{
	{dbtest.PostgreSQL, "ulogd2", "ulog", "INSERT_PACKET_FULL", false},
	{dbtest.PostgreSQL, "ulogd2-flat", "ulog2", "INSERT", false},
	{dbtest.MySQL, "ulogd2", "ulog", "INSERT_PACKET_FULL", false},
	{dbtest.MySQL, "ulogd2-flat", "ulog2", "INSERT", false},
	{dbtest.PostgreSQL, "ulogd2", "ulog", "INSERT_PACKET_FULL", true},
	{dbtest.MySQL, "ulogd2-flat", "ulog2", "INSERT", true},
	{dbtest.PostgreSQL, "ours", "ulog", "INSERT_PACKET_FULL", false},
	{dbtest.PostgreSQL, "ours-flat", "ulog", "INSERT", false},
	{dbtest.MySQL, "ours", "ulog", "INSERT_PACKET_FULL", false},
	{dbtest.MySQL, "ours-flat", "ulog", "INSERT", false},
	{dbtest.PostgreSQL, numbersAndTexts, "ulog2", "INSERT", false},
	{dbtest.MySQL, numbersAndTexts, "ulog2", "INSERT", false},
}

// numbersAndTexts is no schema of ulogd's, but a table as people make them, with
// addresses as numbers and as texts. ID stands for a column that the server numbers.
const numbersAndTexts = `create table ulog2 (ID, oob_time_sec bigint, oob_time_usec int, oob_prefix varchar(32), oob_mark bigint, oob_in varchar(32),
	ip_saddr bigint, ip_daddr bigint, ip_saddr_str varchar(40), ip_daddr_str varchar(16), ip_protocol int, ip_ttl int, ip_totlen int, tcp_sport int,
	tcp_dport int, tcp_seq bigint, tcp_syn smallint, udp_sport int, udp_dport int, icmp_type int, mac_str varchar(80), mac_saddr_str varchar(32), raw_label int)`

// load makes the tables.
func (w way) load(t *testing.T, db *dbtest.Database) {
	t.Helper()
	switch w.schema {
	case "ours":
		db.LoadOurs(t, schema.V2, schema.Options{Daily: true, Host: true})
	case "ours-flat":
		db.LoadOurs(t, schema.V2Flat, schema.Options{Daily: true, Host: true, V1Views: true})
	case numbersAndTexts:
		id := "_id serial primary key"
		if w.engine == dbtest.MySQL {
			id = "_id bigint auto_increment primary key"
		}
		db.Exec(t, strings.Replace(w.schema, "ID", id, 1))
	default:
		db.LoadOriginal(t, w.schema)
	}
}

// convert is the filter that makes what the columns for addresses want.
func (w way) convert() string {
	if w.engine == dbtest.MySQL && w.schema != numbersAndTexts {
		return "ip2bin1:IP2BIN"
	}
	return "ip2str1:IP2STR"
}

// fitting is the engine whose limits the packets have to keep: only a column of type
// inet holds IPv6 as ulogd writes it.
func (w way) fitting() dbtest.Engine {
	if w.schema == numbersAndTexts {
		return dbtest.MySQL
	}
	return w.engine
}

// relational tells whether there is a table for each protocol.
func (w way) relational() bool { return w.schema == "ulogd2" || w.schema == "ours" }

func (w way) String() string {
	name := string(w.engine) + " " + w.schema
	if w.schema == numbersAndTexts {
		name = string(w.engine) + " numbers and texts"
	}
	if w.dbi {
		name += " by DBI"
	}
	return name
}

// plugin is the output's name.
func (w way) plugin() string {
	switch {
	case w.dbi:
		return "DBI"
	case w.engine == dbtest.MySQL:
		return "MYSQL"
	}
	return "PGSQL"
}

// TestDatabases has Debian's ulogd and ours fill databases of the original schemas,
// and of our own, with the same packets, and compares all tables.
func TestDatabases(t *testing.T) {
	needOriginal(t)
	ours := buildOurs(t)
	for _, w := range ways {
		t.Run(w.String(), func(t *testing.T) {
			server := dbtest.Get(t, w.engine)
			ns, peer := lab.Test(t), lab.Test(t)
			a := lab.Port{NS: ns, Name: "va", MAC: "02:00:00:00:00:0a", Addrs: []string{"192.0.2.1/24", "2001:db8::1/64"}}
			if err := lab.Veth(a, lab.Port{NS: peer, Name: "vb", MAC: "02:00:00:00:00:0b"}); err != nil {
				t.Fatal(err)
			}
			hits, err := ns.Log(lab.Rule{Family: "inet", Hook: "prerouting", Priority: -300, SrcMAC: "02:00:00:00:be:ef", Groups: []uint16{1, 2}, Prefix: "it's \"5\" "})
			if err != nil {
				t.Fatal(err)
			}
			stamps, err := ns.Timestamps()
			if err != nil {
				t.Fatal(err)
			}
			defer stamps.Close()
			var dbs [2]*dbtest.Database
			for i, program := range []string{original, ours} {
				dbs[i] = server.Database(t)
				w.load(t, dbs[i])
				// An old row, which our retention removes, and somebody by hand for ulogd.
				dbs[i].Exec(t, "insert into ulog2 (oob_time_sec) values (1)")
				if program == original {
					dbs[i].Exec(t, "delete from ulog2")
				}
				runOn(t, ns, program, dbs[i], uint16(1+i), w)
			}
			sendFitting(t, peer, w.fitting(), 1500)
			matched, err := hits.Packets()
			if err != nil || matched < 400 {
				t.Fatalf("the rule matched %d packets, %v", matched, err)
			}
			for i, db := range dbs {
				awaitRows(t, db, fmt.Sprint(matched), []string{"ulogd", "ours"}[i])
			}
			// Old rows are removed by a connection of its own, which ends.
			until(t, "a single connection", func() bool { return connections(t, dbs[1]) == "1" })
			if diff := cmp.Diff(contents(t, dbs[0], w.relational()), contents(t, dbs[1], w.relational())); diff != "" {
				t.Errorf("ulogd's rows and ours (-want +got):\n%s", diff[:min(len(diff), 5000)])
			}
			if w.schema == "ours" {
				if n := dbs[1].Count(t, "ulog2 where local_hostname is null"); n != "0" {
					t.Errorf("%s rows do not say which host they are from", n)
				}
			}
			t.Logf("%d packets compared", matched)
		})
	}
}

// runOn starts a daemon that fills a database.
func runOn(t *testing.T, ns *lab.NS, program string, db *dbtest.Database, group uint16, w way) {
	t.Helper()
	dir := t.TempDir()
	alter, host, dbtype := "alter role %s password 'plain'", db.Socket, "pgsql"
	if db.Engine == dbtest.MySQL {
		alter, host, dbtype = "alter user %s@localhost identified by 'plain'", "localhost", "mysql"
	}
	if _, err := db.DB.Exec(fmt.Sprintf(alter, db.User)); err != nil {
		t.Fatal(err)
	}
	conf := filepath.Join(dir, "ulogd.conf")
	text := fmt.Sprintf(`[global]
logfile="%s/log"
loglevel=3
stack=log1:NFLOG,base1:BASE,ifi1:IFINDEX,%s,mac2str1:HWHDR,db1:%s
[log1]
group=%d
netlink_socket_buffer_size=16777216
netlink_socket_buffer_maxsize=16777217
[db1]
db="%s"
host="%s"
user="%s"
pass="plain"
table="%s"
procedure="%s"
`, dir, w.convert(), w.plugin(), group, db.Name, host, db.User, w.table, w.procedure)
	if w.dbi {
		text += "dbtype=\"" + dbtype + "\"\n"
	}
	if program != original {
		text += "retention=\"90d\"\n"
	} else {
		for _, so := range []string{"inppkt_NFLOG", "raw2packet_BASE", "filter_IFINDEX", "filter_IP2STR", "filter_IP2BIN", "filter_HWHDR", "output_" + w.plugin()} {
			text = strings.Replace(text, "stack=", fmt.Sprintf("plugin=\"/usr/lib/x86_64-linux-gnu/ulogd/ulogd_%s.so\"\nstack=", so), 1)
		}
	}
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
		if t.Failed() {
			log, _ := os.ReadFile(filepath.Join(dir, "log"))
			t.Logf("%s:\n%s", program, log[max(0, len(log)-2000):])
		}
	})
	if _, err := ns.WaitListener(t.Context(), group); err != nil {
		t.Fatal(err)
	}
}

// sendFitting sends packets of all sorts, at a rate that ulogd can follow, but for
// such as it loses because a value does not fit its column.
func sendFitting(t *testing.T, peer *lab.NS, e dbtest.Engine, n int) {
	t.Helper()
	var frames [][]byte
	for _, frame := range lab.Packets(7).Frames(n) {
		if fits(frame, e) {
			frames = append(frames, frame)
		}
	}
	for len(frames) > 0 {
		burst := min(len(frames), 20)
		if err := peer.SendFrames("vb", frames[:burst]...); err != nil {
			t.Fatal(err)
		}
		frames = frames[burst:]
		time.Sleep(5 * time.Millisecond) // the rate
	}
}

// fits tells whether ulogd's tables can hold what a frame says of itself
// (reference page "schemas", section 6.6).
func fits(frame []byte, e dbtest.Engine) bool {
	for len(frame) >= 18 && (frame[12] == 0x81 || frame[12] == 0x88) {
		frame = append(frame[:12:12], frame[16:]...)
	}
	if len(frame) < 34 {
		return false
	}
	ip := frame[14:]
	switch binary.BigEndian.Uint16(frame[12:]) {
	case unix.ETH_P_IPV6:
		return e == dbtest.PostgreSQL && ip[6] != unix.IPPROTO_SCTP && ip[6] == unix.IPPROTO_TCP
	case unix.ETH_P_IP:
	default:
		return false
	}
	size := int(ip[0]&15) * 4
	if size < 20 || len(ip) < size+20 || binary.BigEndian.Uint16(ip[2:]) >= 1<<15 || binary.BigEndian.Uint16(ip[6:])&0xbfff != 0 {
		return false
	}
	switch load := ip[size:]; ip[9] {
	case unix.IPPROTO_TCP:
		return true
	case unix.IPPROTO_UDP:
		return binary.BigEndian.Uint16(load[4:]) < 1<<15
	case unix.IPPROTO_ICMP:
		return load[0] != 5 && load[0] != 3 && load[0] != 12
	case unix.IPPROTO_SCTP:
		return false
	}
	return true
}

// awaitRows waits until all packets are stored.
func awaitRows(t *testing.T, db *dbtest.Database, want, who string) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); db.Count(t, "ulog2") != want; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s has stored %s of %s packets", who, db.Count(t, "ulog2"), want)
		}
	}
}

// connections is how many a logger has.
func connections(t *testing.T, db *dbtest.Database) string {
	t.Helper()
	if db.Engine == dbtest.MySQL {
		return db.Query(t, "select count(*) from information_schema.processlist where user = '"+db.User+"'")[0][0]
	}
	return db.Query(t, "select count(*) from pg_stat_activity where usename = '"+db.User+"'")[0][0]
}

// contents are the rows of all tables, without ids of hardware addresses, which
// ulogd wastes, times of insertion, and the host, which it does not know.
func contents(t *testing.T, db *dbtest.Database, relational bool) (lines []string) {
	t.Helper()
	names := []string{"ulog2"}
	if relational {
		names = []string{"ulog", "ulog2", "mac", "hwhdr", "tcp", "udp", "sctp", "icmp", "icmpv6"}
	}
	for _, name := range names {
		for _, line := range db.Dump(t, name, "timestamp", "mac_id", "_mac_id", "local_hostname") {
			if name == "hwhdr" && strings.Contains(line, "raw_type=NULL raw_header=NULL") {
				continue
			}
			lines = append(lines, name+": "+line)
		}
	}
	return lines
}
