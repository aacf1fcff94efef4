package dbi

import (
	"bytes"
	"database/sql"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ulogd-go/ulogd/contrib/dbtest"
	"github.com/ulogd-go/ulogd/pkg/event"
	"github.com/ulogd-go/ulogd/pkg/plugin"
	"github.com/ulogd-go/ulogd/pkg/plugintest"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

// packet has values that libdbi's drivers wrote in the runs of ulogd 2.0.8 that
// these tests repeat.
var packet = plugintest.Event{
	"oob.prefix": `it's "5" \ é`, "oob.mark": uint32(0xfffffff0), "ip.saddr": netip.MustParseAddr("172.120.200.42"),
	"ip.saddr.str": "172.120.200.42", "tcp.syn": true, "tcp.sport": uint16(1024),
}

// stored is packet in the columns behind the first.
const stored = `it's "5" \ é 4294967280 717781164 172.120.200.42 1 1024`

// instance is one that has stored packet.
func instance(t *testing.T, opts plugintest.Options) *bytes.Buffer {
	t.Helper()
	log := new(bytes.Buffer)
	run := plugintest.Bench{Plugin: "DBI", Options: opts, Env: func(env *plugin.Env) {
		env.Log = slog.New(slog.NewTextHandler(log, nil))
		env.Queue = "dbi1"
	}}.Start(t, packet)
	o := run.Output(t)
	t.Cleanup(func() { _ = o.Close() })
	if err := o.Connect(t.Context()); err != nil {
		t.Fatalf("%v\n%s", err, log)
	}
	if err := o.Write(t.Context(), run.Encode(t)); err != nil {
		t.Fatalf("%v\n%s", err, log)
	}
	return log
}

// optionsFor is the options for a database of a server.
func optionsFor(d *dbtest.Database, more ...string) plugintest.Options {
	opts := plugintest.Options{"dbtype": "mysql", "db": d.Name, "host": d.Socket, "user": d.User, "pass": d.Password, "table": "t", "procedure": "INSERT"}
	if d.Engine == dbtest.PostgreSQL {
		opts["dbtype"] = "pgsql"
	}
	for i := 0; i < len(more); i += 2 {
		opts[more[i]] = more[i+1]
	}
	return opts
}

// rows are the values of a query, a line each.
func rows(t *testing.T, d *dbtest.Database, query string) string {
	t.Helper()
	var lines []string
	for _, r := range d.Query(t, query) {
		lines = append(lines, strings.Join(r, " "))
	}
	return strings.Join(lines, "\n")
}

// TestServers: columns count in lower case, and the first is skipped.
func TestServers(t *testing.T) {
	for e, table := range map[dbtest.Engine]string{
		dbtest.MySQL:      "create table t (ID int, OOB_PREFIX varchar(40), oob_mark bigint, ip_saddr bigint, ip_saddr_str varchar(40), tcp_syn int, tcp_sport int)",
		dbtest.PostgreSQL: `create table t ("ID" int, "OOB_PREFIX" varchar(40), oob_mark bigint, ip_saddr bigint, ip_saddr_str varchar(40), tcp_syn varchar(1), tcp_sport int)`,
	} {
		t.Run(string(e), func(t *testing.T) {
			d := dbtest.Get(t, e).Database(t)
			d.Exec(t, table)
			log := instance(t, optionsFor(d))
			if got, want := rows(t, d, "select * from t"), "NULL "+stored; got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
			if strings.Contains(log.String(), "OOB_PREFIX") {
				t.Errorf("a column in capitals has no key: %s", log)
			}
		})
	}
}

// TestCall: a routine gets the columns without the first, whatever its name, with
// PostgreSQL too.
func TestCall(t *testing.T) {
	for e, function := range map[dbtest.Engine]string{
		dbtest.MySQL:      "create function f (p varchar(40), m bigint) returns int modifies sql data begin insert into u values (p, m); return 1; end",
		dbtest.PostgreSQL: "create function f (p varchar, m bigint) returns int language sql as 'insert into u values (p, m); select 1'",
	} {
		t.Run(string(e), func(t *testing.T) {
			d := dbtest.Get(t, e).Database(t)
			if e == dbtest.MySQL {
				function = strings.Replace(function, "modifies sql data", "deterministic", 1)
			}
			d.Exec(t, "create table u (p varchar(40), m bigint)", "create table t (sensor int, oob_prefix varchar(40), oob_mark bigint)", function)
			instance(t, optionsFor(d, "procedure", "f"))
			if got, want := rows(t, d, "select * from u"), `it's "5" \ é 4294967280`; got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
}

// TestSchema: a table is found along the search path, in the schema named, and in
// the one before its own name.
func TestSchema(t *testing.T) {
	d := dbtest.Get(t, dbtest.PostgreSQL).Database(t)
	for _, schema := range []string{d.User, "other"} {
		d.Exec(t, "create schema "+schema, "create table "+schema+".t (_id int, oob_mark bigint)")
	}
	for _, opts := range []plugintest.Options{
		optionsFor(d, "table", "T"), optionsFor(d, "schema", "other"), optionsFor(d, "table", "other.t"), optionsFor(d, "table", d.User+".t", "schema", "other"),
	} {
		instance(t, opts)
	}
	if got := d.Count(t, d.User+".t") + " " + d.Count(t, "other.t"); got != "2 2" {
		t.Errorf("%s rows in the two schemas, want 2 in each", got)
	}
}

// TestSQLite: values are as libdbi's driver writes them. The statement may be the
// user's.
func TestSQLite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec("create table t (ID int, OOB_PREFIX varchar(40), oob_mark bigint unique, ip_saddr bigint, ip_saddr_str varchar(40), tcp_syn int, tcp_sport int)"); err != nil {
		t.Fatal(err)
	}
	opts := plugintest.Options{"dbtype": "sqlite3", "db": path, "user": "x", "table": "t", "procedure": "INSERT"}
	instance(t, opts)
	opts["procedure"] = "INSERT OR IGNORE INTO t"
	instance(t, opts) // is ignored, since the mark is there
	var got string
	if err := db.QueryRow("select group_concat(coalesce(id, 'NULL')||' '||oob_prefix||' '||oob_mark||' '||ip_saddr||' '||ip_saddr_str||' '||tcp_syn||' '||tcp_sport, '|') from t").Scan(&got); err != nil {
		t.Fatal(err)
	}
	if want := "NULL " + stored; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// TestLocate: a database in libdbi's folder is used.
func TestLocate(t *testing.T) {
	old := folders
	defer func() { folders = old }()
	folders = []string{t.TempDir(), t.TempDir()}
	file := filepath.Join(folders[1], "a/x.db")
	if err := os.Mkdir(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for db, want := range map[string]string{"/a/x.db": file, "a/x.db": file, "/a": "/a", "/b/x.db": "/b/x.db", "x.db": "x.db"} {
		if got := locate(db); got != want {
			t.Errorf("%s is %s, want %s", db, got, want)
		}
	}
}

func TestOptions(t *testing.T) {
	with := func(more ...string) plugintest.Options {
		opts := plugintest.Options{"dbtype": "sqlite3", "db": "x", "user": "u", "table": "t", "procedure": "INSERT"}
		for i := 0; i < len(more); i += 2 {
			opts[more[i]] = more[i+1]
		}
		return opts
	}
	for want, opts := range map[string]plugintest.Options{
		`dbtype = "freetds": use mysql, pgsql or sqlite3`: with("dbtype", "freetds"),
		`dbtype = "": use mysql, pgsql or sqlite3`:        with("dbtype", ""),
		"SQLite has no stored routines; use INSERT":       with("procedure", "INSERT_PACKET_FULL"),
		"there is no server to log in to":                 with("sslmode", "require"),
		"batch_rows = 0":                                  with("batch_rows", "0"),
		`sslmode = "maybe"`:                               with("dbtype", "mysql", "sslmode", "maybe"),
		"ledger: no name":                                 with("dbtype", "pgsql", "ledger", ""),
		"dbtype":                                          {"db": "x", "user": "u", "table": "t", "procedure": "INSERT"},
	} {
		_, _, err := plugintest.Bench{Plugin: "DBI", Options: opts}.Open(t)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %q", opts, err, want)
		}
	}
	o, _, err := plugintest.Bench{Plugin: "DBI", Options: with("backlog_memcap", "1000000", "backlog_oneshot_requests", "20000", "reconnect", "7")}.Open(t)
	if err != nil {
		t.Fatal(err)
	}
	q, batch := o.(plugin.Output).Queue()
	if got := fmt.Sprint(int(q.Memory), batch.Rows, batch.MaxWait); got != "1000000 20000 7s" {
		t.Errorf("queue %s", got)
	}
}

// TestDescribe: the plugin can be asked for its keys without a database.
func TestDescribe(t *testing.T) {
	spec, err := plugin.Default.Lookup("DBI")
	if err != nil {
		t.Fatal(err)
	}
	x, err := spec.Describe()
	if err != nil {
		t.Fatal(err)
	}
	var b event.Binder
	x.Bind(&b)
	if len(b.Inputs()) != 0 {
		t.Errorf("inputs %v without a table", b.Inputs())
	}
}
