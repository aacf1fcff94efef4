package retention

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// deleteRows deletes the old rows of a table, few at a time.
func (r *run) deleteRows(ctx context.Context, t *table, limit int64) error {
	for _, old := range t.old {
		old = fmt.Sprintf(old, limit)
		for _, leaf := range r.leaves(t) {
			if err := r.deleteFrom(ctx, t, leaf, old); err != nil {
				return err
			}
		}
	}
	return nil
}

// deleteFrom deletes the rows of a table, or of a partition of it, that are so.
func (r *run) deleteFrom(ctx context.Context, t *table, leaf, old string) error {
	for {
		begin := time.Now()
		n, err := r.deleteSome(ctx, t, leaf, old)
		r.report.Rows += n
		if err != nil || n == 0 {
			return err
		}
		if err := pause(ctx, begin, 1); err != nil {
			return err
		}
	}
}

func (r *run) deleteSome(ctx context.Context, t *table, leaf, old string) (int64, error) {
	if len(t.children) == 0 {
		return r.exec(ctx, r.deleteStep(leaf, old))
	}
	ids, err := r.strings(ctx, fmt.Sprintf("select %s from %s where %s limit %d", id, r.quote(leaf), old, step))
	if err != nil || len(ids) == 0 {
		return 0, err
	}
	list := strings.Join(ids, ",")
	tx, err := r.conn.BeginTx(ctx, nil)
	if err != nil {
		return 0, err
	}
	defer tx.Rollback() //nolint:errcheck // nothing is left to do after a commit
	for _, c := range t.children {
		if _, err := tx.ExecContext(ctx, r.deleteBy(c.name, c.column, list)); err != nil {
			return 0, err
		}
	}
	result, err := tx.ExecContext(ctx, fmt.Sprintf("%s and %s", r.deleteBy(leaf, id, list), old))
	if err != nil {
		return 0, err
	}
	n, err := result.RowsAffected()
	if err != nil {
		return 0, err
	}
	return n, tx.Commit()
}

func (r *run) deleteBy(table, column, list string) string {
	return fmt.Sprintf("delete from %s where %s in (%s)", r.quote(table), r.quote(column), list)
}

// deleteMACs deletes the hardware addresses to which no packet refers any more.
// The row is locked before it is looked at again, so that nobody who has just
// found it refers to it when it is gone.
func (r *run) deleteMACs(ctx context.Context) error {
	unused, err := r.strings(ctx, r.unusedMACs())
	if err != nil {
		return err
	}
	for _, mac := range unused {
		if err := r.deleteMAC(ctx, mac); err != nil {
			return fmt.Errorf("table mac: %w", err)
		}
	}
	return nil
}

func (r *run) deleteMAC(ctx context.Context, mac string) error {
	tx, err := r.conn.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // nothing is left to do after a commit
	if _, err := tx.ExecContext(ctx, "select 1 from mac where _mac_id = "+mac+" for update"); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, "delete from mac where _mac_id = "+mac+" and not exists (select 1 from ulog2 where mac_id = "+mac+")"); err != nil {
		return err
	}
	return tx.Commit()
}
