package all

import (
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
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
	{dbtest.PostgreSQL, "v1", "ulog", "INSERT", false},
	{dbtest.MySQL, "v1", "ulog", "INSERT", false},
	{dbtest.PostgreSQL, "v1 with texts", "ulog", "INSERT", false},
	{dbtest.MySQL, "v1 with texts", "ulog", "INSERT", false},
}

// numbersAndTexts is no schema of ulogd's, but a table as people make them, with
// addresses as numbers and as texts. ID stands for a column that the server numbers.
const numbersAndTexts = `create table ulog2 (ID, oob_time_sec bigint, oob_time_usec int, oob_prefix varchar(32), oob_mark bigint, oob_in varchar(32),
	ip_saddr bigint, ip_daddr bigint, ip_saddr_str varchar(40), ip_daddr_str varchar(16), ip_protocol int, ip_ttl int, ip_totlen int, tcp_sport int,
	tcp_dport int, tcp_seq bigint, tcp_syn smallint, udp_sport int, udp_dport int, icmp_type int, mac_str varchar(80), mac_saddr_str varchar(32), raw_label int)`

// database makes one with the tables.
func (w way) database(t *testing.T) *dbtest.Database {
	t.Helper()
	db := dbtest.Get(t, w.engine).Database(t)
	switch w.schema {
	case "ours":
		db.LoadOurs(t, schema.V2, schema.Options{Daily: true, Host: true})
	case "ours-flat":
		db.LoadOurs(t, schema.V2Flat, schema.Options{Daily: true, Host: true, V1Views: true})
	case "v1", "v1 with texts":
		db.LoadOurs(t, schema.V1, schema.Options{IPString: w.schema != "v1"})
		// ulogd 2 finds no keys for these.
		for _, name := range []string{"raw_mac", "pwsniff_user", "pwsniff_pass", "local_time", "local_hostname"} {
			if slices.Contains(db.Columns(t, "ulog"), name) {
				db.Exec(t, "alter table ulog drop column "+name)
			}
		}
		if w.engine == dbtest.PostgreSQL {
			db.Exec(t, "alter table ulog rename id to _id") // which it takes for a key, too
		}
		if w.engine == dbtest.PostgreSQL && w.schema != "v1" {
			db.Exec(t, "alter table ulog alter ip_saddr type varchar(40), alter ip_daddr type varchar(40)")
		}
	case numbersAndTexts:
		id := "_id serial primary key"
		if w.engine == dbtest.MySQL {
			id = "_id bigint auto_increment primary key"
		}
		db.Exec(t, strings.Replace(w.schema, "ID", id, 1))
	default:
		db.LoadOriginal(t, w.schema)
	}
	return db
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
	if w.bare() {
		return dbtest.MySQL
	}
	return w.engine
}

// bare tells whether addresses are stored without a converter, too.
func (w way) bare() bool { return w.schema == numbersAndTexts || w.packets() == "ulog" }

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

// packets is the table with a row for each packet.
func (w way) packets() string {
	if strings.HasPrefix(w.schema, "v1") {
		return "ulog"
	}
	return "ulog2"
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
				dbs[i] = w.database(t)
				// An old row, which our retention removes, and somebody by hand for ulogd.
				dbs[i].Exec(t, "insert into "+w.packets()+" (oob_time_sec) values (1)")
				if program == original {
					dbs[i].Exec(t, "delete from "+w.packets())
				}
				runOn(t, ns, program, dbs[i], uint16(1+i), w)
			}
			sendFitting(t, peer, w.fitting(), 1500)
			matched, err := hits.Packets()
			if err != nil || matched < 400 {
				t.Fatalf("the rule matched %d packets, %v", matched, err)
			}
			for i, db := range dbs {
				awaitRows(t, db, w.packets(), fmt.Sprint(matched), []string{"ulogd", "ours"}[i])
			}
			// Old rows are removed by a connection of its own, which ends.
			until(t, "a single connection", func() bool { return connections(t, dbs[1]) == "1" })
			if diff := cmp.Diff(w.contents(t, dbs[0]), w.contents(t, dbs[1])); diff != "" {
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

// runOn starts a daemon that fills a database, and waits until it reads the group.
func runOn(t *testing.T, ns *lab.NS, program string, db *dbtest.Database, group uint16, w way, env ...string) {
	t.Helper()
	options := ""
	if program != original {
		options = "retention=\"90d\"\n"
	}
	startOn(t, ns, program, db, w, fromGroup(group), options, env...)
	if _, err := ns.WaitListener(t.Context(), group); err != nil {
		t.Fatal(err)
	}
}

// source is an input and its options.
type source struct{ plugin, options string }

func fromGroup(group uint16) source {
	return source{"NFLOG", fmt.Sprintf("group=%d\nnetlink_socket_buffer_size=16777216\nnetlink_socket_buffer_maxsize=16777217\n", group)}
}

// startOn starts a daemon that fills a database, and ends it with the test.
func startOn(t *testing.T, ns *lab.NS, program string, db *dbtest.Database, w way, from source, options string, env ...string) *exec.Cmd {
	t.Helper()
	dir := t.TempDir()
	alter, host := "alter role %s password 'plain'", db.Socket
	if db.Engine == dbtest.MySQL {
		alter, host = "alter user %s@localhost identified by 'plain'", "localhost"
	}
	if _, err := db.DB.Exec(fmt.Sprintf(alter, db.User)); err != nil {
		t.Fatal(err)
	}
	plugins := ""
	if program == original {
		for _, so := range []string{"inppkt_NFLOG", "raw2packet_BASE", "filter_IFINDEX", "filter_IP2STR", "filter_IP2BIN", "filter_HWHDR", "output_" + w.plugin()} {
			plugins += fmt.Sprintf("plugin=\"/usr/lib/x86_64-linux-gnu/ulogd/ulogd_%s.so\"\n", so)
		}
	}
	text := fmt.Sprintf(`[global]
logfile="%s/log"
loglevel=3
%sstack=log1:%s,base1:BASE,ifi1:IFINDEX,%s,mac2str1:HWHDR,db1:%s
[log1]
%s[db1]
db="%s"
host="%s"
user="%s"
pass="plain"
table="%s"
procedure="%s"
%s`, dir, plugins, from.plugin, w.convert(), w.plugin(), from.options, db.Name, host, db.User, w.table, w.procedure, options)
	if w.dbi {
		text += fmt.Sprintf("dbtype=%q\n", map[dbtest.Engine]string{dbtest.MySQL: "mysql", dbtest.PostgreSQL: "pgsql"}[w.engine])
	}
	conf := filepath.Join(dir, "ulogd.conf")
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "-c", conf)
	cmd.Env = append(append(os.Environ(), "MYSQL_UNIX_PORT="+db.Socket, "STATE_DIRECTORY="+dir+"/state"), env...)
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
	return cmd
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
func awaitRows(t *testing.T, db *dbtest.Database, table, want, who string) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); db.Count(t, table) != want; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s has stored %s of %s packets", who, db.Count(t, table), want)
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
func (w way) contents(t *testing.T, db *dbtest.Database) (lines []string) {
	t.Helper()
	names := []string{w.packets()}
	if w.relational() {
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
