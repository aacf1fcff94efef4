package dbtest

import (
	"compress/gzip"
	"context"
	"database/sql"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/go-sql-driver/mysql"

	"github.com/ulogd-go/ulogd/schema"
)

func fields(b []byte) []string { return strings.Fields(string(b)) }

// Database is a database of one test, which has a user of its own.
type Database struct {
	*Server
	Name, User, Password string
	DB                   *sql.DB // the administrator's
}

// numbers makes names.
var numbers atomic.Int64

// Database makes an empty database, which is dropped at the end of the test.
func (s *Server) Database(t testing.TB) *Database {
	t.Helper()
	name := fmt.Sprintf("test%d", numbers.Add(1))
	return s.Named(t, name, name, "pa'ss \\"+name)
}

// Named is the same for a configuration that has the names already.
func (s *Server) Named(t testing.TB, name, user, password string) *Database {
	t.Helper()
	d := &Database{Server: s, Name: name, User: user, Password: password}
	admin, err := s.open("")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { admin.Close() })
	for _, stmt := range d.statements() {
		if _, err := admin.Exec(stmt); err != nil {
			t.Fatalf("%s: %v", stmt, err)
		}
	}
	if d.DB, err = s.open(name); err != nil {
		t.Fatal(err)
	}
	d.DB.SetMaxIdleConns(0) // a connection would be broken after an outage
	t.Cleanup(func() {
		d.DB.Close()
		drop := []string{"drop database " + name}
		if s.Engine == PostgreSQL {
			drop = append([]string{"select pg_terminate_backend(pid) from pg_stat_activity where datname = '" + name + "'"}, drop...)
		}
		for _, stmt := range drop {
			if _, err := admin.Exec(stmt); err != nil {
				t.Logf("%s: %v", stmt, err) // the server may have been ended
			}
		}
	})
	return d
}

func (d *Database) statements() []string {
	if d.Engine == PostgreSQL {
		password := strings.ReplaceAll(d.Password, "'", "''")
		return []string{
			fmt.Sprintf("create role %s login password '%s'", d.User, password),
			fmt.Sprintf("create database %s owner %s", d.Name, d.User),
		}
	}
	password := strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(d.Password)
	return []string{
		fmt.Sprintf("create database %s character set utf8mb4", d.Name),
		fmt.Sprintf("create user %s@localhost identified by '%s'", d.User, password),
		fmt.Sprintf("grant all on %s.* to %s@localhost", d.Name, d.User),
	}
}

// Exec runs statements as the administrator; in PostgreSQL what they make belongs
// to the database's user.
func (d *Database) Exec(t testing.TB, statements ...string) {
	t.Helper()
	ctx := context.Background()
	c, err := d.DB.Conn(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if d.Engine == PostgreSQL {
		statements = append([]string{"set role " + d.User}, append(statements, "reset role")...)
	}
	for _, s := range statements {
		if _, err := c.ExecContext(ctx, s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

// Query is the rows of a query, each value as text: NULL as such, bytes that are no
// text in hex behind 0x.
func (d *Database) Query(t testing.TB, query string, args ...any) (rows [][]string) {
	t.Helper()
	result, err := d.DB.Query(query, args...)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	defer result.Close()
	columns, err := result.ColumnTypes()
	if err != nil {
		t.Fatal(err)
	}
	values, to := make([]any, len(columns)), make([]any, len(columns))
	for i := range values {
		to[i] = &values[i]
	}
	for result.Next() {
		if err := result.Scan(to...); err != nil {
			t.Fatal(err)
		}
		texts := make([]string, len(values))
		for i, v := range values {
			texts[i] = text(columns[i], v)
		}
		rows = append(rows, texts)
	}
	if err := result.Err(); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return rows
}

func text(c *sql.ColumnType, v any) string {
	switch v := v.(type) {
	case nil:
		return "NULL"
	case []byte:
		if strings.Contains(c.DatabaseTypeName(), "BINARY") || c.DatabaseTypeName() == "BYTEA" || !utf8.Valid(v) {
			return "0x" + hex.EncodeToString(v)
		}
		return string(v)
	}
	return fmt.Sprint(v)
}

// Dump is the rows of a table as "column=value ...", sorted, without some columns.
func (d *Database) Dump(t testing.TB, table string, without ...string) (lines []string) {
	t.Helper()
	names := d.Columns(t, table)
	for _, r := range d.Query(t, "select * from "+table) {
		var line []string
		for i, v := range r {
			if !slices.Contains(without, names[i]) {
				line = append(line, names[i]+"="+v)
			}
		}
		lines = append(lines, strings.Join(line, " "))
	}
	slices.Sort(lines)
	return lines
}

// Columns are the names of a table's columns.
func (d *Database) Columns(t testing.TB, table string) []string {
	t.Helper()
	result, err := d.DB.Query("select * from " + table + " where 1 = 0")
	if err != nil {
		t.Fatal(err)
	}
	defer result.Close()
	names, err := result.Columns()
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// Count is the number of rows of a table.
func (d *Database) Count(t testing.TB, table string) string {
	t.Helper()
	return d.Query(t, "select count(*) from "+table)[0][0]
}

// MariaDB tells whether the server is that and not MySQL.
func (d *Database) MariaDB(t testing.TB) bool {
	t.Helper()
	return d.Engine == MySQL && strings.Contains(d.Query(t, "select version()")[0][0], "MariaDB")
}

// originals are the files of Debian's packages of ulogd.
const originals = "/usr/share/doc/ulogd2/"

// LoadOriginal loads ulogd's own schema: "ulogd2" is the relational one, and
// "ulogd2-flat" the flat one. The test is skipped where it is not installed.
func (d *Database) LoadOriginal(t testing.TB, layout string) {
	t.Helper()
	engine, client := "pgsql", []string{"psql", "-q", "-v", "ON_ERROR_STOP=0", "-h", d.Dir, "-U", d.User, d.Name}
	if d.Engine == MySQL {
		program, err := find("mariadb", "mysql")
		if err != nil {
			t.Fatal(err)
		}
		engine, client = "mysql", []string{program, "--no-defaults", "--force", "-S", d.Socket, "-u", d.User, "-p" + d.Password, d.Name}
	}
	path := originals + engine + "-" + layout + ".sql.gz"
	f, err := os.Open(path)
	if err != nil {
		t.Skipf("NOT TESTED: %v (install ulogd2)", err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(client[0], client[1:]...)
	cmd.Env = append(os.Environ(), "PGPASSWORD="+d.Password)
	cmd.Stdin = z
	// The scripts drop what is not there yet, and say so.
	if out, err := cmd.CombinedOutput(); err != nil && d.Engine == PostgreSQL {
		t.Fatalf("load %s: %v\n%s", path, err, out)
	}
	if n := d.Count(t, "ulog2"); n != "0" {
		t.Fatalf("load %s: ulog2 has %s rows", path, n)
	}
}

// LoadOurs makes our own schema, as the database's user.
func (d *Database) LoadOurs(t testing.TB, v schema.Version, o schema.Options) {
	t.Helper()
	engine := schema.MySQL
	if d.Engine == PostgreSQL {
		engine = schema.Postgres
	}
	if o.Now.IsZero() {
		o.Now = time.Now()
	}
	list, err := schema.Statements(engine, v, o)
	if err != nil {
		t.Fatal(err)
	}
	db := d.AsUser(t)
	defer db.Close() // tests count the user's connections
	for _, s := range list {
		if _, err := db.Exec(s.SQL); err != nil {
			t.Fatalf("%s: %v", s.SQL, err)
		}
	}
}

// AsUser is a pool of connections of the database's user.
func (d *Database) AsUser(t testing.TB) *sql.DB {
	t.Helper()
	var db *sql.DB
	var err error
	if d.Engine == PostgreSQL {
		quote := strings.NewReplacer(`\`, `\\`, `'`, `\'`)
		db, err = sql.Open("pgx", fmt.Sprintf("host='%s' user=%s password='%s' dbname=%s", d.Dir, d.User, quote.Replace(d.Password), d.Name))
	} else {
		c := mysql.NewConfig()
		c.Net, c.Addr, c.User, c.Passwd, c.DBName, c.MultiStatements = "unix", d.Socket, d.User, d.Password, d.Name, true
		db, err = sql.Open("mysql", c.FormatDSN())
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}
