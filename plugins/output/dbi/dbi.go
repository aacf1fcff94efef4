// Package dbi is the output DBI, which stores rows in the database whose kind an
// option names.
package dbi

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ulogd-go/ulogd/pkg/plugin"
	"github.com/ulogd-go/ulogd/pkg/sqldb"
	"github.com/ulogd-go/ulogd/pkg/sqldb/mysql"
	"github.com/ulogd-go/ulogd/pkg/sqldb/postgres"
	"github.com/ulogd-go/ulogd/pkg/sqldb/sqlite"
)

func init() {
	plugin.Default.Register(plugin.NewOutput(plugin.Info{
		Name: "DBI", Summary: "stores rows in a MySQL, MariaDB, PostgreSQL or SQLite database",
		Takes: plugin.Packet | plugin.Flow | plugin.Sum,
	}, options{
		Options: sqldb.Defaults, Schema: public, Login: sqldb.LoginDefaults, Extra: sqldb.ExtraDefaults,
	}, open))
}

type options struct {
	sqldb.Options
	DB     string `toml:"db" mandatory:"true" doc:"name of the database; of sqlite3 the path of the file"`
	Host   string `toml:"host" doc:"host of the server, or the path of its socket; empty for the usual socket"`
	User   string `toml:"user" mandatory:"true" doc:"user of the database; sqlite3 knows none"`
	Pass   string `toml:"pass" secret:"true" doc:"password"`
	Port   int    `toml:"port" doc:"port of the server; 0 stands for its usual one"`
	Schema string `toml:"schema" doc:"schema of the table, of pgsql; public stands for the search path"`
	DBType string `toml:"dbtype" mandatory:"true" doc:"kind of database: mysql, pgsql or sqlite3"`
	sqldb.Login
	sqldb.Extra
}

// public is the default of schema. ulogd follows the search path whatever it says.
const public = "public"

func open(o options, env *plugin.Env) (plugin.Output, error) {
	if err := o.Login.Check(); err != nil {
		return nil, err
	}
	switch kind := o.DBType; {
	case kind == "pgsql", kind == "" && env.Source == nil: // to be described, not run
		return server(o.postgres(env), o, env)
	case kind == "mysql":
		return server(o.mysql(env), o, env)
	case kind == "sqlite3":
		return o.sqlite(env)
	}
	return nil, fmt.Errorf("dbtype = %q: use mysql, pgsql or sqlite3, or move the table to one of these", o.DBType)
}

// server is the output over an engine. Columns are in lower case for libdbi, so
// their keys are.
func server(e sqldb.Engine, o options, env *plugin.Env) (plugin.Output, error) {
	out, err := sqldb.NewOutput(e, o.Options, o.Extra, env)
	if err != nil {
		return nil, err
	}
	out.FoldCase()
	return out, nil
}

func (o options) mysql(env *plugin.Env) sqldb.Engine {
	return mysql.New(mysql.Config{
		Host: o.Host, DB: o.DB, User: o.User, Pass: o.Pass, Port: o.Port,
		Table: o.Table, Procedure: o.Procedure, Ledger: o.Ledger, Direct: o.Direct, Generation: o.Generation,
		Source: source(env), Login: o.Login, Log: env.Log, Stats: env.Stats,
	})
}

func (o options) postgres(env *plugin.Env) sqldb.Engine {
	schema, table, qualified := strings.Cut(o.Table, ".")
	switch {
	case !qualified && o.Schema == public:
		schema, table = "", o.Table
	case !qualified:
		schema, table = o.Schema, o.Table
	}
	return postgres.New(postgres.Config{
		Host: o.Host, DB: o.DB, User: o.User, Pass: o.Pass, Port: o.Port,
		Schema: schema, Table: table, SkipFirst: true, Procedure: o.Procedure, Ledger: o.Ledger, Direct: o.Direct, Generation: o.Generation,
		Source: source(env), Login: o.Login, Log: env.Log, Stats: env.Stats,
	})
}

// source is who writes, for the ledger.
func source(env *plugin.Env) string { return env.Hostname + "/" + env.Queue }

// lockTime is how long to wait for a lock of an SQLite database before the
// transaction is tried anew, unless connect_timeout says so.
const lockTime = time.Second

func (o options) sqlite(env *plugin.Env) (plugin.Output, error) {
	s := sqldb.ParseStatement(o.Procedure)
	if s.Mode != sqldb.Insert && s.Mode != sqldb.InsertAs {
		return nil, fmt.Errorf("procedure = %q: SQLite has no stored routines; use INSERT", o.Procedure)
	}
	if o.Login != sqldb.LoginDefaults {
		return nil, errors.New("dbtype = \"sqlite3\": there is no server to log in to; remove password_file and the options that begin with ssl")
	}
	if err := sqldb.Check(o.Options, o.Extra); err != nil {
		return nil, err
	}
	c := sqlite.Config{DB: locate(o.DB), Table: o.Table, Insert: s.Text, FoldCase: true, BusyTimeout: lockTime, Ledger: o.Ledger, Retention: o.Retention, Generation: o.Generation}
	if o.ConnectTimeout > 0 {
		c.BusyTimeout = o.Timeout()
	}
	c.Queue, c.Batching = sqldb.Delivery(o.Options, o.Extra)
	return sqlite.NewOutput(c, env)
}
