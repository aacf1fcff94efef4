// Package pgsql is the output PGSQL, which stores rows in a PostgreSQL database.
package pgsql

import (
	"github.com/ulogd-go/ulogd/pkg/plugin"
	"github.com/ulogd-go/ulogd/pkg/sqldb"
	"github.com/ulogd-go/ulogd/pkg/sqldb/postgres"
)

func init() {
	plugin.Default.Register(plugin.NewOutput(plugin.Info{
		Name: "PGSQL", Summary: "stores rows in a PostgreSQL database",
		Takes: plugin.Packet | plugin.Flow | plugin.Sum,
	}, options{
		Options: sqldb.Defaults, Schema: "public", Login: sqldb.LoginDefaults, Extra: sqldb.ExtraDefaults,
	}, open))
}

type options struct {
	sqldb.Options
	DB         string `toml:"db" mandatory:"true" doc:"name of the database"`
	Host       string `toml:"host" doc:"host of the server, or the directory of its socket; empty for the usual socket"`
	User       string `toml:"user" mandatory:"true" doc:"user of the database"`
	Pass       string `toml:"pass" secret:"true" doc:"password; if empty, libpq's own file of passwords counts"`
	Port       int    `toml:"port" doc:"port of the server; 0 stands for 5432"`
	Schema     string `toml:"schema" doc:"schema of the table"`
	ConnString string `toml:"connstring" secret:"true" doc:"how to connect, as libpq reads it, in place of host, port, db, user and pass"`
	sqldb.Login
	sqldb.Extra
}

func open(o options, env *plugin.Env) (plugin.Output, error) {
	if err := o.Login.Check(); err != nil {
		return nil, err
	}
	engine := postgres.New(postgres.Config{
		Host: o.Host, DB: o.DB, User: o.User, Pass: o.Pass, Port: o.Port, ConnString: o.ConnString,
		Schema: o.Schema, Table: o.Table, Procedure: o.Procedure, Ledger: o.Ledger, Direct: o.Direct, Generation: o.Generation,
		Source: env.Hostname + "/" + env.Queue, Login: o.Login, Log: env.Log, Stats: env.Stats,
	})
	return sqldb.NewOutput(engine, o.Options, o.Extra, env)
}
