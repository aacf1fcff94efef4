// Package dsn opens the database that a data source name stands for, for programs
// that are not the daemon.
package dsn

import (
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"strconv"
	"strings"

	_ "modernc.org/sqlite" // used through database/sql

	"github.com/ulogd-go/ulogd/pkg/sqldb"
	"github.com/ulogd-go/ulogd/pkg/sqldb/mysql"
	"github.com/ulogd-go/ulogd/pkg/sqldb/postgres"
	"github.com/ulogd-go/ulogd/pkg/stats"
	"github.com/ulogd-go/ulogd/schema"
)

// Forms says for help texts what names look like.
const Forms = `postgres://USER@HOST/DB, "host=... dbname=..." as libpq reads it, mysql://USER@HOST/DB (?socket=PATH for another socket than the usual one), or sqlite:PATH`

// Database is a pool of connections.
type Database struct {
	*sql.DB
	Engine schema.Engine
	Name   string // for messages, without a password
}

// Options are what a name does not say.
type Options struct {
	PasswordFile string // empty for none
	Create       bool   // the file of an SQLite database is made if it is not there
}

// Open opens the database of a name. Nothing is connected yet. A password that is
// neither in the name nor in a file is where the engine's own clients look for it:
// MYSQL_PWD, PGPASSWORD or libpq's file of passwords. No error has it.
func Open(name string, o Options) (*Database, error) {
	scheme, rest, _ := strings.Cut(name, ":")
	switch {
	case scheme == "sqlite" || scheme == "sqlite3":
		return openSQLite(rest, o.Create)
	case scheme == "mysql" || scheme == "mariadb":
		return openMySQL(name, o.PasswordFile)
	case scheme == "postgres" || scheme == "postgresql" || strings.Contains(name, "="):
		return openPostgres(name, o.PasswordFile)
	}
	return nil, errors.New("the database can't be told from its name; write " + Forms)
}

func openSQLite(path string, create bool) (*Database, error) {
	path = strings.TrimPrefix(path, "//")
	if path == "" {
		return nil, errors.New("sqlite: no path; write sqlite:PATH")
	}
	mode := "rw"
	if create {
		mode = "rwc"
	}
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+"?_pragma=busy_timeout(10000)&mode="+mode)
	if err != nil {
		return nil, err
	}
	return &Database{db, schema.SQLite, "database " + path}, nil
}

func openMySQL(name, passwordFile string) (*Database, error) {
	u, err := url.Parse(name)
	var e *url.Error
	if errors.As(err, &e) {
		err = e.Err // without the name, in which there may be a password
	}
	if err != nil {
		return nil, fmt.Errorf("name of the database: %w; write mysql://USER@HOST/DB, with %%XX for characters that URLs reserve", err)
	}
	c := mysql.Config{
		Host: u.Hostname(), DB: strings.TrimPrefix(u.Path, "/"), User: u.User.Username(), Pass: os.Getenv("MYSQL_PWD"),
		Login: sqldb.LoginDefaults, Log: slog.New(slog.DiscardHandler), Stats: new(stats.Set),
	}
	c.Login.PasswordFile = passwordFile
	if pass, ok := u.User.Password(); ok {
		c.Pass = pass
	}
	if u.Port() != "" {
		if c.Port, err = strconv.Atoi(u.Port()); err != nil {
			return nil, fmt.Errorf("port %s: not a number", u.Port())
		}
	}
	if c.DB == "" {
		return nil, errors.New("the name has no database; write mysql://USER@HOST/DB")
	}
	if err := parameters(u.Query(), &c); err != nil {
		return nil, err
	}
	db, err := mysql.New(c).Open()
	if err != nil {
		return nil, err
	}
	return &Database{db, schema.MySQL, "database " + c.DB}, nil
}

// parameters are what follows the question mark.
func parameters(q url.Values, c *mysql.Config) error {
	known := map[string]*string{
		"socket": &c.Host, "sslmode": &c.Login.SSLMode, "sslrootcert": &c.Login.SSLRootCert, "sslcert": &c.Login.SSLCert, "sslkey": &c.Login.SSLKey,
	}
	for name, values := range q {
		if known[name] == nil {
			return fmt.Errorf("unknown parameter %q; use socket, sslmode, sslrootcert, sslcert or sslkey", name)
		}
		*known[name] = values[0]
	}
	return c.Login.Check()
}

func openPostgres(name, passwordFile string) (*Database, error) {
	c := postgres.Config{ConnString: name, Login: sqldb.LoginDefaults, Log: slog.New(slog.DiscardHandler), Stats: new(stats.Set)}
	c.Login.PasswordFile = passwordFile
	e := postgres.New(c)
	db, err := e.Open()
	if err != nil {
		return nil, err
	}
	return &Database{db, schema.Postgres, "database " + e.Name()}, nil
}
