package config

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/BurntSushi/toml"

	"github.com/ulogd-go/ulogd/pkg/option"
)

// toml reads a configuration in TOML: a table is a section, its scalars are
// options.
func (p *parser) toml(src string) error {
	var tables map[string]any
	md, err := toml.Decode(src, &tables)
	if err != nil {
		return p.syntaxError(err)
	}
	r := tomlReader{parser: p, lines: locate(src)}
	for _, key := range md.Keys() {
		r.key(key, tables[key[0]])
	}
	return errors.Join(r.errs...)
}

func (p *parser) syntaxError(err error) error {
	if pe, ok := errors.AsType[toml.ParseError](err); ok {
		return p.errorf(pe.Position.Line, "%s", pe.Message)
	}
	return fmt.Errorf("%s: %w", p.Name, err)
}

type tomlReader struct {
	*parser
	lines    lineIndex
	errs     []error
	reported []string // options
}

// key adds one key of the file; top is the value of its first part.
func (r *tomlReader) key(key toml.Key, top any) {
	name := key[0]
	table, ok := top.(map[string]any)
	switch {
	case ok:
	case len(key) > 1: // within what the next line reports
		return
	default:
		r.fail(r.lines.of(name, ""), "%s is not in a section; put it below a header such as [%s], with single brackets", option.Key(name), global)
		return
	}
	if _, ok := r.Sections[name]; !ok {
		r.Sections[name] = option.Section{Name: name, File: r.Name, Line: r.lines.of(name, "")}
	}
	if len(key) > 1 {
		r.option(name, key[1], table[key[1]])
	}
}

func (r *tomlReader) option(section, name string, value any) {
	line := r.lines.of(section, name)
	list, isList := value.([]any)
	isList = isList && section == global && (name == "stack" || name == "plugin")
	if !isList {
		list = []any{value}
	}
	for _, v := range list {
		text, err := scalar(v)
		if _, ok := v.(string); isList && !ok {
			err = errors.New("not a list of strings; put each element in quotes")
		}
		if err != nil {
			r.failOption(line, section, name, err)
			return
		}
		if isList {
			line = r.lines.element(line, text)
		}
		r.add(section, option.Entry{Name: name, Value: text, Line: line})
	}
}

// failOption reports an option once, though each key of a nested table comes
// by here.
func (r *tomlReader) failOption(line int, section, name string, err error) {
	id := option.Key(section) + "." + option.Key(name)
	if !slices.Contains(r.reported, id) {
		r.reported = append(r.reported, id)
		r.fail(line, "[%s] %s: %w", section, name, err)
	}
}

func (r *tomlReader) fail(line int, format string, args ...any) {
	r.errs = append(r.errs, r.errorf(line, format, args...))
}

// scalar is v as it would be written in a ulogd.conf.
func scalar(v any) (string, error) {
	switch v := v.(type) {
	case string:
		return v, nil
	case int64:
		return strconv.FormatInt(v, 10), nil
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64), nil
	case bool:
		if v {
			return "1", nil
		}
		return "0", nil
	case map[string]any, []map[string]any:
		return "", errors.New("tables within a section have no meaning; give it a single value, or a section of its own")
	case []any:
		return "", errors.New("lists have no meaning here; write one string, such as \"a,b\"")
	}
	return "", errors.New("dates have no meaning here; put the value in quotes")
}

// lineIndex finds the lines of keys, which the TOML library does not tell. It
// reads the common ways of writing; for a key written otherwise, such as a
// dotted one, the line of the section, or 1, has to do.
type lineIndex struct {
	lines []string
	keys  map[[2]string]int // by section and option; the header's option is ""
}

func locate(src string) lineIndex {
	x := lineIndex{strings.Split(src, "\n"), map[[2]string]int{}}
	section, text := "", false
	for i, line := range x.lines {
		if !text {
			section = x.add(section, strings.TrimSpace(line), i+1)
		}
		// Lines inside a text of several lines are not keys.
		if (strings.Count(line, `"""`)+strings.Count(line, `'''`))%2 == 1 {
			text = !text
		}
	}
	return x
}

// add notes the key or header on line, and returns the section that follows.
func (x lineIndex) add(section, line string, n int) string {
	name := ""
	if inner, ok := strings.CutPrefix(line, "["); ok {
		section, _, _ = strings.Cut(strings.TrimPrefix(inner, "["), "]")
		section = unquote(section)
	} else {
		key, _, ok := strings.Cut(line, "=")
		if !ok || strings.HasPrefix(key, "#") {
			return section
		}
		name = unquote(key)
	}
	if id := [2]string{section, name}; x.keys[id] == 0 {
		x.keys[id] = n
	}
	return section
}

func unquote(key string) string {
	key = strings.TrimSpace(key)
	if s, err := strconv.Unquote(key); err == nil {
		return s
	}
	return strings.Trim(key, `"'`)
}

func (x lineIndex) of(section, name string) int {
	header, inline := [2]string{section, ""}, [2]string{"", section}
	return cmp.Or(x.keys[[2]string{section, name}], x.keys[header], x.keys[inline], 1)
}

// element is the line of a list's element: the first, from the line of the
// element before it, that holds its text.
func (x lineIndex) element(line int, text string) int {
	for i, l := range x.lines[line-1:] {
		if strings.Contains(l, text) {
			return line + i
		}
	}
	return line
}
