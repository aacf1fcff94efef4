package sqldb

import (
	"slices"

	"github.com/ulogd-go/ulogd/pkg/row"
)

// Arguments are what a routine is called with for each row. They are for one goroutine.
type Arguments struct {
	columns []Column // what the values have to fit
	sources []int    // which value of a row each takes, or -1 for NULL
}

// NewArguments are the values of these columns of a table, in order, for rows of the
// columns given. If the routine's parameters are known, it is those that the values have
// to fit.
func NewArguments(own, parameters []Column, columns []string) Arguments {
	a := Arguments{columns: own}
	if parameters != nil {
		a.columns = parameters
	}
	for i := range own {
		a.sources = append(a.sources, slices.Index(columns, own[i].Name))
	}
	return a
}

// Append appends the arguments for a row with commas between, as literal spells them.
func (a *Arguments) Append(dst []byte, f *Fitter, values []row.Value, literal func(dst []byte, v row.Value) []byte) []byte {
	for i, source := range a.sources {
		if i > 0 {
			dst = append(dst, ',')
		}
		v := row.Value{}
		if source >= 0 {
			v = f.Fit(&a.columns[i], values[source])
		}
		dst = literal(dst, v)
	}
	return dst
}
