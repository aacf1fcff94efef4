package postgres

import (
	"context"
	"strconv"
	"strings"

	"github.com/ulogd-go/ulogd/pkg/row"
)

// macTable is table mac as a sqldb.MACTable.
type macTable struct {
	*conn
	relation relation
	lock     string // what keeps rows that were read, if that is allowed
}

// discover finds out whether rows may be locked, for which reading and adding some is
// not enough.
func (m *macTable) discover(ctx context.Context) error {
	rows, err := m.query(ctx, "select has_table_privilege($1, 'update')", m.relation.full())
	if err == nil && rows[0][0] == "t" {
		m.lock = " for key share"
	}
	return err
}

// Hold locks the rows, since not every table has a foreign key for that.
func (m *macTable) Hold(ctx context.Context, numbers []uint64) (there bool, err error) {
	list := []byte{'{'}
	for _, n := range numbers {
		list = append(strconv.AppendUint(list, n, 10), ',')
	}
	list[len(list)-1] = '}'
	rows, err := m.query(ctx, "select _mac_id from "+m.relation.full()+" where _mac_id = any ($1::bigint[]) order by 1"+m.lock, string(list))
	return len(rows) == len(numbers), err
}

// AppendKey spells a row as COPY does, with blanks between.
func (m *macTable) AppendKey(dst []byte, values [3]row.Value) []byte {
	for i, v := range values {
		if i > 0 {
			dst = append(dst, ' ')
		}
		dst = appendCopy(dst, v)
	}
	return dst
}

// chunk is how many addresses are looked up in one statement.
const chunk = 1000

// Resolve is as sqldb.MACTable has it.
func (m *macTable) Resolve(ctx context.Context, keys []string, numbers []uint64) error {
	for from := 0; from < len(keys); from += chunk {
		to := min(from+chunk, len(keys))
		if err := m.resolve(ctx, keys[from:to], numbers[from:to]); err != nil {
			return err
		}
	}
	return nil
}

func (m *macTable) resolve(ctx context.Context, keys []string, found []uint64) error {
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
