package main

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/ulogd-go/ulogd/"

// own are the packages of the module on which these may depend, directly or not.
// The others in pkg may depend on any in pkg.
var own = map[string][]string{
	"pkg/event":   {},
	"pkg/option":  {},
	"pkg/stats":   {},
	"pkg/outfile": {"pkg/option", "pkg/queue"},
	"pkg/queue":   {"pkg/option"},
	"pkg/nflog":   {"pkg/event"},
	"pkg/packet":  {"pkg/event", "pkg/nflog"},
	"pkg/stamp":   {"pkg/event"},
	"pkg/config":  {"pkg/option"},
	"pkg/plugin":  {"pkg/event", "pkg/option", "pkg/outfile", "pkg/queue", "pkg/stats"},
}

// standard are the packages that depend on nothing but themselves and the
// standard library.
var standard = []string{
	"pkg/event", "pkg/option", "pkg/stats", "pkg/outfile", "pkg/queue", "pkg/nflog", "pkg/packet", "pkg/stamp", "pkg/plugin", "pkg/logging",
}

// TestDirections: dependencies point one way, from the programs to the plugins
// to the packages, of which the inner ones know as little as possible.
func TestDirections(t *testing.T) {
	deps := dependencies(t)
	for name, list := range deps {
		for _, dep := range list {
			if reason := forbidden(name, dep); reason != "" {
				t.Errorf("%s depends on %s: %s", name, dep, reason)
			}
		}
	}
	for name := range own {
		if _, ok := deps[name]; !ok {
			t.Errorf("%s is listed here and does not exist", name)
		}
	}
}

// forbidden says why a package may not depend on another. It is empty if it may.
func forbidden(name, dep string) string {
	kind, _, _ := strings.Cut(name, "/")
	depKind, _, _ := strings.Cut(dep, "/")
	if external := strings.Contains(depKind, "."); external {
		if slices.Contains(standard, name) {
			return "it is to use the standard library only"
		}
		return ""
	}
	allowed, limited := own[name]
	switch {
	case limited && !slices.Contains(allowed, dep):
		return "it is to know less of the module"
	case kind == "pkg" && depKind != "pkg" && depKind != "schema":
		return "packages know neither plugins nor programs"
	case kind == "plugins" && depKind == "plugins" && name != "plugins/all":
		return "a plugin never imports another"
	case kind == "plugins" && (depKind == "cmd" || depKind == "contrib"):
		return "plugins know no programs"
	case kind == "cmd" && depKind == "contrib":
		return "the programs work without contrib"
	}
	return ""
}

// dependencies are all packages on which each one of the module depends, itself
// and the standard library left out. Names within the module lack the module's.
func dependencies(t *testing.T) map[string][]string {
	t.Helper()
	cmd := exec.Command("go", "list", "-f", `{{.ImportPath}}{{range .Deps}} {{.}}{{end}}`, "./...")
	cmd.Dir = top
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	deps := make(map[string][]string)
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		name := strings.TrimPrefix(fields[0], module)
		deps[name] = nil
		for _, dep := range fields[1:] {
			within, ours := strings.CutPrefix(dep, module)
			host, _, _ := strings.Cut(dep, "/")
			if ours || strings.Contains(host, ".") {
				deps[name] = append(deps[name], within)
			}
		}
	}
	if len(deps) < 30 {
		t.Fatalf("go list knows %d packages", len(deps))
	}
	return deps
}
