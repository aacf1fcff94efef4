package postgres

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/ulogd-go/ulogd/pkg/sqldb"
)

// relation is a table or a view.
type relation struct {
	schema, name string
	kind         string // relkind of pg_class: r, p (partitioned), v, f (foreign)
	rules        bool   // statements on it are rewritten, or rows are checked by policies
	columns      []sqldb.Column
	sequences    map[string]string // by the column that takes its numbers
}

// full is the name as statements take it.
func (r relation) full() string { return quoteName(r.schema) + "." + quoteName(r.name) }

// column is the column of that name, or nil.
func (r relation) column(name string) *sqldb.Column {
	for i := range r.columns {
		if r.columns[i].Name == name {
			return &r.columns[i]
		}
	}
	return nil
}

// Columns describes the table.
func (c *conn) Columns(ctx context.Context) ([]sqldb.Column, error) {
	for _, name := range []string{c.config.Table, strings.ToLower(c.config.Table)} {
		schema, err := c.schema(ctx, name)
		if err != nil {
			return nil, err
		}
		r, err := c.relation(ctx, schema, name)
		if err != nil {
			return nil, err
		}
		if len(r.columns) > 0 {
			c.table = r
			if c.known, err = c.stock(ctx, sqldb.ParseStatement(c.config.Procedure)); err != nil {
				return nil, err
			}
			return c.withHost(ctx)
		}
	}
	where := "schema " + c.config.Schema
	if c.config.Schema == "" {
		where = "the search path"
	}
	return nil, fmt.Errorf("%s has no table or view %s with columns; make it (ulogd-migrate init --schema v2 \"%s\" does), or mend the option table",
		where, c.config.Table, c.public())
}

// schema is where the table is to be looked for.
func (c *conn) schema(ctx context.Context, table string) (string, error) {
	if c.config.Schema != "" {
		return c.config.Schema, nil
	}
	rows, err := c.query(ctx, `select n.nspname from pg_class k join pg_namespace n on n.oid = k.relnamespace
		where k.relname = $1 and pg_table_is_visible(k.oid)`, table)
	if err != nil || len(rows) == 0 {
		return "", err
	}
	return rows[0][0], nil
}

// public is how to connect, as libpq reads it, without a password.
func (c *conn) public() string {
	config, err := c.parse()
	if err != nil {
		return ""
	}
	text := settings("host", config.Host, "port", strconv.Itoa(int(config.Port)), "dbname", config.Database, "user", config.User)
	if s := c.config.Schema; s != "" && s != "public" {
		text += settings("search_path", s)
	}
	return strings.TrimSpace(text)
}

// withHost are the columns of the table, and the one for the host if only the base
// table has it that a known procedure stores rows in.
func (c *conn) withHost(ctx context.Context) ([]sqldb.Column, error) {
	if c.known != packets || c.table.column(sqldb.HostColumn) != nil {
		return c.table.columns, nil
	}
	r, err := c.relation(ctx, c.table.schema, "ulog2")
	if err != nil {
		return nil, err
	}
	if host := r.column(sqldb.HostColumn); host != nil {
		return append(slices.Clone(c.table.columns), *host), nil
	}
	return c.table.columns, nil
}

// offers tells whether rows are stored by a column of that name: the table's, or the
// one for the host.
func (c *conn) offers(name string) bool {
	return c.table.column(name) != nil || name == sqldb.HostColumn
}

// relation looks a table or a view up. It has no columns if there is none.
func (c *conn) relation(ctx context.Context, schema, name string) (relation, error) {
	r := relation{schema: schema, name: name, sequences: map[string]string{}}
	set, err := c.charset(ctx)
	if err != nil {
		return r, err
	}
	// to_jsonb stands in for a column that PostgreSQL 11 does not have.
	rows, err := c.query(ctx, `select a.attname, coalesce(b.typname, t.typname), case when t.typtype = 'd' then t.typtypmod else a.atttypmod end,
			a.attnotnull or t.typnotnull, d.adbin is not null or t.typdefaultbin is not null, a.attidentity, coalesce(to_jsonb(a)->>'attgenerated', ''),
			coalesce(pg_get_expr(d.adbin, d.adrelid), ''), k.relkind, k.relhasrules or row_security_active(k.oid),
			coalesce(pg_get_serial_sequence(quote_ident(n.nspname) || '.' || quote_ident(k.relname), a.attname), '')
		from pg_attribute a join pg_class k on k.oid = a.attrelid join pg_namespace n on n.oid = k.relnamespace
			join pg_type t on t.oid = a.atttypid left join pg_type b on t.typtype = 'd' and b.oid = t.typbasetype
			left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
		where n.nspname = $1 and k.relname = $2 and k.relkind in ('r', 'p', 'v', 'f') and a.attnum > 0 and not a.attisdropped
		order by a.attnum`, schema, name)
	if err != nil {
		return r, err
	}
	for _, v := range rows {
		r.kind, r.rules = v[8], v[9] == "t" && v[8] != "v"
		if v[6] != "" {
			continue // the server computes it
		}
		col := newColumn(v[0], v[1], v[2], set)
		col.Auto = v[5] != "" || strings.HasPrefix(v[7], "nextval(")
		col.Required = v[3] == "t" && v[4] == "f" && !col.Auto
		col.Empty = v[3] == "f" && v[4] == "f" && !col.Auto && (r.kind == "r" || r.kind == "p")
		if s := sequence(v[7]); s != "" {
			r.sequences[v[0]] = s
		} else if v[10] != "" {
			r.sequences[v[0]] = quoteText(v[10])
		}
		r.columns = append(r.columns, col)
	}
	return r, nil
}

// sequence is the argument of nextval in a column's default, or empty.
func sequence(expression string) string {
	rest, ok := strings.CutPrefix(expression, "nextval(")
	if !ok {
		return ""
	}
	name, _, _ := strings.Cut(rest, ")")
	return name
}

// newColumn is a column of that type.
func newColumn(name, typ, modifier string, set sqldb.Charset) sqldb.Column {
	c := sqldb.NewColumn(name)
	integer := func(bits int) { c.Class, c.Bits, c.Signed, c.Wrap = sqldb.Integer, bits, true, true }
	switch typ {
	case "int2":
		integer(16)
	case "int4":
		integer(32)
	case "int8":
		integer(64)
	case "oid":
		c.Class, c.Bits = sqldb.Integer, 32
	case "numeric", "float4", "float8":
		c.Class, c.Bits = sqldb.Integer, 64
	case "bool":
		c.Class = sqldb.Boolean
	case "text", "varchar", "bpchar", "name":
		c.Class, c.Charset = sqldb.Chars, set
		if n, err := strconv.Atoi(modifier); err == nil && n > 4 && typ != "text" {
			c.Max = n - 4 // the modifier counts a header of four bytes
		}
	case "bytea":
		c.Class = sqldb.Bytes
	case "inet", "cidr":
		c.Class = sqldb.Inet
	case "macaddr":
		c.Class = sqldb.MAC
	case "timestamp", "timestamptz":
		c.Class = sqldb.Time
	}
	return c
}

// charset is what characters the database can hold.
func (c *conn) charset(ctx context.Context) (sqldb.Charset, error) {
	rows, err := c.query(ctx, "select current_setting('server_encoding')")
	if err != nil {
		return 0, err
	}
	switch rows[0][0] {
	case "UTF8", "SQL_ASCII":
		return sqldb.Unicode, nil
	case "LATIN1":
		return sqldb.Latin1, nil
	}
	return sqldb.ASCII, nil
}
