// Package install makes schemas in databases. It never changes what is there.
package install

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/ulogd-go/ulogd/pkg/dsn"
	"github.com/ulogd-go/ulogd/schema"
)

// Run makes a schema. It tells whether there was anything to do: if all of it is
// there already, made by an earlier Run with the same options, there was not. Any
// object that has one of its names is an error that says which.
func Run(ctx context.Context, db *dsn.Database, v schema.Version, o schema.Options) (made bool, err error) {
	list, err := schema.Statements(db.Engine, v, o)
	if err != nil {
		return false, err
	}
	c, err := db.Conn(ctx)
	if err != nil {
		return false, fmt.Errorf("%s: connect: %w", db.Name, err)
	}
	defer c.Close()
	in := installer{db, c}
	there, all, err := in.present(ctx, list)
	if err != nil {
		return false, fmt.Errorf("%s: look for what is there: %w", db.Name, err)
	}
	if len(there) > 0 {
		return false, in.same(ctx, v, o, there, all)
	}
	return true, in.create(ctx, list)
}

// installer works on one connection.
type installer struct {
	db   *dsn.Database
	conn *sql.Conn
}

// lookups are the queries for names of what is there. What has its name within a
// table only is left out.
var lookups = map[schema.Engine]string{
	schema.MySQL: `select lower(table_name) from information_schema.tables where table_schema = database()
		union all select lower(routine_name) from information_schema.routines where routine_schema = database()`,
	schema.Postgres: `select relname::text from pg_class where relnamespace = current_schema()::regnamespace
		union all select distinct proname::text from pg_proc where pronamespace = current_schema()::regnamespace`,
	schema.SQLite: `select lower(name) from sqlite_schema`,
}

// present are the objects of a schema of which the names are taken already; all
// tells whether these are all.
func (in *installer) present(ctx context.Context, list []schema.Statement) (there []schema.Object, all bool, err error) {
	rows, err := in.conn.QueryContext(ctx, lookups[in.db.Engine])
	if err != nil {
		return nil, false, err
	}
	defer rows.Close()
	taken := map[string]bool{}
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, false, err
		}
		taken[name] = true
	}
	all = true
	for _, s := range list {
		if s.Name == "" || s.Kind == "index" && in.db.Engine == schema.MySQL {
			continue
		}
		if taken[strings.ToLower(s.Name)] {
			there = append(there, s.Object)
		} else {
			all = false
		}
	}
	return there, all, rows.Err()
}

// same is an error unless what is there is the schema as wanted.
func (in *installer) same(ctx context.Context, v schema.Version, o schema.Options, there []schema.Object, all bool) error {
	is, err := in.mark(ctx, schema.Marked(in.db.Engine, v))
	if err != nil {
		return fmt.Errorf("%s: look for what is there: %w", in.db.Name, err)
	}
	want := schema.Mark(v, o)
	if all && is == want {
		return nil
	}
	names := make([]string, len(there))
	for i, o := range there {
		names[i] = o.String()
	}
	as := ""
	if is != "" && is != want {
		as = fmt.Sprintf(" (made as %q, and %q is wanted)", is, want)
	}
	return fmt.Errorf("%s has these already%s: %s; nothing was changed. Choose another database, or rename what is there",
		in.db.Name, as, strings.Join(names, ", "))
}

// marks are the queries for the comment that tells how a table was made.
var marks = map[schema.Engine]string{
	schema.MySQL:    "select table_comment from information_schema.tables where table_schema = database() and table_name = ?",
	schema.Postgres: "select coalesce(obj_description(to_regclass(quote_ident(current_schema()) || '.' || quote_ident($1)), 'pg_class'), '')",
	schema.SQLite:   "select sql from sqlite_schema where name = ? and type = 'table'",
}

func (in *installer) mark(ctx context.Context, table string) (mark string, err error) {
	err = in.conn.QueryRowContext(ctx, marks[in.db.Engine], table).Scan(&mark)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	if in.db.Engine == schema.SQLite {
		_, mark, _ = strings.Cut(mark, "-- ")
		mark, _, _ = strings.Cut(mark, "\n")
	}
	if !strings.HasPrefix(mark, "ulogd schema ") {
		mark = ""
	}
	return mark, err
}

// create runs the statements: all or none.
func (in *installer) create(ctx context.Context, list []schema.Statement) error {
	if in.db.Engine == schema.MySQL {
		return in.createMySQL(ctx, list)
	}
	tx, err := in.conn.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("%s: %w", in.db.Name, err)
	}
	for _, s := range list {
		if _, err := tx.ExecContext(ctx, s.SQL); err != nil {
			_ = tx.Rollback() // the first error says why
			return in.failure(s, err)
		}
	}
	return tx.Commit()
}

// createMySQL does without transactions, which the server does not have for
// this: after an error it drops what it has made.
func (in *installer) createMySQL(ctx context.Context, list []schema.Statement) error {
	// Routines keep the mode in which they were made.
	if _, err := in.conn.ExecContext(ctx, "set session sql_mode = 'STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION'"); err != nil {
		return fmt.Errorf("%s: %w", in.db.Name, err)
	}
	var made []schema.Object
	for _, s := range list {
		if _, err := in.conn.ExecContext(ctx, s.SQL); err != nil {
			return in.undo(made, in.failure(s, err))
		}
		if s.Name != "" {
			made = append(made, s.Object)
		}
	}
	return nil
}

// undo drops what was made, from the last on. The result is the error for which.
func (in *installer) undo(made []schema.Object, cause error) error {
	var left []string
	for _, o := range slices.Backward(made) {
		if _, err := in.conn.ExecContext(context.Background(), fmt.Sprintf("drop %s `%s`", o.Kind, o.Name)); err != nil {
			left = append(left, o.String())
		}
	}
	if len(left) > 0 {
		return fmt.Errorf("%w; these were made, and can't be dropped: %s", cause, strings.Join(left, ", "))
	}
	return cause
}
