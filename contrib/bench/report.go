package main

import (
	"fmt"
	"io"
	"strconv"
)

// report prints a table as the rows come.
type report struct {
	w    io.Writer
	rows map[string][]measurement // by section
	ofIt []string                 // the sections, in order
}

func newReport(w io.Writer) *report {
	return &report{w: w, rows: make(map[string][]measurement)}
}

func (r *report) section(s section) {
	r.ofIt = append(r.ofIt, s.title)
	fmt.Fprintf(r.w, "\n%s (%s)\n", s.title, s.about)
	for _, text := range s.missing {
		fmt.Fprintf(r.w, "  left out: %s\n", text)
	}
	if len(s.subjects) > 0 {
		fmt.Fprintf(r.w, "  %-12s %9s %9s %9s %9s %9s %7s %10s %9s %9s %9s %9s\n", "logger", "rate", "offered/s",
			"matched", "logged", "lost", "lost %", "CPU µs/pkt", "behind ms", "max RSS", "idle RSS", "start ms")
	}
}

func (r *report) row(title string, m measurement) {
	r.rows[title] = append(r.rows[title], m)
	fmt.Fprintf(r.w, "  %-12s %9s %9.0f %9d %9d %9d %7.2f %10.3f %9.0f %7.1fMB %7.1fMB %9.1f\n", m.subject.logger, rateName(m.rate),
		m.offered.PerSecond(), m.hits, m.logged, m.lost(), 100*float64(m.lost())/float64(max(m.hits, 1)), m.perPacket(),
		m.behind.Seconds()*1000, megabytes(m.maxRSS), megabytes(m.idleRSS), m.listening.Seconds()*1000)
}

func (r *report) failed(s subject, rate int, err error) {
	fmt.Fprintf(r.w, "  %-12s %9s failed: %v\n", s.logger, rateName(rate), err)
}

// ratios compares the two daemons where both were measured.
func (r *report) ratios() {
	headed := false
	for _, title := range r.ofIt {
		for _, m := range r.rows[title] {
			other, ok := r.find(title, original, m.rate)
			if m.subject.logger != ours || !ok {
				continue
			}
			if !headed {
				fmt.Fprintf(r.w, "\nCPU per packet logged, %s : %s\n", ours, original)
				headed = true
			}
			fmt.Fprintf(r.w, "  %-12s %9s %8.3f  (%.3f : %.3f µs; lost %d of %d : %d of %d)\n", title, rateName(m.rate),
				m.perPacket()/other.perPacket(), m.perPacket(), other.perPacket(), m.lost(), m.hits, other.lost(), other.hits)
		}
	}
}

func (r *report) find(title, logger string, rate int) (measurement, bool) {
	for _, m := range r.rows[title] {
		if m.subject.logger == logger && m.rate == rate {
			return m, true
		}
	}
	return measurement{}, false
}

func rateName(rate int) string {
	if rate == 0 {
		return "max"
	}
	return strconv.Itoa(rate)
}

func megabytes(n int64) float64 { return float64(n) / (1 << 20) }
