package mysql

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"sync/atomic"
	"unicode/utf8"

	"github.com/go-sql-driver/mysql"

	"github.com/ulogd-go/ulogd/pkg/row"
	"github.com/ulogd-go/ulogd/pkg/sqldb"
)

// readers makes names for the driver, which knows what is to be loaded by name.
var readers atomic.Uint64

// loadable tells whether rows can be loaded into a table from memory: the server
// has to allow it, and each column has to take the bytes of a text for that text, in UTF-8
// or in Latin 1. The server takes up to twice as many numbers as there are rows,
// which a column of 32 bits can't afford.
func (c *conn) loadable(r relation) bool {
	return c.local && !r.view && !r.other && !r.short
}

// errLoad says that the server did not take all rows as they are. LOAD DATA LOCAL
// makes warnings of errors, so the rows are to be inserted, which shows which is bad.
var errLoad = errors.New("the server has changed or left out rows")

// loadStream loads n rows while they are encoded. The function appends row i as
// LOAD DATA takes it.
func (c *conn) loadStream(ctx context.Context, table string, names []string, n int, appendRow func(dst []byte, i int) ([]byte, error)) error {
	rows := sqldb.NewStream(n, appendRow)
	err := c.load(ctx, table, names, n, rows)
	if bad := rows.Stop(); bad != nil {
		return bad
	}
	return err
}

// load loads n rows in one statement, which is much faster than to insert them.
func (c *conn) load(ctx context.Context, table string, names []string, n int, rows io.Reader) error {
	name := "ulogd" + strconv.FormatUint(readers.Add(1), 10)
	mysql.RegisterReaderHandler(name, func() io.Reader { return rows })
	defer mysql.DeregisterReaderHandler(name)
	// The bytes are the values', so there is nothing for the server to convert.
	result, err := c.exec(ctx, fmt.Sprintf("load data local infile 'Reader::%s' into table %s character set binary "+
		"fields terminated by x'09' escaped by x'5c' lines terminated by x'0a' (%s)", name, quoteName(table), quoteNames(names)))
	if err != nil {
		return err
	}
	loaded, err := result.RowsAffected()
	if err != nil {
		return err
	}
	warnings, err := c.query(ctx, "select @@warning_count")
	if err != nil {
		return err
	}
	if loaded != int64(n) || warnings[0][0] != "0" {
		return errLoad
	}
	return nil
}

// appendLoad appends a value that fits its column as LOAD DATA takes it.
func appendLoad(dst []byte, c *sqldb.Column, v row.Value) []byte {
	switch v.Kind {
	case row.Null:
		return append(dst, `\N`...)
	case row.Int:
		return strconv.AppendInt(dst, int64(v.Num), 10)
	case row.Text:
		if c.Charset == sqldb.Latin1 {
			return appendLatin1(dst, v.Bytes)
		}
		return appendEscaped(dst, v.Bytes)
	case row.Raw:
		return appendEscaped(dst, v.Bytes)
	}
	return strconv.AppendUint(dst, v.Num, 10)
}

func appendEscaped(dst, b []byte) []byte {
	for _, b := range b {
		dst = appendByte(dst, b)
	}
	return dst
}

func appendByte(dst []byte, b byte) []byte {
	switch b {
	case 0:
		return append(dst, '\\', '0')
	case '\\', '\t', '\n':
		dst = append(dst, '\\')
	}
	return append(dst, b)
}

// appendLatin1 appends a text, of which every character is one of Latin 1.
func appendLatin1(dst, text []byte) []byte {
	for len(text) > 0 {
		r, size := utf8.DecodeRune(text)
		dst = appendByte(dst, byte(r))
		text = text[size:]
	}
	return dst
}

// appendLoads appends a row's values with tabs between.
func (t *target) appendLoads(dst []byte, f *sqldb.Fitter, values []row.Value) []byte {
	for i, c := range t.Columns {
		if i > 0 {
			dst = append(dst, '\t')
		}
		dst = appendLoad(dst, c, f.Fit(c, values[t.Sources[i]]))
	}
	return dst
}
