package postgres

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/ulogd-go/ulogd/pkg/queue"
	"github.com/ulogd-go/ulogd/pkg/row"
	"github.com/ulogd-go/ulogd/pkg/sqldb"
)

// relational stores packets in the base tables of the relational schema: the rows
// that INSERT_PACKET_FULL would make, by COPY.
type relational struct {
	*conn
	relations map[string]relation

	parts  *sqldb.Relational
	width  int
	used   []bool // columns that a row of the block has a value for
	packet part
	hw     part
	kids   []part // as parts.Children
	macs   *sqldb.MACs
	ids    []uint64
}

// part is a base table with the rows for it.
type part struct {
	target
	id   string
	rows []byte
}

// baseTables are those of the relational schema.
var baseTables = []string{"ulog2", "mac", "hwhdr", "tcp", "udp", "sctp", "icmp", "icmpv6"}

// discover describes the base tables, which are where the view is.
func (w *relational) discover(ctx context.Context) error {
	w.relations = map[string]relation{}
	for _, name := range baseTables {
		r, err := w.relation(ctx, w.table.schema, name)
		if err != nil {
			return err
		}
		if len(r.columns) == 0 {
			return fmt.Errorf("schema %s has the function %s, but no table %s for it; make the schema anew", w.table.schema, w.config.Procedure, name)
		}
		w.relations[name] = r
	}
	if w.relations["ulog2"].sequences["_id"] == "" {
		return fmt.Errorf("table ulog2: column _id takes its numbers from no sequence; give it a default of nextval")
	}
	table := &macTable{conn: w.conn, relation: w.relations["mac"]}
	w.macs = sqldb.NewMACs(table, table.relation.column)
	return table.discover(ctx)
}

func (w *relational) plan(columns []string) error {
	w.parts = sqldb.NewRelational(columns, w.offers)
	w.width = len(columns)
	w.packet = w.part(&w.parts.Packet)
	w.hw = w.part(&w.parts.Hardware)
	w.kids = w.kids[:0]
	for i := range w.parts.Children {
		w.kids = append(w.kids, w.part(&w.parts.Children[i]))
	}
	return nil
}

// part finds the columns of a base table.
func (w *relational) part(p *sqldb.Part) part {
	r := w.relations[p.Table]
	out := part{id: p.ID}
	out.table = r.full()
	for i, name := range p.Columns {
		out.Take(name, r.column(name), p.Sources[i])
	}
	return out
}

// appendRow appends a row with the packet's number behind it, without its end.
func (p *part) appendRow(dst []byte, f *sqldb.Fitter, id uint64, values []row.Value) []byte {
	dst = p.appendCopy(dst, f, values)
	if len(p.Columns) > 0 {
		dst = append(dst, '\t')
	}
	return strconv.AppendUint(dst, id, 10)
}

// add keeps a row until the packets are stored.
func (p *part) add(f *sqldb.Fitter, id uint64, values []row.Value) {
	p.rows = append(p.appendRow(p.rows, f, id, values), '\n')
}

func (w *relational) done(committed bool) { w.macs.Done(committed) }

// write stores a block. A hardware address that somebody has removed meanwhile is
// looked up again, once.
func (w *relational) write(ctx context.Context, blk *queue.Block) error {
	err := w.try(ctx, blk)
	if e, ok := err.(*pgconn.PgError); ok && e.Code == "23503" && w.macs.Forget() {
		if err := w.exec(ctx, "rollback; begin"); err != nil {
			return err
		}
		return w.try(ctx, blk)
	}
	return err
}

func (w *relational) try(ctx context.Context, blk *queue.Block) error {
	if err := w.reserve(ctx, blk.Rows()); err != nil {
		return err
	}
	if err := w.macs.LookUp(ctx, func() error { return w.want(blk) }); err != nil {
		return err
	}
	if err := w.packets(ctx, blk); err != nil {
		return err
	}
	for i := range w.kids {
		if err := w.send(ctx, &w.kids[i]); err != nil {
			return err
		}
	}
	return w.send(ctx, &w.hw)
}

// reserve takes numbers for n packets. They follow each other unless somebody
// else takes some at the same moment.
func (w *relational) reserve(ctx context.Context, n int) error {
	// The numbers are taken once, since nextval keeps the list from being merged into
	// the query; PostgreSQL 11 has no word for that.
	rows, err := w.query(ctx, `with s as (select nextval(`+w.sequence()+`) as x from generate_series(1, $1::int))
		select min(x), case when max(x) - min(x) + 1 = count(*) then '' else string_agg(x::text, ',') end from s`, strconv.Itoa(n))
	if err != nil {
		return err
	}
	first, err := strconv.ParseUint(rows[0][0], 10, 64)
	if err != nil {
		return err
	}
	w.ids = w.ids[:0]
	if rows[0][1] == "" {
		for i := range n {
			w.ids = append(w.ids, first+uint64(i))
		}
		return nil
	}
	for _, text := range strings.Split(rows[0][1], ",") {
		id, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			return err
		}
		w.ids = append(w.ids, id)
	}
	return nil
}

func (w *relational) sequence() string { return w.relations["ulog2"].sequences["_id"] }

// want notes the hardware addresses of all packets, and which columns are used.
func (w *relational) want(blk *queue.Block) error {
	w.used = append(w.used[:0], make([]bool, w.width)...)
	for i := range blk.Rows() {
		values, err := w.decode(blk, i, w.width)
		if err != nil {
			return err
		}
		sqldb.MarkUsed(w.used, values)
		w.macs.Want(w.fitter, w.parts, values)
	}
	return nil
}

// packets stores the packets, and notes meanwhile what belongs to them.
func (w *relational) packets(ctx context.Context, blk *queue.Block) error {
	w.hw.rows = w.hw.rows[:0]
	for i := range w.kids {
		w.kids[i].rows = w.kids[i].rows[:0]
	}
	p := part{target: w.packet.narrow(w.used)}
	return w.copyFrom(ctx, sqldb.NewStream(blk.Rows(), func(dst []byte, i int) ([]byte, error) {
		values, err := w.decode(blk, i, w.width)
		if err != nil {
			return dst, err
		}
		return w.appendPacket(dst, &p, i, values), nil
	}), p.copySQL("_id", "mac_id"))
}

// appendPacket appends the row of packet i to those of p, and keeps those for other tables.
func (w *relational) appendPacket(dst []byte, p *part, i int, values []row.Value) []byte {
	id := w.ids[i]
	if kid := w.parts.Child(values); kid >= 0 {
		w.kids[kid].add(w.fitter, id, values)
	}
	if w.parts.HasHardware(values) {
		w.hw.add(w.fitter, id, values)
	}
	dst = append(p.appendRow(dst, w.fitter, id, values), '\t')
	if mac := w.macs.Number(i); mac > 0 {
		dst = strconv.AppendUint(dst, mac, 10)
	} else {
		dst = append(dst, `\N`...)
	}
	return append(dst, '\n')
}

// send stores the rows of a part.
func (w *relational) send(ctx context.Context, p *part) error {
	if len(p.rows) == 0 {
		return nil
	}
	_, err := w.pg.CopyFrom(ctx, bytes.NewReader(p.rows), p.copySQL(p.id))
	if err != nil {
		p.rows = nil // the driver may still be reading them
	}
	return err
}
