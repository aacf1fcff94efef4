package mysql

import (
	"context"
	"fmt"
	"strings"

	"github.com/ulogd-go/ulogd/pkg/sqldb"
)

// Prepare finds out how rows are stored, and opens the ledger.
func (c *conn) Prepare(ctx context.Context) error {
	if err := c.openLedger(ctx); err != nil {
		return err
	}
	var err error
	s := sqldb.ParseStatement(c.config.Procedure)
	switch s.Mode {
	case sqldb.Insert:
		c.writer, c.how = &inserter{conn: c, into: c.table, prefix: "insert into " + quoteName(c.table.name), plain: true}, way(c.loadable(c.table))
	case sqldb.InsertAs:
		c.writer, c.how = &inserter{conn: c, into: c.table, prefix: s.Text}, "by the statement given, many rows at once"
	default:
		err = c.procedure(ctx, s)
	}
	if err != nil {
		return err
	}
	c.planned = false
	c.config.Log.Info(fmt.Sprintf("table %s: rows are stored %s", c.config.Table, c.how))
	return nil
}

// way says how rows get into a table, for the log.
func way(load bool) string {
	if load {
		return "by LOAD DATA"
	}
	return "by INSERT, many rows at once"
}

// procedure stores rows by a routine, or as that would if it is known.
func (c *conn) procedure(ctx context.Context, s sqldb.Statement) error {
	if c.unread != "" {
		c.config.Log.Warn(c.unread)
	}
	switch c.known {
	case packets:
		w := &relational{conn: c}
		if err := w.discover(ctx); err != nil {
			return err
		}
		c.writer, c.how = w, way(w.loads())+", into the base tables, as "+s.Text+" would"
	case flows:
		r, err := c.relation(ctx, flowTable)
		if err != nil {
			return err
		}
		c.writer, c.how = &inserter{conn: c, into: r, rename: flowColumn, prefix: "insert into " + flowTable, plain: true}, way(c.loadable(r))+", as "+s.Text+" would"
	default:
		w := &caller{conn: c, statement: s}
		if err := w.discover(ctx); err != nil {
			return err
		}
		c.writer, c.how = w, "by calling "+s.Text+" for each, which is none that is known"
	}
	return nil
}

// flowTable is behind the view of flows.
const flowTable = "ulog2_ct"

// flowColumn is the column of table ulog2_ct that stands for one of view
// conntrack (reference page "schemas", section 2.5).
func flowColumn(view string) string {
	view = strings.TrimSuffix(view, "_bin")
	view = strings.Replace(view, "_raw_pktlen", "_bytes", 1)
	return strings.Replace(view, "_raw_pktcount", "_packets", 1)
}

// begins tells whether the columns behind the first are those, or are followed by
// more.
func (r relation) begins(names []string) bool {
	if len(r.columns) < 1+len(names) {
		return false
	}
	for i, name := range names {
		if r.columns[1+i].Name != name {
			return false
		}
	}
	return true
}
