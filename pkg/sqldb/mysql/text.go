package mysql

import (
	"encoding/hex"
	"strconv"
	"strings"

	"github.com/ulogd-go/ulogd/pkg/row"
)

// quoteName is an identifier as statements take it, whatever is in it.
func quoteName(name string) string { return "`" + strings.ReplaceAll(name, "`", "``") + "`" }

// quoteNames is a list of identifiers with commas.
func quoteNames(names []string) string {
	quoted := make([]string, len(names))
	for i, n := range names {
		quoted[i] = quoteName(n)
	}
	return strings.Join(quoted, ",")
}

// quoteText is a text as statements take it.
func quoteText(text string) string { return string(appendText(nil, []byte(text))) }

// appendText appends a text as statements take it, whatever the server makes of a
// backslash (sql_mode NO_BACKSLASH_ESCAPES): a text with one is written in hex.
func appendText(dst, text []byte) []byte {
	at := len(dst)
	dst = append(dst, '\'')
	for _, b := range text {
		switch b {
		case '\\', 0:
			return append(hex.AppendEncode(append(dst[:at], "_utf8mb4 x'"...), text), '\'')
		case '\'':
			dst = append(dst, '\'')
		}
		dst = append(dst, b)
	}
	return append(dst, '\'')
}

// appendLiteral appends a value that fits its column as ulogd writes it into
// statements: numbers bare, flags and texts in quotes, bytes in hex (reference
// page "ulogd2-outputs", section 14.4).
func appendLiteral(dst []byte, v row.Value) []byte {
	switch v.Kind {
	case row.Null:
		return append(dst, "NULL"...)
	case row.Bool:
		return append(dst, '\'', '0'+byte(min(v.Num, 1)), '\'')
	case row.Int:
		return strconv.AppendInt(dst, int64(v.Num), 10)
	case row.Text:
		return appendText(dst, v.Bytes)
	case row.Raw:
		if len(v.Bytes) == 0 {
			return append(dst, "''"...)
		}
		return hex.AppendEncode(append(dst, "0x"...), v.Bytes)
	}
	return strconv.AppendUint(dst, v.Num, 10)
}
