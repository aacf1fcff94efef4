package mysql

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/ulogd-go/ulogd/pkg/sqldb"
)

// relation is a table or a view.
type relation struct {
	name          string
	view          bool
	transactional bool
	parted        bool // it has partitions
	short         bool // its rows are numbered with less than 64 bits
	other         bool // it has a column for which the bytes of a text are no text in UTF-8 or Latin 1
	columns       []sqldb.Column
}

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
	r, err := c.relation(ctx, c.config.Table)
	if err != nil {
		return nil, err
	}
	if len(r.columns) == 0 {
		return nil, fmt.Errorf("database %s has no table or view %s; make it (ulogd-migrate init --schema v2 '%s' does), or mend the option table",
			c.config.DB, c.config.Table, c.public())
	}
	c.table = r
	if c.known, err = c.stock(ctx, sqldb.ParseStatement(c.config.Procedure)); err != nil {
		return nil, err
	}
	return c.withHost(ctx)
}

// public is how to connect, as ulogd-migrate reads it, without a password.
func (c *conn) public() string {
	u := url.URL{Scheme: "mysql", User: url.User(c.config.User), Host: "localhost", Path: "/" + c.config.DB}
	switch network, addr := address(c.config.Host, c.config.Port); network {
	case "unix":
		u.RawQuery = url.Values{"socket": {addr}}.Encode()
	default:
		u.Host = addr
	}
	return u.String()
}

// withHost are the columns of the table, and the one for the host if only the base
// table has it that a known procedure stores rows in.
func (c *conn) withHost(ctx context.Context) ([]sqldb.Column, error) {
	base := map[known]string{packets: "ulog2", flows: flowTable}[c.known]
	if base == "" || c.table.column(sqldb.HostColumn) != nil {
		return c.table.columns, nil
	}
	r, err := c.relation(ctx, base)
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
func (c *conn) relation(ctx context.Context, name string) (relation, error) {
	r := relation{name: name}
	rows, err := c.query(ctx, `select t.table_type, coalesce(e.transactions, ''), t.create_options like '%partitioned%' from information_schema.tables t
		left join information_schema.engines e on e.engine = t.engine where t.table_schema = database() and t.table_name = `+quoteText(name))
	if err != nil || len(rows) == 0 {
		return r, err
	}
	r.view, r.transactional, r.parted = strings.Contains(rows[0][0], "VIEW"), rows[0][1] == "YES", rows[0][2] == "1"
	rows, err = c.query(ctx, `select column_name, data_type, column_type, coalesce(character_maximum_length, 0), coalesce(character_set_name, ''),
		is_nullable, column_default is not null, extra,
		column_default is null or column_default = 'NULL' and version() like '%MariaDB%' from information_schema.columns
		where table_schema = database() and table_name = `+quoteText(name)+` order by ordinal_position`)
	if err != nil {
		return r, err
	}
	for _, v := range rows {
		if extra := strings.ToUpper(v[7]); strings.Contains(extra, "VIRTUAL") || strings.Contains(extra, "STORED") || strings.Contains(extra, "PERSISTENT") {
			continue // the server computes it
		}
		length, err := strconv.Atoi(v[3])
		if err != nil {
			length = 0 // of a LONGTEXT, where it does not matter
		}
		col := newColumn(v[0], strings.ToLower(v[1]), strings.ToLower(v[2]), length, v[4])
		col.Auto = strings.Contains(v[7], "auto_increment")
		col.Required = v[5] == "NO" && v[6] == "0" && !col.Auto
		col.Empty = v[5] == "YES" && v[8] == "1" && !col.Auto && !r.view
		r.short = r.short || col.Auto && col.Bits < 64
		r.other = r.other || isWide(v[4]) || isBinary(strings.ToLower(v[1]))
		r.columns = append(r.columns, col)
	}
	return r, nil
}

// newColumn is a column of that type.
func newColumn(name, typ, full string, length int, charset string) sqldb.Column {
	c := sqldb.NewColumn(name)
	integer := func(bits int) {
		c.Class, c.Bits, c.Signed = sqldb.Integer, bits, !strings.Contains(full, "unsigned")
	}
	switch typ {
	case "tinyint":
		integer(8)
	case "smallint":
		integer(16)
	case "mediumint":
		integer(24)
	case "int":
		integer(32)
	case "bigint":
		integer(64)
	case "decimal", "float", "double":
		c.Class, c.Bits, c.Signed = sqldb.Integer, 64, true
	case "bit":
		c.Class, c.Bits = sqldb.Integer, 64
		if full == "bit(1)" {
			c.Bits = 1
		}
	case "char", "varchar", "tinytext", "text", "mediumtext", "longtext":
		c.Class, c.Charset = sqldb.Chars, charsetOf(charset)
		if typ == "char" || typ == "varchar" {
			c.Max = length
		}
	case "binary", "varbinary", "tinyblob", "blob":
		c.Class, c.Max = sqldb.Bytes, length
	case "mediumblob", "longblob":
		c.Class = sqldb.Bytes
	case "datetime", "timestamp":
		c.Class = sqldb.Time
	case "inet6", "inet4":
		c.Class = sqldb.Inet
	}
	return c
}

// isWide tells whether even ASCII has other bytes in a set.
func isWide(charset string) bool {
	switch charset {
	case "ucs2", "utf16", "utf16le", "utf32":
		return true
	}
	return false
}

// isBinary tells whether a type has an inner form for which a text without a character
// set is taken, or if it can't be, refused.
func isBinary(typ string) bool {
	switch typ {
	case "bit", "inet4", "inet6", "uuid", "json", "vector", "geometry", "point", "linestring", "polygon",
		"multipoint", "multilinestring", "multipolygon", "geometrycollection", "geomcollection":
		return true
	}
	return false
}

// charsetOf is what characters a set of the server has.
func charsetOf(name string) sqldb.Charset {
	switch name {
	case "utf8mb4", "utf16", "utf32", "utf16le", "gb18030":
		return sqldb.Unicode
	case "utf8", "utf8mb3", "ucs2":
		return sqldb.BMP
	case "latin1":
		return sqldb.Latin1
	}
	return sqldb.ASCII
}
