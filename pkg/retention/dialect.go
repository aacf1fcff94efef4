package retention

import (
	"context"
	"database/sql"
	"strconv"
	"strings"
	"time"

	"github.com/ulogd-go/ulogd/schema"
)

// dialect is what differs from one engine to the next.
type dialect interface {
	// begin prepares a connection, and tells whether nobody else is at it.
	begin(ctx context.Context, c *sql.Conn) (free bool, err error)
	end(c *sql.Conn)
	// relations are the tables and views, partitions left out.
	relations(ctx context.Context, c *sql.Conn) (map[string]relation, error)
	quote(name string) string
	// deleteStep is the statement that deletes some of the rows that are so.
	deleteStep(table, old string) string
	// unusedMACs is the query for the numbers of hardware addresses that no packet
	// refers to, which reads the packets once at most.
	unusedMACs() string
	// partitions are those of a table by its column oob_time_sec; none if it is
	// parted by anything else, or not at all.
	partitions(ctx context.Context, c *sql.Conn, table string) ([]partition, error)
	// leaves are what to delete rows from: the table, or its partitions.
	leaves(t *table) []string
	// from is the partition as SELECT takes it.
	from(table string, p partition) string
	drop(table string, p partition) string
	addDays(ctx context.Context, c *sql.Conn, t *table, days []schema.Day) error
	// locked tells whether an error is that others hold a lock.
	locked(err error) bool
}

// endTime is how long giving a lock back may take.
const endTime = time.Second

var dialects = map[schema.Engine]dialect{schema.MySQL: mySQL{}, schema.Postgres: postgres{}, schema.SQLite: sqlite{}}

func join(ids []string) string { return strings.Join(ids, ",") }

// number is a number that the server has written.
func number(text string) int64 {
	n, _ := strconv.ParseInt(text, 10, 64) // it can't be anything else
	return n
}

// relationsOf collects rows of a relation's name, whether it is a view, and the
// name of a column.
func relationsOf(ctx context.Context, c *sql.Conn, query string) (map[string]relation, error) {
	rows, err := c.QueryContext(ctx, query)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	list := map[string]relation{}
	for rows.Next() {
		var name, column string
		var view bool
		if err := rows.Scan(&name, &view, &column); err != nil {
			return nil, err
		}
		r := list[name]
		r.view, r.columns = view, append(r.columns, column)
		list[name] = r
	}
	return list, rows.Err()
}

// noMACs is for a database that has no table of hardware addresses.
const noMACs = "select 1 where 1 = 0"

// sqlite is the dialect of SQLite, which has no partitions.
type sqlite struct{}

func (sqlite) begin(context.Context, *sql.Conn) (bool, error) { return true, nil }
func (sqlite) end(*sql.Conn)                                  {}
func (sqlite) quote(name string) string                       { return schema.QuoteSQLite(name) }
func (sqlite) leaves(t *table) []string                       { return []string{t.name} }
func (sqlite) from(table string, _ partition) string          { return schema.QuoteSQLite(table) }
func (sqlite) drop(string, partition) string                  { return "" }
func (sqlite) locked(error) bool                              { return false }
func (sqlite) unusedMACs() string                             { return noMACs }

func (sqlite) relations(ctx context.Context, c *sql.Conn) (map[string]relation, error) {
	return relationsOf(ctx, c, "select m.name, m.type = 'view', t.name from sqlite_schema m, pragma_table_info(m.name) t where m.type in ('table', 'view')")
}

func (d sqlite) deleteStep(table, old string) string {
	table = d.quote(table)
	return "delete from " + table + " where rowid in (select rowid from " + table + " where " + old + " limit " + strconv.Itoa(step) + ")"
}

func (sqlite) partitions(context.Context, *sql.Conn, string) ([]partition, error) { return nil, nil }

func (sqlite) addDays(context.Context, *sql.Conn, *table, []schema.Day) error { return nil }
