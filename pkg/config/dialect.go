package config

import (
	"slices"
	"strings"
)

// Dialect is the generation of ulogd that a configuration is written for.
type Dialect int

// The dialects.
const (
	V2   Dialect = iota // of ulogd 2: stacks; TOML counts as such
	V1                  // of ulogd 1.10 to 1.24: sections, but no stacks
	Flat                // of ulogd 1 before 1.10: keywords without sections
)

// String is the dialect as --check names it.
func (d Dialect) String() string {
	switch d {
	case V1:
		return "ulogd 1.x configuration"
	case Flat:
		return "ulogd 1.x configuration of before 1.10, without sections"
	}
	return "ulogd 2 configuration"
}

// dialectOf tells the dialects of ulogd.conf apart by what is in the file
// (reference page "ulogd1", section 8).
func dialectOf(src string) Dialect {
	r := newV1Reader("", src)
	if !r.hasHeader() && slices.ContainsFunc(r.lines, isFlat) {
		return Flat
	}
	g, ok := r.section(global)
	if !ok {
		return V2
	}
	is := V2
	for _, e := range g.entries {
		switch {
		case e.Name == "stack":
			return V2
		case e.Name == "nlgroup", e.Name == "plugin" && findV1Plugin(e.Value) != nil:
			is = V1
		}
	}
	return is
}

// isFlat tells whether a line begins with a keyword of the flat form and has
// a blank behind it.
func isFlat(line string) bool {
	key, rest, ok := word(line, flatSeparators)
	if !ok || strings.HasPrefix(line, "#") || rest == "" {
		return false
	}
	_, _, ok = fromFlat(key)
	return ok
}
