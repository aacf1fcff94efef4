package plugin

import (
	"fmt"
	"strconv"
)

// Generation is the generation of ulogd in whose way an instance works, where the
// two differ. It is an option of the plugins that this is true of.
type Generation int

// The generations.
const (
	First  Generation = 1 // ulogd 1.x, as of 1.24
	Second Generation = 2
)

// UnmarshalText accepts 1 and 2.
func (g *Generation) UnmarshalText(text []byte) error {
	switch string(text) {
	case "1":
		*g = First
	case "2":
		*g = Second
	default:
		return fmt.Errorf("%q: there are the generations 1 and 2 of ulogd", text)
	}
	return nil
}

// MarshalText is the inverse of UnmarshalText.
func (g Generation) MarshalText() ([]byte, error) { return strconv.AppendInt(nil, int64(g), 10), nil }
