package install_test

import (
	"context"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ulogd-go/ulogd/contrib/dbtest"
	"github.com/ulogd-go/ulogd/pkg/dsn"
	"github.com/ulogd-go/ulogd/pkg/install"
	"github.com/ulogd-go/ulogd/schema"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

// name is the data source name of a database.
func name(d *dbtest.Database) string {
	if d.Engine == dbtest.PostgreSQL {
		return fmt.Sprintf("host='%s' dbname=%s user=%s password='%s'", d.Dir, d.Name, d.User, strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(d.Password))
	}
	return (&url.URL{Scheme: "mysql", User: url.UserPassword(d.User, d.Password), Host: "localhost", Path: "/" + d.Name, RawQuery: "socket=" + d.Socket}).String()
}

func open(t *testing.T, name string) *dsn.Database {
	t.Helper()
	db, err := dsn.Open(name, dsn.Options{Create: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func run(t *testing.T, db *dsn.Database, v schema.Version, o schema.Options) (bool, error) {
	t.Helper()
	o.Now = time.Now()
	return install.Run(context.Background(), db, v, o)
}

// TestTwice: what is there as wanted is left alone, and what is there otherwise is
// an error that names it.
func TestTwice(t *testing.T) {
	for engine, db := range databases(t) {
		t.Run(engine, func(t *testing.T) {
			made, err := run(t, db, schema.V2Flat, schema.Options{Host: true})
			if err != nil || !made {
				t.Fatalf("%v, %v", made, err)
			}
			if made, err = run(t, db, schema.V2Flat, schema.Options{Host: true}); err != nil || made {
				t.Errorf("the same again: %v, %v", made, err)
			}
			_, err = run(t, db, schema.V2Flat, schema.Options{})
			complains(t, err, "table ulog2_ct", `made as "ulogd schema v2-flat host"`, `"ulogd schema v2-flat" is wanted`, "nothing was changed")
			_, err = run(t, db, schema.V1, schema.Options{})
			complains(t, err, "ulog", "nothing was changed")
		})
	}
}

func databases(t *testing.T) map[string]*dsn.Database {
	return map[string]*dsn.Database{
		"mysql":    open(t, name(dbtest.Get(t, dbtest.MySQL).Database(t))),
		"postgres": open(t, name(dbtest.Get(t, dbtest.PostgreSQL).Database(t))),
		"sqlite":   open(t, "sqlite:"+filepath.Join(t.TempDir(), "a b?.db")),
	}
}

// complains is an error unless err says all that.
func complains(t *testing.T, err error, texts ...string) {
	t.Helper()
	if err == nil {
		t.Errorf("no error, want %q", texts)
		return
	}
	for _, s := range texts {
		if !strings.Contains(err.Error(), s) {
			t.Errorf("the error lacks %q: %v", s, err)
		}
	}
}

// TestForeign: one table of somebody else's stops all, before anything is made.
func TestForeign(t *testing.T) {
	for engine, db := range databases(t) {
		t.Run(engine, func(t *testing.T) {
			if _, err := db.Exec("create table tcp (x integer)"); err != nil {
				t.Fatal(err)
			}
			v := schema.V2
			if engine == "sqlite" {
				if _, err := db.Exec("create view nfacct as select 1"); err != nil {
					t.Fatal(err)
				}
				v = schema.V2Flat
			}
			_, err := run(t, db, v, schema.Options{})
			complains(t, err, map[string]string{"sqlite": "table nfacct"}[engine]+map[bool]string{true: "table tcp"}[engine != "sqlite"])
			if _, err := db.Exec("select * from ulog2"); err == nil {
				t.Error("ulog2 was made")
			}
		})
	}
}

// TestPrivileges: without the rights nothing is left behind, and the error says
// which are needed.
func TestPrivileges(t *testing.T) {
	t.Run("mysql", func(t *testing.T) {
		d := dbtest.Get(t, dbtest.MySQL).Database(t)
		for _, s := range []string{"revoke all on %s.* from %s@localhost", "grant select, insert, create, drop, alter, index, references, create view, show view on %s.* to %s@localhost"} {
			if _, err := d.DB.Exec(fmt.Sprintf(s, d.Name, d.User)); err != nil {
				t.Fatal(err)
			}
		}
		_, err := run(t, open(t, name(d)), schema.V2, schema.Options{})
		complains(t, err, "make procedure PACKET_ADD_NUFW", "CREATE ROUTINE", "nothing was made")
		if n := len(d.Query(t, "show tables")); n != 0 {
			t.Errorf("%d tables were left", n)
		}
		if strings.Contains(err.Error(), d.Password) {
			t.Errorf("the password is in %v", err)
		}
	})
	t.Run("postgres", func(t *testing.T) {
		d := dbtest.Get(t, dbtest.PostgreSQL).Database(t)
		if _, err := d.DB.Exec("alter database " + d.Name + " owner to postgres"); err != nil {
			t.Fatal(err)
		}
		if _, err := d.DB.Exec("revoke create on schema public from public"); err != nil {
			t.Fatal(err)
		}
		_, err := run(t, open(t, name(d)), schema.V2, schema.Options{})
		complains(t, err, "grant CREATE on the schema", "nothing was made")
	})
}

// TestFunctionsRead: functions declare that they read only, since a server with a
// binary log takes no others.
func TestFunctionsRead(t *testing.T) {
	list, err := schema.Statements(schema.MySQL, schema.V2, schema.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range list {
		if s.Kind == "function" && !strings.Contains(s.SQL, "\nreads sql data") && !strings.Contains(s.SQL, "no sql") {
			t.Errorf("%s does not say so", s.Object)
		}
	}
}

// TestDSN: names of databases, and that no error has the password.
func TestDSN(t *testing.T) {
	bad := map[string]string{
		"nothing":                         "can't be told",
		"mysql://u:secret@h/":             "no database",
		"mysql://u:secret@h:x/db":         "port",
		"mysql://u:secret@h/db?x=1":       `unknown parameter "x"`,
		"mysql://u:secret@h/db?sslmode=x": "sslmode",
		"sqlite:":                         "no path",
		"postgres://u:secret@h:port/db":   "",
	}
	for name, want := range bad {
		_, err := dsn.Open(name, dsn.Options{Create: true})
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
	for name, want := range map[string]schema.Engine{
		"mysql://u@h/db": schema.MySQL, "mariadb://h/db?socket=/x": schema.MySQL, "postgres://u@h/db": schema.Postgres,
		"host=/tmp dbname=x": schema.Postgres, "sqlite:/x": schema.SQLite, "sqlite:///x": schema.SQLite,
	} {
		db, err := dsn.Open(name, dsn.Options{Create: true})
		if err != nil || db.Engine != want {
			t.Errorf("%s: %v, %v", name, db, err)
		}
	}
}
