package main

import (
	"fmt"
	"strings"
)

// flag is one option of the command line.
type flag struct {
	short byte // 0 if it has only a long form
	long  string
	arg   argument
	doc   string
	ours  bool // ulogd does not have it
}

// argument says whether an option has one.
type argument int

const (
	none argument = iota
	required
	attached // only the short form, and only in the same word
	optional // only the long form, and only behind an equals sign
)

// getopt takes the options off a command line as the C library's getopt_long
// does: short options may be combined, long ones shortened as long as they are
// unambiguous, and what is no option is passed over.
type getopt struct {
	program string // as messages begin
	flags   []flag
	args    []string // what is left
	cluster string   // short options that are left of the current word
}

// usageError is a mistake on the command line.
type usageError struct {
	detail string // what the C library says
	option byte   // the short form of the option, 0 if there is none
}

func (e *usageError) Error() string { return e.detail }

// unknown is what ulogd says about it, whatever the mistake.
func (e *usageError) unknown() string {
	if e.option > ' ' && e.option < 0x7f {
		return fmt.Sprintf("Unknown option `-%c'.", e.option)
	}
	return fmt.Sprintf("Unknown option character `\\x%x'.", e.option)
}

func (g *getopt) errorf(option byte, format string, args ...any) error {
	return &usageError{g.program + ": " + fmt.Sprintf(format, args...), option}
}

// next is the next option and its argument; f is nil when there is none left. An
// error is a *usageError.
func (g *getopt) next() (f *flag, value string, err error) {
	for g.cluster == "" {
		if len(g.args) == 0 {
			return nil, "", nil
		}
		word := g.args[0]
		g.args = g.args[1:]
		switch {
		case word == "--":
			g.args = nil
		case strings.HasPrefix(word, "--"):
			return g.long(word)
		case len(word) > 1 && word[0] == '-':
			g.cluster = word[1:]
		}
	}
	return g.short()
}

func (g *getopt) short() (f *flag, value string, err error) {
	c := g.cluster[0]
	g.cluster = g.cluster[1:]
	for i := range g.flags {
		if g.flags[i].short == c && c != 0 {
			return g.shortArgument(&g.flags[i])
		}
	}
	return nil, "", g.errorf(c, "invalid option -- '%s'", string([]byte{c}))
}

func (g *getopt) shortArgument(f *flag) (_ *flag, value string, err error) {
	if f.arg == none {
		return f, "", nil
	}
	value, g.cluster = g.cluster, ""
	if value != "" || f.arg == attached {
		return f, value, nil
	}
	if len(g.args) == 0 {
		return nil, "", g.errorf(f.short, "option requires an argument -- '%c'", f.short)
	}
	value, g.args = g.args[0], g.args[1:]
	return f, value, nil
}

func (g *getopt) long(word string) (f *flag, value string, err error) {
	name, value, given := strings.Cut(word[2:], "=")
	f, err = g.find(word, name)
	switch {
	case err != nil:
		return nil, "", err
	case given && f.arg != required && f.arg != optional:
		return nil, "", g.errorf(f.short, "option '--%s' doesn't allow an argument", f.long)
	case given || f.arg != required:
		return f, value, nil
	case len(g.args) == 0:
		return nil, "", g.errorf(f.short, "option '--%s' requires an argument", f.long)
	}
	value, g.args = g.args[0], g.args[1:]
	return f, value, nil
}

// find is the option of that name or abbreviation. What abbreviates an option of
// ulogd stays one, whatever we add.
func (g *getopt) find(word, name string) (*flag, error) {
	var theirs, ours []*flag
	for i := range g.flags {
		switch f := &g.flags[i]; {
		case f.long == name:
			return f, nil
		case !strings.HasPrefix(f.long, name):
		case f.ours:
			ours = append(ours, f)
		default:
			theirs = append(theirs, f)
		}
	}
	if len(theirs) == 0 {
		theirs = ours
	}
	switch len(theirs) {
	case 0:
		return nil, g.errorf(0, "unrecognized option '%s'", word)
	case 1:
		return theirs[0], nil
	}
	return nil, g.errorf(0, "option '%s' is ambiguous; possibilities:%s", word, names(theirs))
}

func names(flags []*flag) string {
	var list strings.Builder
	for _, f := range flags {
		fmt.Fprintf(&list, " '--%s'", f.long)
	}
	return list.String()
}
