// Package option turns the options of a configuration section into a typed
// struct, and describes such a struct for documentation.
//
// A plugin declares its options once, as a struct that holds the defaults:
//
//	type options struct {
//		File  string `toml:"file" doc:"path of the output file"`
//		Table string `toml:"table" mandatory:"true" doc:"table to write to"`
//		Pass  string `toml:"pass" secret:"true" doc:"password"`
//		Speed int    `toml:"speed" extra:"true" doc:"rows per second"`
//		Mask  uint32 `toml:"mask" default:"-1" doc:"bits that count"`
//	}
//
// The tags: toml is the option's name in every configuration format ("-"
// leaves the field out), doc what it means, mandatory that it has no default,
// needed that its default, a zero value, is not accepted, extra that ulogd has
// no such option, secret that its value is never shown, default how the default
// is shown. Embedded structs are flattened.
//
// Fields are strings, bools, int, int32, int64, uint8, uint16, uint32,
// float64, [time.Duration], [Size], or implement both
// [encoding.TextUnmarshaler] and [encoding.TextMarshaler].
//
// An int of ulogd's is 32 bits wide, as in ulogd; an extra int, and an int64,
// is as wide as Go makes it.
package option

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Entry is one option as written.
type Entry struct {
	Name, Value string
	Line        int  // in Section.File, from 1
	NoValue     bool // written without a value word; Value is empty
}

// Section is the options of one plugin instance, in the order of the file.
type Section struct {
	Name    string // of the instance, such as "log1"
	File    string
	Line    int // of the header, from 1; 0 when the file has no such section
	Entries []Entry
}

// where is the place of a line of s, as errors begin.
func (s Section) where(line int) string {
	switch {
	case s.File == "":
		return fmt.Sprintf("[%s]", s.Name)
	case line == 0:
		return fmt.Sprintf("%s: [%s]", s.File, s.Name)
	}
	return fmt.Sprintf("%s:%d: [%s]", s.File, line, s.Name)
}

// Apply sets the fields of *dst, a pointer to a struct that holds the
// defaults, from s.
//
// What ulogd 2.0.8 tolerated comes back as warnings: an unknown option, a
// number with bad syntax (read as 2.0.8 read it), a repeated option (the first
// one counts), an option without a value (ignored). With strict these are
// errors. Everything else that is wrong is an error: a missing mandatory
// option, a value out of range, an unknown word.
//
// The error joins all that was found, so that one run shows every mistake;
// each names file, line, section, option, value and the mend. The value of a
// secret option is never part of it. After an error *dst is partly set.
func Apply(dst any, s Section, strict bool) (warnings []error, err error) {
	fields, err := fieldsOf(dst)
	if err != nil {
		return nil, err
	}
	a := applier{section: s, strict: strict, fields: fields, first: map[string]int{}}
	for _, e := range s.Entries {
		a.entry(e)
	}
	a.missing()
	return a.warnings, errors.Join(a.errs...)
}

// applier is the state of one Apply.
type applier struct {
	section  Section
	strict   bool
	fields   []field
	first    map[string]int // line of the first value of an option
	warnings []error
	errs     []error
}

// tolerate reports what 2.0.8 let pass. The done clause says what is made of
// it, and is left out of an error.
func (a *applier) tolerate(e Entry, problem, done, mend string) {
	where := a.section.where(e.Line)
	if a.strict {
		a.errs = append(a.errs, fmt.Errorf("%s %s; %s", where, problem, mend))
		return
	}
	a.warnings = append(a.warnings, fmt.Errorf("%s %s, %s; %s", where, problem, done, mend))
}

func (a *applier) entry(e Entry) {
	i := slices.IndexFunc(a.fields, func(f field) bool { return f.Name == e.Name })
	if i < 0 {
		// The value stays unsaid: the name may be a misspelt secret one.
		a.tolerate(e, fmt.Sprintf("%s: unknown option", name(e.Name)), "ignored", a.suggest(e.Name))
		return
	}
	f := a.fields[i]
	if e.NoValue {
		a.tolerate(e, fmt.Sprintf("%s: no value", e.Name), "line ignored", fmt.Sprintf("write %s = value, or remove the line", e.Name))
		return
	}
	if line, again := a.first[e.Name]; again {
		a.tolerate(e, fmt.Sprintf("%s: repeated", f.written(e.Value)), fmt.Sprintf("line %d counts", line), "remove one of the two lines")
		return
	}
	a.first[e.Name] = e.Line
	a.set(f, e)
}

func (a *applier) set(f field, e Entry) {
	lenient, err := f.set(e.Value)
	if err != nil {
		a.errs = append(a.errs, fmt.Errorf("%s %s: %w; %s: %s", a.section.where(e.Line), f.written(e.Value), f.redact(err), f.Name, f.Doc))
		return
	}
	if !lenient {
		return
	}
	used := "a number"
	if !f.Secret {
		used = f.text()
	}
	a.tolerate(e, fmt.Sprintf("%s: not a valid number", f.written(e.Value)), "read as ulogd 2.0.8 does", fmt.Sprintf("write %s = %s", f.Name, used))
}

func (a *applier) missing() {
	for _, f := range a.fields {
		line, given := a.first[f.Name]
		switch {
		case f.Needed && given && f.v.IsZero():
			a.errs = append(a.errs, fmt.Errorf("%s %s: needs another value (%s)", a.section.where(line), f.written(f.text()), f.Doc))
		case (f.Mandatory || f.Needed) && !given:
			a.errs = append(a.errs, fmt.Errorf("%s %s: mandatory option is missing; add %[2]s = value (%s)", a.section.where(a.section.Line), f.Name, f.Doc))
		}
	}
}

// suggest is the mend for an unknown option.
func (a *applier) suggest(unknown string) string {
	if strings.HasPrefix(unknown, "#") {
		return "a comment needs its # in the first column"
	}
	if len(a.fields) == 0 {
		return "remove it, there are no options here"
	}
	names := make([]string, len(a.fields))
	for i, f := range a.fields {
		names[i] = f.Name
		if len(unknown) > 2 && near(unknown, f.Name) {
			return fmt.Sprintf("did you mean %s?", f.Name)
		}
	}
	return "remove it, or use one of " + strings.Join(names, ", ")
}

// near reports whether b is a with at most one letter changed, added, or left
// out, or two neighbours swapped, in either case of letters.
func near(a, b string) bool {
	a, b = strings.ToLower(a), strings.ToLower(b)
	for len(a) > 0 && len(b) > 0 && a[0] == b[0] {
		a, b = a[1:], b[1:]
	}
	for len(a) > 0 && len(b) > 0 && a[len(a)-1] == b[len(b)-1] {
		a, b = a[:len(a)-1], b[:len(b)-1]
	}
	swapped := len(a) == 2 && len(b) == 2 && a[0] == b[1] && a[1] == b[0]
	return swapped || len(a) <= 1 && len(b) <= 1
}

// name is an option's name as errors show it.
func name(s string) string {
	if bare(s) {
		return s
	}
	return Quote(s)
}
