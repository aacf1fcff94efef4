package retention

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Age is how old rows may get; 0 is no limit. It is written 90d, 12w or 36h.
type Age time.Duration

const day = 24 * time.Hour

// UnmarshalText accepts days, weeks, what time.ParseDuration does, and off. Less
// than an hour is taken for a mistake.
func (a *Age) UnmarshalText(text []byte) error {
	s := strings.TrimSpace(string(text))
	if s == "" || s == "off" || s == "0" {
		*a = 0
		return nil
	}
	d, err := time.ParseDuration(s)
	for suffix, unit := range map[string]time.Duration{"d": day, "w": 7 * day} {
		if number, ok := strings.CutSuffix(s, suffix); ok {
			var n uint16
			if n, err = parse16(number); err == nil {
				d = time.Duration(n) * unit
			}
			if time.Duration(n) > math.MaxInt64/unit {
				return fmt.Errorf("%q is too long; write 36500d at most, or off", s)
			}
		}
	}
	if err != nil {
		return fmt.Errorf("%q is no age; write 90d, 12w, 36h or off", s)
	}
	if d < time.Hour {
		return fmt.Errorf("%q is less than an hour; write 90d, 12w, 36h or off", s)
	}
	*a = Age(d)
	return nil
}

func parse16(s string) (uint16, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	return uint16(n), err
}

// MarshalText is the inverse of UnmarshalText.
func (a Age) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

func (a Age) String() string {
	switch d := time.Duration(a); {
	case d == 0:
		return "off"
	case d%day == 0:
		return strconv.FormatInt(int64(d/day), 10) + "d"
	default:
		return d.String()
	}
}
