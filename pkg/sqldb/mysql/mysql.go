// Package mysql stores rows in MySQL and MariaDB, by statements of many rows.
package mysql

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"

	"github.com/go-sql-driver/mysql"

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
	Table                string // or view, whose columns choose the keys
	Procedure            string // see sqldb.ParseStatement
	Ledger               string // sqldb.None for none
	Direct               sqldb.Direct
	Source               string // who writes, for the ledger
	Generation           plugin.Generation
	Login                sqldb.Login
	Log                  *slog.Logger
	Stats                *stats.Set
}

// Engine is a sqldb.Engine for MySQL.
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
	connector, addr, err := e.connector()
	if err != nil {
		return nil, err
	}
	my, err := connector.Connect(ctx)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", addr, err)
	}
	c := &conn{Engine: e, my: my}
	if err := c.settings(ctx); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// Kind is the kind of database.
func (e *Engine) Kind() schema.Engine { return schema.MySQL }

// Open is a pool of connections beside those that store rows. Nothing is connected
// yet.
func (e *Engine) Open() (*sql.DB, error) {
	connector, _, err := e.connector()
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(connector), nil
}

// connector makes connections to the server at addr.
func (e *Engine) connector() (c driver.Connector, addr string, err error) {
	config, err := e.driver()
	if err != nil {
		return nil, "", err
	}
	if c, err = mysql.NewConnector(config); err != nil {
		return nil, "", fmt.Errorf("connection options: %w", err)
	}
	return c, config.Addr, nil
}

// driver makes the driver's configuration of ours.
func (e *Engine) driver() (*mysql.Config, error) {
	c := e.config
	config := mysql.NewConfig()
	config.User, config.DBName = c.User, c.DB
	config.Net, config.Addr = address(c.Host, c.Port)
	config.MultiStatements = true
	config.Logger = log.New(io.Discard, "", 0) // its errors are returned, too
	var err error
	if config.Passwd, err = c.Login.Password(c.Pass); err != nil {
		return nil, err
	}
	if config.Net == "tcp" {
		err = encrypt(config, c.Login, c.Host)
	}
	return config, err
}

// sockets are where servers have theirs.
var sockets = []string{"/run/mysqld/mysqld.sock", "/var/run/mysqld/mysqld.sock", "/var/lib/mysql/mysql.sock", "/tmp/mysql.sock"}

// address is where the server listens. The host localhost stands for a socket, as
// in MySQL's own clients.
func address(host string, port int) (network, addr string) {
	switch {
	case strings.HasPrefix(host, "/"):
		return "unix", host
	case host == "" || host == "localhost":
		if path := os.Getenv("MYSQL_UNIX_PORT"); path != "" {
			return "unix", path
		}
		for _, path := range sockets {
			if _, err := os.Stat(path); err == nil {
				return "unix", path
			}
		}
		return "unix", sockets[0]
	}
	if port == 0 {
		port = 3306
	}
	return "tcp", net.JoinHostPort(host, strconv.Itoa(port))
}

// encrypt sets what sslmode stands for.
func encrypt(config *mysql.Config, l sqldb.Login, host string) error {
	t := &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12}
	switch l.SSLMode {
	case "disable":
		return nil
	case "prefer", "require":
		config.AllowFallbackToPlaintext = l.SSLMode == "prefer"
		t.InsecureSkipVerify = true
	case "verify-ca":
		t.InsecureSkipVerify = true // for the name; the chain is verified below
		t.VerifyConnection = func(s tls.ConnectionState) error { return verifyChain(s, t.RootCAs) }
	}
	if l.SSLRootCert != "" {
		pem, err := os.ReadFile(l.SSLRootCert)
		if err != nil {
			return fmt.Errorf("sslrootcert: %w", err)
		}
		if t.RootCAs = x509.NewCertPool(); !t.RootCAs.AppendCertsFromPEM(pem) {
			return fmt.Errorf("sslrootcert: %s has no certificate in PEM form", l.SSLRootCert)
		}
	}
	if l.SSLCert != "" {
		pair, err := tls.LoadX509KeyPair(l.SSLCert, l.SSLKey)
		if err != nil {
			return fmt.Errorf("sslcert, sslkey: %w", err)
		}
		t.Certificates = []tls.Certificate{pair}
	}
	config.TLS = t
	return nil
}

func verifyChain(s tls.ConnectionState, roots *x509.CertPool) error {
	o := x509.VerifyOptions{Roots: roots, Intermediates: x509.NewCertPool()}
	for _, c := range s.PeerCertificates[1:] {
		o.Intermediates.AddCert(c)
	}
	_, err := s.PeerCertificates[0].Verify(o)
	return err
}

// conn is a connection.
type conn struct {
	*Engine
	my   driver.Conn
	dead bool // it is of no more use

	table     relation
	known     known  // what the procedure does
	unread    string // why that can't be told
	ledger    bool
	increment uint64 // between the numbers that the server gives
	packet    int    // size at which a statement is sent
	limit     int    // size of a statement that the server does not take any more
	local     bool   // rows can be loaded from memory
	ordered   bool   // the rows of any statement are numbered one after the other
	how       string // for the log: the way in which rows are stored
	writer    writer
	layout    string // for which the writer is prepared
	planned   bool
	blocks    sqldb.Decoder
	sql       []byte
}

// writer stores the rows of a block within a transaction that is open.
type writer interface {
	// plan prepares for rows of these columns.
	plan(columns []string) error
	write(ctx context.Context, blk *queue.Block) error
	// done is called when the transaction was committed or rolled back.
	done(committed bool)
}

// statementSize is the size at which a statement is sent. MySQL takes a sixth more
// rows a second by statements of this size than by such of 1 MiB, and no more by
// smaller ones.
const statementSize = 128 << 10

// settings asks the server what matters here.
func (c *conn) settings(ctx context.Context) error {
	rows, err := c.query(ctx, "select @@auto_increment_increment, @@max_allowed_packet, @@local_infile, @@innodb_autoinc_lock_mode")
	if err != nil {
		return err
	}
	if c.increment, err = strconv.ParseUint(rows[0][0], 10, 64); err != nil {
		return err
	}
	c.local, c.ordered = rows[0][2] == "1", rows[0][3] != "2"
	c.limit, err = strconv.Atoi(rows[0][1])
	c.packet = min(statementSize, c.limit/2)
	return err
}

// errTooLarge says that a statement is not sent, since the server would cut the
// connection.
var errTooLarge = errors.New("the server's max_allowed_packet is too small")

// check is an error for a statement that is too large.
func (c *conn) check(sql string) error {
	if c.limit > 0 && len(sql) >= c.limit {
		return fmt.Errorf("%w: a statement of %d bytes, and it takes less than %d", errTooLarge, len(sql), c.limit)
	}
	return nil
}

// exec runs a statement.
func (c *conn) exec(ctx context.Context, sql string) (driver.Result, error) {
	if err := c.check(sql); err != nil {
		return nil, err
	}
	return c.my.(driver.ExecerContext).ExecContext(ctx, sql, nil)
}

// query is the results of one or more statements, in text; NULL is empty.
func (c *conn) query(ctx context.Context, sql string) (rows [][]string, err error) {
	if err := c.check(sql); err != nil {
		return nil, err
	}
	result, err := c.my.(driver.QueryerContext).QueryContext(ctx, sql, nil)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, result.Close()) }()
	for {
		values := make([]driver.Value, len(result.Columns()))
		for {
			if err := result.Next(values); err == io.EOF {
				break
			} else if err != nil {
				return rows, err
			}
			texts := make([]string, len(values))
			for i, v := range values {
				texts[i] = asText(v)
			}
			rows = append(rows, texts)
		}
		more := result.(driver.RowsNextResultSet)
		if !more.HasNextResultSet() {
			return rows, nil
		}
		if err := more.NextResultSet(); err == io.EOF {
			return rows, nil
		} else if err != nil {
			return rows, err
		}
	}
}

func asText(v driver.Value) string {
	switch v := v.(type) {
	case nil:
		return ""
	case []byte:
		return string(v)
	}
	return fmt.Sprint(v)
}

// Close ends the connection.
func (c *conn) Close() error { return c.my.Close() }

// Write stores a block and moves the ledger in one transaction.
func (c *conn) Write(ctx context.Context, blk *queue.Block) error {
	if c.dead {
		return plugin.ErrNotConnected
	}
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
	_, err := c.exec(ctx, "start transaction")
	if err == nil {
		err = c.rows(ctx, blk)
	}
	if err == nil {
		err = c.moveLedger(ctx, blk)
	}
	if err == nil {
		_, err = c.exec(ctx, "commit")
	}
	if err == nil {
		return nil
	}
	var my *mysql.MySQLError
	if !errors.As(err, &my) && !errors.Is(err, row.ErrMalformed) && !errors.Is(err, errTooLarge) {
		c.dead = true
		return fmt.Errorf("%w: %w", plugin.ErrNotConnected, err)
	}
	if _, rollback := c.exec(ctx, "rollback"); rollback != nil {
		c.dead = true
		return fmt.Errorf("%w: %w", plugin.ErrNotConnected, err)
	}
	return classify(err)
}

// rows stores the rows of a block. What can't be loaded is inserted.
func (c *conn) rows(ctx context.Context, blk *queue.Block) error {
	err := c.writer.write(ctx, blk)
	if !errors.Is(err, errLoad) {
		return err
	}
	c.writer.done(false)
	if _, err := c.query(ctx, "rollback; start transaction"); err != nil {
		return err
	}
	defer func(local bool) { c.local = local }(c.local)
	c.local = false
	return c.writer.write(ctx, blk)
}

// Errors of the server that are about data although their SQLSTATE does not say
// so, and such that are about the schema
// (https://mariadb.com/kb/en/mariadb-error-code-reference/).
var (
	dataErrors = map[uint16]bool{
		1048: true, 1264: true, 1265: true, 1292: true, 1364: true, 1365: true, 1366: true, 1367: true, 1406: true, 1411: true, 1416: true,
		1452: true, 1524: true, 1526: true, 1644: true, 1690: true, 1901: true, 3819: true, 4025: true,
	}
	schemaErrors = map[uint16]bool{1054: true, 1136: true, 1146: true, 1305: true, 1318: true, 1356: true}
)

// classify says what is to be done about an error of the server: the row is of no
// use, the table has changed, or the same will do later.
func classify(err error) error {
	var my *mysql.MySQLError
	if !errors.As(err, &my) {
		return &plugin.RejectError{Err: err}
	}
	class := string(my.SQLState[:2])
	switch {
	case schemaErrors[my.Number]:
		return fmt.Errorf("%w: %w", plugin.ErrNotConnected, err)
	case dataErrors[my.Number], class == "22", class == "23", class == "45", class == "44":
		return &plugin.RejectError{Err: err}
	}
	return err
}
