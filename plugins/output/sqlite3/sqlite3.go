// Package sqlite3 is the output SQLITE3, which inserts rows into a table of an
// SQLite database.
package sqlite3

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ulogd-go/ulogd/pkg/event"
	"github.com/ulogd-go/ulogd/pkg/plugin"
	"github.com/ulogd-go/ulogd/pkg/queue"
	row "github.com/ulogd-go/ulogd/plugins/output/sqlite3/oldrow"
)

func init() {
	plugin.Default.Register(plugin.NewOutput(plugin.Info{
		Name: "SQLITE3", Summary: "inserts rows into a table of an SQLite database",
		Takes: plugin.Packet | plugin.Flow | plugin.Sum,
	}, options{
		BatchRows:   5000,
		BatchTime:   time.Second,
		BusyTimeout: time.Second,
		Options:     queue.Defaults,
	}, open))
}

type options struct {
	DB          string        `toml:"db" mandatory:"true" doc:"path of the database file, which is made if it is not there"`
	Table       string        `toml:"table" mandatory:"true" doc:"table or view to insert into; its columns choose the keys, and it is made if it is not there"`
	BatchRows   int           `toml:"batch_rows" extra:"true" doc:"number of rows at which a transaction is due"`
	BatchTime   time.Duration `toml:"batch_time" extra:"true" doc:"how long a row may wait for others to share its transaction"`
	BusyTimeout time.Duration `toml:"busy_timeout" extra:"true" doc:"how long to wait for a lock of another program before the transaction is tried anew"`
	queue.Options
}

// blockBytes is the size at which a block is due, whatever its number of rows.
const blockBytes = 1 << 20

type output struct {
	options
	env *plugin.Env

	// Bind sets these, Encode reads fields, and Connect uses the rest.
	seen   table // as it was last seen, or as it will be made
	unseen error // why the table could not be looked at
	fields []field

	// Of the present connection.
	conn      *conn
	files     files
	statement string
	insert    statement
	places    []int // of each field in args, or -1
	args      []driver.NamedValue
}

// field is a column that has a key, and the place of its values in an event.
type field struct {
	column
	key         string
	slot, plain event.Slot // of the key, and of the key without its .str
	natural     bool       // an IPv4 address is the number that people expect
}

func open(o options, env *plugin.Env) (plugin.Output, error) {
	if o.BatchRows < 1 {
		return nil, fmt.Errorf("batch_rows = %d: a transaction needs a row; use 1 or more", o.BatchRows)
	}
	if strings.ContainsRune(o.DB+o.Table, 0) {
		return nil, errors.New("db and table can't contain a NUL byte; remove it")
	}
	return &output{options: o, env: env}, nil
}

// Queue says that rows wait for others to share a transaction with.
func (o *output) Queue() (queue.Options, queue.Batching) {
	return o.Options, queue.Batching{Rows: o.BatchRows, Bytes: blockBytes, Age: o.BatchTime}
}

// Bind looks at the table, or at the one that Connect will make, and declares
// the key of each of its columns as optional.
func (o *output) Bind(b *event.Binder) {
	if o.DB == "" {
		return // to be described, not run
	}
	o.seen, o.unseen = findTable(context.Background(), o.DB, o.Table, o.BusyTimeout)
	ours := len(o.seen.columns) == 0 && o.unseen == nil
	if ours {
		o.seen, o.unseen = ourTable(context.Background(), o.env.Input, o.Table)
	}
	declared := make([]field, len(o.seen.columns))
	for i, c := range o.seen.columns {
		declared[i] = field{column: c, key: row.Key(c.name)}
		declared[i].declare(b)
	}
	b.After(func() { o.bound(declared, ours) })
}

// declare declares the field's key. A column for the text of an address also
// does with the address.
func (f *field) declare(b *event.Binder) {
	f.natural = f.key == "icmp.gateway" // swapped by ulogd 2.0.8 beforehand
	b.Optional(&f.slot, f.key, event.None)
	if plain, ok := strings.CutSuffix(f.key, ".str"); ok && f.text {
		b.Optional(&f.plain, plain, event.None)
	}
}

// bound keeps the fields that have a key. In a table that is not ours, a column
// without one is worth a word.
func (o *output) bound(declared []field, ours bool) {
	o.fields = o.fields[:0]
	var without []string
	for _, f := range declared {
		if f.slot == event.Absent {
			f.slot = f.plain
		}
		if f.slot != event.Absent {
			o.fields = append(o.fields, f)
		} else if !f.serial {
			without = append(without, fmt.Sprintf("%s (key %s)", f.name, f.key))
		}
	}
	if len(without) > 0 && !ours {
		o.env.Log.Warn(fmt.Sprintf("table %s: no plugin of the stack publishes the keys of these columns, which stay NULL: %s",
			o.Table, strings.Join(without, ", ")))
	}
}
