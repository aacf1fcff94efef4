// Package postgres stores rows in PostgreSQL, by COPY where the way in which rows
// are to be stored allows it.
package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/ulogd-go/ulogd/pkg/plugin"
	"github.com/ulogd-go/ulogd/pkg/queue"
	"github.com/ulogd-go/ulogd/pkg/row"
	"github.com/ulogd-go/ulogd/pkg/sqldb"
	"github.com/ulogd-go/ulogd/pkg/stats"
	"github.com/ulogd-go/ulogd/schema"
)

// Config says where rows go.
type Config struct {
	Host, DB, User, Pass string
	Port                 int
	ConnString           string // in place of all these, as libpq reads it
	Schema               string // of the table; empty to follow the search path
	Table                string // or view, whose columns choose the keys
	SkipFirst            bool   // the table's first column is no argument of a routine, whatever its name
	Procedure            string // see sqldb.ParseStatement
	Ledger               string // sqldb.None for none
	Direct               sqldb.Direct
	Source               string // who writes, for the ledger
	Generation           plugin.Generation
	Login                sqldb.Login
	Log                  *slog.Logger
	Stats                *stats.Set
}

// Engine is a sqldb.Engine for PostgreSQL.
type Engine struct {
	config Config
	fitter *sqldb.Fitter
}

// New makes an engine. Nothing is connected yet.
func New(c Config) *Engine {
	fitter := sqldb.NewFitter(sqldb.NewNotes(c.Log, c.Stats))
	fitter.Natural = c.Generation == plugin.First
	return &Engine{c, fitter}
}

// Dial connects to the server.
func (e *Engine) Dial(ctx context.Context) (sqldb.Conn, error) {
	config, err := e.parse()
	if err != nil {
		return nil, err
	}
	pg, err := pgconn.ConnectConfig(ctx, &config.Config)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err) // pgconn leaves passwords out
	}
	c := &conn{Engine: e, pg: pg}
	if err := c.settings(ctx); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// Kind is the kind of database.
func (e *Engine) Kind() schema.Engine { return schema.Postgres }

// Open is a pool of connections beside those that store rows. Nothing is connected
// yet.
func (e *Engine) Open() (*sql.DB, error) {
	config, err := e.parse()
	if err != nil {
		return nil, err
	}
	if path := e.searchPath(); path != "" {
		config.RuntimeParams["search_path"] = path
	}
	return stdlib.OpenDB(*config), nil
}

// parse makes pgx's configuration of ours.
func (e *Engine) parse() (*pgx.ConnConfig, error) {
	c := e.config
	text := c.ConnString
	if text == "" {
		text = settings("host", c.Host, "dbname", c.DB, "user", c.User, "port", port(c.Port), "sslmode", c.Login.SSLMode,
			"sslrootcert", c.Login.SSLRootCert, "sslcert", c.Login.SSLCert, "sslkey", c.Login.SSLKey)
	}
	config, err := pgx.ParseConfig(text)
	if err != nil {
		return nil, fmt.Errorf("connection options: %s", withoutText(err))
	}
	password, err := c.Login.Password(c.Pass)
	if err != nil {
		return nil, err
	}
	if password != "" {
		config.Password = password
	}
	if config.RuntimeParams["application_name"] == "" {
		config.RuntimeParams["application_name"] = "ulogd"
	}
	// Text is sent in UTF-8, whatever the database has.
	config.RuntimeParams["client_encoding"] = "UTF8"
	return config, nil
}

// withoutText is what pgx says of options that it can't read, without these. It leaves
// out only passwords that it finds, and libpq's form may have blanks around the
// equals sign or in a password.
func withoutText(err error) string {
	text := err.Error()
	text = text[strings.LastIndex(text, "`: ")+len("`: "):]
	if what, _, ok := strings.Cut(text, " ("); ok && strings.HasPrefix(what, "failed to parse as") {
		return what // what follows is from the text
	}
	return text
}

func port(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

// settings are names and values in libpq's form, without those that are empty.
func settings(list ...string) string {
	var b strings.Builder
	quote := strings.NewReplacer(`\`, `\\`, `'`, `\'`)
	for i := 0; i < len(list); i += 2 {
		if list[i+1] != "" {
			fmt.Fprintf(&b, "%s='%s' ", list[i], quote.Replace(list[i+1]))
		}
	}
	return b.String()
}

// conn is a connection.
type conn struct {
	*Engine
	pg *pgconn.PgConn

	table   relation
	known   known  // what the procedure does
	unread  string // why that can't be told
	ledger  bool
	how     string // for the log: the way in which rows are stored
	writer  writer
	layout  string // for which the writer is prepared
	planned bool
	blocks  sqldb.Decoder
	sql     []byte
}

// writer stores the rows of a block within a transaction that is open.
type writer interface {
	// plan prepares for rows of these columns.
	plan(columns []string) error
	write(ctx context.Context, blk *queue.Block) error
	// done is called when the transaction was committed or rolled back.
	done(committed bool)
}

// settings makes the session what the SQL here expects.
func (c *conn) settings(ctx context.Context) error {
	sql := "set standard_conforming_strings = on; set bytea_output = 'hex'"
	if path := c.searchPath(); path != "" {
		sql += "; set search_path = " + path
	}
	return c.exec(ctx, sql)
}

// searchPath is where names without a schema are looked for; empty for the
// server's own.
func (e *Engine) searchPath() string {
	if s := e.config.Schema; s != "" && s != "public" {
		return quoteName(s) + `, "$user", public`
	}
	return ""
}

// exec runs statements that have no result.
func (c *conn) exec(ctx context.Context, sql string) error {
	return c.pg.Exec(ctx, sql).Close()
}

// query is the result of a statement with parameters, in text; NULL is empty.
func (c *conn) query(ctx context.Context, sql string, args ...string) (rows [][]string, err error) {
	params := make([][]byte, len(args))
	for i, a := range args {
		params[i] = []byte(a)
	}
	result := c.pg.ExecParams(ctx, sql, params, nil, nil, nil).Read()
	for _, values := range result.Rows {
		texts := make([]string, len(values))
		for i, v := range values {
			texts[i] = string(v)
		}
		rows = append(rows, texts)
	}
	return rows, result.Err
}

// closeTime is how long saying goodbye may take.
const closeTime = time.Second

// Close ends the connection.
func (c *conn) Close() error {
	ctx, stop := context.WithTimeout(context.Background(), closeTime)
	defer stop()
	return c.pg.Close(ctx)
}

// Write stores a block and moves the ledger in one transaction.
func (c *conn) Write(ctx context.Context, blk *queue.Block) error {
	if !c.planned || c.layout != blk.Layout {
		if err := c.writer.plan(row.Columns(blk.Layout)); err != nil {
			return fmt.Errorf("%w: %w", plugin.ErrNotConnected, err)
		}
		c.layout, c.planned = blk.Layout, true
	}
	err := c.transaction(ctx, blk)
	c.writer.done(err == nil)
	return err
}

func (c *conn) transaction(ctx context.Context, blk *queue.Block) error {
	err := c.exec(ctx, "begin")
	if err == nil {
		err = c.writer.write(ctx, blk)
	}
	if err == nil {
		err = c.exec(ctx, c.moveLedger(blk)+"commit")
	}
	if err == nil {
		return nil
	}
	if c.pg.IsClosed() || c.pg.TxStatus() == 0 {
		return fmt.Errorf("%w: %w", plugin.ErrNotConnected, err)
	}
	if rollback := c.exec(ctx, "rollback"); rollback != nil {
		return fmt.Errorf("%w: %w", plugin.ErrNotConnected, err)
	}
	return classify(err)
}

// classify says what is to be done about an error of the server: the row is of no
// use, the connection is, or the same will do later.
func classify(err error) error {
	var pg *pgconn.PgError
	switch {
	case errors.Is(err, row.ErrMalformed):
		return &plugin.RejectError{Err: err}
	case !errors.As(err, &pg):
		return fmt.Errorf("%w: %w", plugin.ErrNotConnected, err)
	}
	err = explain(pg)
	switch {
	case pg.Routine == "ExecWithCheckOptions", // of a policy, with the code of missing rights
		pg.Code == "54000": // a value that an index has no room for
		return &plugin.RejectError{Err: err}
	}
	switch pg.Code[:min(2, len(pg.Code))] {
	case "22", "23", "44", "P0":
		return &plugin.RejectError{Err: err}
	case "0A", "21", "39", "38", "2F": // of functions and triggers
		return &plugin.RejectError{Err: err}
	case "2D": // a procedure that commits, which is to be mended, as no row can be
		return fmt.Errorf("%w; take COMMIT and ROLLBACK out of it: many rows share a transaction", err)
	case "42", "3F", "26": // the schema has changed
		return fmt.Errorf("%w: %w", plugin.ErrNotConnected, err)
	}
	return err
}

// explain is the server's error with what it says of the cause.
func explain(e *pgconn.PgError) error {
	text := e.Message
	for _, more := range []string{e.Detail, e.Hint, e.Where} {
		if more != "" {
			text += "; " + strings.ReplaceAll(more, "\n", " ")
		}
	}
	return fmt.Errorf("%s (SQLSTATE %s)", text, e.Code)
}

// Name is the name of the database; empty if the options can't be understood.
func (e *Engine) Name() string {
	config, err := e.parse()
	if err != nil {
		return ""
	}
	return config.Database
}
