package sqlite

import (
	"context"
	"fmt"
	"strings"

	"github.com/ulogd-go/ulogd/pkg/plugin"
	"github.com/ulogd-go/ulogd/pkg/queue"
	"github.com/ulogd-go/ulogd/pkg/sqldb"
	"github.com/ulogd-go/ulogd/schema"
)

func quoteText(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }

// source is who writes, for the ledger.
func (o *Output) source() string { return o.env.Hostname + "/" + o.env.Queue }

// openLedger makes the ledger if there is none.
func (o *Output) openLedger(ctx context.Context) error {
	if o.config.Ledger == sqldb.None {
		return nil
	}
	table := schema.QuoteSQLite(o.config.Ledger)
	return o.conn.exec(fmt.Sprintf(`create table if not exists %s (source text not null, epoch text not null, upto integer not null,
		lost integer not null, updated integer not null, primary key (source, epoch))`, table))
}

// moveLedger notes the rows of a block as stored, or refused.
func (o *Output) moveLedger(blk *queue.Block) error {
	if o.config.Ledger == sqldb.None {
		return nil
	}
	return o.conn.exec(fmt.Sprintf("insert or replace into %s values (%s, %s, %d, %d, unixepoch())",
		schema.QuoteSQLite(o.config.Ledger), quoteText(o.source()), quoteText(blk.Epoch), blk.First+uint64(blk.Rows()), blk.Lost))
}

// Resume reads the ledger.
func (o *Output) Resume(ctx context.Context, epoch string) (upto uint64, err error) {
	if o.conn == nil {
		return 0, plugin.ErrNotConnected
	}
	if o.config.Ledger == sqldb.None {
		return 0, nil
	}
	if upto, err = o.readLedger(ctx, epoch); err != nil {
		return 0, fmt.Errorf("%w: ledger: %w", plugin.ErrNotConnected, o.wrap(err))
	}
	return upto, nil
}

// readLedger is how far an epoch has come. It removes what others have left.
func (o *Output) readLedger(ctx context.Context, epoch string) (upto uint64, err error) {
	if err := o.conn.begin(ctx); err != nil {
		return 0, err
	}
	ours := schema.QuoteSQLite(o.config.Ledger) + " where source = " + quoteText(o.source())
	err = o.conn.query("select upto from "+ours+" and epoch = ?", epoch, func(r result) { upto = uint64(r.integer(0)) })
	if err == nil {
		err = o.conn.exec("delete from " + ours + " and epoch <> " + quoteText(epoch) + " and updated < unixepoch() - 7*86400")
	}
	if err == nil {
		err = o.conn.exec("commit")
	}
	if err != nil {
		o.conn.rollback()
	}
	return upto, err
}
