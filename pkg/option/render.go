package option

import (
	"bytes"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"strconv"
	"strings"
)

// Format is a value of f as TOML: integers and bools without quotes, anything
// else, and what is not valid for f, as a string. Reading it back gives what
// Apply makes of value.
func (f Field) Format(value string) string {
	switch f.GoKind {
	case reflect.String, reflect.Invalid:
		return Quote(value)
	case reflect.Float64:
		return formatFloat(value)
	}
	n, lenient, err := f.number(value)
	switch {
	case err != nil:
		return Quote(value)
	case f.GoKind == reflect.Bool:
		return strconv.FormatBool(n != 0)
	case !lenient && tomlInteger.MatchString(value):
		return value // keeps a mask hexadecimal
	}
	return strconv.FormatInt(n, 10)
}

// tomlInteger matches the integers that mean the same in C and in TOML.
var tomlInteger = regexp.MustCompile(`^(-?(0|[1-9][0-9]*)|0x[0-9A-Fa-f]{1,15})$`)

func formatFloat(value string) string {
	n, err := strconv.ParseFloat(value, 64)
	text := strconv.FormatFloat(n, 'g', -1, 64)
	if err != nil || strings.ContainsAny(text, "IN") { // Inf, NaN
		return Quote(value)
	}
	return text
}

// Quote is s as a TOML string. TOML has no way to write bytes that are not
// UTF-8: they come out as U+FFFD.
func Quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < ' ' || r == 0x7f:
			fmt.Fprintf(&b, `\u%04X`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// Key is s as a TOML key, quoted if it has to be.
func Key(s string) string {
	if bare(s) {
		return s
	}
	return Quote(s)
}

// bare reports whether s is a TOML key that needs no quotes.
func bare(s string) bool {
	return s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") == ""
}

// TOML writes a section with every option, its documentation, and its default
// commented out.
func TOML(w io.Writer, section string, fields []Field) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "[%s]\n", Key(section))
	for i, f := range fields {
		if i > 0 {
			b.WriteByte('\n')
		}
		for line := range strings.Lines(f.Doc) {
			fmt.Fprintf(&b, "# %s\n", strings.TrimSpace(line))
		}
		fmt.Fprintf(&b, "# %s = %s", f.Name, f.Format(f.Default))
		if f.Mandatory || f.Needed {
			b.WriteString("  # required")
		}
		b.WriteByte('\n')
	}
	_, err := w.Write(b.Bytes())
	return err
}

// Markdown is a table of options for a README, or a sentence if there are
// none.
func Markdown(fields []Field) string {
	if len(fields) == 0 {
		return "No options.\n"
	}
	var b strings.Builder
	b.WriteString("| option | type | default | meaning |\n|---|---|---|---|\n")
	for _, f := range fields {
		doc := strings.Join(strings.Fields(f.Doc), " ")
		if f.Extra {
			doc += " (not in ulogd)"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", f.Name, f.typeName(), cell(f.shownDefault()), cell(doc))
	}
	return b.String()
}

func (f Field) typeName() string {
	switch f.GoKind {
	case reflect.String, reflect.Invalid:
		return "string"
	case reflect.Bool:
		return "boolean"
	case reflect.Float64:
		return "number"
	}
	return "integer"
}

func (f Field) shownDefault() string {
	switch {
	case f.Mandatory, f.Needed:
		return "required"
	case f.Default == "":
		return ""
	case f.GoKind == reflect.String:
		return "`" + f.Default + "`"
	}
	return "`" + f.Format(f.Default) + "`"
}

// cell keeps a text inside its column.
func cell(s string) string { return strings.ReplaceAll(s, "|", `\|`) }
