package xml

import (
	"time"
	"unicode/utf8"

	"github.com/ulogd-go/ulogd/pkg/event"
)

// appendNumber appends an element unless n is zero.
func appendNumber(dst []byte, name string, n uint32) []byte {
	if n == 0 {
		return dst
	}
	return appendElement(dst, name, uint64(n), 1)
}

// appendElement appends n, of at least that many digits, as an element.
func appendElement(dst []byte, name string, n uint64, digits int) []byte {
	return appendEnd(event.AppendPadded(appendStart(dst, name), n, digits), name)
}

// appendText appends text as an element.
func appendText(dst []byte, name string, text []byte, escape bool) []byte {
	dst = appendStart(dst, name)
	if escape {
		dst = appendEscaped(dst, text)
	} else {
		dst = append(dst, text...)
	}
	return appendEnd(dst, name)
}

func appendStart(dst []byte, name string) []byte {
	return append(append(append(dst, '<'), name...), '>')
}

func appendEnd(dst []byte, name string) []byte {
	return append(append(append(dst, "</"...), name...), '>')
}

// appendWhen appends t. The days of the week count from Sunday, which is 1.
func appendWhen(dst []byte, t time.Time) []byte {
	dst = append(dst, "<when>"...)
	dst = appendElement(dst, "hour", uint64(t.Hour()), 1)
	dst = appendElement(dst, "min", uint64(t.Minute()), 2)
	dst = appendElement(dst, "sec", uint64(t.Second()), 2)
	dst = appendElement(dst, "wday", uint64(int(t.Weekday())+1), 1)
	dst = appendElement(dst, "day", uint64(t.Day()), 1)
	dst = appendElement(dst, "month", uint64(int(t.Month())), 1)
	dst = appendElement(dst, "year", uint64(t.Year()), 1)
	return append(dst, "</when>"...)
}

// appendEscaped appends text as character data. What no XML document may hold
// (XML 1.0, section 2.2), and bytes that are not UTF-8, become U+FFFD.
func appendEscaped(dst, text []byte) []byte {
	for len(text) > 0 {
		r, n := utf8.DecodeRune(text)
		text = text[n:]
		switch {
		case r == '&':
			dst = append(dst, "&amp;"...)
		case r == '<':
			dst = append(dst, "&lt;"...)
		case r == '>':
			dst = append(dst, "&gt;"...)
		case r == '\r':
			dst = append(dst, "&#13;"...) // a reader would make a newline of it
		case allowed(r):
			dst = utf8.AppendRune(dst, r)
		default:
			dst = utf8.AppendRune(dst, utf8.RuneError)
		}
	}
	return dst
}

func allowed(r rune) bool {
	return r == '\t' || r == '\n' || r >= ' ' && r != 0xfffe && r != 0xffff
}
