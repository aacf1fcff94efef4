package option

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Size is a number of bytes. It is written 4096, "64k", or "16MiB"; k, M, G
// and T are powers of 1024, whether B or iB follows or not, and in either case
// of letters.
type Size int64

// String is the shortest exact form of s: "100", "64KiB", "16MiB".
func (s Size) String() string {
	const units = "KMGT"
	n, unit := s, ""
	for i := 0; i < len(units) && n != 0 && n%1024 == 0; i++ {
		n, unit = n/1024, units[i:i+1]+"iB"
	}
	return strconv.FormatInt(int64(n), 10) + unit
}

// shift is the power of two of a unit, or false if there is no such unit.
func shift(unit string) (bits int, ok bool) {
	unit = strings.ToLower(strings.TrimSpace(unit))
	for i, u := range []string{"", "k", "m", "g", "t"} {
		if unit == u || unit == u+"b" || i > 0 && unit == u+"ib" {
			return 10 * i, true
		}
	}
	return 0, false
}

func (f *Field) size(text string) (s Size, lenient bool, err error) {
	c := parseInteger(text)
	bits, known := shift(c.tail)
	lenient = !c.digits || !known
	switch {
	case lenient && f.Extra:
		return 0, false, errors.New(`not a size; write 4096, "64k" or "16MiB"`)
	case !c.within(0, math.MaxInt64>>bits):
		return 0, false, fmt.Errorf("out of range 0 to %d bytes", int64(math.MaxInt64))
	}
	return Size(c.size << bits), lenient, nil
}
