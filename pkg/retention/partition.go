package retention

import (
	"context"
	"errors"
	"fmt"
	"math"
	"regexp"
	"time"

	"github.com/ulogd-go/ulogd/schema"
)

// partition is the part of a table with the rows of some time.
type partition struct {
	name string
	to   int64 // seconds since 1970 at which it ends
	rest bool  // it takes what no other does
}

// dated are the names of partitions that package schema makes.
var dated = regexp.MustCompile(`(^|_)p\d{8}$`)

// daily tells whether the table has a partition for each day.
func (t *table) daily() bool { return len(t.partitions) > 0 }

// ours tells whether there are partitions as package schema makes them, to which
// more of the sort may be added.
func (t *table) ours() bool {
	for _, p := range t.partitions {
		if dated.MatchString(p.name) {
			return true
		}
	}
	return false
}

// missing are the days, up to those that are made ahead, without a partition. Those
// before oldest, whose rows would go at once, are none.
func (t *table) missing(now time.Time, oldest int64) (days []schema.Day) {
	last := int64(math.MinInt64)
	for _, p := range t.partitions {
		if !p.rest {
			last = max(last, p.to)
		}
	}
	first := schema.DayOf(now)
	for _, d := range append(t.gap(last, oldest, first), schema.Days(now, schema.Ahead)...) {
		if d.From >= last {
			days = append(days, d)
		}
	}
	return days
}

// gap are the days behind the last partition, from oldest on, and before today.
func (t *table) gap(last, oldest int64, today schema.Day) (days []schema.Day) {
	if last == math.MinInt64 {
		return nil
	}
	for d := schema.DayOf(time.Unix(max(last, oldest), 0)); d.From < today.From; d = schema.DayOf(time.Unix(d.To, 0)) {
		days = append(days, d)
	}
	return days
}

func (r *run) makePartitions(ctx context.Context, t *table, now time.Time, oldest int64) error {
	if !t.ours() {
		return nil // somebody else sees to it
	}
	days := t.missing(now, oldest)
	if len(days) == 0 {
		return nil
	}
	err := r.retry(ctx, func() error { return r.addDays(ctx, r.conn, t, days) })
	if err != nil {
		return err
	}
	for _, d := range days {
		r.report.Made = append(r.report.Made, d.Name)
	}
	t.partitions, err = r.partitions(ctx, r.conn, t.name)
	return err
}

// dropPartitions drops partitions of which all rows are older than limit.
func (r *run) dropPartitions(ctx context.Context, t *table, limit int64) error {
	var left []partition
	for _, p := range t.partitions {
		if p.rest || p.to > limit {
			left = append(left, p)
			continue
		}
		if err := r.dropPartition(ctx, t, p); err != nil {
			return fmt.Errorf("partition %s: %w", p.name, err)
		}
		r.report.Dropped = append(r.report.Dropped, p.name)
	}
	t.partitions = left
	return nil
}

// dropPartition drops a partition after what belongs to its rows.
func (r *run) dropPartition(ctx context.Context, t *table, p partition) error {
	from := r.from(t.name, p)
	for last := "0"; len(t.children) > 0; {
		begin := time.Now()
		ids, err := r.strings(ctx, fmt.Sprintf("select %[1]s from %[2]s where %[1]s > %[3]s order by %[1]s limit %[4]d", id, from, last, step))
		if err != nil {
			return err
		}
		if len(ids) == 0 {
			break
		}
		for _, c := range t.children {
			if _, err := r.exec(ctx, r.deleteBy(c.name, c.column, join(ids))); err != nil {
				return err
			}
		}
		last = ids[len(ids)-1]
		if err := pause(ctx, begin, 1); err != nil {
			return err
		}
	}
	return r.retry(ctx, func() error {
		_, err := r.exec(ctx, r.drop(t.name, p))
		return err
	})
}

// attempts is how often a change of a table is tried that others hold a lock on.
// It waits for a lock for a moment only, since everybody else waits behind it, and
// rests so many times as long.
const (
	attempts = 10
	rest     = 10
)

// retry does something until it does not fail for a lock of others.
func (r *run) retry(ctx context.Context, do func() error) error {
	for n := 1; ; n++ {
		begin := time.Now()
		err := do()
		if err == nil || n == attempts || !r.locked(err) {
			return err
		}
		if err := pause(ctx, begin, rest); err != nil {
			return err
		}
	}
}

// errBound is of a partition whose times can't be understood.
var errBound = errors.New("the bounds of a partition can't be understood")
