package mysql

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/go-sql-driver/mysql"

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
	macs   macs
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
	w.macs = newMACs(w.conn, w.relations["mac"])
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

func (w *relational) done(committed bool) { w.macs.done(committed) }

// write stores a block, as many packets at a time as a statement has room for.
func (w *relational) write(ctx context.Context, blk *queue.Block) error {
	if err := w.lookUp(ctx, blk); err != nil {
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

// lookUp finds the numbers of the hardware addresses. Those that are known are
// looked up again if somebody has removed one meanwhile.
func (w *relational) lookUp(ctx context.Context, blk *queue.Block) error {
	if err := w.want(blk); err != nil {
		return err
	}
	there, err := w.macs.hold(ctx)
	if err != nil {
		return err
	}
	if !there {
		clear(w.macs.known)
		if err := w.want(blk); err != nil {
			return err
		}
	}
	return w.macs.resolve(ctx)
}

// want notes the hardware addresses of all packets.
func (w *relational) want(blk *queue.Block) error {
	w.macs.begin()
	w.used = append(w.used[:0], make([]bool, w.width)...)
	for i := range blk.Rows() {
		values, err := w.decode(blk, i, w.width)
		if err != nil {
			return err
		}
		sqldb.MarkUsed(w.used, values)
		w.macs.want(w.fitter, w.parts, values)
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
		return append(w.packet.appendRow(dst, w.fitter, values, w.macs.id(from+i)), '\n'), nil
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
		w.packet.add(w.fitter, values, w.macs.id(i))
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

// macs is the numbers of the rows of table mac. It remembers them, so that few
// packets need a look there.
type macs struct {
	*conn
	columns [3]*sqldb.Column
	known   map[string]uint64 // by the row as statements have it
	missing map[string]int    // place in keys, of the transaction that is open
	keys    []string
	found   []uint64        // the numbers of keys
	used    map[uint64]bool // numbers that were known, of the transaction that is open
	packets []macRef
	buf     []byte
}

// macRef is the addresses of a packet: their number if it is known, else their
// place in keys, or -1 if it has none.
type macRef struct {
	id  uint64
	key int
}

// macRoom is how many addresses are remembered.
const macRoom = 1 << 16

func newMACs(c *conn, r relation) macs {
	m := macs{conn: c, known: map[string]uint64{}, missing: map[string]int{}, used: map[uint64]bool{}}
	for i, name := range [3]string{"mac_saddr", "mac_daddr", "mac_protocol"} {
		m.columns[i] = r.column(name)
	}
	return m
}

func (m *macs) begin() {
	m.packets, m.keys, m.found = m.packets[:0], m.keys[:0], m.found[:0]
	clear(m.missing)
	clear(m.used)
}

// want notes the addresses of the next packet.
func (m *macs) want(f *sqldb.Fitter, parts *sqldb.Relational, values []row.Value) {
	m.buf = m.buf[:0]
	if parts.Ethernet(values) {
		m.buf = m.key(f, parts, values)
	}
	if len(m.buf) == 0 {
		m.packets = append(m.packets, macRef{key: -1})
		return
	}
	if id, ok := m.known[string(m.buf)]; ok {
		m.used[id] = true
		m.packets = append(m.packets, macRef{id, -1})
		return
	}
	at, ok := m.missing[string(m.buf)]
	if !ok {
		at = len(m.keys)
		m.keys = append(m.keys, string(m.buf))
		m.missing[m.keys[at]] = at
	}
	m.packets = append(m.packets, macRef{key: at})
}

// key is the three values as a row of a statement; it is empty if there is no
// source, which the table needs.
func (m *macs) key(f *sqldb.Fitter, parts *sqldb.Relational, values []row.Value) []byte {
	dst := m.buf
	for i, c := range m.columns {
		v := row.Value{}
		if at := parts.MAC[i]; at >= 0 && c != nil {
			v = f.Fit(c, values[at])
		}
		if i == 0 && v.Kind == row.Null {
			return nil
		}
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendLiteral(dst, v)
	}
	return dst
}

// id is the number of packet i's addresses, 0 if it has none.
func (m *macs) id(i int) uint64 {
	p := m.packets[i]
	if p.key >= 0 {
		return m.found[p.key]
	}
	return p.id
}

// hold keeps others from removing the rows that were known until the end of the
// transaction, since nothing else does in the tables that ulogd ships. It tells
// whether all are still there.
func (m *macs) hold(ctx context.Context) (there bool, err error) {
	if len(m.used) == 0 {
		return true, nil
	}
	list := slices.AppendSeq([]uint64(nil), maps.Keys(m.used))
	slices.Sort(list)
	sql := []byte("select _mac_id from mac where _mac_id in (")
	for i, id := range list {
		if i > 0 {
			sql = append(sql, ',')
		}
		sql = strconv.AppendUint(sql, id, 10)
	}
	rows, err := m.query(ctx, string(sql)+") lock in share mode")
	return len(rows) == len(m.used), err
}

// resolve looks missing addresses up, and makes rows for those that are new.
// Others may make the same rows at the same time.
func (m *macs) resolve(ctx context.Context) error {
	m.found = append(m.found, make([]uint64, len(m.keys))...)
	for i, key := range m.keys {
		id, err := m.find(ctx, key)
		if err == nil && id == 0 {
			id, err = m.make(ctx, key)
		}
		if err != nil {
			return err
		}
		m.found[i] = id
	}
	return nil
}

// find is the number of a row, or 0. It sees what others have committed by now.
func (m *macs) find(ctx context.Context, key string) (uint64, error) {
	rows, err := m.query(ctx, "select min(_mac_id) from (select "+aliased(key)+") w join mac m on m.mac_saddr = w.s and m.mac_daddr <=> w.d and m.mac_protocol <=> w.p lock in share mode")
	if err != nil || len(rows) == 0 || rows[0][0] == "" {
		return 0, err
	}
	return strconv.ParseUint(rows[0][0], 10, 64)
}

// make makes a row, unless somebody else was faster.
func (m *macs) make(ctx context.Context, key string) (uint64, error) {
	_, err := m.exec(ctx, "insert into mac (mac_saddr, mac_daddr, mac_protocol) values ("+key+")")
	var my *mysql.MySQLError
	if err != nil && !(errors.As(err, &my) && my.Number == 1062) {
		return 0, err
	}
	return m.find(ctx, key)
}

// done remembers what was found, if it is there to stay.
func (m *macs) done(committed bool) {
	if !committed {
		clear(m.known) // somebody may have removed rows
		return
	}
	if len(m.known)+len(m.keys) > macRoom {
		clear(m.known)
	}
	for i, key := range m.keys {
		m.known[key] = m.found[i]
	}
}

// aliased is a key with names for its three values, in which there is no comma.
func aliased(key string) string {
	f := strings.SplitN(key, ",", 3)
	return f[0] + " as s, " + f[1] + " as d, " + f[2] + " as p"
}
