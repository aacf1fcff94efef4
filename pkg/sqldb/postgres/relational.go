package postgres

import (
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
	packet part
	hw     part
	kids   []part // as parts.Children
	macs   macs
	ids    []uint64
}

// part is a base table with the rows for it.
type part struct {
	target
	id  string
	buf []byte
}

// discover describes the base tables, which are where the view is.
func (w *relational) discover(ctx context.Context) error {
	w.relations = map[string]relation{}
	for _, name := range []string{"ulog2", "mac", "hwhdr", "tcp", "udp", "sctp", "icmp", "icmpv6"} {
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
	w.macs = newMACs(w.conn, w.relations["mac"])
	return nil
}

func (w *relational) plan(columns []string) error {
	w.parts = sqldb.NewRelational(columns)
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
		if c := r.column(name); c != nil {
			out.names = append(out.names, name)
			out.columns = append(out.columns, c)
			out.sources = append(out.sources, p.Sources[i])
		}
	}
	return out
}

// add appends a row with the packet's number.
func (p *part) add(f *sqldb.Fitter, id uint64, values []row.Value) {
	p.buf = strconv.AppendUint(p.buf, id, 10)
	if len(p.columns) > 0 {
		p.buf = append(p.buf, '\t')
	}
	p.buf = p.appendCopy(p.buf, f, values)
}

func (w *relational) done(committed bool) { w.macs.done(committed) }

// write stores a block. A hardware address that somebody has removed meanwhile is
// looked up again, once.
func (w *relational) write(ctx context.Context, blk *queue.Block) error {
	err := w.try(ctx, blk)
	if e, ok := err.(*pgconn.PgError); ok && e.Code == "23503" && w.macs.drop() {
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
	if err := w.lookUp(ctx, blk); err != nil {
		return err
	}
	if err := w.encode(blk); err != nil {
		return err
	}
	if err := w.send(ctx, &w.packet, "_id", "mac_id"); err != nil {
		return err
	}
	for i := range w.kids {
		if err := w.send(ctx, &w.kids[i], w.kids[i].id); err != nil {
			return err
		}
	}
	return w.send(ctx, &w.hw, w.hw.id)
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

// lookUp finds the numbers of the hardware addresses.
func (w *relational) lookUp(ctx context.Context, blk *queue.Block) error {
	w.macs.begin()
	for i := range blk.Rows() {
		values, err := w.decode(blk, i, w.width)
		if err != nil {
			return err
		}
		w.macs.want(w.fitter, w.parts, values)
	}
	return w.macs.resolve(ctx)
}

// encode makes the rows of all tables.
func (w *relational) encode(blk *queue.Block) error {
	w.packet.buf, w.hw.buf = w.packet.buf[:0], w.hw.buf[:0]
	for i := range w.kids {
		w.kids[i].buf = w.kids[i].buf[:0]
	}
	for i := range blk.Rows() {
		values, err := w.decode(blk, i, w.width)
		if err != nil {
			return err
		}
		w.packetRow(i, values)
	}
	return nil
}

func (w *relational) packetRow(i int, values []row.Value) {
	w.packet.add(w.fitter, w.ids[i], values)
	w.packet.buf = append(w.packet.buf, '\t')
	if id := w.macs.id(i); id > 0 {
		w.packet.buf = strconv.AppendUint(w.packet.buf, id, 10)
	} else {
		w.packet.buf = append(w.packet.buf, `\N`...)
	}
	w.packet.buf = append(w.packet.buf, '\n')
	if kid := w.parts.Child(values); kid >= 0 {
		w.kids[kid].add(w.fitter, w.ids[i], values)
		w.kids[kid].buf = append(w.kids[kid].buf, '\n')
	}
	if w.parts.HasHardware(values) {
		w.hw.add(w.fitter, w.ids[i], values)
		w.hw.buf = append(w.hw.buf, '\n')
	}
}

// send copies a part's rows: the number comes first, more than the part's own
// columns last.
func (w *relational) send(ctx context.Context, p *part, id string, more ...string) error {
	names := append(append([]string{id}, p.names...), more...)
	return w.copyFrom(ctx, p.buf, "copy "+p.table+" ("+quoteNames(names)+") from stdin")
}
