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
// comment.
//
// Text that is not UTF-8 is an error, because TOML cannot hold it.
func (f *File) WriteTOML(w io.Writer, fields func(plugin string) []option.Field) error {
	return f.write(w, func(b *bytes.Buffer, s option.Section) error {
		return writeSection(b, s, f.fieldsOf(s.Name, fields))
	})
}

// write writes all sections, with a blank line between.
func (f *File) write(w io.Writer, section func(*bytes.Buffer, option.Section) error) error {
	var b bytes.Buffer
	for i, name := range f.names() {
		if i > 0 {
			b.WriteByte('\n')
		}
		s := f.Sections[name]
		s.Name = name // messages may call it otherwise
		if err := section(&b, s); err != nil {
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
// it and disagree on a type, a string suits them all.
func (f *File) fieldsOf(instance string, fields func(plugin string) []option.Field) map[string]option.Field {
	all := map[string]option.Field{}
	add := func(list []option.Field) {
		for _, field := range list {
			if old, ok := all[field.Name]; ok && old.GoKind != field.GoKind {
				field.GoKind = reflect.String
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
			fmt.Fprintf(b, "# ignored: %s = %s\n", option.Key(e.Name), option.Quote(e.Value))
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
