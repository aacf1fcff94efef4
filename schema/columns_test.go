package schema_test

import (
	"database/sql"
	"encoding/csv"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ulogd-go/ulogd/contrib/dbtest"
	"github.com/ulogd-go/ulogd/schema"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

// now is the day on which the schemas of the tests are made.
var now = time.Date(2026, 11, 27, 23, 0, 0, 0, time.UTC)

// column is a column of ulogd's schemas, or of ours.
type column struct{ name, typ string }

// original is the columns of ulogd's tables and views, by the name of the table.
// In MySQL the types are those of MariaDB.
func original(t *testing.T, version, engine string) map[string][]column {
	t.Helper()
	f, err := os.Open("testdata/columns.csv")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	tables := map[string][]column{}
	for _, l := range lines {
		if l[0] == version && l[1] == engine {
			tables[l[2]] = append(tables[l[2]], column{l[3], l[4]})
		}
	}
	if len(tables) == 0 {
		t.Fatalf("no tables of %s for %s", version, engine)
	}
	return tables
}

// made runs the statements of a schema in a new database, as its user.
func made(t *testing.T, e schema.Engine, v schema.Version, o schema.Options) *dbtest.Database {
	t.Helper()
	engine := dbtest.MySQL
	if e == schema.Postgres {
		engine = dbtest.PostgreSQL
	}
	d := dbtest.Get(t, engine).Database(t)
	o.Now = now
	d.LoadOurs(t, v, o)
	return d
}

func statements(t *testing.T, e schema.Engine, v schema.Version, o schema.Options) []schema.Statement {
	t.Helper()
	o.Now = now
	list, err := schema.Statements(e, v, o)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// present is the columns of all tables and views of a database.
func present(t *testing.T, d *dbtest.Database) map[string][]column {
	t.Helper()
	query := `select k.relname, a.attname, format_type(a.atttypid, a.atttypmod) from pg_attribute a join pg_class k on k.oid = a.attrelid
		join pg_namespace n on n.oid = k.relnamespace
		where n.nspname = 'public' and k.relkind in ('r', 'v', 'p') and a.attnum > 0 and not a.attisdropped order by k.relname, a.attnum`
	if d.Engine == dbtest.MySQL {
		query = "select table_name, column_name, column_type from information_schema.columns where table_schema = '" + d.Name + "' order by table_name, ordinal_position"
	}
	tables := map[string][]column{}
	for _, r := range d.Query(t, query) {
		tables[r[0]] = append(tables[r[0]], column{r[1], r[2]})
	}
	return tables
}

// variants are the ways in which a schema can be made: as ulogd has it, and with
// all that can be asked for.
func variants(e schema.Engine, v schema.Version) map[string]schema.Options {
	all := schema.Options{Host: true, Daily: e != schema.SQLite, V1Views: e != schema.SQLite && v != schema.V1}
	return map[string]schema.Options{"plain": {}, "all": all}
}

// TestColumns: each table and view of ulogd's schemas is in ours, with the same
// columns in the same order, of types that hold the same values at least. With a
// column for the host that one comes last, in tables only.
func TestColumns(t *testing.T) {
	for _, e := range []schema.Engine{schema.MySQL, schema.Postgres, schema.SQLite} {
		for _, v := range []schema.Version{schema.V1, schema.V2, schema.V2Flat} {
			for name, o := range variants(e, v) {
				t.Run(fmt.Sprintf("%s %s %s", e, v, name), func(t *testing.T) { testColumns(t, e, v, o) })
			}
		}
		if e != schema.Postgres {
			t.Run(fmt.Sprintf("%s v1 texts", e), func(t *testing.T) { testColumns(t, e, schema.V1, schema.Options{IPString: true}) })
		}
	}
}

func testColumns(t *testing.T, e schema.Engine, v schema.Version, o schema.Options) {
	var got map[string][]column
	if e == schema.SQLite {
		got = presentSQLite(t, statements(t, e, v, o))
	} else {
		got = present(t, made(t, e, v, o))
	}
	engine, version := map[schema.Engine]string{schema.MySQL: "mysql", schema.Postgres: "pgsql", schema.SQLite: "sqlite3"}[e], string(v)
	switch {
	case v == schema.V2 && e != schema.SQLite:
		version = "v2-relational"
	case v == schema.V2Flat && e == schema.SQLite:
		engine = "pgsql" // whose names it has
	case o.IPString && e == schema.MySQL:
		version = "v1-ipstring"
	}
	for table, want := range original(t, version, engine) {
		if v == schema.V2Flat && e == schema.SQLite && !slices.Contains([]string{"ulog2", "ulog", "ulog2_ct", "view_tcp", "view_udp_quad"}, table) {
			continue
		}
		have := got[table]
		if n := len(have); o.Host && n > 0 && have[n-1].name == "local_hostname" && len(want) < n {
			have = have[:n-1]
		}
		if diff := cmp.Diff(names(want), names(have)); diff != "" {
			t.Errorf("columns of %s (-want +got):\n%s", table, diff)
			continue
		}
		for i := range have {
			if e != schema.SQLite && !holds(have[i].typ, want[i].typ) {
				t.Errorf("%s.%s: %s does not hold what %s does", table, have[i].name, have[i].typ, want[i].typ)
			}
		}
	}
}

func names(columns []column) (list []string) {
	for _, c := range columns {
		list = append(list, c.name)
	}
	return list
}

func presentSQLite(t *testing.T, list []schema.Statement) map[string][]column {
	t.Helper()
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	for _, s := range list {
		if _, err := db.Exec(s.SQL); err != nil {
			t.Fatalf("%s: %v", s.SQL, err)
		}
	}
	rows, err := db.Query("select m.name, c.name, c.type from sqlite_schema m, pragma_table_info(m.name) c where m.type in ('table', 'view') order by m.name, c.cid")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	tables := map[string][]column{}
	for rows.Next() {
		var table string
		var c column
		if err := rows.Scan(&table, &c.name, &c.typ); err != nil {
			t.Fatal(err)
		}
		tables[table] = append(tables[table], c)
	}
	return tables
}

// numbers are types from narrow to wide, by what they hold.
var widths = map[string]int{"tinyint": 8, "smallint": 16, "int": 32, "integer": 32, "bigint": 64}

// unsigned are columns of small numbers that ulogd's schema for MySQL has with a
// sign although they never have one, and are cut off for it.
var unsigned = []string{"smallint"}

// holds tells whether a type holds all values of another.
func holds(wide, narrow string) bool {
	w, n := parse(wide), parse(narrow)
	if w.name == "varchar" || w.name == "character varying" {
		return w.name == n.name && w.size >= n.size
	}
	bits, number := widths[n.name]
	if !number {
		return wide == narrow
	}
	switch {
	case n.unsigned && !w.unsigned:
		return widths[w.name] > bits
	case !n.unsigned && w.unsigned:
		return widths[w.name] >= bits && slices.Contains(unsigned, n.name)
	}
	return widths[w.name] >= bits
}

type parsed struct {
	name     string
	size     int
	unsigned bool
}

func parse(typ string) (p parsed) {
	p.unsigned = strings.HasSuffix(typ, " unsigned")
	typ = strings.TrimSuffix(typ, " unsigned")
	p.name, _, _ = strings.Cut(typ, "(")
	if i := strings.IndexByte(typ, '('); i >= 0 {
		_, _ = fmt.Sscanf(typ[i:], "(%d)", &p.size)
	}
	return p
}
