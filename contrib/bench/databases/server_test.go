package databases

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/ulogd-go/ulogd/contrib/dbtest"
	"github.com/ulogd-go/ulogd/contrib/lab"
)

// server is a database of a server, in one of ulogd's layouts.
type server struct {
	*dbtest.Database
	layout string
}

func newServer(b *testing.B, e dbtest.Engine, layout string) *server {
	b.Helper()
	db := dbtest.Get(b, e).Database(b)
	db.LoadOriginal(b, layout)
	db.DB.SetMaxIdleConns(1) // to look often costs less than a connection each time
	return &server{db, layout}
}

func (s *server) start(b *testing.B, ns *lab.NS, program string) *exec.Cmd {
	b.Helper()
	plugin, convert, alter, host := "PGSQL", "ip2str1:IP2STR", "alter role %s password 'plain'", s.Socket
	if s.Engine == dbtest.MySQL {
		plugin, convert, alter, host = "MYSQL", "ip2bin1:IP2BIN", "alter user %s@localhost identified by 'plain'", "localhost"
	}
	exec1(b, s.Database, fmt.Sprintf(alter, s.User))
	table, procedure := "ulog", "INSERT_PACKET_FULL"
	if s.layout == "ulogd2-flat" {
		table, procedure = "ulog2", "INSERT"
	}
	options := fmt.Sprintf("db=\"%s\"\nhost=\"%s\"\nuser=\"%s\"\npass=\"plain\"\ntable=\"%s\"\nprocedure=\"%s\"\n", s.Name, host, s.User, table, procedure)
	return run(b, ns, program, "log1:NFLOG,base1:BASE,ifi1:IFINDEX,"+convert+",mac2str1:HWHDR,db1:"+plugin, options,
		[]string{"MYSQL_UNIX_PORT=" + s.Socket}, "output_"+plugin)
}

func (s *server) stored(b *testing.B, program string) int {
	query := "select coalesce(max(_id), 0) from ulog2"
	if program != original {
		query = "select coalesce(sum(upto), 0) from ulogd_ledger"
	}
	return number(b, s.Query(b, query)[0][0])
}

func (s *server) count(b *testing.B) int { return number(b, s.Count(b, "ulog2")) }

func number(b *testing.B, text string) int {
	b.Helper()
	n, err := strconv.Atoi(text)
	if err != nil {
		b.Fatal(err)
	}
	return n
}

// bulk has the server load the same rows into another database.
func (s *server) bulk(b *testing.B) time.Duration {
	b.Helper()
	to := newServer(b, s.Engine, s.layout)
	tables := []string{"ulog2"}
	if s.layout == "ulogd2" {
		tables = []string{"mac", "ulog2", "tcp", "udp", "icmp", "hwhdr"}
	}
	write, read := "copy %s to '%s'", "copy %s from '%s'"
	if s.Engine == dbtest.MySQL {
		write, read = "select * from %s into outfile '%[2]s'", "load data infile '%[2]s' into table %[1]s character set binary"
	}
	for _, t := range tables {
		exec1(b, s.Database, fmt.Sprintf(write, t, s.file(t)))
	}
	begin := time.Now()
	for _, t := range tables {
		exec1(b, to.Database, fmt.Sprintf(read, t, s.file(t)))
	}
	return time.Since(begin)
}

func exec1(b *testing.B, db *dbtest.Database, sql string) {
	b.Helper()
	if _, err := db.DB.Exec(sql); err != nil {
		b.Fatalf("%s: %v", sql, err)
	}
}

// file is where the server keeps the rows of a table meanwhile.
func (s *server) file(table string) string {
	return filepath.Join(s.Dir, s.Name+"-"+table+".rows")
}
