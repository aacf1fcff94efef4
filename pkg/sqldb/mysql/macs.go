package mysql

import (
	"context"
	"errors"
	"strconv"
	"strings"

	"github.com/go-sql-driver/mysql"

	"github.com/ulogd-go/ulogd/pkg/row"
)

// macTable is table mac as a sqldb.MACTable.
type macTable struct{ *conn }

// Hold locks the rows, since nothing else keeps them in the tables that ulogd ships.
func (m *macTable) Hold(ctx context.Context, numbers []uint64) (there bool, err error) {
	sql := []byte("select _mac_id from mac where _mac_id in (")
	for i, n := range numbers {
		if i > 0 {
			sql = append(sql, ',')
		}
		sql = strconv.AppendUint(sql, n, 10)
	}
	rows, err := m.query(ctx, string(sql)+") lock in share mode")
	return len(rows) == len(numbers), err
}

// AppendKey spells a row as statements do, with commas between.
func (m *macTable) AppendKey(dst []byte, values [3]row.Value) []byte {
	for i, v := range values {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendLiteral(dst, v)
	}
	return dst
}

// Resolve is as sqldb.MACTable has it.
func (m *macTable) Resolve(ctx context.Context, keys []string, numbers []uint64) error {
	for i, key := range keys {
		n, err := m.find(ctx, key)
		if err == nil && n == 0 {
			n, err = m.make(ctx, key)
		}
		if err != nil {
			return err
		}
		numbers[i] = n
	}
	return nil
}

// find is the number of a row, or 0. It sees what others have committed by now.
func (m *macTable) find(ctx context.Context, key string) (uint64, error) {
	rows, err := m.query(ctx, "select min(_mac_id) from (select "+aliased(key)+") w join mac m on m.mac_saddr = w.s and m.mac_daddr <=> w.d and m.mac_protocol <=> w.p lock in share mode")
	if err != nil || len(rows) == 0 || rows[0][0] == "" {
		return 0, err
	}
	return strconv.ParseUint(rows[0][0], 10, 64)
}

// make makes a row, unless somebody else was faster.
func (m *macTable) make(ctx context.Context, key string) (uint64, error) {
	_, err := m.exec(ctx, "insert into mac (mac_saddr, mac_daddr, mac_protocol) values ("+key+")")
	var my *mysql.MySQLError
	if err != nil && !(errors.As(err, &my) && my.Number == 1062) {
		return 0, err
	}
	return m.find(ctx, key)
}

// aliased is a key with names for its three values, in which there is no comma.
func aliased(key string) string {
	f := strings.SplitN(key, ",", 3)
	return f[0] + " as s, " + f[1] + " as d, " + f[2] + " as p"
}
