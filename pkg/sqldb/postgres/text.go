package postgres

import (
	"encoding/hex"
	"strconv"
	"strings"

	"github.com/ulogd-go/ulogd/pkg/row"
)

// quoteName is an identifier as statements take it, whatever is in it.
func quoteName(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// quoteText is a text as statements take it.
func quoteText(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }

// quoteNames is a list of identifiers with commas.
func quoteNames(names []string) string {
	quoted := make([]string, len(names))
	for i, n := range names {
		quoted[i] = quoteName(n)
	}
	return strings.Join(quoted, ",")
}

// appendNumber appends a value of kind Bool, Int or Uint.
func appendNumber(dst []byte, v row.Value) []byte {
	if v.Kind == row.Int {
		return strconv.AppendInt(dst, int64(v.Num), 10)
	}
	return strconv.AppendUint(dst, v.Num, 10)
}

// appendCopy appends a value that fits its column in COPY's text format
// (PostgreSQL documentation, COPY, "Text Format").
func appendCopy(dst []byte, v row.Value) []byte {
	switch v.Kind {
	case row.Null:
		return append(dst, `\N`...)
	case row.Bool:
		if v.Num == 0 {
			return append(dst, 'f')
		}
		return append(dst, 't')
	case row.Text:
		return appendEscaped(dst, v.Bytes)
	case row.Raw:
		return hex.AppendEncode(append(dst, `\\x`...), v.Bytes)
	}
	return appendNumber(dst, v)
}

func appendEscaped(dst, text []byte) []byte {
	from := 0
	for i, b := range text {
		if b != '\\' && b != '\t' && b != '\n' && b != '\r' {
			continue
		}
		dst = append(append(dst, text[from:i]...), '\\')
		switch b {
		case '\t':
			b = 't'
		case '\n':
			b = 'n'
		case '\r':
			b = 'r'
		}
		dst = append(dst, b)
		from = i + 1
	}
	return append(dst, text[from:]...)
}

// appendLiteral appends a value that fits its column as ulogd writes it into
// statements: numbers bare, flags and texts in quotes (reference page
// "ulogd2-outputs", section 14.4).
func appendLiteral(dst []byte, v row.Value) []byte {
	switch v.Kind {
	case row.Null:
		return append(dst, "NULL"...)
	case row.Bool:
		return append(dst, '\'', '0'+byte(min(v.Num, 1)), '\'')
	case row.Text:
		return appendQuoted(dst, v.Bytes)
	case row.Raw:
		return append(hex.AppendEncode(append(dst, `'\x`...), v.Bytes), '\'')
	}
	return appendNumber(dst, v)
}

func appendQuoted(dst, text []byte) []byte {
	dst = append(dst, '\'')
	for _, b := range text {
		if b == '\'' {
			dst = append(dst, '\'')
		}
		dst = append(dst, b)
	}
	return append(dst, '\'')
}
