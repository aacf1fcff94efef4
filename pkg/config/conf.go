package config

import (
	"strings"

	"github.com/ulogd-go/ulogd/pkg/option"
)

// Separators of words: inside a section, and where a header is read.
const (
	wordSeparators   = " \t=\r\n"
	headerSeparators = " \t\r\n[]"
)

// conf reads a ulogd.conf (reference, section 2).
func (p *parser) conf(src string) error {
	r := confReader{parser: p}
	n := 0
	for line := range strings.SplitSeq(src, "\n") {
		n++
		if !strings.HasPrefix(line, "#") {
			r.line(n, line)
		}
	}
	return nil
}

// confReader adds lines to the current section.
type confReader struct {
	*parser
	current string
	state   state
	strayed bool // a line outside any section was reported
}

// state says what becomes of an option.
type state int

const (
	outside state = iota // there is none
	inside               // it belongs to the current section
	skipped              // the section is a repeated one
)

func (r *confReader) line(n int, line string) {
	key, rest, ok := word(line, wordSeparators)
	switch {
	case ok && strings.HasPrefix(key, "["):
		r.header(n, line)
	case !ok && strings.Trim(line, wordSeparators) == "":
	case r.state == outside && !r.strayed:
		r.strayed = true
		r.doubt(global, n, "line outside any section, ignored with those that follow it; move them below a [section] header")
	case r.state != inside:
	case !ok:
		r.doubt(r.current, n, "[%s] a quote is not closed, line ignored; add the closing quote", r.current)
	default:
		value, _, ok := word(rest, wordSeparators)
		r.add(r.current, option.Entry{Name: key, Value: value, Line: n, NoValue: !ok})
	}
}

// header begins the section that line names.
func (r *confReader) header(n int, line string) {
	name, _, ok := word(line, headerSeparators)
	if !ok {
		r.state, r.strayed = outside, false
		return
	}
	r.current, r.state = name, inside
	if s, again := r.Sections[name]; again {
		r.state = skipped
		r.doubt(name, n, "[%s] repeated, ignored because the section on line %d counts; merge the two", name, s.Line)
		return
	}
	r.Sections[name] = option.Section{Name: name, File: r.Name, Line: n}
}

// add appends e to a section.
func (p *parser) add(section string, e option.Entry) {
	s := p.Sections[section]
	s.Entries = append(s.Entries, e)
	p.Sections[section] = s
}

// word takes the first word off line: what stands between quotes, or up to the
// next separator. It is not ok if there is none, or its quote is not closed.
func word(line, separators string) (w, rest string, ok bool) {
	line = strings.TrimLeft(line, separators)
	if quoted, ok := strings.CutPrefix(line, `"`); ok {
		if w, rest, ok = strings.Cut(quoted, `"`); !ok {
			return "", "", false
		}
		return w, rest, true
	}
	end := strings.IndexAny(line, separators)
	if end < 0 {
		end = len(line)
	}
	return line[:end], line[end:], end > 0
}
