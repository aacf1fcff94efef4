package config

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/ulogd-go/ulogd/pkg/option"
)

// WriteTOML writes f as TOML. The options that a plugin has come from fields,
// which returns nil for a plugin it does not know; their values are written in
// their own types, all others as strings. What f's reader ignored becomes a
// comment, with its value only if that is known to be no secret.
//
// Text that is not UTF-8 is an error, because TOML cannot hold it.
func (f *File) WriteTOML(w io.Writer, fields func(plugin string) []option.Field) error {
	return f.write(w, fields, writeSection)
}

// write writes all sections, with a blank line between.
func (f *File) write(w io.Writer, fields func(plugin string) []option.Field, section func(*bytes.Buffer, option.Section, map[string]option.Field) error) error {
	var b bytes.Buffer
	for i, name := range f.names() {
		if i > 0 {
			b.WriteByte('\n')
		}
		s := f.Sections[name]
		s.Name = name // messages may call it otherwise
		if err := section(&b, s, f.fieldsOf(name, fields)); err != nil {
			return err
		}
	}
	_, err := w.Write(b.Bytes())
	return err
}

// names are the names of the sections in their order.
func (f *File) names() []string {
	if f.order != nil {
		return f.order
	}
	return slices.SortedFunc(maps.Keys(f.Sections), func(a, b string) int {
		return cmp.Or(cmp.Compare(f.Sections[a].Line, f.Sections[b].Line), cmp.Compare(a, b))
	})
}

// fieldsOf are the options of an instance, by name. If several plugins share
// it and disagree on a type, a string suits them all; what is a secret of one is a
// secret.
func (f *File) fieldsOf(instance string, fields func(plugin string) []option.Field) map[string]option.Field {
	all := map[string]option.Field{}
	add := func(list []option.Field) {
		for _, field := range list {
			if old, ok := all[field.Name]; ok {
				field.Secret = field.Secret || old.Secret
				if old.GoKind != field.GoKind {
					field.GoKind = reflect.String
				}
			}
			all[field.Name] = field
		}
	}
	if instance == global {
		add(GlobalFields())
	}
	for _, s := range f.Stacks {
		for _, i := range s.Instances {
			if i.Name == instance {
				add(fields(i.Plugin))
			}
		}
	}
	return all
}

func writeSection(b *bytes.Buffer, s option.Section, fields map[string]option.Field) error {
	if !utf8.ValidString(s.Name) {
		return fmt.Errorf("%s:%d: [%q] is not UTF-8; rename the section", s.File, s.Line, s.Name)
	}
	fmt.Fprintf(b, "[%s]\n", option.Key(s.Name))
	written := map[string]bool{}
	for _, e := range s.Entries {
		if !utf8.ValidString(e.Name) || !utf8.ValidString(e.Value) {
			return fmt.Errorf("%s:%d: [%s] option %q or its value is not UTF-8; convert the file to UTF-8", s.File, e.Line, s.Name, e.Name)
		}
		list := s.Name == global && isList(e)
		switch {
		case e.NoValue || strings.HasPrefix(e.Name, "#") || written[e.Name] && !list:
			writeIgnored(b, option.Key(e.Name), " = ", option.Quote(e.Value), shown(e, fields))
			continue
		case list && !written[e.Name]:
			writeList(b, s, e.Name)
		case !list:
			fmt.Fprintf(b, "%s = %s\n", option.Key(e.Name), fields[e.Name].Format(e.Value))
		}
		written[e.Name] = true
	}
	return nil
}

// writeIgnored writes what is of no effect as a comment, on one line.
func writeIgnored(b *bytes.Buffer, name, equals, value string, shown bool) {
	if !shown {
		equals, value = "", ""
	}
	fmt.Fprintf(b, "# ignored: %s%s%s\n", name, equals, value)
}

// shown tells whether the value of an ignored line may be told: an option that is not
// known may be a misspelt or a commented password.
func shown(e option.Entry, fields map[string]option.Field) bool {
	f, known := fields[e.Name]
	return e.Value == "" || known && !f.Secret
}

// writeList writes all values of an option that may be repeated.
func writeList(b *bytes.Buffer, s option.Section, name string) {
	fmt.Fprintf(b, "%s = [\n", name)
	for _, e := range s.Entries {
		if e.Name == name && !e.NoValue {
			fmt.Fprintf(b, "  %s,\n", option.Quote(e.Value))
		}
	}
	b.WriteString("]\n")
}
