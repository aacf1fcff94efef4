package postgres

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
		c.writer = c.insert()
	case sqldb.InsertAs:
		c.writer, c.how = &inserter{flat{conn: c}, s.Text}, "by the statement given, many rows at once"
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

// copies tells whether COPY does the same as INSERT. It knows nothing of views and
// rules, and refuses to check policies.
func (r relation) copies() bool { return (r.kind == "r" || r.kind == "p") && !r.rules }

// insert stores rows in the table itself.
func (c *conn) insert() writer {
	if c.table.copies() {
		c.how = "by COPY"
		return &copier{flat{conn: c}}
	}
	c.how = "by INSERT, many rows at once, since it is no plain table"
	return &inserter{flat{conn: c}, "insert into " + c.table.full()}
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
		c.writer, c.how = w, "by COPY into the base tables, as "+s.Text+" would"
	case plain:
		c.writer, c.how = &copier{flat{conn: c}}, "by COPY, as "+s.Text+" would"
	default:
		w := &caller{conn: c, statement: s}
		if err := w.discover(ctx); err != nil {
			return err
		}
		c.writer, c.how = w, "by calling "+s.Text+" for each, which is none that is known"
	}
	return nil
}

// begins tells whether the table's columns behind the first are those, or are
// followed by more.
func (r relation) begins(names []string) bool {
	if len(r.columns) == 0 {
		return false
	}
	columns := r.columns
	if strings.HasPrefix(columns[0].Name, "_") {
		columns = columns[1:]
	}
	if len(columns) < len(names) {
		return false
	}
	for i, name := range names {
		if columns[i].Name != name {
			return false
		}
	}
	return true
}
