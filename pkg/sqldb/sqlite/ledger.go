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
		lost integer not null, updated integer not null, primary key (source, epoch));
		delete from %[1]s where source = %s and updated < unixepoch() - 7*86400`, table, quoteText(o.source())))
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
	err = o.conn.query("select upto from "+schema.QuoteSQLite(o.config.Ledger)+" where source = "+quoteText(o.source())+" and epoch = ?", epoch,
		func(r result) { upto = uint64(r.integer(0)) })
	if err != nil {
		return 0, fmt.Errorf("%w: ledger: %w", plugin.ErrNotConnected, o.wrap(err))
	}
	return upto, nil
}
