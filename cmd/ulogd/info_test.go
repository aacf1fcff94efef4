package main

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ulogd-go/ulogd/pkg/plugin"
)

// description is what -i prints of a plugin: its name, and the lines of each section.
type description struct {
	Name                    string
	Options, Inputs, Output []string
}

func describe(t *testing.T, text string) (d description) {
	t.Helper()
	var section *[]string
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		switch {
		case strings.HasPrefix(line, "Name: ") && d.Name == "":
			d.Name = line[len("Name: "):]
		case line == "Config options:":
			section = &d.Options
		case line == "Input keys:":
			section = &d.Inputs
		case line == "Output keys:":
			section = &d.Output
		case strings.HasPrefix(line, "\t") && section != nil:
			*section = append(*section, line)
		default:
			t.Fatalf("the line %q is in no section of\n%s", line, text)
		}
	}
	return d
}

// ours is what -i prints of a plugin here.
func ours(t *testing.T, name string) description {
	t.Helper()
	var stdout, stderr bytes.Buffer
	(&cli{stdout: &stdout, stderr: &stderr, registry: plugin.Default}).info(name)
	if stderr.Len() > 0 {
		t.Errorf("%s: %s", name, &stderr)
	}
	return describe(t, stdout.String())
}

// table is the rows of a table of what ulogd has, by plugin.
func table(t *testing.T, name string) map[string][][]string {
	t.Helper()
	f, err := os.Open("../../contrib/docs/testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	all, err := csv.NewReader(f).ReadAll()
	if err != nil || len(all) < 100 {
		t.Fatalf("%s: %d rows, %v", name, len(all), err)
	}
	rows := make(map[string][][]string)
	for _, row := range all[1:] {
		rows[row[0]] = append(rows[row[0]], row)
	}
	return rows
}

// typeWords are the types of the tables in ulogd's words; all others are unknown to it.
var typeWords = map[string]string{
	"int": "Integer", "string": "String",
	"bool": "boolean", "uint8": "unsigned int 8", "uint16": "unsigned int 16", "uint32": "unsigned int 32",
	"uint64": "unsigned int 64", "ipaddr": "IP addr", "raw": "raw data",
}

// expected is what the tables say that ulogd prints.
func expected(info plugin.Info, options, keys [][]string) description {
	d := description{Name: info.Name}
	for _, row := range options {
		mandatory := ""
		if row[3] == "yes" {
			mandatory = ", Mandatory"
		}
		d.Options = append(d.Options, fmt.Sprintf("\tVar: %s (%s, Default: %s%s)", row[1], typeWords[row[2]], row[4], mandatory))
	}
	for _, row := range keys {
		if row[2] == "*" {
			continue // all keys of the stack
		}
		typ, ok := typeWords[row[3]]
		if row[3] == "string" {
			typ = "string"
		} else if !ok {
			typ = "Unknown type"
		}
		if row[1] == "out" {
			d.Output = append(d.Output, fmt.Sprintf("\tKey: %s (%s)", row[2], typ))
			continue
		}
		if row[4] == "optional" {
			typ += ", optional"
		}
		d.Inputs = append(d.Inputs, fmt.Sprintf("\tKey: %s (%s)", row[2], typ))
	}
	if len(d.Inputs) == 0 {
		d.Inputs = []string{noKeys}
	}
	if len(d.Output) == 0 {
		d.Output = []string{noKeys}
	}
	switch kind(info) {
	case "input":
		d.Inputs = []string{"\tInput plugin, No keys"}
	case "output":
		d.Output = []string{"\tOutput plugin, No keys"}
	}
	return d
}

// TestInfoIsUlogds: -i prints all keys and options that ulogd has, in ulogd's order. Only
// ours come behind them.
func TestInfoIsUlogds(t *testing.T) {
	keys, options := table(t, "keys.csv"), table(t, "options.csv")
	compared := 0
	for _, name := range plugin.Default.Names() {
		if len(keys[name]) == 0 {
			continue // a plugin of ours
		}
		compared++
		spec, err := plugin.Default.Lookup(name)
		if err != nil {
			t.Fatal(err)
		}
		want, got := expected(spec.Info, options[name], keys[name]), ours(t, name)
		// How many of the lines are ulogd's, TestKeysAndOptionsAreUlogds sees to.
		got.Options = got.Options[:min(len(want.Options), len(got.Options))]
		got.Inputs = got.Inputs[:min(len(want.Inputs), len(got.Inputs))]
		got.Output = got.Output[:min(len(want.Output), len(got.Output))]
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s (-ulogd +ours)\n%s", name, diff)
		}
	}
	if compared < 28 {
		t.Errorf("%d plugins compared, want all 28 of ulogd", compared)
	}
}

// TestInfoIsTheOriginals: of each plugin that is installed, ours prints each line that the
// original prints, in its order. Later versions have some more.
func TestInfoIsTheOriginals(t *testing.T) {
	paths, err := filepath.Glob("/usr/lib/*/ulogd/*.so")
	if err != nil || len(paths) == 0 {
		if os.Getenv("CI") == "true" {
			t.Fatal("no plugins of the original: install the packages ulogd2, ulogd2-json, ulogd2-pcap, ulogd2-sqlite3")
		}
		t.Skip("SKIPPED: no plugins of the original: install the packages ulogd2, ulogd2-json, ulogd2-pcap, ulogd2-sqlite3")
	}
	for _, path := range paths {
		out, err := exec.Command("/usr/sbin/ulogd", "-i", path).Output()
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		want, got := describe(t, string(out)), ours(t, path)
		if want.Name != got.Name {
			t.Errorf("%s: %q and %q", path, want.Name, got.Name)
		}
		// SQLITE3 of 2.0.8 counts one option more than it has.
		want.Options = slices.DeleteFunc(want.Options, func(line string) bool { return strings.HasPrefix(line, "\tVar:  (") })
		for _, list := range [][2][]string{{want.Options, got.Options}, {want.Inputs, got.Inputs}, {want.Output, got.Output}} {
			common := slices.DeleteFunc(list[1], func(line string) bool { return !slices.Contains(list[0], line) })
			if diff := cmp.Diff(list[0], common, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("%s (-ulogd +ours)\n%s", want.Name, diff)
			}
		}
	}
}
