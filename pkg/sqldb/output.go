// Package sqldb is what the outputs to SQL databases share, whatever the engine:
// options, columns and keys, values that fit, the parts of the relational schema,
// and the output itself over a connection of an engine.
package sqldb

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/ulogd-go/ulogd/pkg/event"
	"github.com/ulogd-go/ulogd/pkg/plugin"
	"github.com/ulogd-go/ulogd/pkg/queue"
	"github.com/ulogd-go/ulogd/pkg/retention"
	"github.com/ulogd-go/ulogd/pkg/row"
	"github.com/ulogd-go/ulogd/schema"
)

// Engine reaches one database. Dial may be called again while an older
// connection is open.
type Engine interface {
	// Dial connects. The error says what to mend, and never the password.
	Dial(ctx context.Context) (Conn, error)
	// Open is a pool of connections beside those of Dial, for retention. Nothing
	// is connected yet.
	Open() (*sql.DB, error)
	Kind() schema.Engine
}

// Conn is a connection to a database. It is for one goroutine.
type Conn interface {
	// Columns describes the table that the options name, in its order. A table
	// that is not there is an error that says so.
	Columns(ctx context.Context) ([]Column, error)
	// Prepare makes ready for writing: it finds out how rows are stored, and
	// makes the ledger if that is wanted. It is called once, after Columns.
	Prepare(ctx context.Context) error
	// Resume is the number of the first row of a queue's epoch that is not
	// stored yet; 0 if the ledger does not know the epoch, or there is none.
	Resume(ctx context.Context, epoch string) (uint64, error)
	// Write stores the rows of a block and moves the ledger to their end, in
	// one transaction. Errors are those of plugin.Output: data that the server
	// refuses is a *plugin.RejectError without Rows, and nothing is stored.
	Write(ctx context.Context, blk *queue.Block) error
	Close() error
}

// Output is a plugin.Recorder over an engine.
type Output struct {
	engine Engine
	env    *plugin.Env
	queue  queue.Options
	batch  queue.Batching
	wait   time.Duration // for connecting
	table  string

	generation plugin.Generation

	encoder row.Encoder // the pipeline's
	conn    Conn        // the output's
	retain  retention.Worker

	mu      sync.Mutex
	names   []string        // of the table's columns as last seen, or kept; nil if they are not known
	auto    map[string]bool // columns that need no key; nil if the table was not seen
	asked   bool            // the table was looked at, or could not be
	bound   []string        // the names for which keys were last declared
	keyless bool            // none of these names has a key
}

// NewOutput makes an output.
func NewOutput(engine Engine, o Options, x Extra, env *plugin.Env) (*Output, error) {
	if err := Check(o, x); err != nil {
		return nil, err
	}
	out := &Output{engine: engine, env: env, table: o.Table, wait: o.Timeout()}
	out.queue, out.batch = Delivery(o, x)
	out.generation = x.Generation
	out.encoder.Constants = Constants(x.Generation, env)
	out.retain = retention.Worker{Engine: engine.Kind(), Table: o.Table, Age: x.Retention, Open: engine.Open, Now: env.Now, Log: env.Log}
	return out, nil
}

// FoldCase makes the key of a column that of its name in lower case. It is called
// before Bind.
func (o *Output) FoldCase() { o.encoder.FoldCase = true }

// Queue says that rows wait for others to share a transaction with.
func (o *Output) Queue() (queue.Options, queue.Batching) { return o.queue, o.batch }

// Bind declares the keys of the table's columns as optional. At first it looks
// at the table. If that can't be done, the columns are those that it had when it
// was last seen, or all that it might have, until it can. So they are while no
// column has a key: somebody will mend that.
func (o *Output) Bind(b *event.Binder) {
	if o.env.Source == nil {
		return // to be described, not run
	}
	if names := o.columns(); names == nil || o.useless(names) {
		o.encoder.BindAll(b, func() {})
	} else {
		o.encoder.Bind(b, names, func() { o.declared(names) })
	}
}

// useless tells whether it is known that none of these columns has a key.
func (o *Output) useless(names []string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.keyless && slices.Equal(names, o.bound)
}

// columns are those of the table, as far as is known.
func (o *Output) columns() []string {
	o.mu.Lock()
	names, asked := o.names, o.asked
	o.mu.Unlock()
	if !asked {
		names = o.discover()
	}
	return names
}

// lookTime is how long the start of the daemon may take for a server that does
// not answer.
const lookTime = 3 * time.Second

// discover is the first look at the table. An error is left to Connect, which
// will meet it again.
func (o *Output) discover() []string {
	ctx, stop := context.WithTimeout(context.Background(), min(o.wait, lookTime))
	defer stop()
	columns, err := o.look(ctx)
	if err == nil {
		o.learn(columns)
		return Names(columns)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.names, o.asked = o.kept(), true
	return o.names
}

func (o *Output) look(ctx context.Context) ([]Column, error) {
	c, err := o.engine.Dial(ctx)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return c.Columns(ctx)
}

// learn notes the columns of the table. It tells whether they are others than
// before.
func (o *Output) learn(columns []Column) (changed bool) {
	names := Names(columns)
	auto := map[string]bool{}
	for i, c := range columns {
		auto[c.Name] = c.Auto || i == 0 && (strings.HasPrefix(c.Name, "_") || c.Name == "id")
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	changed = !slices.Equal(names, o.names)
	o.names, o.auto, o.asked = names, auto, true
	return changed
}

// declared notes that the keys of these columns were declared, and warns of columns
// that stay NULL.
func (o *Output) declared(names []string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.bound, o.keyless = names, len(o.encoder.Columns()) == 0
	if o.keyless {
		o.env.Rebind()
	}
	if o.auto == nil {
		return // only a guess so far
	}
	var without []string
	for _, name := range o.encoder.Without() {
		if !o.auto[name] {
			without = append(without, fmt.Sprintf("%s (key %s)", name, o.encoder.Key(name)))
		}
	}
	if len(without) > 0 {
		o.env.Log.Log(context.Background(), Surprise(o.generation), fmt.Sprintf("table %s: no plugin of the stack publishes the keys of these columns, which stay NULL: %s",
			o.table, strings.Join(without, ", ")))
	}
}

// Layout is the names of the columns that have a key.
func (o *Output) Layout() string { return o.encoder.Layout() }

// Encode appends a row for each event.
func (o *Output) Encode(blk *queue.Block, rows *event.Rows) { o.encoder.Encode(blk, rows) }

// Connect connects to the database and looks at the table again. All errors are
// plugin.ErrNotConnected, since somebody may mend the database while rows wait.
func (o *Output) Connect(ctx context.Context) error {
	o.retain.Start()
	_ = o.disconnect() // it is broken, or to be replaced
	ctx, stop := context.WithTimeout(ctx, o.wait)
	defer stop()
	if err := o.connect(ctx); err != nil {
		_ = o.disconnect()
		return fmt.Errorf("%w: %w", plugin.ErrNotConnected, err)
	}
	return nil
}

func (o *Output) connect(ctx context.Context) (err error) {
	if o.conn, err = o.engine.Dial(ctx); err != nil {
		return err
	}
	columns, err := o.conn.Columns(ctx)
	if err != nil {
		return err
	}
	if o.learn(columns) {
		o.env.Rebind()
	}
	o.keep(Names(columns))
	return o.conn.Prepare(ctx)
}

// Resume asks the ledger.
func (o *Output) Resume(ctx context.Context, epoch string) (uint64, error) {
	if o.conn == nil {
		return 0, plugin.ErrNotConnected
	}
	upto, err := o.conn.Resume(ctx, epoch)
	if err != nil {
		return 0, fmt.Errorf("%w: ledger: %w", plugin.ErrNotConnected, err)
	}
	return upto, nil
}

// Write stores a block. Rows that no column can take, while the stack's new rows have
// some, are from before the table was changed, and are rejected; else they wait.
func (o *Output) Write(ctx context.Context, blk *queue.Block) error {
	if o.conn == nil {
		return plugin.ErrNotConnected
	}
	err := o.conn.Write(ctx, blk)
	if errors.Is(err, ErrNoColumn) && o.settled() {
		return RejectAll(blk, o.table)
	}
	return err
}

// settled tells whether the rows that come now have values for columns of the table.
func (o *Output) settled() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return !o.keyless && slices.Equal(o.bound, o.names)
}

// Reopen connects anew, so that columns that were added are used.
func (o *Output) Reopen(ctx context.Context) error { return o.Connect(ctx) }

// Close gives the connection up, and ends the removal of old rows.
func (o *Output) Close() error {
	o.retain.Stop()
	return o.disconnect()
}

func (o *Output) disconnect() error {
	if o.conn == nil {
		return nil
	}
	err := o.conn.Close()
	o.conn = nil
	return err
}

// keptFile is where the names of the columns are kept, beside the queue's spool.
const keptFile = "columns.json"

// kept is the names of the columns as an earlier run of the daemon saw them; nil
// if none did.
func (o *Output) kept() (names []string) {
	dir := o.env.SpoolDir(o.queue)
	if dir == "" {
		return nil
	}
	text, err := os.ReadFile(filepath.Join(dir, keptFile))
	if err != nil || json.Unmarshal(text, &names) != nil {
		return nil
	}
	return names
}

// keep keeps the names for a start without the server. It does not matter much if
// that fails.
func (o *Output) keep(names []string) {
	dir := o.env.SpoolDir(o.queue)
	if dir == "" || slices.Equal(names, o.kept()) {
		return
	}
	text, _ := json.Marshal(names) // strings always can be
	path := filepath.Join(dir, keptFile)
	err := os.WriteFile(path, text, 0o640)
	if err == nil {
		err = o.env.Files.Give(path)
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		o.env.Log.Warn(fmt.Sprintf("keep the names of the columns: %v", err))
	}
}

// AppendRow appends row i as a JSON object of columns and values. Bytes are in
// base64.
func (o *Output) AppendRow(dst []byte, blk *queue.Block, i int) []byte {
	return AppendJSON(dst, blk, i)
}

// AppendJSON appends row i of a block of encoded rows as a JSON object of
// columns and values, without those that are NULL. What is no text is in base64.
func AppendJSON(dst []byte, blk *queue.Block, i int) []byte {
	values, _ := row.Decode(nil, blk.Row(i)) // what can be read of it
	var f Fitter
	dst = append(dst, '{')
	first := true
	for n, name := range row.Columns(blk.Layout) {
		if n >= len(values) || values[n].Kind == row.Null {
			continue
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		key, _ := json.Marshal(name)
		value, _ := json.Marshal(plain(&f, values[n]))
		dst = append(append(append(dst, key...), ':'), value...)
	}
	return append(dst, '}')
}

// plain is a value as package json takes it.
func plain(f *Fitter, v row.Value) any {
	switch v.Kind {
	case row.Bool, row.Uint:
		return v.Num
	case row.Int:
		return int64(v.Num)
	case row.IP4, row.IP6, row.Bin:
		text, _ := f.address(v)
		return string(text.Bytes)
	}
	if v.Kind == row.Text && utf8.Valid(v.Bytes) {
		return string(v.Bytes)
	}
	return v.Bytes
}
