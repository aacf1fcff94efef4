package main

import (
	"bytes"
	"database/sql"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	_ "modernc.org/sqlite"

	"github.com/ulogd-go/ulogd/contrib/dbtest"
	"github.com/ulogd-go/ulogd/pkg/sqldb"
	"github.com/ulogd-go/ulogd/pkg/sqldb/mysql"
	"github.com/ulogd-go/ulogd/pkg/sqldb/postgres"
	"github.com/ulogd-go/ulogd/pkg/stats"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

// migrate runs the program in this process.
func migrate(t *testing.T, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	status = run(t.Context(), args, &out, &errs)
	return status, out.String(), errs.String()
}

func TestUsage(t *testing.T) {
	for _, tt := range []struct {
		args   string
		status int
		want   string
	}{
		{"", 2, "usage: ulogd-migrate COMMAND"},
		{"--help", 0, "usage: ulogd-migrate COMMAND"},
		{"fly", 2, `unknown command "fly"`},
		{"init -h", 0, "-partition"},
		{"init", 2, "no DSN"},
		{"init sqlite:x", 2, "no --schema"},
		{"init --schema v3 sqlite:x", 2, "use v1, v2 or v2-flat"},
		{"init --schema v1 a b", 2, "more than one DSN"},
		{"init --schema v1 --partition weekly sqlite:x", 2, "daily only"},
		{"init --schema v1 nothing", 1, "can't be told from its name"},
		{"init --schema v1 --partition daily sqlite:x", 1, "SQLite has no partitions"},
		{"init --schema v2 --ip-string sqlite:x", 1, "option of schema v1"},
		{"init --schema v1 --v1-views mysql://h/db --print", 1, "are for schemas of version 2"},
		{"retain", 2, "no DSN"},
		{"retain sqlite:x", 2, "no --retention"},
		{"retain --retention 1s sqlite:x", 2, "less than an hour"},
	} {
		status, stdout, stderr := migrate(t, strings.Fields(tt.args)...)
		if status != tt.status || !strings.Contains(stdout+stderr, tt.want) {
			t.Errorf("%s: status %d, want %d, with %q:\n%s%s", tt.args, status, tt.status, tt.want, stdout, stderr)
		}
	}
}

// TestFile makes a database, and removes old rows from it.
func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ulog.db")
	for i, want := range []string{"schema v1 made", "schema v1 is there already"} {
		if status, stdout, stderr := migrate(t, "init", "--schema", "v1", "sqlite:"+path); status != 0 || !strings.Contains(stdout, want) {
			t.Fatalf("init %d: %d %s%s", i, status, stdout, stderr)
		}
	}
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec("insert into ulog (oob_time_sec) values (1), (unixepoch())"); err != nil {
		t.Fatal(err)
	}
	status, stdout, stderr := migrate(t, "retain", "sqlite:"+path, "--retention", "90d")
	if status != 0 || !strings.Contains(stdout, "1 rows removed") {
		t.Errorf("retain: %d %s%s", status, stdout, stderr)
	}
	if status, _, stderr = migrate(t, "retain", "sqlite:"+path+"x", "--retention", "90d"); status != 1 {
		t.Errorf("retain of no file: %d %s", status, stderr)
	}
	if _, err := os.Stat(path + "x"); err == nil {
		t.Error("retain has made a file")
	}
	if status, _, stderr = migrate(t, "retain", "sqlite:"+path, "--retention", "90d", "--table", "x"); status != 1 || !strings.Contains(stderr, "no table x") {
		t.Errorf("retain of no table: %d %s", status, stderr)
	}
}

// TestAdvice: the command that the daemon's error names, where a table is missing,
// makes it.
func TestAdvice(t *testing.T) {
	for _, e := range []dbtest.Engine{dbtest.MySQL, dbtest.PostgreSQL} {
		d := dbtest.Get(t, e).Database(t)
		var engine sqldb.Engine = mysql.New(mysql.Config{
			Host: d.Socket, DB: d.Name, User: d.User, Pass: d.Password, Table: "ulog", Procedure: "INSERT_PACKET_FULL",
			Login: sqldb.LoginDefaults, Log: slog.New(slog.DiscardHandler), Stats: new(stats.Set),
		})
		quote := "'"
		if e == dbtest.PostgreSQL {
			quote = `"`
			engine = postgres.New(postgres.Config{
				Host: d.Dir, DB: d.Name, User: d.User, Pass: d.Password, Schema: "public", Table: "ulog", Procedure: "INSERT_PACKET_FULL",
				Login: sqldb.LoginDefaults, Log: slog.New(slog.DiscardHandler), Stats: new(stats.Set),
			})
		}
		c, err := engine.Dial(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_, err = c.Columns(t.Context())
		if err == nil {
			t.Fatal("there are columns")
		}
		_, rest, _ := strings.Cut(err.Error(), "ulogd-migrate init --schema v2 "+quote)
		name, _, ok := strings.Cut(rest, quote+" does")
		if !ok || strings.Contains(err.Error(), d.Password) {
			t.Fatalf("%s: no command in %v", e, err)
		}
		file := filepath.Join(t.TempDir(), "password")
		if err := os.WriteFile(file, []byte(d.Password), 0o600); err != nil {
			t.Fatal(err)
		}
		if status, stdout, stderr := migrate(t, "init", "--schema", "v2", name, "--password-file", file); status != 0 {
			t.Fatalf("%s: %d %s%s", name, status, stdout, stderr)
		}
		if _, err = c.Columns(t.Context()); err != nil {
			t.Errorf("%s: %v", e, err)
		}
	}
}

// TestPrint: what is written is what the engine's own client takes, and the
// database is the same afterwards as if it had been made.
func TestPrint(t *testing.T) {
	for _, e := range []dbtest.Engine{dbtest.MySQL, dbtest.PostgreSQL} {
		d := dbtest.Get(t, e).Database(t)
		name := map[dbtest.Engine]string{dbtest.MySQL: "mysql://u:secret@localhost/" + d.Name, dbtest.PostgreSQL: "postgres://u:secret@localhost/" + d.Name}[e]
		status, script, stderr := migrate(t, "init", "--schema", "v2", "--partition", "daily", "--host", "--print", name)
		if status != 0 {
			t.Fatalf("%d: %s", status, stderr)
		}
		if strings.Contains(script, "secret") {
			t.Error("the password is in the script")
		}
		client := exec.Command("mariadb", "--no-defaults", "-S", d.Socket, "-u", d.User, "-p"+d.Password, d.Name)
		dsn := fmt.Sprintf("mysql://%s@localhost/%s?socket=%s", d.User, d.Name, d.Socket)
		if e == dbtest.PostgreSQL {
			client = exec.Command("psql", "-q", "-v", "ON_ERROR_STOP=1", "-h", d.Dir, "-U", d.User, d.Name)
			dsn = fmt.Sprintf("host=%s user=%s dbname=%s", d.Dir, d.User, d.Name)
		}
		client.Env = append(os.Environ(), "PGPASSWORD="+d.Password)
		client.Stdin = strings.NewReader(script)
		if out, err := client.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", client.Path, err, out)
		}
		file := filepath.Join(t.TempDir(), "password")
		if err := os.WriteFile(file, []byte(d.Password+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		status, stdout, stderr := migrate(t, "init", "--schema", "v2", "--partition", "daily", "--host", "--password-file", file, dsn)
		if status != 0 || !strings.Contains(stdout, "is there already") {
			t.Errorf("%s: init finds %d %s%s", e, status, stdout, stderr)
		}
		status, stdout, stderr = migrate(t, "retain", "--retention", "12w", "--password-file", file, dsn)
		if status != 0 || !strings.Contains(stdout, "nothing to do") {
			t.Errorf("%s: retain: %d %s%s", e, status, stdout, stderr)
		}
		if status, _, stderr = migrate(t, "init", "--schema", "v2", dsn); status != 1 || strings.Contains(stderr, d.Password) {
			t.Errorf("%s: without a password: %d %s", e, status, stderr)
		}
	}
}
