package sqldb

import (
	"fmt"
	"log/slog"

	"github.com/ulogd-go/ulogd/pkg/stats"
)

// Note is what was done to a value that its column can't hold.
type Note uint8

// The notes.
const (
	Cut      Note = iota // a text was too long
	Replaced             // a text had bytes or characters that the column can't hold
	Range                // a number was too large
	Wrapped              // a number was stored in two's complement
	Unfit                // the column is for something else
	notes
)

// counters of the notes, with what a warning says of them.
var noteTexts = [notes]struct{ counter, doc, text string }{
	Cut:      {"values_cut", "values that were cut because they were longer than their column", "longer than the column, cut"},
	Replaced: {"values_replaced", "texts with bytes or characters that their column can't hold, which were replaced", "has bytes or characters that the column can't hold, replaced"},
	Range:    {"values_out_of_range", "numbers that were too large for their column", "out of the column's range, stored as its largest number or as NULL"},
	Wrapped:  {"values_wrapped", "unsigned numbers that were stored as negative ones, in two's complement", "out of the column's range, stored as a negative number (add 2^16 or 2^32)"},
	Unfit:    {"values_unfit", "values that were stored as NULL because their column is for something else", "no value for a column of that type, stored as NULL"},
}

// Notes counts what was done to values, and warns once for each column and
// reason. It is for one goroutine.
type Notes struct {
	log      *slog.Logger
	counters [notes]*stats.Counter
	warned   map[string]bool // by the warning; a handful
}

// NewNotes makes the counters.
func NewNotes(log *slog.Logger, s *stats.Set) *Notes {
	n := &Notes{log: log, warned: map[string]bool{}}
	for i, t := range noteTexts {
		n.counters[i] = s.Counter(t.counter, t.doc)
	}
	return n
}

func (n *Notes) add(c *Column, note Note) {
	n.counters[note].Add(1)
	text := fmt.Sprintf("column %s: %s", c.Name, noteTexts[note].text)
	if !n.warned[text] {
		n.warned[text] = true
		n.log.Warn(text + "; further ones are only counted")
	}
}
