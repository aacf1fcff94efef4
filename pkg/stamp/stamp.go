// Package stamp writes times the way ulogd does, without a look at the calendar
// for each packet: what changes once a second is computed once a second.
package stamp

import (
	"strconv"
	"time"

	"github.com/ulogd-go/ulogd/pkg/event"
)

const months = "JanFebMarAprMayJunJulAugSepOctNovDec"

// Clock writes times in one zone. It is for one goroutine.
type Clock struct {
	zone *time.Location

	syslog, iso second
}

// second is the text of the second that was written last.
type second struct {
	sec  int64
	ok   bool
	text []byte
	zone []byte
}

// NewClock makes a clock for a zone.
func NewClock(zone *time.Location) *Clock { return &Clock{zone: zone} }

// AppendSyslog appends the time sec, in seconds since 1970, as "Jan  5 03:04:05".
func (c *Clock) AppendSyslog(dst []byte, sec int64) []byte {
	if s := &c.syslog; !s.ok || s.sec != sec {
		s.ok, s.sec = true, sec
		s.text = appendSyslog(s.text[:0], time.Unix(sec, 0).In(c.zone))
	}
	return append(dst, c.syslog.text...)
}

func appendSyslog(dst []byte, t time.Time) []byte {
	m, day := int(t.Month())-1, t.Day()
	dst = append(dst, months[3*m:3*m+3]...)
	dst = append(dst, ' ')
	if day < 10 {
		dst = append(dst, ' ')
	}
	dst = strconv.AppendInt(dst, int64(day), 10)
	dst = append(dst, ' ')
	return appendClock(dst, t)
}

func appendClock(dst []byte, t time.Time) []byte {
	h, m, s := t.Clock()
	dst = event.AppendPadded(dst, uint64(h), 2)
	dst = append(dst, ':')
	dst = event.AppendPadded(dst, uint64(m), 2)
	dst = append(dst, ':')
	return event.AppendPadded(dst, uint64(s), 2)
}

// AppendISO appends the time sec, in seconds since 1970, as JSON has it:
// "2006-01-02T15:04:05", a fraction of six digits unless usec is negative, and
// the offset from UTC as "+0530", which is missing if it is zero.
func (c *Clock) AppendISO(dst []byte, sec int64, usec int32) []byte {
	return append(c.appendInstant(dst, sec, usec), c.iso.zone...)
}

// AppendRFC3339 appends the time sec, in seconds since 1970, with a fraction of six
// digits, as RFC 3339 has it: "2006-01-02T15:04:05.000042+05:30", with a Z in place
// of the offset in UTC.
func (c *Clock) AppendRFC3339(dst []byte, sec int64, usec uint32) []byte {
	dst = c.appendInstant(dst, sec, int32(usec))
	zone := c.iso.zone
	if len(zone) == 0 {
		return append(dst, 'Z')
	}
	dst = append(append(dst, zone[:3]...), ':')
	return append(dst, zone[3:]...)
}

// appendInstant appends date, time and fraction, and leaves the offset in c.iso.
func (c *Clock) appendInstant(dst []byte, sec int64, usec int32) []byte {
	if s := &c.iso; !s.ok || s.sec != sec {
		t := time.Unix(sec, 0).In(c.zone)
		s.ok, s.sec = true, sec
		s.text = appendClock(append(appendDate(s.text[:0], t, '-'), 'T'), t)
		s.zone = appendOffset(s.zone[:0], t)
	}
	dst = append(dst, c.iso.text...)
	if usec >= 0 {
		dst = append(dst, '.')
		dst = event.AppendPadded(dst, uint64(usec), 6)
	}
	return dst
}

func appendDate(dst []byte, t time.Time, sep byte) []byte {
	year, month, day := t.Date()
	dst = event.AppendPadded(dst, uint64(year), 4)
	dst = append(dst, sep)
	dst = event.AppendPadded(dst, uint64(month), 2)
	dst = append(dst, sep)
	return event.AppendPadded(dst, uint64(day), 2)
}

func appendOffset(dst []byte, t time.Time) []byte {
	_, offset := t.Zone()
	if offset == 0 {
		return dst
	}
	sign := byte('+')
	if offset < 0 {
		sign, offset = '-', -offset
	}
	dst = append(dst, sign)
	dst = event.AppendPadded(dst, uint64(offset/3600), 2)
	return event.AppendPadded(dst, uint64(offset/60%60), 2)
}

// AppendSlashed appends t in the clock's zone as GPRINT has it:
// "2006/01/02-15:04:05".
func (c *Clock) AppendSlashed(dst []byte, t time.Time) []byte {
	t = t.In(c.zone)
	return appendClock(append(appendDate(dst, t, '/'), '-'), t)
}

// In is t in the clock's zone.
func (c *Clock) In(t time.Time) time.Time { return t.In(c.zone) }

// SecondsWest is how far the zone's standard time lies west of UTC at t, as the
// C library's variable timezone has it.
func SecondsWest(zone *time.Location, t time.Time) int {
	t = t.In(zone)
	year := t.Year()
	_, winter := time.Date(year, time.January, 1, 12, 0, 0, 0, zone).Zone()
	_, summer := time.Date(year, time.July, 1, 12, 0, 0, 0, zone).Zone()
	return -min(winter, summer)
}
