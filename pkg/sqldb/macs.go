package sqldb

import (
	"context"
	"maps"
	"slices"

	"github.com/ulogd-go/ulogd/pkg/row"
)

// MACTable is the table mac of the relational schema, within the transaction that is
// open.
type MACTable interface {
	// Hold tells whether the rows of these numbers, in ascending order, are all there,
	// and keeps others from removing them until the end of the transaction.
	Hold(ctx context.Context, numbers []uint64) (there bool, err error)
	// Resolve sets the numbers of the rows that are spelt by keys, and makes those
	// that are not there. Others may make the same rows at the same time.
	Resolve(ctx context.Context, keys []string, numbers []uint64) error
	// AppendKey appends the spelling of a row: its source, destination and protocol.
	AppendKey(dst []byte, values [3]row.Value) []byte
}

// MACs is the numbers of the rows of table mac that the packets of a block refer to. It
// remembers them, so that few packets need a look there. It is for one goroutine.
type MACs struct {
	table   MACTable
	columns [3]*Column // nil for one that the table does not have

	known   map[string]uint64 // by the key of the row
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
	number uint64
	key    int
}

// macRoom is how many addresses are remembered.
const macRoom = 1 << 16

// NewMACs is for a table, and its column of a name, or nil.
func NewMACs(t MACTable, column func(name string) *Column) *MACs {
	m := &MACs{table: t, known: map[string]uint64{}, missing: map[string]int{}, used: map[uint64]bool{}}
	for i, name := range [3]string{"mac_saddr", "mac_daddr", "mac_protocol"} {
		m.columns[i] = column(name)
	}
	return m
}

// LookUp finds the numbers of all packets of a block, which want goes through: it calls
// Want for each in order. Those that are known are looked up again if somebody has
// removed one meanwhile.
func (m *MACs) LookUp(ctx context.Context, want func() error) error {
	m.begin()
	if err := want(); err != nil {
		return err
	}
	there, err := m.hold(ctx)
	if err != nil {
		return err
	}
	if !there {
		m.Forget()
		m.begin()
		if err := want(); err != nil {
			return err
		}
	}
	m.found = append(m.found[:0], make([]uint64, len(m.keys))...)
	return m.table.Resolve(ctx, m.keys, m.found)
}

func (m *MACs) begin() {
	m.packets, m.keys = m.packets[:0], m.keys[:0]
	clear(m.missing)
	clear(m.used)
}

func (m *MACs) hold(ctx context.Context) (there bool, err error) {
	if len(m.used) == 0 {
		return true, nil
	}
	return m.table.Hold(ctx, slices.Sorted(maps.Keys(m.used)))
}

// Want notes the addresses of the next packet.
func (m *MACs) Want(f *Fitter, parts *Relational, values []row.Value) {
	if !parts.Ethernet(values) || !m.spell(f, parts, values) {
		m.packets = append(m.packets, macRef{key: -1})
		return
	}
	if n, ok := m.known[string(m.buf)]; ok {
		m.used[n] = true
		m.packets = append(m.packets, macRef{n, -1})
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

// spell makes the packet's key. It is false if there is no source, which the table needs.
func (m *MACs) spell(f *Fitter, parts *Relational, values []row.Value) bool {
	var fit [3]row.Value
	for i, c := range m.columns {
		if at := parts.MAC[i]; at >= 0 && c != nil {
			fit[i] = f.Fit(c, values[at])
		}
	}
	m.buf = m.table.AppendKey(m.buf[:0], fit)
	return fit[0].Kind != row.Null
}

// Number is that of packet i's addresses, 0 if it has none.
func (m *MACs) Number(i int) uint64 {
	p := m.packets[i]
	if p.key < 0 {
		return p.number
	}
	return m.found[p.key]
}

// Done remembers what was found, if it is there to stay. After a failure somebody may have
// removed rows.
func (m *MACs) Done(committed bool) {
	if !committed || len(m.known)+len(m.keys) > macRoom {
		clear(m.known)
	}
	if !committed {
		return
	}
	for i, key := range m.keys {
		m.known[key] = m.found[i]
	}
}

// Forget forgets everything, and tells whether there was anything.
func (m *MACs) Forget() bool {
	had := len(m.known) > 0
	clear(m.known)
	return had
}
