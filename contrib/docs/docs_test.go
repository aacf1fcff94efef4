package main

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/ulogd-go/ulogd/pkg/config"
	"github.com/ulogd-go/ulogd/pkg/pipeline"
	"github.com/ulogd-go/ulogd/pkg/plugin"
	"github.com/ulogd-go/ulogd/pkg/stats"
)

const top = "../.."

func TestUpToDate(t *testing.T) {
	stale, err := outdated(top, plugin.Default)
	if err != nil {
		t.Error(err)
	}
	for _, path := range names(stale) {
		t.Errorf("%s is not what the code says; run make docs", path)
	}
}

// TestFill: tables go into their places, and a file without a place is an error.
func TestFill(t *testing.T) {
	path := filepath.Join(t.TempDir(), "README.md")
	f := func(text, want, wantErr string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		got, err := fill(path, []table{{"options", "NEW\n"}})
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
		if (err == nil) != (wantErr == "") || err != nil && !strings.Contains(err.Error(), wantErr) {
			t.Errorf("error %v, want %q", err, wantErr)
		}
	}
	f("a\n<!-- options -->\nold\n<!-- /options -->\nb\n", "a\n<!-- options -->\nNEW\n<!-- /options -->\nb\n", "")
	f("<!-- options -->\n<!-- /options -->\n", "<!-- options -->\nNEW\n<!-- /options -->\n", "")
	f("a\n", "", "no place for the table of options")
	f("<!-- options -->\n", "", "no place for the table of options")
	f("<!-- /options -->\n<!-- options -->\n", "", "no place for the table of options")
}

// TestEveryFolderIsRegistered: a plugin that plugins/all forgets is in no binary.
func TestEveryFolderIsRegistered(t *testing.T) {
	specs, err := lookup(plugin.Default)
	if err != nil {
		t.Fatal(err)
	}
	registered := make(map[string]bool)
	for _, s := range specs {
		registered[filepath.Join(top, folder(s))] = true
	}
	dirs, err := filepath.Glob(top + "/plugins/*put/*")
	if err != nil || len(dirs) == 0 {
		t.Fatalf("%d folders, %v", len(dirs), err)
	}
	filters, err := filepath.Glob(top + "/plugins/filter/*")
	if err != nil || len(filters) == 0 {
		t.Fatalf("%d folders of filters, %v", len(filters), err)
	}
	for _, dir := range append(dirs, filters...) {
		if !registered[dir] {
			t.Errorf("%s holds no plugin that is registered; import it in plugins/all", dir)
		}
	}
}

// sections are what the README of each plugin holds, in this order.
var sections = []string{"Name", "Description", "Options", "Keys", "Example stack", "Differences from ulogd"}

var (
	heading = regexp.MustCompile(`(?m)^## (.*)$`)
	// A fenced block, and the language it is said to be in.
	block = regexp.MustCompile("(?ms)^```([a-z]*)\n(.*?)^```$")
)

func TestReadmesHaveTheirSections(t *testing.T) {
	for _, path := range pluginReadmes(t) {
		var found []string
		for _, m := range heading.FindAllStringSubmatch(read(t, path), -1) {
			found = append(found, m[1])
		}
		if got, want := strings.Join(found, ", "), strings.Join(sections, ", "); got != want {
			t.Errorf("%s: sections %s; want %s", path, got, want)
		}
	}
}

// TestExampleStacks builds the configurations that READMEs show, without a warning.
func TestExampleStacks(t *testing.T) {
	for _, path := range pluginReadmes(t) {
		_, text, ok := strings.Cut(read(t, path), "\n## Example stack\n")
		text, _, _ = strings.Cut(text, "\n## ")
		blocks := block.FindAllStringSubmatch(text, -1)
		if !ok || len(blocks) == 0 {
			t.Errorf("%s: no example of a stack", path)
		}
		for _, b := range blocks {
			build(t, path, b[1], b[2])
		}
	}
}

// TestReadme builds the configurations of the project's README: those are the
// blocks in conf and in toml.
func TestReadme(t *testing.T) {
	built := make(map[string]int)
	for _, b := range block.FindAllStringSubmatch(read(t, top+"/README.md"), -1) {
		if language := b[1]; language == "conf" || language == "toml" {
			build(t, "README.md", language, b[2])
			built[language]++
		}
	}
	if built["conf"] == 0 || built["toml"] == 0 {
		t.Errorf("examples by language: %v; want conf and toml", built)
	}
}

// TestTomlExample: the example works as it is, and with each line put in force.
func TestTomlExample(t *testing.T) {
	text := read(t, top+"/ulogd.toml.example")
	build(t, "ulogd.toml.example", "toml", text)

	all := inForce(text)
	build(t, "ulogd.toml.example, all lines in force", "toml", all)
	f, err := config.Parse("ulogd.toml", []byte(all))
	if err != nil {
		t.Fatal(err)
	}
	if len(f.Stacks) != len(stackExamples) {
		t.Errorf("%d stacks, want %d", len(f.Stacks), len(stackExamples))
	}
	shown := make(map[string]bool)
	for _, s := range f.Stacks {
		for _, in := range s.Instances {
			shown[in.Plugin] = true
			if in.Name != instance(in.Plugin) {
				t.Errorf("%s of %q has no section", in.Name, s.Text)
			}
		}
	}
	for _, name := range plugin.Default.Names() {
		section, ok := f.Sections[instance(name)]
		spec, err := plugin.Default.Lookup(name)
		if err != nil || !ok || len(section.Entries) != len(spec.Options) {
			t.Errorf("%s: %d options in [%s], want %d", name, len(section.Entries), instance(name), len(spec.Options))
		}
		if !shown[name] && name != "IP2HBIN" { // which only tables of one's own need
			t.Errorf("%s is in none of the stacks", name)
		}
	}
}

// inForce removes the comment signs before options and stacks, and gives those
// options a value that need one.
func inForce(text string) string {
	text = regexp.MustCompile(`(?m)^# ([a-z0-9_]+ = )`).ReplaceAllString(text, "$1")
	text = regexp.MustCompile(`(?s)(\[nfacct1\].*?\npollinterval = )0\n`).ReplaceAllString(text, "${1}60\n") // 0 will not do
	text = regexp.MustCompile(`(?m)^  # "`).ReplaceAllString(text, `  "`)
	text = regexp.MustCompile(`(?m)^([a-z0-9_]+) = 0  # required$`).ReplaceAllString(text, `$1 = 1`)
	text = strings.ReplaceAll(text, `dbtype = ""  # required`, `dbtype = "pgsql"`)
	text = strings.ReplaceAll(text, `port = ""  # required`, `port = "2003"`)
	return regexp.MustCompile(`(?m)^([a-z0-9_]+) = ""  # required$`).ReplaceAllString(text, `$1 = "x"`)
}

// build makes the stacks of a configuration. Nothing may fail, or be warned of.
func build(t *testing.T, where, language, text string) {
	t.Helper()
	name := "example.conf"
	if language == "toml" {
		name = "example.toml"
	} else if !strings.Contains(text, "[global]") {
		text = "[global]\n" + text
	}
	f, err := config.Parse(name, []byte(text))
	if err != nil {
		t.Errorf("%s: %v\n%s", where, err, text)
		return
	}
	for _, w := range f.Warnings {
		t.Errorf("%s: %v", where, w)
	}
	var log bytes.Buffer
	p, err := pipeline.Build(f, plugin.Default, pipeline.Env{
		Log:   slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn})),
		Stats: new(stats.Registry), Now: time.Now, Zone: time.UTC, Hostname: "host",
	})
	if err != nil || p.Failed() > 0 || log.Len() > 0 {
		t.Errorf("%s: %v\n%s%s", where, err, &log, text)
	}
}

func pluginReadmes(t *testing.T) []string {
	t.Helper()
	paths, err := filepath.Glob(top + "/plugins/*/*/README.md")
	if err != nil || len(paths) < len(plugin.Default.Names()) {
		t.Fatalf("%d READMEs, %v; want one for each of %v", len(paths), err, plugin.Default.Names())
	}
	return paths
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
