package retention

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/ulogd-go/ulogd/schema"
)

// postgres is the dialect of PostgreSQL.
type postgres struct{}

// begin takes an advisory lock.
func (postgres) begin(ctx context.Context, c *sql.Conn) (free bool, err error) {
	if _, err := c.ExecContext(ctx, "set lock_timeout = '200ms'"); err != nil {
		return false, err
	}
	err = c.QueryRowContext(ctx, "select pg_try_advisory_lock(hashtext('ulogd retention'), hashtext(current_schema()))").Scan(&free)
	return free, err
}

func (postgres) end(c *sql.Conn) {
	ctx, stop := context.WithTimeout(context.Background(), endTime)
	defer stop()
	// If that fails the connection is lost, and the lock with it.
	_, _ = c.ExecContext(ctx, "select pg_advisory_unlock(hashtext('ulogd retention'), hashtext(current_schema()))")
}

func (postgres) relations(ctx context.Context, c *sql.Conn) (map[string]relation, error) {
	return relationsOf(ctx, c, `select k.relname::text, k.relkind = 'v', a.attname::text from pg_class k join pg_attribute a on a.attrelid = k.oid
		where pg_table_is_visible(k.oid) and k.relkind in ('r', 'p', 'v') and not k.relispartition and a.attnum > 0 and not a.attisdropped
		and k.relnamespace not in ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)`)
}

func (postgres) quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// deleteStep looks at the time of the rows again: where other tables belong to the
// table, as partitions or heirs, a row in each of them may be at the same place.
func (d postgres) deleteStep(table, old string) string {
	table = d.quote(table)
	return "delete from " + table + " where ctid = any (array(select ctid from " + table + " where " + old + " limit " + strconv.Itoa(step) + ")) and " + old
}

func (postgres) unusedMACs() string {
	return "select _mac_id from mac where not exists (select 1 from ulog2 where mac_id = _mac_id)"
}

// bounds of a partition, as PostgreSQL writes them.
var bounds = regexp.MustCompile(`^FOR VALUES FROM \('?(?:-?\d+|MINVALUE)'?\) TO \('?(-?\d+|MAXVALUE)'?\)$`)

func (d postgres) partitions(ctx context.Context, c *sql.Conn, table string) (list []partition, err error) {
	rows, err := c.QueryContext(ctx, `select k.relname::text, pg_get_expr(k.relpartbound, k.oid) from pg_inherits i join pg_class k on k.oid = i.inhrelid
		where i.inhparent = to_regclass($1) and pg_get_partkeydef(i.inhparent) = 'RANGE (oob_time_sec)' order by 1`, d.quote(table))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var p partition
		var text string
		if err := rows.Scan(&p.name, &text); err != nil {
			return nil, err
		}
		if p.rest = text == "DEFAULT"; !p.rest {
			m := bounds.FindStringSubmatch(text)
			if m == nil {
				return nil, fmt.Errorf("%s: %s: %w", p.name, text, errBound)
			}
			p.to = bound(m[1])
			p.rest = p.to == math.MaxInt64
		}
		list = append(list, p)
	}
	return list, rows.Err()
}

// bound is the end of a partition.
func bound(text string) int64 {
	if text == "MAXVALUE" {
		return math.MaxInt64
	}
	return number(text)
}

// leaves are the partitions, since the place of a row is unique in one only.
func (postgres) leaves(t *table) (list []string) {
	if !t.daily() {
		return []string{t.name}
	}
	for _, p := range t.partitions {
		list = append(list, p.name)
	}
	return list
}

func (d postgres) from(_ string, p partition) string { return d.quote(p.name) }

func (d postgres) drop(_ string, p partition) string { return "drop table " + d.quote(p.name) }

// addDays makes partitions. Rows of these days, which came before, move there from
// the partition for all other times.
func (d postgres) addDays(ctx context.Context, c *sql.Conn, t *table, days []schema.Day) error {
	rest := ""
	for _, p := range t.partitions {
		if p.rest {
			rest = d.quote(p.name)
		}
	}
	tx, err := c.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // nothing is left to do after a commit
	for _, day := range days {
		name := d.quote(t.name + "_" + day.Name)
		statements := []string{fmt.Sprintf("create table %s (like %s including defaults including constraints)", name, d.quote(t.name))}
		if rest != "" {
			statements = append(statements, fmt.Sprintf("with moved as (delete from %s where oob_time_sec >= %d and oob_time_sec < %d returning *) insert into %s select * from moved",
				rest, day.From, day.To, name))
		}
		statements = append(statements, fmt.Sprintf("alter table %s attach partition %s for values from (%d) to (%d)", d.quote(t.name), name, day.From, day.To))
		for _, s := range statements {
			if _, err := tx.ExecContext(ctx, s); err != nil {
				return err
			}
		}
	}
	return tx.Commit()
}

// locked is of lock timeouts and deadlocks.
func (postgres) locked(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && (pg.Code == "55P03" || pg.Code == "40P01")
}
