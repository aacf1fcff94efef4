package sqldb

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/ulogd-go/ulogd/pkg/row"
	"github.com/ulogd-go/ulogd/pkg/stats"
)

// table is a MACTable that numbers rows from 1 on.
type table struct {
	rows    map[string]uint64
	looked  int // how many keys were looked up
	removed bool
}

func (t *table) Hold(context.Context, []uint64) (bool, error) { return !t.removed, nil }

func (t *table) Resolve(_ context.Context, keys []string, numbers []uint64) error {
	t.looked += len(keys)
	for i, key := range keys {
		if t.rows[key] == 0 {
			t.rows[key] = uint64(len(t.rows) + 1)
		}
		numbers[i] = t.rows[key]
	}
	return nil
}

func (t *table) AppendKey(dst []byte, values [3]row.Value) []byte {
	for _, v := range values {
		dst = append(append(dst, v.Bytes...), ' ')
	}
	return dst
}

// TestMACs has blocks of packets by their source addresses, and says which numbers they
// get and how many of them had to be looked up.
func TestMACs(t *testing.T) {
	mac := &table{rows: map[string]uint64{}}
	m := NewMACs(mac, func(string) *Column { return &Column{Class: Chars, Max: 20} })
	f := NewFitter(NewNotes(slog.New(slog.DiscardHandler), new(stats.Set)))
	parts := NewRelational([]string{"raw_type", "mac_saddr_str"}, func(string) bool { return true })
	for i, tt := range []struct {
		sources string // "-" for none, "." for no Ethernet
		commit  bool
		removed bool
		want    string
		looked  int
	}{
		{"a b a - .", true, false, "1 2 1 0 0", 2},
		{"b c", true, false, "2 3", 1},
		{"d a", false, false, "4 1", 1},
		{"d a", true, false, "4 1", 2}, // what was known before the failure may be gone
		{"a d", true, true, "1 4", 2},
		{"", true, true, "", 0},
	} {
		mac.looked, mac.removed = 0, tt.removed
		packets := strings.Fields(tt.sources)
		err := m.LookUp(t.Context(), func() error {
			for _, p := range packets {
				values := []row.Value{{Kind: row.Uint, Num: 1}, {Kind: row.Text, Bytes: []byte(p)}}
				switch p {
				case "-":
					values[1] = row.Value{}
				case ".":
					values[0].Num = 772
				}
				m.Want(f, parts, values)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for i := range packets {
			got = append(got, fmt.Sprint(m.Number(i)))
		}
		if !slices.Equal(got, strings.Fields(tt.want)) || mac.looked != tt.looked {
			t.Errorf("block %d: numbers %v, %d looked up; want %s, %d", i, got, mac.looked, tt.want, tt.looked)
		}
		m.Done(tt.commit)
	}
}
