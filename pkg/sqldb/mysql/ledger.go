package mysql

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/go-sql-driver/mysql"

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
	var my *mysql.MySQLError
	_, err := c.exec(ctx, "create table if not exists "+table+` (
		source varchar(191) not null, epoch varchar(64) not null, upto bigint unsigned not null, lost bigint unsigned not null,
		updated timestamp not null default current_timestamp, primary key (source, epoch)) engine=InnoDB`)
	if errors.As(err, &my) {
		// It may be there, and only the right to make tables be missing.
		_, err = c.query(ctx, "select source, epoch, upto, lost, updated from "+table+" limit 0")
	}
	if err == nil {
		err = c.clean(ctx, "") // to see whether that is allowed
	}
	if errors.As(err, &my) {
		c.config.Log.Warn(fmt.Sprintf("ledger: table %s can't be made or written: %v; rows are stored at least once, and may be there twice after a failure "+
			"(grant CREATE, or make the table and grant SELECT, INSERT, UPDATE, DELETE on it; or say ledger=none)", c.config.Ledger, my))
		return nil
	}
	if err != nil {
		return err
	}
	return c.checkEngines(ctx)
}

// source is who writes, as far as the column has room.
func (c *conn) source() string { return c.config.Source[:min(len(c.config.Source), 191)] }

// checkEngines sees whether rows and ledger can share a transaction.
func (c *conn) checkEngines(ctx context.Context) error {
	tables := []string{c.table.name}
	switch {
	case c.known == packets:
		tables = baseTables
	case c.known == flows:
		tables = []string{flowTable}
	case c.table.view:
		tables = []string{"ulog2"} // which is behind the other views of the schemas
	}
	for _, name := range append([]string{c.config.Ledger}, tables...) {
		r, err := c.relation(ctx, name)
		if err != nil {
			return err
		}
		if len(r.columns) > 0 && !r.view && !r.transactional {
			c.config.Log.Warn(fmt.Sprintf("table %s has no transactions (MyISAM, Aria and MEMORY have none): rows are stored at least once, and may be there twice after a failure "+
				"(ALTER TABLE %s ENGINE=InnoDB)", name, quoteName(name)))
			return nil
		}
	}
	c.ledger = true
	return nil
}

// moveLedger notes the rows of a block as stored.
func (c *conn) moveLedger(ctx context.Context, blk *queue.Block) error {
	if !c.ledger {
		return nil
	}
	_, err := c.exec(ctx, fmt.Sprintf("insert into %s (source, epoch, upto, lost, updated) values (%s, %s, %d, %d, now()) "+
		"on duplicate key update upto = values(upto), lost = values(lost), updated = values(updated)",
		quoteName(c.config.Ledger), quoteText(c.source()), quoteText(blk.Epoch), blk.First+uint64(blk.Rows()), blk.Lost))
	return err
}

// clean removes what epochs other than the present one have left. No epoch is empty, so
// nothing is removed for that.
func (c *conn) clean(ctx context.Context, epoch string) error {
	_, err := c.exec(ctx, fmt.Sprintf("delete from %s where source = %s and epoch <> %s and %s <> '' and updated < now() - interval 7 day",
		quoteName(c.config.Ledger), quoteText(c.source()), quoteText(epoch), quoteText(epoch)))
	return err
}

// Resume reads the ledger.
func (c *conn) Resume(ctx context.Context, epoch string) (uint64, error) {
	if !c.ledger {
		return 0, nil
	}
	if err := c.clean(ctx, epoch); err != nil {
		return 0, err
	}
	rows, err := c.query(ctx, "select upto from "+quoteName(c.config.Ledger)+" where source = "+quoteText(c.source())+" and epoch = "+quoteText(epoch))
	if err != nil || len(rows) == 0 {
		return 0, err
	}
	return strconv.ParseUint(rows[0][0], 10, 64)
}
