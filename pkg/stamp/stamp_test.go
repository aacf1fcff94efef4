package stamp

import (
	"testing"
	"time"
)

func TestClock(t *testing.T) {
	const sec = 1795420633 // 2026-11-23 07:57:13 UTC
	tests := []struct {
		tz          string
		syslog, iso string
		slashed     string
		west        int
		bareISO     string
		rfc3339     string
	}{
		{"UTC", "Nov 23 07:57:13", "2026-11-23T07:57:13.000042", "2026/11/23-07:57:13", 0, "2026-11-23T07:57:13", "2026-11-23T07:57:13.000042Z"},
		{"<+0530>-5:30", "Nov 23 13:27:13", "2026-11-23T13:27:13.000042+0530", "2026/11/23-13:27:13", -19800, "2026-11-23T13:27:13+0530", "2026-11-23T13:27:13.000042+05:30"},
		{"XXX3:30", "Nov 23 04:27:13", "2026-11-23T04:27:13.000042-0330", "2026/11/23-04:27:13", 12600, "2026-11-23T04:27:13-0330", "2026-11-23T04:27:13.000042-03:30"},
		{"CET-1CEST,M3.5.0,M10.5.0/3", "Nov 23 08:57:13", "2026-11-23T08:57:13.000042+0100", "2026/11/23-08:57:13", -3600, "2026-11-23T08:57:13+0100", "2026-11-23T08:57:13.000042+01:00"},
		{":Europe/Berlin", "Nov 23 08:57:13", "2026-11-23T08:57:13.000042+0100", "2026/11/23-08:57:13", -3600, "2026-11-23T08:57:13+0100", "2026-11-23T08:57:13.000042+01:00"},
	}
	for _, tt := range tests {
		t.Run(tt.tz, func(t *testing.T) {
			zone, err := Zone(tt.tz)
			if err != nil {
				t.Fatal(err)
			}
			c := NewClock(zone)
			for range 2 { // the second time from memory
				if got := string(c.AppendSyslog(nil, sec)); got != tt.syslog {
					t.Errorf("syslog: %q, want %q", got, tt.syslog)
				}
				if got := string(c.AppendISO(nil, sec, 42)); got != tt.iso {
					t.Errorf("ISO: %q, want %q", got, tt.iso)
				}
				if got := string(c.AppendRFC3339(nil, sec, 42)); got != tt.rfc3339 {
					t.Errorf("RFC 3339: %q, want %q", got, tt.rfc3339)
				}
				if got := string(c.AppendISO(nil, sec, -1)); got != tt.bareISO {
					t.Errorf("ISO without fraction: %q, want %q", got, tt.bareISO)
				}
			}
			if got := string(c.AppendSlashed(nil, time.Unix(sec, 0))); got != tt.slashed {
				t.Errorf("slashed: %q, want %q", got, tt.slashed)
			}
			if got := SecondsWest(zone, time.Unix(sec, 0)); got != tt.west {
				t.Errorf("seconds west: %d, want %d", got, tt.west)
			}
		})
	}
}

func TestSummerTimeOfARule(t *testing.T) {
	zone, err := Zone("CET-1CEST,M3.5.0,M10.5.0/3")
	if err != nil {
		t.Fatal(err)
	}
	c := NewClock(zone)
	july := time.Date(2026, time.July, 5, 1, 4, 5, 0, time.UTC)
	if got, want := string(c.AppendSyslog(nil, july.Unix())), "Jul  5 03:04:05"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := SecondsWest(zone, july); got != -3600 {
		t.Errorf("seconds west in summer: %d, want -3600", got)
	}
}

func TestBadZones(t *testing.T) {
	for _, tz := range []string{"Nowhere/Land", "<+05", "AB3", "XYZ", "/no/such/file"} {
		if zone, err := Zone(tz); err == nil {
			t.Errorf("Zone(%q) = %v, want an error", tz, zone)
		}
	}
}

func TestClockDoesNotAllocate(t *testing.T) {
	c := NewClock(time.UTC)
	buf := make([]byte, 0, 100)
	var sec int64
	if n := testing.AllocsPerRun(1000, func() {
		sec++
		buf = c.AppendISO(c.AppendSyslog(buf[:0], sec), sec, 7)
	}); n != 0 {
		t.Errorf("%v allocations per time", n)
	}
}
