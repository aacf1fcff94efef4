package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// event is a line of `go test -json`: see `go doc test2json`.
type event struct {
	Action     string
	Package    string
	ImportPath string // of a package that does not build
	Test       string
	Output     string
	Elapsed    float64
}

// counts are tests, subtests among them. A package that does not build, or that
// ends before its tests do, counts as one failed test.
type counts struct{ passed, failed, skipped int }

func (c counts) String() string {
	return fmt.Sprintf("%d passed, %d failed, %d skipped", c.passed, c.failed, c.skipped)
}

// summary is what has been read so far.
type summary struct {
	counts
	w      io.Writer
	output map[string][]string // lines by package and test, while it runs
	failed map[string]int      // tests by package
}

// summarize reads events, and writes a line for each package and each skipped
// test, and the whole output of each failed one.
func summarize(r io.Reader, w io.Writer) (counts, error) {
	s := summary{w: w, output: make(map[string][]string), failed: make(map[string]int)}
	d := json.NewDecoder(r)
	for {
		var e event
		err := d.Decode(&e)
		if errors.Is(err, io.EOF) {
			return s.counts, nil
		}
		if err != nil {
			return s.counts, fmt.Errorf("read go test's events: %w", err)
		}
		s.add(e)
	}
}

func (s *summary) add(e event) {
	at := e.Package + " " + e.Test
	switch e.Action {
	case "output":
		s.output[at] = append(s.output[at], e.Output)
		return
	case "build-output":
		fmt.Fprint(s.w, e.Output)
		return
	case "pass", "fail", "skip":
	default:
		return
	}
	if e.Test == "" {
		s.pkg(e, s.output[at])
	} else {
		s.test(e, s.output[at])
	}
	delete(s.output, at)
}

func (s *summary) test(e event, output []string) {
	switch e.Action {
	case "pass":
		s.passed++
	case "skip":
		s.skipped++
		fmt.Fprintf(s.w, "SKIP %s %s: %s\n", e.Package, e.Test, reason(output))
	case "fail":
		s.counts.failed++
		s.failed[e.Package]++
		fmt.Fprintf(s.w, "FAIL %s %s\n%s", e.Package, e.Test, strings.Join(output, ""))
	}
}

// pkg ends a package. The action skip says that it has no tests.
func (s *summary) pkg(e event, output []string) {
	switch e.Action {
	case "pass":
		fmt.Fprintf(s.w, "ok   %s (%.1f s)\n", e.Package, e.Elapsed)
	case "fail":
		if s.failed[e.Package] == 0 {
			s.counts.failed++
		}
		fmt.Fprintf(s.w, "FAIL %s (%.1f s)\n", e.Package, e.Elapsed)
		s.unfinished(e.Package)
		fmt.Fprint(s.w, strings.Join(output, ""))
	}
}

// unfinished writes what the tests said in whose midst the package ended.
func (s *summary) unfinished(pkg string) {
	for at, output := range s.output {
		if name, ok := strings.CutPrefix(at, pkg+" "); ok && name != "" {
			fmt.Fprintf(s.w, "in %s:\n%s", name, strings.Join(output, ""))
			delete(s.output, at)
		}
	}
}

// reason is what a skipped test said, on one line.
func reason(output []string) string {
	var said []string
	for _, line := range output {
		line = strings.TrimSpace(line)
		if line != "" && !strings.HasPrefix(line, "=== ") && !strings.HasPrefix(line, "--- ") {
			said = append(said, line)
		}
	}
	if said == nil {
		return "it gives no reason"
	}
	return strings.Join(said, " ")
}
