package databases

import (
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	_ "modernc.org/sqlite" // used through database/sql

	"github.com/ulogd-go/ulogd/contrib/lab"
)

// sqliteTables are the one that ulogd ships, and one with what people want to see.
var sqliteTables = map[string]string{
	"ulog_pkt": `create table t (raw_pktlen int unsigned, raw_pktcount int unsigned, oob_prefix varchar(64), oob_time_sec int unsigned,
		oob_time_usec int unsigned, oob_mark int unsigned, oob_hook tinyint unsigned, oob_uid int unsigned, oob_gid int unsigned)`,
	"addresses": `create table t (oob_time_sec int, oob_prefix text, oob_in text, mac_saddr_str text, ip_saddr_str text, ip_daddr_str text,
		ip_protocol int, ip_totlen int, tcp_sport int, tcp_dport int, tcp_syn int, udp_sport int, udp_dport int, icmp_type int)`,
}

// file is an SQLite database with a table t.
type file struct {
	path, table string
	db          *sql.DB
}

func newFile(b *testing.B, table string) *file {
	b.Helper()
	path := filepath.Join(b.TempDir(), "bench.db")
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(30000)")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { db.Close() })
	if _, err := db.Exec(table); err != nil {
		b.Fatal(err)
	}
	return &file{path, table, db}
}

func (f *file) start(b *testing.B, ns *lab.NS, program string) *exec.Cmd {
	b.Helper()
	return run(b, ns, program, "log1:NFLOG,base1:BASE,ifi1:IFINDEX,ip2str1:IP2STR,mac2str1:HWHDR,db1:SQLITE3",
		fmt.Sprintf("db=\"%s\"\ntable=\"t\"\n", f.path), nil, "output_SQLITE3")
}

func (f *file) stored(b *testing.B, program string) int {
	if program == original {
		return f.number(b, "select coalesce(max(rowid), 0) from t")
	}
	return f.number(b, "select coalesce(sum(upto), 0) from ulogd_ledger")
}

func (f *file) count(b *testing.B) int { return f.number(b, "select count(*) from t") }

func (f *file) number(b *testing.B, query string) (n int) {
	b.Helper()
	if err := f.db.QueryRow(query).Scan(&n); err != nil {
		b.Fatal(err)
	}
	return n
}

// bulk has SQLite's own shell import the rows, from a file of its own and in one
// transaction. Its NULLs are empty texts.
func (f *file) bulk(b *testing.B) time.Duration {
	b.Helper()
	to := newFile(b, f.table)
	rows := filepath.Join(b.TempDir(), "rows")
	shell(b, f.path, ".mode tabs", ".once "+rows, "select * from t;")
	begin := time.Now()
	shell(b, to.path, ".mode tabs", ".import "+rows+" t")
	took := time.Since(begin)
	if got, want := to.count(b), f.count(b); got != want {
		b.Fatalf("imported %d of %d rows", got, want)
	}
	return took
}

// shell runs commands of SQLite's shell.
func shell(b *testing.B, path string, commands ...string) {
	b.Helper()
	cmd := exec.Command("sqlite3", path)
	cmd.Stdin = strings.NewReader(strings.Join(commands, "\n") + "\n")
	out, err := cmd.CombinedOutput()
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
		b.Fatalf("%v (install sqlite3)", err)
	}
	if err != nil || len(out) > 0 {
		b.Fatalf("sqlite3: %v\n%s", err, out)
	}
}
