package sqldb

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/ulogd-go/ulogd/pkg/queue"
	"github.com/ulogd-go/ulogd/pkg/row"
)

// TestNarrow: what no row has a value for is not named, if the server makes it NULL.
func TestNarrow(t *testing.T) {
	var full Target
	for i, c := range []*Column{{Name: "a", Empty: true}, nil, {Name: "c"}, {Name: "d", Empty: true}, {Name: "e", Empty: true}} {
		if c != nil && !full.Take(c.Name, c, i) || c == nil && full.Take("b", nil, i) {
			t.Fatalf("Take of column %d", i)
		}
	}
	var d Decoder
	for _, tt := range []struct {
		name  string
		rows  [][]bool // which columns have a value
		names string
	}{
		{"one row", [][]bool{{true, true, true, false, false}}, "[a c]"},
		{"two rows", [][]bool{{false, false, false, false, true}, {false, true, false, true, false}}, "[c d e]"},
		{"only what has a default", [][]bool{{false, false, false, false, false}}, "[c]"},
	} {
		blk := &queue.Block{}
		for _, r := range tt.rows {
			for _, has := range r {
				if has {
					blk.Data = row.AppendNum(blk.Data, row.Uint, 7)
				} else {
					blk.Data = row.AppendNulls(blk.Data, 1)
				}
			}
			blk.End()
		}
		used, err := d.Used(blk, 5)
		if err != nil {
			t.Fatal(err)
		}
		n := full.Narrow(used)
		if got := fmt.Sprint(n.Names); got != tt.names || len(n.Columns) != len(n.Names) || n.Columns[0].Name != n.Names[0] || !slices.Contains(full.Sources, n.Sources[0]) {
			t.Errorf("%s: %s %+v, want %s", tt.name, got, n, tt.names)
		}
	}
	full = Target{}
	full.Take("a", &Column{Empty: true}, 0)
	full.Take("b", &Column{Empty: true}, 1)
	if n := full.Narrow([]bool{false, false}); fmt.Sprint(n.Names) != "[b]" {
		t.Errorf("nothing has a value: columns %q, want one", n.Names)
	}
	blk := &queue.Block{Data: row.AppendNulls(nil, 3)}
	blk.End()
	if _, err := d.Used(blk, 4); !errors.Is(err, row.ErrMalformed) {
		t.Errorf("a row of 3 values for 4 columns: %v, want row.ErrMalformed", err)
	}
}
