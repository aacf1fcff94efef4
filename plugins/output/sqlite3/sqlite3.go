// Package sqlite3 is the output SQLITE3, which inserts rows into a table of an
// SQLite database.
package sqlite3

import (
	"time"

	"github.com/ulogd-go/ulogd/pkg/plugin"
	"github.com/ulogd-go/ulogd/pkg/queue"
	"github.com/ulogd-go/ulogd/pkg/retention"
	"github.com/ulogd-go/ulogd/pkg/sqldb"
	"github.com/ulogd-go/ulogd/pkg/sqldb/sqlite"
)

func init() {
	plugin.Default.Register(plugin.NewOutput(plugin.Info{
		Name: "SQLITE3", Summary: "inserts rows into a table of an SQLite database",
		Takes: plugin.Packet | plugin.Flow | plugin.Sum,
	}, options{
		BatchRows:   5000,
		BatchTime:   time.Second,
		BusyTimeout: time.Second,
		Ledger:      sqldb.ExtraDefaults.Ledger,
		Generation:  plugin.Second,
		Options:     sqldb.ExtraDefaults.Options,
	}, open))
}

type options struct {
	DB          string        `toml:"db" mandatory:"true" doc:"path of the database file, which is made if it is not there"`
	Table       string        `toml:"table" mandatory:"true" doc:"table or view to insert into; its columns choose the keys, and it is made if it is not there"`
	BatchRows   int           `toml:"batch_rows" extra:"true" doc:"number of rows at which a transaction is due"`
	BatchTime   time.Duration `toml:"batch_time" extra:"true" doc:"how long a row may wait for others to share its transaction"`
	BusyTimeout time.Duration `toml:"busy_timeout" extra:"true" doc:"how long to wait for a lock of another program before the transaction is tried anew"`
	Ledger      string        `toml:"ledger" extra:"true" doc:"table, made if it is not there, that says how far each logger has come, so that each row is stored exactly once; none does without, and a row may be stored twice after the daemon was killed"`

	Generation plugin.Generation `toml:"generation" extra:"true" doc:"1 stores values as ulogd 1.x does: IPv4 addresses as the numbers that people expect, negative ones from 2^31 on if the table has such, and nothing said of columns without a key"`
	Retention  retention.Age     `toml:"retention" extra:"true" doc:"how old rows may get, such as 90d: older ones are deleted, few at a time; off keeps all"`
	queue.Options
}

// blockBytes is the size at which a block is due, whatever its number of rows.
const blockBytes = 1 << 20

func open(o options, env *plugin.Env) (plugin.Output, error) {
	return sqlite.NewOutput(sqlite.Config{
		DB: o.DB, Table: o.Table, BusyTimeout: o.BusyTimeout, Ledger: o.Ledger, Retention: o.Retention, Generation: o.Generation, Queue: o.Options,
		Batching: queue.Batching{Rows: o.BatchRows, Bytes: blockBytes, Age: o.BatchTime},
	}, env)
}
