package postgres

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/ulogd-go/ulogd/pkg/row"
	"github.com/ulogd-go/ulogd/pkg/sqldb"
)

// macs is the numbers of the rows of table mac. It remembers them, so that few
// packets need a look there.
type macs struct {
	*conn
	relation relation
	columns  [3]*sqldb.Column
	known    map[string]uint64 // by the row as COPY has it
	missing  map[string]int    // place in keys, of the transaction that is open
	keys     []string
	found    []uint64        // the numbers of keys
	used     map[uint64]bool // numbers that were known, of the transaction that is open
	lock     string          // what keeps rows that were read, if that is allowed
	packets  []macRef
	buf      []byte
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
	m := macs{conn: c, relation: r, known: map[string]uint64{}, missing: map[string]int{}, used: map[uint64]bool{}}
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

// discover finds out whether rows may be locked, for which reading and adding some is
// not enough.
func (m *macs) discover(ctx context.Context) error {
	rows, err := m.query(ctx, "select has_table_privilege($1, 'update')", m.relation.full())
	if err == nil && rows[0][0] == "t" {
		m.lock = " for key share"
	}
	return err
}

// hold tells whether the rows that were known are still there, and keeps others from
// removing them, since not every table has a foreign key for that.
func (m *macs) hold(ctx context.Context) (there bool, err error) {
	if len(m.used) == 0 {
		return true, nil
	}
	list := []byte{'{'}
	for _, id := range slices.Sorted(maps.Keys(m.used)) {
		list = append(strconv.AppendUint(list, id, 10), ',')
	}
	list[len(list)-1] = '}'
	rows, err := m.query(ctx, "select _mac_id from "+m.relation.full()+" where _mac_id = any ($1::bigint[]) order by 1"+m.lock, string(list))
	return len(rows) == len(m.used), err
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

// key is the three values; it is empty if there is no source, which the table
// needs.
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
			dst = append(dst, ' ')
		}
		dst = appendCopy(dst, v)
	}
	return dst
}

// id is the number of packet i's addresses, 0 if it has none.
func (m *macs) id(i int) uint64 {
	p := m.packets[i]
	if p.key < 0 {
		return p.id
	}
	return m.found[p.key]
}

// chunk is how many addresses are looked up in one statement.
const chunk = 1000

// resolve looks missing addresses up, and makes rows for those that are new.
// Others may make the same rows at the same time.
func (m *macs) resolve(ctx context.Context) error {
	m.found = append(m.found, make([]uint64, len(m.keys))...)
	for from := 0; from < len(m.keys); from += chunk {
		to := min(from+chunk, len(m.keys))
		if err := m.resolveSome(ctx, m.keys[from:to], m.found[from:to]); err != nil {
			return err
		}
	}
	return nil
}

func (m *macs) resolveSome(ctx context.Context, keys []string, found []uint64) error {
	list := values(keys)
	table := m.relation.full()
	same := "m.mac_saddr = w.s and m.mac_daddr is not distinct from w.d and m.mac_protocol is not distinct from w.p"
	err := m.exec(ctx, "insert into "+table+" (mac_saddr, mac_daddr, mac_protocol) select w.s, w.d, w.p from (values "+list+") as w(s, d, p, n) "+
		"where not exists (select 1 from "+table+" m where "+same+") order by w.n on conflict do nothing")
	if err != nil {
		return err
	}
	rows, err := m.query(ctx, "select w.n, min(m._mac_id) from (values "+list+") as w(s, d, p, n) join "+table+" m on "+same+" group by w.n")
	if err != nil {
		return err
	}
	for _, r := range rows {
		n, err := strconv.Atoi(r[0])
		if err != nil {
			return err
		}
		if found[n], err = strconv.ParseUint(r[1], 10, 64); err != nil {
			return err
		}
	}
	return nil
}

// values are rows of an SQL list, each with its number last.
func values(keys []string) string {
	var b strings.Builder
	for i, key := range keys {
		if i > 0 {
			b.WriteByte(',')
		}
		f := strings.Split(key, " ")
		b.WriteString("(" + literal(f[0]) + "::macaddr," + literal(f[1]) + "::macaddr," + literal(f[2]) + "::bigint," + strconv.Itoa(i) + ")")
	}
	return b.String()
}

// literal is a field of COPY as statements take it. It is a hardware address or a
// number, so there is nothing to escape.
func literal(field string) string {
	if field == `\N` {
		return "null"
	}
	return "'" + field + "'"
}

// done remembers what was found, if it is there to stay.
func (m *macs) done(committed bool) {
	if !committed {
		return
	}
	if len(m.known)+len(m.keys) > macRoom {
		clear(m.known)
	}
	for i, key := range m.keys {
		m.known[key] = m.found[i]
	}
}

// drop forgets everything, and tells whether there was anything.
func (m *macs) drop() bool {
	had := len(m.known) > 0
	clear(m.known)
	return had
}
