package retention

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/go-sql-driver/mysql"

	"github.com/ulogd-go/ulogd/schema"
)

// mySQL is the dialect of MySQL and MariaDB.
type mySQL struct{}

// begin takes a lock that the server knows by name. Rows that are only read are
// not locked, if the binary log does not need that.
func (mySQL) begin(ctx context.Context, c *sql.Conn) (free bool, err error) {
	const settings = "set session lock_wait_timeout = 1"
	if _, err := c.ExecContext(ctx, settings); err != nil {
		return false, err
	}
	var statements bool
	if err := c.QueryRowContext(ctx, "select @@log_bin and @@binlog_format = 'STATEMENT'").Scan(&statements); err != nil {
		return false, err
	}
	if !statements {
		if _, err := c.ExecContext(ctx, "set session transaction isolation level read committed"); err != nil {
			return false, err
		}
	}
	err = c.QueryRowContext(ctx, "select get_lock(concat('ulogd_retention.', left(database(), 40)), 0) = 1").Scan(&free)
	return free, err
}

func (mySQL) end(c *sql.Conn) {
	ctx, stop := context.WithTimeout(context.Background(), endTime)
	defer stop()
	// If that fails the connection is lost, and the lock with it.
	_, _ = c.ExecContext(ctx, "do release_lock(concat('ulogd_retention.', left(database(), 40)))")
}

func (mySQL) relations(ctx context.Context, c *sql.Conn) (map[string]relation, error) {
	return relationsOf(ctx, c, `select t.table_name, t.table_type like '%VIEW', c.column_name from information_schema.tables t
		join information_schema.columns c on c.table_schema = t.table_schema and c.table_name = t.table_name where t.table_schema = database()`)
}

func (mySQL) quote(name string) string { return "`" + strings.ReplaceAll(name, "`", "``") + "`" }

func (d mySQL) deleteStep(table, old string) string {
	return "delete from " + d.quote(table) + " where " + old + " limit " + strconv.Itoa(step)
}

func (mySQL) unusedMACs() string {
	return "select _mac_id from mac where _mac_id not in (select mac_id from ulog2 where mac_id is not null)"
}

func (mySQL) partitions(ctx context.Context, c *sql.Conn, table string) (list []partition, err error) {
	rows, err := c.QueryContext(ctx, `select partition_name, partition_description from information_schema.partitions
		where table_schema = database() and table_name = ? and partition_method = 'RANGE' and replace(partition_expression, char(96), '') = 'oob_time_sec'
		order by partition_ordinal_position`, table)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var p partition
		var to string
		if err := rows.Scan(&p.name, &to); err != nil {
			return nil, err
		}
		if to == "MAXVALUE" {
			p.to, p.rest = math.MaxInt64, true
		} else if p.to, err = strconv.ParseInt(to, 10, 64); err != nil {
			return nil, fmt.Errorf("%s: %w", p.name, errBound)
		}
		if p.to <= 1 {
			p.rest = true // of rows without a time
		}
		list = append(list, p)
	}
	return list, rows.Err()
}

func (mySQL) leaves(t *table) []string { return []string{t.name} }

func (d mySQL) from(table string, p partition) string {
	return d.quote(table) + " partition (" + d.quote(p.name) + ")"
}

func (d mySQL) drop(table string, p partition) string {
	return "alter table " + d.quote(table) + " drop partition " + d.quote(p.name)
}

// addDays adds partitions, for which the last one makes room if it takes all
// times to come.
func (d mySQL) addDays(ctx context.Context, c *sql.Conn, t *table, days []schema.Day) error {
	var list []string
	for _, day := range days {
		list = append(list, fmt.Sprintf("partition %s values less than (%d)", day.Name, day.To))
	}
	change := "add partition"
	if last := t.partitions[len(t.partitions)-1]; last.to == math.MaxInt64 {
		change = "reorganize partition " + d.quote(last.name) + " into"
		list = append(list, fmt.Sprintf("partition %s values less than maxvalue", d.quote(last.name)))
	}
	_, err := c.ExecContext(ctx, fmt.Sprintf("alter table %s %s (%s)", d.quote(t.name), change, strings.Join(list, ", ")))
	return err
}

// locked is of lock wait timeouts and deadlocks.
func (mySQL) locked(err error) bool {
	var my *mysql.MySQLError
	return errors.As(err, &my) && (my.Number == 1205 || my.Number == 1213)
}
