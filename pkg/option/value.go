package option

import (
	"encoding"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// set stores text in f. It is lenient if only ulogd 2.0.8's loose reading of
// numbers made sense of text; options that ulogd lacks are read strictly.
func (f *field) set(text string) (lenient bool, err error) {
	switch p := f.v.Addr().Interface().(type) {
	case *time.Duration:
		*p, lenient, err = f.duration(text)
		return lenient, err
	case *Size:
		*p, lenient, err = f.size(text)
		return lenient, err
	case encoding.TextUnmarshaler:
		return false, p.UnmarshalText([]byte(text))
	}
	switch {
	case f.v.Kind() == reflect.String:
		f.v.SetString(text)
		return false, nil
	case f.v.CanFloat():
		n, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
		if err != nil || math.IsNaN(n) || math.IsInf(n, 0) {
			return false, errors.New("not a number")
		}
		f.v.SetFloat(n)
		return false, nil
	}
	n, lenient, err := f.number(text)
	switch {
	case err != nil:
	case f.v.Kind() == reflect.Bool:
		f.v.SetBool(n != 0)
	case f.v.CanUint():
		f.v.SetUint(uint64(n) & (1<<f.v.Type().Bits() - 1)) // -1 is all ones
	default:
		f.v.SetInt(n)
	}
	return lenient, err
}

var boolWords = map[string]int64{"true": 1, "yes": 1, "on": 1, "false": 0, "no": 0, "off": 0}

// number reads text for a field of integer or bool kind.
func (f *Field) number(text string) (n int64, lenient bool, err error) {
	if b, ok := boolWords[strings.ToLower(text)]; ok && f.GoKind == reflect.Bool {
		return b, false, nil
	}
	c := parseInteger(text)
	lo, hi := f.limits()
	switch {
	case c.clean && c.within(lo, hi):
		return c.value(), false, nil
	case f.Extra && !c.clean:
		return 0, false, errors.New("not a whole number")
	case f.wraps() && !f.Extra:
		return c.wrapped(f.GoKind == reflect.Uint32), true, nil
	case !c.within(lo, hi):
		return 0, false, fmt.Errorf("out of range %d to %d", lo, hi)
	}
	return c.value(), true, nil
}

// limits are the smallest and the largest value of an integer or bool.
func (f *Field) limits() (lo, hi int64) {
	switch f.GoKind {
	case reflect.Uint8:
		return 0, math.MaxUint8
	case reflect.Uint16:
		return 0, math.MaxUint16
	case reflect.Uint32: // -1 is all ones; ulogd 2.0.9 takes no number from 2^31 on but in this way
		return math.MinInt32, math.MaxUint32
	case reflect.Int64:
		return math.MinInt64, math.MaxInt64
	case reflect.Int:
		if f.Extra {
			return math.MinInt, math.MaxInt
		}
	}
	return math.MinInt32, math.MaxInt32
}

// wraps reports whether the field is as wide as ulogd's own integers, so that
// a number beyond 32 bits means what it meant there.
func (f *Field) wraps() bool {
	switch f.GoKind {
	case reflect.Bool, reflect.Int, reflect.Int32, reflect.Uint32:
		return true
	}
	return false
}

// integer is what C's strtoul sees in a text.
type integer struct {
	negative bool
	size     uint64
	over     bool // size does not fit 64 bits
	digits   bool // there are any
	clean    bool // there are digits, and nothing behind them
	tail     string
}

// parseInteger reads text as strtoul does with base 0: blanks, a sign, 0x for
// hexadecimal, 0 for octal, and as many digits as there are.
func parseInteger(text string) integer {
	var c integer
	text = strings.TrimLeft(text, " \t\n\v\f\r")
	if text != "" && (text[0] == '-' || text[0] == '+') {
		c.negative = text[0] == '-'
		text = text[1:]
	}
	base, text := split(text)
	n := 0
	for n < len(text) && digit(text[n]) < base {
		n++
	}
	var err error
	c.size, err = strconv.ParseUint(text[:n], base, 64)
	c.over = errors.Is(err, strconv.ErrRange)
	c.digits, c.tail = n > 0, text[n:]
	c.clean = c.digits && c.tail == ""
	return c
}

// split takes the prefix that tells the base off text. The x of 0x counts only
// before a digit, and the 0 of an octal number is a digit itself.
func split(text string) (base int, digits string) {
	switch {
	case len(text) > 2 && text[0] == '0' && text[1]|0x20 == 'x' && digit(text[2]) < 16:
		return 16, text[2:]
	case strings.HasPrefix(text, "0"):
		return 8, text
	}
	return 10, text
}

// digit is the value of c, or 99.
func digit(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c|0x20 && c|0x20 <= 'f':
		return int(c|0x20-'a') + 10
	}
	return 99
}

func (c integer) within(lo, hi int64) bool {
	switch {
	case c.over:
		return false
	case c.negative:
		return c.size <= -uint64(lo)
	}
	return c.size <= uint64(hi)
}

// value is c, which has to be within the limits of 64 bits.
func (c integer) value() int64 {
	if c.negative {
		return -int64(c.size)
	}
	return int64(c.size)
}

// wrapped is c cut to 32 bits, as strtoul's result is in ulogd.
func (c integer) wrapped(unsigned bool) int64 {
	n := uint32(c.size)
	switch {
	case c.over: // strtoul gives its largest value, whatever the sign
		n = math.MaxUint32
	case c.negative:
		n = -n
	}
	if unsigned {
		return int64(n)
	}
	return int64(int32(n))
}

// duration reads "250ms", "1s", "1.5" or "5", the last two in seconds.
func (f *Field) duration(text string) (d time.Duration, lenient bool, err error) {
	c := parseInteger(text)
	d, err = time.ParseDuration(text)
	switch seconds, ferr := strconv.ParseFloat(text, 64); {
	case c.clean:
		err = nil
		d, err = c.seconds()
	case err == nil:
	case ferr == nil && math.Abs(seconds) < math.MaxInt64/float64(time.Second):
		d, err = time.Duration(seconds*float64(time.Second)), nil
	case f.Extra:
		err = errors.New(`not a duration; write "250ms", "1s" or a number of seconds`)
	default:
		lenient = true
		d, err = c.seconds()
	}
	if err == nil && d < 0 {
		err = errors.New("out of range, less than 0")
	}
	return d, lenient, err
}

func (c integer) seconds() (time.Duration, error) {
	const most = math.MaxInt64 / int64(time.Second)
	if !c.within(0, most) {
		return 0, fmt.Errorf("out of range 0 to %d seconds", most)
	}
	return time.Duration(c.size) * time.Second, nil
}
