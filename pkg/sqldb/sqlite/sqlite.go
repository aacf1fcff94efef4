// Package sqlite stores rows in a table of an SQLite database, by a prepared
// statement in transactions of many rows.
package sqlite

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ulogd-go/ulogd/pkg/event"
	"github.com/ulogd-go/ulogd/pkg/plugin"
	"github.com/ulogd-go/ulogd/pkg/queue"
	"github.com/ulogd-go/ulogd/pkg/retention"
	"github.com/ulogd-go/ulogd/pkg/row"
	"github.com/ulogd-go/ulogd/pkg/sqldb"
	"github.com/ulogd-go/ulogd/schema"
)

// Config says where rows go.
type Config struct {
	DB          string        // path of the file, which is made if it is not there
	Table       string        // or view, whose columns choose the keys; it is made if it is not there
	Insert      string        // beginning of the statement, as in "INSERT OR IGNORE INTO t"; empty for the plain one
	FoldCase    bool          // a column's key is that of its name in lower case
	BusyTimeout time.Duration // how long to wait for a lock before a transaction is tried anew
	Ledger      string        // sqldb.None for none
	Retention   retention.Age // how old rows may get
	Generation  plugin.Generation
	Queue       queue.Options  // how rows wait
	Batching    queue.Batching // when a transaction is due
}

// Output is a plugin.Recorder for SQLite.
type Output struct {
	config  Config
	env     *plugin.Env
	encoder row.Encoder // the pipeline's
	retain  retention.Worker

	mu      sync.Mutex
	seen    table    // as it was last seen, or as it will be made
	unseen  error    // why the table could not be looked at
	ours    bool     // it will be made
	planned string   // the layout of the columns that have a key
	bound   []string // the columns that seen had when keys were last declared
	keyless bool     // none of them has a key

	// Of the present connection.
	conn     *conn
	files    files
	signed   bool    // the table has negative numbers, as those of ulogd 1.x have
	layout   string  // for which the statements are prepared
	compiled bool    // they are
	fields   []field // of the layout's columns
	width    int     // how many of them the table has
	atOnce   int     // rows of a statement
	many     insert  // for atOnce rows
	one      insert  // for the rest
	values   []row.Value
}

// field is a column of a layout.
type field struct {
	column
	natural bool // an IPv4 address is the number that people expect
	signed  bool // numbers from 2^31 on are negative ones of 32 bits
	place   int  // in a row's parameters, or -1 if the table has no such column
}

// NewOutput makes an output. Nothing is opened yet.
func NewOutput(c Config, env *plugin.Env) (*Output, error) {
	if c.Batching.Rows < 1 {
		return nil, fmt.Errorf("batch_rows = %d: a transaction needs a row; use 1 or more", c.Batching.Rows)
	}
	if strings.ContainsRune(c.DB+c.Table+c.Insert, 0) {
		return nil, errors.New("db and table can't contain a NUL byte; remove it")
	}
	if c.Ledger == "" {
		return nil, errors.New("ledger: no name; give the name of a table, or none")
	}
	out := &Output{config: c, env: env}
	out.encoder.FoldCase = c.FoldCase
	out.encoder.Constants = sqldb.Constants(c.Generation, env)
	out.retain = retention.Worker{Engine: schema.SQLite, Table: c.Table, Age: c.Retention, Open: out.open, Now: env.Now, Log: env.Log}
	return out, nil
}

// Queue says that rows wait for others to share a transaction with.
func (o *Output) Queue() (queue.Options, queue.Batching) { return o.config.Queue, o.config.Batching }

// Bind declares the key of each of the table's columns as optional. At first it
// looks at the table, or at the one that Connect will make.
func (o *Output) Bind(b *event.Binder) {
	if o.config.DB == "" {
		return // to be described, not run
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.bound == nil {
		o.look()
	}
	names := o.seen.names()
	if o.keyless && slices.Equal(names, o.bound) {
		o.encoder.BindAll(b, o.bind) // until somebody has mended the table
		return
	}
	o.bound, o.keyless = names, false
	o.encoder.Bind(b, names, o.bind)
}

// look describes the table before the first connection. One that can't be looked
// at now is taken for ours until it can.
func (o *Output) look() {
	o.seen, o.unseen = findTable(context.Background(), o.config.DB, o.config.Table, o.config.BusyTimeout)
	transient := transient(o.unseen)
	if transient {
		o.unseen = nil
	}
	if len(o.seen.columns) == 0 && o.unseen == nil {
		o.ours = true
		o.seen, o.unseen = ourTable(context.Background(), o.env.Input, o.config.Generation, o.config.Table)
	}
}

// keyed is the layout of the columns that have a key.
func (o *Output) keyed() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.planned
}

// bind notes which columns have a key, and warns of those that have none, in a
// table that is not ours.
func (o *Output) bind() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.planned = o.encoder.Layout(); o.planned == "" {
		o.keyless = true
		o.env.Rebind()
	}
	var without []string
	for _, name := range o.encoder.Without() {
		if c := o.seen.find(name); c != nil && !c.serial {
			without = append(without, fmt.Sprintf("%s (key %s)", name, o.encoder.Key(name)))
		}
	}
	if len(without) > 0 && !o.ours {
		o.env.Log.Log(context.Background(), sqldb.Surprise(o.config.Generation), fmt.Sprintf("table %s: no plugin of the stack publishes the keys of these columns, which stay NULL: %s",
			o.config.Table, strings.Join(without, ", ")))
	}
}

// learn notes what the table is like now. If it has other columns than before,
// keys are declared anew.
func (o *Output) learn(t table) {
	o.mu.Lock()
	o.seen = t
	changed := o.bound != nil && !slices.Equal(o.bound, t.names())
	o.mu.Unlock()
	if changed {
		o.env.Rebind()
	}
}

// Layout is the names of the columns that have a key.
func (o *Output) Layout() string { return o.encoder.Layout() }

// Encode appends a row for each event.
func (o *Output) Encode(blk *queue.Block, rows *event.Rows) { o.encoder.Encode(blk, rows) }

// AppendRow appends row i as a JSON object.
func (o *Output) AppendRow(dst []byte, blk *queue.Block, i int) []byte {
	return sqldb.AppendJSON(dst, blk, i)
}
