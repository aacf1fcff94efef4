package mysql

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/ulogd-go/ulogd/pkg/queue"
	"github.com/ulogd-go/ulogd/pkg/row"
	"github.com/ulogd-go/ulogd/pkg/sqldb"
)

// relational stores packets in the base tables of the relational schema: the rows
// that INSERT_PACKET_FULL would make, by INSERT statements of many rows.
type relational struct {
	*conn
	relations map[string]relation

	parts  *sqldb.Relational
	width  int
	used   []bool // columns that a row of the block has a value for
	all    target // columns of ulog2
	packet part   // those of them that the block needs
	hw     part
	kids   []part // as parts.Children
	macs   *sqldb.MACs
}

// part is a base table with the statement for the rows of it, or with the rows to
// load.
type part struct {
	target
	table  string
	number string // the column of a number, which comes last
	load   bool
	rows   int
	buf    []byte
}

// all are the columns, that of the number among them.
func (p *part) all() []string { return append(p.Names[:len(p.Names):len(p.Names)], p.number) }

// baseTables are those of the relational schema.
var baseTables = []string{"ulog2", "mac", "hwhdr", "tcp", "udp", "sctp", "icmp", "icmpv6"}

// discover describes the base tables.
func (w *relational) discover(ctx context.Context) error {
	w.relations = map[string]relation{}
	for _, name := range baseTables {
		r, err := w.relation(ctx, name)
		if err != nil {
			return err
		}
		if len(r.columns) == 0 {
			return fmt.Errorf("database %s has the function %s, but no table %s for it; make the schema anew", w.config.DB, w.config.Procedure, name)
		}
		w.relations[name] = r
	}
	w.macs = sqldb.NewMACs(&macTable{w.conn}, w.relations["mac"].column)
	return nil
}

func (w *relational) plan(columns []string) error {
	w.parts = sqldb.NewRelational(columns, w.offers)
	w.width = len(columns)
	w.packet = w.part(&w.parts.Packet, "mac_id")
	w.all = w.packet.target
	w.hw = w.part(&w.parts.Hardware, w.parts.Hardware.ID)
	w.kids = w.kids[:0]
	for i := range w.parts.Children {
		w.kids = append(w.kids, w.part(&w.parts.Children[i], w.parts.Children[i].ID))
	}
	return nil
}

// part finds the columns of a base table. One that is a number comes last.
func (w *relational) part(p *sqldb.Part, number string) part {
	out := part{table: p.Table, number: number}
	for i, name := range p.Columns {
		out.Take(name, w.relations[p.Table].column(name), p.Sources[i])
	}
	return out
}

// begin empties the part.
func (p *part) begin(load bool) { p.buf, p.rows, p.load = p.buf[:0], 0, load }

// appendRow appends a row's values with the number behind them, 0 for NULL.
func (p *part) appendRow(dst []byte, f *sqldb.Fitter, values []row.Value, number uint64) []byte {
	separator, null := byte(','), "NULL"
	if p.load {
		separator, null = '\t', `\N`
		dst = p.appendLoads(dst, f, values)
	} else {
		dst = p.appendLiterals(dst, f, values)
	}
	if len(p.Columns) > 0 {
		dst = append(dst, separator)
	}
	if number == 0 {
		return append(dst, null...)
	}
	return strconv.AppendUint(dst, number, 10)
}

// add keeps a row until the part is sent.
func (p *part) add(f *sqldb.Fitter, values []row.Value, number uint64) {
	begin, end := ",(", byte(')')
	switch {
	case p.load:
		begin, end = "", '\n'
	case p.rows == 0:
		begin = "insert into " + quoteName(p.table) + " (" + quoteNames(p.all()) + ") values ("
	}
	p.buf = append(p.appendRow(append(p.buf, begin...), f, values, number), end)
	p.rows++
}

func (w *relational) done(committed bool) { w.macs.Done(committed) }

// write stores a block, as many packets at a time as a statement has room for.
func (w *relational) write(ctx context.Context, blk *queue.Block) error {
	if err := w.macs.LookUp(ctx, func() error { return w.want(blk) }); err != nil {
		return err
	}
	w.packet.target = target{w.all.Narrow(w.used)}
	for from := 0; from < blk.Rows(); {
		n, err := w.packets(ctx, blk, from)
		if err != nil {
			return err
		}
		from += n
	}
	return nil
}

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

// packets stores packets from number from of the block on, and what belongs to
// them. The server numbers the rows of one statement in their order.
func (w *relational) packets(ctx context.Context, blk *queue.Block, from int) (n int, err error) {
	var first uint64
	if w.loads() {
		n = blk.Rows() - from
		first, err = w.loadPackets(ctx, blk, from, n)
	} else {
		n, first, err = w.insertPackets(ctx, blk, from)
	}
	if err != nil {
		return 0, err
	}
	return n, w.children(ctx, blk, from, n, first)
}

// loads tells whether packets can be loaded, and are numbered one after the other. In a
// table with partitions those of other writers come between.
func (w *relational) loads() bool {
	r := w.relations["ulog2"]
	return w.ordered && !r.parted && w.loadable(r)
}

// loadPackets stores n packets. The result is the number of the first one.
func (w *relational) loadPackets(ctx context.Context, blk *queue.Block, from, n int) (first uint64, err error) {
	w.packet.begin(true)
	err = w.loadStream(ctx, w.packet.table, w.packet.all(), n, func(dst []byte, i int) ([]byte, error) {
		values, err := w.decode(blk, from+i, w.width)
		if err != nil {
			return dst, err
		}
		return append(w.packet.appendRow(dst, w.fitter, values, w.macs.Number(from+i)), '\n'), nil
	})
	if err != nil {
		return 0, err
	}
	rows, err := w.query(ctx, "select last_insert_id()")
	if err != nil {
		return 0, err
	}
	return strconv.ParseUint(rows[0][0], 10, 64)
}

// insertPackets stores as many packets as a statement has room for.
func (w *relational) insertPackets(ctx context.Context, blk *queue.Block, from int) (n int, first uint64, err error) {
	w.packet.begin(false)
	for i := from; i < blk.Rows() && len(w.packet.buf) < w.conn.packet; i++ {
		values, err := w.decode(blk, i, w.width)
		if err != nil {
			return 0, 0, err
		}
		w.packet.add(w.fitter, values, w.macs.Number(i))
	}
	result, err := w.exec(ctx, string(w.packet.buf))
	if err != nil {
		return 0, 0, err
	}
	id, err := result.LastInsertId()
	return w.packet.rows, uint64(id), err
}

// children stores what belongs to n packets, of which the first has that number.
func (w *relational) children(ctx context.Context, blk *queue.Block, from, n int, first uint64) error {
	if first == 0 {
		return errors.New("table ulog2: the server numbers no rows; make _id an auto_increment column")
	}
	w.hw.begin(w.loadable(w.relations["hwhdr"]))
	for i := range w.kids {
		w.kids[i].begin(w.loadable(w.relations[w.kids[i].table]))
	}
	for i := range n {
		values, err := w.decode(blk, from+i, w.width)
		if err != nil {
			return err
		}
		id := first + uint64(i)*w.increment
		if kid := w.parts.Child(values); kid >= 0 {
			w.kids[kid].add(w.fitter, values, id)
		}
		if w.parts.HasHardware(values) {
			w.hw.add(w.fitter, values, id)
		}
	}
	for i := range w.kids {
		if err := w.send(ctx, &w.kids[i]); err != nil {
			return err
		}
	}
	return w.send(ctx, &w.hw)
}

// send stores the rows of a part.
func (w *relational) send(ctx context.Context, p *part) error {
	switch {
	case p.rows == 0:
		return nil
	case p.load:
		return w.load(ctx, p.table, p.all(), p.rows, bytes.NewReader(p.buf))
	}
	_, err := w.exec(ctx, string(p.buf))
	return err
}
