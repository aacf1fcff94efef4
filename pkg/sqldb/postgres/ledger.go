package postgres

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/ulogd-go/ulogd/pkg/queue"
	"github.com/ulogd-go/ulogd/pkg/sqldb"
)

// openLedger makes the ledger if there is none. Without one rows are stored all
// the same, but perhaps twice.
func (c *conn) openLedger(ctx context.Context) error {
	c.ledger = false
	if c.config.Ledger == sqldb.None {
		return nil
	}
	table := quoteName(c.config.Ledger)
	err := c.exec(ctx, "create table if not exists "+table+` (
		source varchar(255) not null, epoch varchar(64) not null, upto bigint not null, lost bigint not null,
		updated timestamp with time zone not null default now(), primary key (source, epoch))`)
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		// It may be there, and only the right to make tables be missing.
		err = c.exec(ctx, "select source, epoch, upto, lost, updated from "+table+" limit 0")
	}
	if err == nil {
		err = c.clean(ctx, "") // to see whether that is allowed
	}
	if errors.As(err, &pg) {
		c.config.Log.Warn(fmt.Sprintf("ledger: table %s can't be made or written: %v; rows are stored at least once, and may be there twice after a failure "+
			"(grant CREATE on the schema, or make the table and grant SELECT, INSERT, UPDATE, DELETE on it; or say ledger=none)", c.config.Ledger, explain(pg)))
		return nil
	}
	c.ledger = err == nil
	return err
}

// moveLedger is the statement that notes the rows of a block as stored.
func (c *conn) moveLedger(blk *queue.Block) string {
	if !c.ledger {
		return ""
	}
	return fmt.Sprintf("insert into %s as l (source, epoch, upto, lost, updated) values (%s, %s, %d, %d, now()) "+
		"on conflict (source, epoch) do update set upto = excluded.upto, lost = excluded.lost, updated = excluded.updated; ",
		quoteName(c.config.Ledger), quoteText(c.config.Source), quoteText(blk.Epoch), blk.First+uint64(blk.Rows()), blk.Lost)
}

// clean removes what epochs other than the present one have left. No epoch is empty, so
// nothing is removed for that.
func (c *conn) clean(ctx context.Context, epoch string) error {
	return c.exec(ctx, fmt.Sprintf("delete from %s where source = %s and epoch <> %s and %s <> '' and updated < now() - interval '7 days'",
		quoteName(c.config.Ledger), quoteText(c.config.Source), quoteText(epoch), quoteText(epoch)))
}

// Resume reads the ledger.
func (c *conn) Resume(ctx context.Context, epoch string) (uint64, error) {
	if !c.ledger {
		return 0, nil
	}
	if err := c.clean(ctx, epoch); err != nil {
		return 0, err
	}
	rows, err := c.query(ctx, "select upto from "+quoteName(c.config.Ledger)+" where source = $1 and epoch = $2", c.config.Source, epoch)
	if err != nil || len(rows) == 0 {
		return 0, err
	}
	return strconv.ParseUint(rows[0][0], 10, 64)
}
