package sqlite

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/ulogd-go/ulogd/pkg/plugin"
	"github.com/ulogd-go/ulogd/schema"
)

// table is what is known of a table or a view.
type table struct {
	columns []column // that can be written to, in the table's order
	sql     []string // the statements that make it again
}

// column is one column of a table.
type column struct {
	name     string
	text     bool // its affinity is TEXT
	serial   bool // SQLite fills it with the row's number
	required bool // a row without a value for it is refused
}

// find is the column of that very name, or nil.
func (t table) find(name string) *column {
	i := slices.IndexFunc(t.columns, func(c column) bool { return c.name == name })
	if i < 0 {
		return nil
	}
	return &t.columns[i]
}

// names are the names of the columns.
func (t table) names() []string {
	names := make([]string, len(t.columns))
	for i, c := range t.columns {
		names[i] = c.name
	}
	return names
}

// readTable describes the table of that name; it has no columns if there is none.
func readTable(c *conn, name string) (t table, err error) {
	const columns = `select name, upper(type), "notnull" and dflt_value is null, pk ` +
		`from pragma_table_xinfo(?) where hidden = 0 order by cid`
	err = c.query(columns, name, func(r result) {
		t.columns = append(t.columns, newColumn(r.text(0), r.text(1), r.integer(2) == 1, r.integer(3) == 1))
	})
	if err != nil || len(t.columns) == 0 {
		return t, err
	}
	const statements = `select sql from sqlite_schema where tbl_name = ? collate nocase and sql is not null order by rowid`
	err = c.query(statements, name, func(r result) { t.sql = append(t.sql, r.text(0)) })
	return t, err
}

// sampleRows is how many of a table's rows are looked at for negative numbers.
const sampleRows = 10000

// signed tells whether one of the first rows has a negative number, as 1.x stores those
// from 2^31 on; half of all addresses are such.
func (t table) signed(c *conn, name string) (signed bool, err error) {
	var negative []string
	for _, col := range t.columns {
		if q := schema.QuoteSQLite(col.name); !col.text {
			negative = append(negative, "typeof("+q+") = 'integer' and "+q+" < 0")
		}
	}
	if len(negative) == 0 {
		return false, nil
	}
	sql := fmt.Sprintf("select 1 from (select * from %s limit %d) where %s limit 1",
		schema.QuoteSQLite(name), sampleRows, strings.Join(negative, " or "))
	err = c.query(sql, "", func(result) { signed = true })
	return signed, err
}

// newColumn applies SQLite's rules of affinity and of the INTEGER PRIMARY KEY
// (https://www.sqlite.org/datatype3.html, section 3.1).
func newColumn(name, typ string, required, key bool) column {
	c := column{name: name, serial: key && typ == "INTEGER"}
	c.required = required && !c.serial
	if !strings.Contains(typ, "INT") {
		c.text = strings.Contains(typ, "CHAR") || strings.Contains(typ, "CLOB") || strings.Contains(typ, "TEXT")
	}
	return c
}

// ourTable is the table that is made where there is none.
func ourTable(ctx context.Context, sort plugin.Type, g plugin.Generation, name string) (table, error) {
	contents := schema.Packets
	switch {
	case g == plugin.First:
		contents = schema.First
	case sort&plugin.Flow != 0:
		contents = schema.Flows
	case sort&plugin.Sum != 0:
		contents = schema.Sums
	}
	c, err := dial(memory, "rwc", 0)
	if err != nil {
		return table{}, err
	}
	defer c.Close()
	if err := c.exec(schema.Own(contents, name)); err != nil {
		return table{}, fmt.Errorf("table %q: %w; choose another name", name, err)
	}
	return readTable(c, name)
}

// findTable describes the table in the database at path; it has no columns if there is
// none, or no file. Nothing is changed, unless a writer was killed in the middle of a
// transaction: then nobody can read the database before its journal has been played back.
func findTable(ctx context.Context, path, name string, wait time.Duration) (table, error) {
	if empty, err := isEmpty(path); empty || err != nil {
		return table{}, err
	}
	t, err := readTableAt(path, readOnly(path), name, wait)
	if code(err) == codeReadOnly {
		t, err = readTableAt(path, "rw", name, wait) // and so takes back what was not committed
	}
	return t, err
}

func readTableAt(path, mode, name string, wait time.Duration) (table, error) {
	c, err := dial(path, mode, wait)
	if err != nil {
		return table{}, err
	}
	defer c.Close()
	return readTable(c, name)
}

// isEmpty tells whether path is a database still to be made: no file, or one
// without contents.
func isEmpty(path string) (bool, error) {
	info, err := os.Stat(path)
	switch {
	case os.IsNotExist(err):
		return true, nil
	case err != nil:
		return false, err
	case !info.Mode().IsRegular():
		return false, fmt.Errorf("%s is no regular file; name one that is, or that is still to be made", path)
	}
	return info.Size() == 0, nil
}

// readOnly is the mode in which the database at path can be read without a trace.
// One with a write-ahead log that nobody has open must be said to be immutable,
// or SQLite would leave the log's index behind.
func readOnly(path string) string {
	if _, err := os.Stat(path + "-wal"); !os.IsNotExist(err) || !hasLog(path) {
		return "ro"
	}
	return "ro&immutable=1"
}

// hasLog tells whether the database at path works with a write-ahead log, which
// its bytes 18 and 19 say (https://www.sqlite.org/fileformat2.html, section 1.3.3).
func hasLog(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	var versions [2]byte
	_, err = f.ReadAt(versions[:], 18)
	return err == nil && versions == [2]byte{2, 2}
}
