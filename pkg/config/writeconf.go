package config

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"github.com/ulogd-go/ulogd/pkg/option"
)

// WriteConf writes f as a ulogd.conf of ulogd 2. What f's reader ignored becomes a
// comment, as in WriteTOML.
//
// That grammar knows no escapes: a text that it can't hold, such as one with a quote
// and a blank, is an error.
func (f *File) WriteConf(w io.Writer, fields func(plugin string) []option.Field) error {
	return f.write(w, fields, writeConfSection)
}

func writeConfSection(b *bytes.Buffer, s option.Section, fields map[string]option.Field) error {
	where := fmt.Sprintf("%s:%d: [%s]", s.File, s.Line, s.Name)
	if name, rest, ok := word("["+s.Name+"]", headerSeparators); !ok || name != s.Name || rest != "]" {
		return fmt.Errorf("%s: a ulogd.conf can't hold such a name; rename the section", where)
	}
	fmt.Fprintf(b, "[%s]\n", s.Name)
	written := map[string]bool{}
	for _, e := range s.Entries {
		again := written[e.Name] && (s.Name != global || !isList(e))
		if e.NoValue || again || strings.HasPrefix(e.Name, "#") {
			writeIgnored(b, oneLine(e.Name), "=", oneLine(e.Value), shown(e, fields))
			continue
		}
		written[e.Name] = true
		key, ok := confWord(e.Name)
		if !ok || strings.HasPrefix(e.Name, "[") {
			return fmt.Errorf("%s option %q: a ulogd.conf can't hold such a name; rename it", where, e.Name)
		}
		value, ok := confWord(e.Value)
		if !ok {
			// The value stays unsaid: it may be a secret.
			return fmt.Errorf("%s %s: a ulogd.conf can't hold a value with a quote and a blank, or of several lines; use TOML", where, e.Name)
		}
		if key == e.Name && !strings.HasPrefix(value, `"`) && plain(e.Value) {
			value = `"` + value + `"`
		}
		fmt.Fprintf(b, "%s=%s\n", key, value)
	}
	return nil
}

// plain tells whether a value may stand in quotes.
func plain(value string) bool { return !strings.ContainsAny(value, "\"\r\n") }

// confWord is text as one word of a ulogd.conf, in quotes if need be.
func confWord(text string) (written string, ok bool) {
	if strings.ContainsAny(text, "\n") {
		return "", false
	}
	for _, written := range []string{text, `"` + text + `"`} {
		if w, rest, ok := word(written, wordSeparators); ok && w == text && rest == "" && strings.Trim(written, wordSeparators) == written {
			return written, true
		}
	}
	return "", false
}

// oneLine is text without what would end a comment.
func oneLine(text string) string { return strings.NewReplacer("\r", " ", "\n", " ").Replace(text) }
