package stamp

import (
	"encoding/binary"
	"fmt"
	"os"
	"strings"
	"time"
)

// Local is the zone of the process: what TZ says, in all the forms that the C
// library knows, else the system's.
func Local() (*time.Location, error) {
	tz, ok := os.LookupEnv("TZ")
	if !ok {
		return time.Local, nil
	}
	return Zone(tz)
}

// Zone is the zone that a value of the environment variable TZ stands for: the
// name of a file in the zone database, with or without a colon before it, or a
// rule such as "CET-1CEST,M3.5.0,M10.5.0/3" or "<+0530>-5:30" (POSIX.1-2017,
// section 8.3).
func Zone(tz string) (*time.Location, error) {
	name := strings.TrimPrefix(tz, ":")
	if name == "" {
		return time.UTC, nil
	}
	if strings.HasPrefix(name, "/") {
		data, err := os.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("time zone %q: %w", tz, err)
		}
		return time.LoadLocationFromTZData(name, data)
	}
	if zone, err := time.LoadLocation(name); err == nil {
		return zone, nil
	}
	return rule(name)
}

// rule makes a zone of a POSIX rule by wrapping it into an otherwise empty zone
// file, whose last line is such a rule (RFC 8536, section 3.3): so the rules
// are read by package time.
func rule(text string) (*time.Location, error) {
	offset, name, err := standard(text)
	if err != nil {
		return nil, fmt.Errorf("time zone %q: %w; use a name such as \"Europe/Berlin\" or a rule such as \"CET-1\"", text, err)
	}
	zone, err := time.LoadLocationFromTZData(text, zoneFile(offset, name, text))
	if err != nil {
		return nil, fmt.Errorf("time zone %q: %w", text, err)
	}
	return zone, nil
}

// zoneFile is a zone file with one type of local time, one transition to it in
// the distant past, and a rule for all times after that. As the format demands,
// the same data stands there twice, with times of 4 and of 8 bytes.
func zoneFile(offset int, name, rule string) []byte {
	var b []byte
	for _, timeSize := range []int{4, 8} {
		b = append(b, "TZif2"...)
		b = append(b, make([]byte, 15)...)
		for _, count := range []int{0, 0, 0, 1, 1, len(name) + 1} {
			b = binary.BigEndian.AppendUint32(b, uint32(count))
		}
		b = append(b, 0x80)
		b = append(b, make([]byte, timeSize-1)...)
		b = append(b, 0)
		b = binary.BigEndian.AppendUint32(b, uint32(int32(offset)))
		b = append(b, 0, 0)
		b = append(append(b, name...), 0)
	}
	return append(append(append(b, '\n'), rule...), '\n')
}

// standard reads the name and the offset east of UTC, in seconds, that a rule begins with.
func standard(rule string) (offset int, name string, err error) {
	i := 0
	if strings.HasPrefix(rule, "<") {
		i = strings.IndexByte(rule, '>')
		if i < 0 {
			return 0, "", fmt.Errorf("the name is not closed by %q", ">")
		}
		name, i = rule[1:i], i+1
	} else {
		for i < len(rule) && (rule[i]|0x20 >= 'a' && rule[i]|0x20 <= 'z') {
			i++
		}
		name = rule[:i]
	}
	if len(name) < 3 {
		return 0, "", fmt.Errorf("there is no such zone")
	}
	rest := rule[i:]
	sign := -1
	if strings.HasPrefix(rest, "-") {
		sign = 1
	}
	rest = strings.TrimLeft(rest, "+-")
	unit, digits := 3600, 0
	for len(rest) > 0 && unit > 0 {
		n := 0
		for len(rest) > 0 && rest[0] >= '0' && rest[0] <= '9' && n < 1000 {
			n, rest, digits = 10*n+int(rest[0]-'0'), rest[1:], digits+1
		}
		offset += sign * n * unit
		if len(rest) == 0 || rest[0] != ':' {
			break
		}
		unit, rest = unit/60, rest[1:]
	}
	if digits == 0 {
		return 0, "", fmt.Errorf("the offset from UTC is missing")
	}
	return offset, name, nil
}
