package all

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ulogd-go/ulogd/pkg/config"
	"github.com/ulogd-go/ulogd/pkg/option"
	"github.com/ulogd-go/ulogd/pkg/pipeline"
	"github.com/ulogd-go/ulogd/pkg/plugin"
	"github.com/ulogd-go/ulogd/pkg/stamp"
	"github.com/ulogd-go/ulogd/pkg/stats"
)

// recording is what is known of a recording besides its files.
type recording struct {
	Name       string
	Packets    int
	What       []string
	Hostname   string
	TZ         string
	Interfaces map[string]string
}

// TestGolden replays the packets of each recording through the stacks that the
// real ulogd ran them through, and compares all outputs byte for byte.
func TestGolden(t *testing.T) {
	dirs, err := filepath.Glob("testdata/cases/*")
	if err != nil || len(dirs) < 39 {
		t.Fatalf("%d recordings, %v; want at least 39", len(dirs), err)
	}
	for _, dir := range dirs {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			t.Parallel()
			golden(t, dir)
		})
	}
}

func golden(t *testing.T, dir string) {
	rec := readRecording(t, dir)
	out := t.TempDir()
	f := replayConfig(t, dir, out, rec)
	run(t, f, rec)

	files, err := filepath.Glob(dir + "/*.*")
	if err != nil {
		t.Fatal(err)
	}
	compared := 0
	for _, want := range files {
		switch name := filepath.Base(want); name {
		case "packets.pcap", "case.json", "ulogd.conf":
		default:
			compare(t, rec, name, readFile(t, want), readOutput(t, out, name))
			compared++
		}
	}
	if compared < 6 {
		t.Errorf("%d outputs compared, want all six at least", compared)
	}
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// readOutput reads what we wrote; the name of an XML file carries its time.
func readOutput(t *testing.T, dir, name string) []byte {
	t.Helper()
	if name == "xml.xml" {
		list, err := filepath.Glob(dir + "/ulogd-*-*.xml")
		if err != nil || len(list) != 1 {
			t.Fatalf("XML files: %q, %v; want one", list, err)
		}
		return readFile(t, list[0])
	}
	return readFile(t, filepath.Join(dir, name))
}

func readRecording(t *testing.T, dir string) recording {
	t.Helper()
	var rec recording
	if err := json.Unmarshal(readFile(t, dir+"/case.json"), &rec); err != nil {
		t.Fatal(err)
	}
	return rec
}

// replayConfig is the recording's configuration with the capture in the place of
// the group, and our directory in the place of ulogd's.
func replayConfig(t *testing.T, dir, out string, rec recording) *config.File {
	t.Helper()
	src := bytes.ReplaceAll(readFile(t, dir+"/ulogd.conf"), []byte("/tmp/case"), []byte(out))
	f, err := config.Parse("ulogd.conf", src)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range f.Stacks {
		s.Instances[0].Plugin = "REPLAY"
	}
	var names []string
	for index, name := range rec.Interfaces {
		names = append(names, index+"="+name)
	}
	section := option.Section{Name: "log1", Entries: []option.Entry{
		{Name: "file", Value: dir + "/packets.pcap"},
		{Name: "interfaces", Value: strings.Join(names, ",")},
	}}
	for _, e := range f.Sections["log1"].Entries {
		if e.Name == "numeric_label" {
			section.Entries = append(section.Entries, e)
		}
	}
	f.Sections["log1"] = section
	return f
}

// run runs a configuration until its sources end.
func run(t *testing.T, f *config.File, rec recording) {
	t.Helper()
	zone, err := stamp.Zone(rec.TZ)
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	p, err := pipeline.Build(f, plugin.Default, pipeline.Env{
		Log:      slog.New(slog.NewTextHandler(&log, nil)),
		Stats:    new(stats.Registry),
		Now:      time.Now,
		Zone:     zone,
		Hostname: rec.Hostname,
	})
	if err != nil {
		t.Fatalf("%v\n%s", err, &log)
	}
	if err := p.Start(t.Context()); err != nil {
		t.Fatalf("%v\n%s", err, &log)
	}
	if err := p.Run(t.Context()); err != nil {
		t.Fatalf("%v\n%s", err, &log)
	}
	if p.Failed() > 0 {
		t.Errorf("%d stacks failed:\n%s", p.Failed(), &log)
	}
}

// perRun are the parts of an output that no two runs have in common.
var (
	when = regexp.MustCompile(`<when>.*?</when>`)
	wall = regexp.MustCompile(`(?m)^timestamp=[0-9/:-]{19},`)
	// Packets of the OUTPUT hook carry no time, and each of ulogd's outputs
	// took the clock's: case 28.
	clock = regexp.MustCompile(`oob\.time\.u?sec"?[=:] ?[0-9]+|"timestamp": "[^"]*"|(?m:^[A-Z][a-z]{2} [ 0-9:]{11})`)
)

func mask(name string, data []byte, rec recording) []byte {
	data = when.ReplaceAll(data, []byte("<when/>"))
	data = wall.ReplaceAll(data, []byte("timestamp=,"))
	if rec.Name != "28-uid-gid" {
		return data
	}
	if name == "ulogd.pcap" {
		return maskPCAP(data)
	}
	return clock.ReplaceAll(data, []byte("(clock)"))
}

// maskPCAP blanks the times of a capture's records.
func maskPCAP(data []byte) []byte {
	data = bytes.Clone(data)
	for pos := 24; pos+16 <= len(data); {
		n := int(data[pos+8]) | int(data[pos+9])<<8
		clear(data[pos : pos+8])
		pos += 16 + n
	}
	return data
}

func compare(t *testing.T, rec recording, name string, want, got []byte) {
	t.Helper()
	want, got = mask(name, want, rec), mask(name, got, rec)
	if !bytes.Equal(want, got) {
		t.Errorf("%s (-ulogd +ours):\n%s", name, cmp.Diff(strings.SplitAfter(string(want), "\n"), strings.SplitAfter(string(got), "\n")))
	}
}
