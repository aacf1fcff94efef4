package syslog

import (
	"fmt"
	"slices"
	"strings"
)

// mode is where lines go, as configured: one of modes.
type mode string

const (
	local mode = "local"
	udp   mode = "udp"
	tcp   mode = "tcp"
)

var modes = []mode{local, udp, tcp}

// UnmarshalText accepts the name of a mode.
func (m *mode) UnmarshalText(text []byte) error {
	if !slices.Contains(modes, mode(text)) {
		return fmt.Errorf("unknown mode %q; use one of %s", text, list(modes))
	}
	*m = mode(text)
	return nil
}

// MarshalText is the inverse of UnmarshalText.
func (m mode) MarshalText() ([]byte, error) { return []byte(m), nil }

// list names the values that an option may have.
func list[T ~string](values []T) string {
	names := make([]string, len(values))
	for i, v := range values {
		names[i] = string(v)
	}
	return strings.Join(names, ", ")
}

// facility is a facility as configured, one of facilities.
type facility string

// level is a severity as configured, one of levels.
type level string

var facilities = []struct {
	name   facility
	number int // RFC 5424, section 6.2.1
}{
	{"LOG_DAEMON", daemon},
	{kern, daemon}, // number 0, which the C library takes for "not given"
	{"LOG_LOCAL0", 16},
	{"LOG_LOCAL1", 17},
	{"LOG_LOCAL2", 18},
	{"LOG_LOCAL3", 19},
	{"LOG_LOCAL4", 20},
	{"LOG_LOCAL5", 21},
	{"LOG_LOCAL6", 22},
	{"LOG_LOCAL7", 23},
	{"LOG_USER", 1},
}

const (
	daemon = 3
	kern   = "LOG_KERN"
)

// levels are in the order of their numbers, from 0 on.
var levels = []level{
	"LOG_EMERG", "LOG_ALERT", "LOG_CRIT", "LOG_ERR", "LOG_WARNING", "LOG_NOTICE", "LOG_INFO", "LOG_DEBUG",
}

// number is -1 if there is no such facility.
func (f facility) number() int {
	for _, x := range facilities {
		if x.name == f {
			return x.number
		}
	}
	return -1
}

// UnmarshalText accepts the name of a facility, in capitals.
func (f *facility) UnmarshalText(text []byte) error {
	if facility(text).number() < 0 {
		names := make([]facility, len(facilities))
		for i, x := range facilities {
			names[i] = x.name
		}
		return fmt.Errorf("unknown facility %q; use one of %s", text, list(names))
	}
	*f = facility(text)
	return nil
}

// MarshalText is the inverse of UnmarshalText.
func (f facility) MarshalText() ([]byte, error) { return []byte(f), nil }

// UnmarshalText accepts the name of a level, in capitals.
func (l *level) UnmarshalText(text []byte) error {
	if !slices.Contains(levels, level(text)) {
		return fmt.Errorf("unknown level %q; use one of %s", text, list(levels))
	}
	*l = level(text)
	return nil
}

// MarshalText is the inverse of UnmarshalText.
func (l level) MarshalText() ([]byte, error) { return []byte(l), nil }
