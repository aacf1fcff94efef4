package config

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/ulogd-go/ulogd/pkg/option"
)

// flatSeparators stand between words in files of before 1.10.
const flatSeparators = " \t\r\n"

// v1Reader reads the sections of a file of ulogd 1.x, each by a search from the
// top, as that did (reference page "ulogd1", section 2).
type v1Reader struct {
	name     string
	lines    []string
	cut      bool // the last line has no newline
	flat     bool
	warnings []v1Warning
}

// v1Warning is a warning and the line that it is about.
type v1Warning struct {
	line int
	err  error
}

// v1Section is a section as it was read.
type v1Section struct {
	line    int
	entries []option.Entry
}

func newV1Reader(name, src string) *v1Reader {
	r := &v1Reader{name: name, lines: strings.Split(src, "\n")}
	if last := len(r.lines) - 1; r.lines[last] == "" {
		r.lines = r.lines[:last]
	} else {
		r.cut = true
	}
	return r
}

func (r *v1Reader) errorf(line int, format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	if line == 0 {
		return fmt.Errorf("%s: %w", r.name, err)
	}
	return fmt.Errorf("%s:%d: %w", r.name, line, err)
}

func (r *v1Reader) warn(line int, format string, args ...any) {
	r.warnings = append(r.warnings, v1Warning{line, r.errorf(line, format, args...)})
}

// sorted are the warnings in the order of the file.
func (r *v1Reader) sorted() []error {
	slices.SortStableFunc(r.warnings, func(a, b v1Warning) int { return cmp.Compare(a.line, b.line) })
	errs := make([]error, len(r.warnings))
	for i, w := range r.warnings {
		errs[i] = w.err
	}
	return errs
}

// hasHeader tells whether a line begins with a bracket.
func (r *v1Reader) hasHeader() bool {
	return slices.ContainsFunc(r.lines, func(line string) bool { return beginsHeader(line) })
}

// beginsHeader tells whether a section ends at line.
func beginsHeader(line string) bool {
	first, _, ok := word(line, wordSeparators)
	return ok && strings.HasPrefix(first, "[")
}

// section reads the first section of that name, which is headed by its first word
// alone, with brackets or without.
func (r *v1Reader) section(name string) (s v1Section, ok bool) {
	if r.flat {
		return r.flatSection(name)
	}
	for i, line := range r.lines {
		if first, _, ok := word(line, headerSeparators); !ok || first != name || strings.HasPrefix(line, "#") {
			continue
		}
		if !beginsHeader(line) {
			r.warn(i+1, "%s: a section header without brackets, taken for one as 1.24 did; write [%[1]s]", name)
		}
		s.line = i + 1
		r.warnRepeated(name, s.line)
		return r.body(s), true
	}
	return s, false
}

// warnRepeated warns of further sections of the name, which do not count.
func (r *v1Reader) warnRepeated(name string, first int) {
	for i, line := range r.lines[first:] {
		if w, _, ok := word(line, headerSeparators); ok && w == name && beginsHeader(line) && !strings.HasPrefix(line, "#") {
			r.warn(first+i+1, "[%s] repeated, ignored as 1.24 did because the section on line %d counts; merge the two", name, first)
		}
	}
}

// body reads what is between a header and the next.
func (r *v1Reader) body(s v1Section) v1Section {
	for i := s.line; i < len(r.lines) && !isV1Header(r.lines[i]); i++ {
		if e, ok := r.entry(i+1, wordSeparators); ok {
			s.entries = append(s.entries, e)
		}
	}
	return s
}

func isV1Header(line string) bool { return !strings.HasPrefix(line, "#") && beginsHeader(line) }

// flatSection is the options of a file without sections that belong to one; what
// is unknown is taken for [global].
func (r *v1Reader) flatSection(name string) (s v1Section, ok bool) {
	for i := range r.lines {
		e, ok := r.entry(i+1, flatSeparators)
		if !ok {
			continue
		}
		section, option, known := fromFlat(e.Name)
		if !known {
			section, option = global, e.Name
		}
		if e.Name = option; section == name {
			s.entries = append(s.entries, e)
		}
	}
	return s, true
}

// Limits of 1.24, beyond which lines and values are taken whole here.
const (
	v1MaxLine  = 254
	v1MaxValue = 224
)

// entry is the option on line n; not ok if there is none. Warnings are left to
// check, as the line may be of no section that counts.
func (r *v1Reader) entry(n int, separators string) (e option.Entry, ok bool) {
	line := r.lines[n-1]
	if strings.HasPrefix(line, "#") {
		return e, false
	}
	key, rest, ok := word(line, separators)
	if !ok {
		return e, false
	}
	value, _, ok := word(rest, separators)
	return option.Entry{Name: key, Value: value, Line: n, NoValue: !ok}, true
}

// check warns of what is odd about the line of an option that is in use, and is
// the value that it has.
func (r *v1Reader) check(section string, o V1Option, e option.Entry) string {
	separators := wordSeparators
	if r.flat {
		separators = flatSeparators
	}
	line := r.lines[e.Line-1]
	where := section + " " + o.Name
	_, rest, _ := word(line, separators)
	rest = strings.TrimLeft(rest, separators)
	quoted := strings.HasPrefix(rest, `"`)
	switch {
	case e.NoValue && quoted:
		r.warn(e.Line, `%s: the quote is not closed, so that there is no value and the option's name is taken for it, as 1.24 did; add the closing quote`, where)
		return r.decimal(where, o, e.Line, o.Name)
	case e.NoValue:
		r.warn(e.Line, "%s: no value, so that the option's name is taken for it, as 1.24 did; write %s = value, or remove the line", where, o.Name)
		return r.decimal(where, o, e.Line, o.Name)
	case len(e.Value) > v1MaxValue:
		r.warn(e.Line, "%s: the value has %d bytes and is taken whole; 1.24 would ignore more than %d and use its default", where, len(e.Value), v1MaxValue)
	case len(line) > v1MaxLine:
		r.warn(e.Line, "%s: the line has %d bytes and is read whole; 1.24 would take what is behind %d for another line", where, len(line), v1MaxLine)
	}
	_, behind, _ := word(rest, separators)
	if r.cut && e.Line == len(r.lines) && behind == "" && !quoted {
		r.warn(e.Line, "%s: the last line has no newline, and its value is taken; 1.24 would take the option's name for it; end the line", where)
	}
	if !quoted && strings.HasSuffix(line, e.Value+"\r") && !o.Number {
		r.warn(e.Line, "%s: the line ends as in DOS, which does not count; 1.24 would take the CR for a part of the value; convert the file", where)
	}
	if behind = strings.Trim(behind, separators); behind != "" && !strings.HasPrefix(behind, "#") && !strings.HasPrefix(behind, ";") {
		r.warn(e.Line, "%s: what follows the value is ignored, as 1.24 did; put a value with blanks in quotes, and a # before a note", where)
	}
	return r.decimal(where, o, e.Line, e.Value)
}

// decimal is a number as C's atoi reads it, whatever its base in ulogd 2; other
// values stay.
func (r *v1Reader) decimal(where string, o V1Option, line int, text string) string {
	if !o.Number {
		return text
	}
	digits := strings.TrimLeft(text, "+-")
	if len(text)-len(digits) > 1 {
		digits = ""
	}
	end := strings.IndexFunc(digits, func(r rune) bool { return r < '0' || r > '9' })
	if end < 0 {
		end = len(digits)
	}
	n, err := strconv.ParseInt("0"+digits[:end], 10, 32)
	if strings.HasPrefix(text, "-") {
		n = -n
	}
	plain := strconv.FormatInt(n, 10)
	if text != o.Name && (err != nil || end == 0 || end < len(digits)) || len(digits) > 1 && digits[0] == '0' && end > 1 {
		r.warn(line, "%s = %q: read as the decimal number %s, as 1.24 did; write %s = %[3]s", where, text, plain, o.Name)
	}
	return plain
}
