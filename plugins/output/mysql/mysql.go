// Package mysql is the output MYSQL, which stores rows in a MySQL or MariaDB
// database.
package mysql

import (
	"github.com/ulogd-go/ulogd/pkg/plugin"
	"github.com/ulogd-go/ulogd/pkg/sqldb"
	"github.com/ulogd-go/ulogd/pkg/sqldb/mysql"
)

func init() {
	plugin.Default.Register(plugin.NewOutput(plugin.Info{
		Name: "MYSQL", Summary: "stores rows in a MySQL or MariaDB database",
		Takes: plugin.Packet | plugin.Flow | plugin.Sum,
	}, options{Options: sqldb.Defaults, Login: sqldb.LoginDefaults, Extra: sqldb.ExtraDefaults}, open))
}

type options struct {
	sqldb.Options
	DB   string `toml:"db" mandatory:"true" doc:"name of the database"`
	Host string `toml:"host" mandatory:"true" doc:"host of the server; localhost for its usual socket, a path for another"`
	User string `toml:"user" mandatory:"true" doc:"user of the database"`
	Pass string `toml:"pass" mandatory:"true" secret:"true" doc:"password"`
	Port int    `toml:"port" doc:"port of the server; 0 stands for 3306"`
	sqldb.Login
	sqldb.Extra
}

func open(o options, env *plugin.Env) (plugin.Output, error) {
	if err := o.Login.Check(); err != nil {
		return nil, err
	}
	engine := mysql.New(mysql.Config{
		Host: o.Host, DB: o.DB, User: o.User, Pass: o.Pass, Port: o.Port,
		Table: o.Table, Procedure: o.Procedure, Ledger: o.Ledger, Direct: o.Direct, Generation: o.Generation,
		Source: env.Hostname + "/" + env.Queue, Login: o.Login, Log: env.Log, Stats: env.Stats,
	})
	return sqldb.NewOutput(engine, o.Options, o.Extra, env)
}
