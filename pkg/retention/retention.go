// Package retention removes old rows from the tables that ulogd fills: whole
// partitions where a table has one for each day, else few rows at a time.
package retention

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ulogd-go/ulogd/schema"
)

// Keeper removes old rows from a database.
type Keeper struct {
	engine schema.Engine
	db     *sql.DB
	tables []string
}

// New makes a keeper for tables, or for the views of ulogd's schemas on them;
// without any for all that ulogd's schemas have. The database is the caller's.
func New(e schema.Engine, db *sql.DB, tables ...string) *Keeper {
	return &Keeper{e, db, tables}
}

// Report is what a run has done.
type Report struct {
	Rows          int64    // deleted, those that belong to others not counted
	Dropped, Made []string // partitions
	Busy          bool     // somebody else is at it, so nothing was done
}

func (r Report) String() string {
	switch {
	case r.Busy:
		return "somebody else removes old rows already"
	case r.Rows == 0 && len(r.Dropped) == 0 && len(r.Made) == 0:
		return "nothing to do"
	}
	var parts []string
	if r.Rows > 0 {
		parts = append(parts, fmt.Sprintf("%d rows removed", r.Rows))
	}
	if len(r.Dropped) > 0 {
		parts = append(parts, "partitions dropped: "+strings.Join(r.Dropped, ", "))
	}
	if len(r.Made) > 0 {
		parts = append(parts, "partitions made: "+strings.Join(r.Made, ", "))
	}
	return strings.Join(parts, "; ")
}

// run is one run of a keeper, on one connection.
type run struct {
	dialect
	conn   *sql.Conn
	report Report
}

// Run removes what is older than age. A row without a time stays. In a table with
// partitions a day goes when all of it is old. After an error the rest is done by
// the next run.
func (k *Keeper) Run(ctx context.Context, now time.Time, age Age) (Report, error) {
	if age <= 0 {
		return Report{}, errors.New("no age of rows; say how old they may get, as 90d")
	}
	conn, err := k.db.Conn(ctx)
	if err != nil {
		return Report{}, fmt.Errorf("connect: %w", err)
	}
	defer conn.Close()
	r := &run{dialect: dialects[k.engine], conn: conn}
	free, err := r.begin(ctx, conn)
	if err != nil || !free {
		return Report{Busy: err == nil}, err
	}
	defer r.end(conn)
	err = r.all(ctx, k.tables, now, age)
	return r.report, err
}

func (r *run) all(ctx context.Context, names []string, now time.Time, age Age) error {
	tables, err := r.find(ctx, names)
	if err != nil {
		return err
	}
	for _, t := range tables {
		if err := r.table(ctx, t, now, age); err != nil {
			return fmt.Errorf("table %s: %w", t.name, err)
		}
	}
	return nil
}

// table removes old rows of a table, and makes partitions for days to come.
func (r *run) table(ctx context.Context, t *table, now time.Time, age Age) error {
	limit := now.Add(-time.Duration(age)).Unix()
	before := r.report.Rows
	if t.daily() {
		limit = schema.DayOf(time.Unix(limit, 0)).From
		if err := r.makePartitions(ctx, t, now, limit); err != nil {
			return fmt.Errorf("make partitions for days to come: %w", err)
		}
		if err := r.dropPartitions(ctx, t, limit); err != nil {
			return err
		}
	}
	if err := r.deleteRows(ctx, t, limit); err != nil {
		return err
	}
	if t.macs && (r.report.Rows > before || len(r.report.Dropped) > 0) {
		return r.deleteMACs(ctx)
	}
	return nil
}

// step is how many rows of a table one statement deletes.
const step = 1000

// pause lets others have the database for so many times as long as the last step
// took.
func pause(ctx context.Context, since time.Time, times time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(times * time.Since(since)):
		return nil
	}
}

// exec runs a statement.
func (r *run) exec(ctx context.Context, query string) (int64, error) {
	result, err := r.conn.ExecContext(ctx, query)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// strings is the first column of a query's rows.
func (r *run) strings(ctx context.Context, query string) (list []string, err error) {
	rows, err := r.conn.QueryContext(ctx, query)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			return nil, err
		}
		list = append(list, s)
	}
	return list, rows.Err()
}
