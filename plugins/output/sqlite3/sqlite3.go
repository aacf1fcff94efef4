// Package sqlite3 is the output SQLITE3, which inserts rows into a table of an
// SQLite database.
package sqlite3

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ulogd-go/ulogd/pkg/event"
	"github.com/ulogd-go/ulogd/pkg/plugin"
	"github.com/ulogd-go/ulogd/pkg/queue"
	"github.com/ulogd-go/ulogd/pkg/row"
	"github.com/ulogd-go/ulogd/pkg/sqldb"
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
	queue.Options
}

// blockBytes is the size at which a block is due, whatever its number of rows.
const blockBytes = 1 << 20

type output struct {
	options
	env     *plugin.Env
	encoder row.Encoder // the pipeline's

	mu      sync.Mutex
	seen    table    // as it was last seen, or as it will be made
	unseen  error    // why the table could not be looked at
	ours    bool     // it will be made
	planned string   // the layout of the columns that have a key
	bound   []string // the columns that seen had when keys were last declared

	// Of the present connection.
	conn      *conn
	files     files
	signed    bool   // the table has negative numbers, as those of ulogd 1.x have
	layout    string // for which the statement is prepared
	statement string
	insert    statement
	fields    []field // of the layout's columns
	values    []row.Value
	args      []driver.NamedValue
}

// field is a column of a layout.
type field struct {
	column
	natural bool // an IPv4 address is the number that people expect
	signed  bool // numbers from 2^31 on are negative ones of 32 bits
	place   int  // in args, or -1 if the table has no such column
}

func open(o options, env *plugin.Env) (plugin.Output, error) {
	if o.BatchRows < 1 {
		return nil, fmt.Errorf("batch_rows = %d: a transaction needs a row; use 1 or more", o.BatchRows)
	}
	if strings.ContainsRune(o.DB+o.Table, 0) {
		return nil, errors.New("db and table can't contain a NUL byte; remove it")
	}
	if o.Ledger == "" {
		return nil, errors.New("ledger: no name; give the name of a table, or none")
	}
	out := &output{options: o, env: env}
	host := env.Hostname
	if o.Generation == plugin.First {
		host, _, _ = strings.Cut(host, ".")
	}
	out.encoder.Constants = map[string]string{"local.hostname": host}
	return out, nil
}

// Queue says that rows wait for others to share a transaction with.
func (o *output) Queue() (queue.Options, queue.Batching) {
	return o.Options, queue.Batching{Rows: o.BatchRows, Bytes: blockBytes, Age: o.BatchTime}
}

// Bind declares the key of each of the table's columns as optional. At first it
// looks at the table, or at the one that Connect will make.
func (o *output) Bind(b *event.Binder) {
	if o.DB == "" {
		return // to be described, not run
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.bound == nil {
		o.look()
	}
	o.bound = o.seen.names()
	o.encoder.Bind(b, o.bound, o.bind)
}

// look describes the table before the first connection. One that can't be looked
// at now is taken for ours until it can.
func (o *output) look() {
	o.seen, o.unseen = findTable(context.Background(), o.DB, o.Table, o.BusyTimeout)
	transient := transient(o.unseen)
	if transient {
		o.unseen = nil
	}
	if len(o.seen.columns) == 0 && o.unseen == nil {
		o.ours = true
		o.seen, o.unseen = ourTable(context.Background(), o.env.Input, o.Table)
	}
}

// keyed is the layout of the columns that have a key.
func (o *output) keyed() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.planned
}

// bind notes which columns have a key, and warns of those that have none, in a
// table that is not ours.
func (o *output) bind() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.planned = o.encoder.Layout()
	var without []string
	for _, name := range o.encoder.Without() {
		if c := o.seen.find(name); c != nil && !c.serial {
			without = append(without, fmt.Sprintf("%s (key %s)", name, row.Key(name)))
		}
	}
	level := slog.LevelWarn
	if o.Generation == plugin.First {
		level = slog.LevelInfo // 1.x says nothing
	}
	if len(without) > 0 && !o.ours {
		o.env.Log.Log(context.Background(), level, fmt.Sprintf("table %s: no plugin of the stack publishes the keys of these columns, which stay NULL: %s",
			o.Table, strings.Join(without, ", ")))
	}
}

// learn notes what the table is like now. If it has other columns than before,
// keys are declared anew.
func (o *output) learn(t table) {
	o.mu.Lock()
	o.seen = t
	changed := o.bound != nil && !slices.Equal(o.bound, t.names())
	o.mu.Unlock()
	if changed {
		o.env.Rebind()
	}
}

// Layout is the names of the columns that have a key.
func (o *output) Layout() string { return o.encoder.Layout() }

// Encode appends a row for each event.
func (o *output) Encode(blk *queue.Block, rows *event.Rows) { o.encoder.Encode(blk, rows) }

// AppendRow appends row i as a JSON object.
func (o *output) AppendRow(dst []byte, blk *queue.Block, i int) []byte {
	return sqldb.AppendJSON(dst, blk, i)
}
