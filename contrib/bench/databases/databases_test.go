// Package databases measures how fast a flood of packets gets into databases of
// ulogd's own schemas: by Debian's ulogd, by ours, and by the server's own bulk
// load of the rows that ours has stored. It is a benchmark: run it as root with
//
//	go test ./contrib/bench/databases -run '^$' -bench . -benchtime 1x
package databases

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ulogd-go/ulogd/contrib/bench/generator"
	"github.com/ulogd-go/ulogd/contrib/dbtest"
	"github.com/ulogd-go/ulogd/contrib/lab"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

// original is the ulogd to compare with, which gets fewer packets: it is slow.
const original = "/usr/sbin/ulogd"

// packets of a run.
const (
	packets        = 200000
	packetsForSlow = 20000
)

func BenchmarkDatabases(b *testing.B) {
	ours := build(b)
	for _, e := range []dbtest.Engine{dbtest.PostgreSQL, dbtest.MySQL} {
		for _, layout := range []string{"ulogd2", "ulogd2-flat"} {
			name := string(e) + "/" + layout
			b.Run(name+"/ulogd", func(b *testing.B) {
				for b.Loop() {
					flood(b, e, layout, original, packetsForSlow)
				}
			})
			b.Run(name+"/ours", func(b *testing.B) {
				for b.Loop() {
					db := flood(b, e, layout, ours, packets)
					bulk(b, db, layout)
				}
			})
		}
	}
}

func build(b *testing.B) string {
	b.Helper()
	path := filepath.Join(b.TempDir(), "ulogd")
	cmd := exec.Command("go", "build", "-o", path, "../../../cmd/ulogd")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	return path
}

// flood offers packets as fast as they can be sent, and waits until no more rows
// come.
func flood(b *testing.B, e dbtest.Engine, layout, program string, count int) *dbtest.Database {
	b.Helper()
	ns := lab.Test(b)
	hits, err := ns.Log(lab.Rule{Family: "ip", Hook: "input", Prefix: "bench: ", Groups: []uint16{1}, Verdict: "drop"})
	if err != nil {
		b.Fatal(err)
	}
	db := dbtest.Get(b, e).Database(b)
	db.LoadOriginal(b, layout)
	cmd := start(b, ns, program, db, layout)
	if _, err := ns.WaitListener(b.Context(), 1); err != nil {
		b.Fatal(err)
	}
	begin := time.Now()
	if _, err := generator.Run(context.Background(), ns, generator.Load{Count: count, Seed: 1}); err != nil {
		b.Fatal(err)
	}
	matched, err := hits.Packets()
	if err != nil {
		b.Fatal(err)
	}
	rows, last := 0, time.Now()
	for rows < int(matched) && time.Since(last) < 4*time.Second {
		if n := stored(b, db, program); n != rows {
			rows, last = n, time.Now()
		}
		time.Sleep(50 * time.Millisecond) // polls
	}
	if rows = count1(b, db); rows > int(matched) {
		b.Fatalf("%d rows of %d packets", rows, matched)
	}
	b.ReportMetric(float64(rows)/last.Sub(begin).Seconds(), "rows/s")
	b.ReportMetric(100*(1-float64(rows)/float64(matched)), "%lost")
	b.ReportMetric(float64(peak(b, cmd.Process.Pid)>>20), "MiB")
	if err := cmd.Process.Kill(); err != nil {
		b.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
	return db
}

// stored is how many rows there are, as far as that can be had at once: to count
// them would take longer than to store them.
func stored(b *testing.B, db *dbtest.Database, program string) int {
	query := "select coalesce(max(_id), 0) from ulog2"
	if program != original {
		query = "select coalesce(sum(upto), 0) from ulogd_ledger"
	}
	n, err := strconv.Atoi(db.Query(b, query)[0][0])
	if err != nil {
		b.Fatal(err)
	}
	return n
}

func count1(b *testing.B, db *dbtest.Database) int {
	n, err := strconv.Atoi(db.Count(b, "ulog2"))
	if err != nil {
		b.Fatal(err)
	}
	return n
}

// peak is the largest memory that a process had, in bytes.
func peak(b *testing.B, pid int) (kib int) {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		b.Fatal(err)
	}
	for _, line := range strings.Split(string(text), "\n") {
		if after, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			_, _ = fmt.Sscan(after, &kib)
		}
	}
	return kib << 10
}

// start starts a logger.
func start(b *testing.B, ns *lab.NS, program string, db *dbtest.Database, layout string) *exec.Cmd {
	b.Helper()
	dir := b.TempDir()
	plugin, convert, alter, host := "PGSQL", "ip2str1:IP2STR", "alter role %s password 'plain'", db.Socket
	if db.Engine == dbtest.MySQL {
		plugin, convert, alter, host = "MYSQL", "ip2bin1:IP2BIN", "alter user %s@localhost identified by 'plain'", "localhost"
	}
	if _, err := db.DB.Exec(fmt.Sprintf(alter, db.User)); err != nil {
		b.Fatal(err)
	}
	table, procedure := "ulog", "INSERT_PACKET_FULL"
	if layout == "ulogd2-flat" {
		table, procedure = "ulog2", "INSERT"
	}
	plugins, buffer := "", ""
	if program == original {
		// With its default it loses 95 % of the flood, which says nothing of rows.
		buffer = "netlink_socket_buffer_size=67108864\nnetlink_socket_buffer_maxsize=67108865\n"
		for _, so := range []string{"inppkt_NFLOG", "raw2packet_BASE", "filter_IFINDEX", "filter_IP2STR", "filter_IP2BIN", "filter_HWHDR", "output_" + plugin} {
			plugins += fmt.Sprintf("plugin=\"/usr/lib/x86_64-linux-gnu/ulogd/ulogd_%s.so\"\n", so)
		}
	}
	conf := filepath.Join(dir, "ulogd.conf")
	text := fmt.Sprintf(`[global]
logfile="%s/log"
%sstack=log1:NFLOG,base1:BASE,ifi1:IFINDEX,%s,mac2str1:HWHDR,db1:%s
[log1]
group=1
%s[db1]
db="%s"
host="%s"
user="%s"
pass="plain"
table="%s"
procedure="%s"
`, dir, plugins, convert, plugin, buffer, db.Name, host, db.User, table, procedure)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command(program, "-c", conf)
	cmd.Env = append(os.Environ(), "MYSQL_UNIX_PORT="+db.Socket, "STATE_DIRECTORY="+dir+"/state")

	if err := ns.Start(cmd); err != nil {
		b.Fatal(err)
	}
	return cmd
}

// bulk has the server load the same rows into another database.
func bulk(b *testing.B, from *dbtest.Database, layout string) {
	b.Helper()
	to := from.Database(b)
	to.LoadOriginal(b, layout)
	tables := []string{"ulog2"}
	if layout == "ulogd2" {
		tables = []string{"mac", "ulog2", "tcp", "udp", "icmp", "hwhdr"}
	}
	write, read := "copy %s to '%s'", "copy %s from '%s'"
	if from.Engine == dbtest.MySQL {
		write, read = "select * from %s into outfile '%[2]s'", "load data infile '%[2]s' into table %[1]s"
	}
	rows := count1(b, from)
	for _, t := range tables {
		exec1(b, from, fmt.Sprintf(write, t, file(from, t)))
	}
	begin := time.Now()
	for _, t := range tables {
		exec1(b, to, fmt.Sprintf(read, t, file(from, t)))
	}
	b.ReportMetric(float64(rows)/time.Since(begin).Seconds(), "bulk_rows/s")
}

func exec1(b *testing.B, db *dbtest.Database, sql string) {
	b.Helper()
	if _, err := db.DB.Exec(sql); err != nil {
		b.Fatalf("%s: %v", sql, err)
	}
}

// file is where the server keeps the rows of a table meanwhile.
func file(db *dbtest.Database, table string) string {
	return filepath.Join(db.Dir, db.Name+"-"+table+".rows")
}
