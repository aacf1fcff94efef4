package config

import (
	"io"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ulogd-go/ulogd/pkg/option"
)

// fakeOptions stand for those of every plugin but OUT.
type fakeOptions struct {
	Group int     `toml:"group" doc:"d"`
	Sync  bool    `toml:"sync" doc:"d"`
	Mark  uint32  `toml:"mark" doc:"d"`
	Mask  uint32  `toml:"mask" doc:"d"`
	Event int     `toml:"event_mask" doc:"d"`
	Port  uint16  `toml:"port" doc:"d"`
	File  string  `toml:"file" doc:"d"`
	Speed float64 `toml:"speed" extra:"true" doc:"d"`
}

// outOptions disagree with fakeOptions about a type.
type outOptions struct {
	Sync int `toml:"sync" doc:"d"`
}

func fakeFields(plugin string) []option.Field {
	switch plugin {
	case "BASE":
		return nil
	case "OUT":
		return option.Fields(outOptions{})
	}
	return option.Fields(fakeOptions{})
}

func noFields(string) []option.Field { return nil }

func TestWriteTOML(t *testing.T) {
	f := parse(t, `
[emu1]
file=/var/log/"x".log
sync = 1
sync = 0
nosuch=1
[global]
plugin="/usr/lib/ulogd_output_LOGEMU.so"
stack=log1:NFLOG,base1:BASE,emu1:LOGEMU
loglevel=07
# stack=b:B
stack=log1:NFLOG,db1:OUT
logfile=
[log1]
  # note about it
group=5 # comment
[db1]
sync=7
[mark1]
mask=0xff
[odd.name]
`)
	want := `[emu1]
file = "/var/log/\"x\".log"
sync = true
# ignored: sync = "0"
nosuch = "1"

[global]
plugin = [
  "/usr/lib/ulogd_output_LOGEMU.so",
]
stack = [
  "log1:NFLOG,base1:BASE,emu1:LOGEMU",
  "log1:NFLOG,db1:OUT",
]
loglevel = 7
# ignored: logfile = ""

[log1]
# ignored: "#"
group = 5

[db1]
sync = 7

[mark1]
mask = "0xff"

["odd.name"]
`
	var b strings.Builder
	if err := f.WriteTOML(&b, fakeFields); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestIgnoredSecrets: a password that is of no effect is in no result. The one that
// counts is.
func TestIgnoredSecrets(t *testing.T) {
	f := parse(t, `[global]
stack=log1:NFLOG,x:SAFE,db1:BASE
stack=log1:NFLOG,both:SAFE,both:OUT
[db1]
pass=live
pass=DEAD
  # pass=DEAD
  # DEAD
  #pass=DEAD
pasword=unknown
pasword=DEAD
port=1
port=22
[both]
pass=live
pass=DEAD
[nobody]
pass=unused
pass=DEAD
`)
	fields := func(plugin string) []option.Field {
		if plugin == "OUT" {
			return []option.Field{{Name: "pass"}}
		}
		return []option.Field{{Name: "pass", Secret: true}, {Name: "port"}}
	}
	for name, write := range map[string]func(io.Writer, func(string) []option.Field) error{"TOML": f.WriteTOML, "conf": f.WriteConf} {
		var b strings.Builder
		if err := write(&b, fields); err != nil {
			t.Fatal(err)
		}
		got := strings.ReplaceAll(b.String(), " ", "")
		if strings.Contains(got, "DEAD") || strings.Count(got, `pass="live"`) != 2 || !strings.Contains(got, `pass="unused"`) {
			t.Errorf("%s: secrets in comments, or not where they count:\n%s", name, b.String())
		}
		if strings.Count(got, "#ignored:pass\n") != 3 || !strings.Contains(got, "#ignored:port=") {
			t.Errorf("%s: not all comments:\n%s", name, b.String())
		}
	}
}

func TestWriteTOMLSharedInstance(t *testing.T) {
	f := parse(t, "[global]\nstack=a:MARK,x:MARK\nstack=b:MARK,x:OUT\n[x]\nsync=7\nmark=1")
	var b strings.Builder
	if err := f.WriteTOML(&b, fakeFields); err != nil {
		t.Fatal(err)
	}
	if want := "[x]\nsync = \"7\"\nmark = 1\n"; !strings.HasSuffix(b.String(), want) {
		t.Errorf("got %s, want at its end %s", b.String(), want)
	}
}

func TestWriteTOMLNeedsUTF8(t *testing.T) {
	for src, want := range map[string]string{
		"[global]\n[a]\nb=\xe9": `u.conf:3: [a] option "b" or its value is not UTF-8; convert the file to UTF-8`,
		"[global]\n[\xe9]":      `u.conf:2: ["\xe9"] is not UTF-8; rename the section`,
	} {
		var b strings.Builder
		if got := errorText(parse(t, src).WriteTOML(&b, noFields)); got != want || b.Len() > 0 {
			t.Errorf("got %s and %q, want %s", got, b.String(), want)
		}
	}
}

func TestTOMLValues(t *testing.T) {
	f, err := Parse("u.TOML", []byte(`
[global]
stack = "a:A,b:B"
plugin = ["x", "y"]
log1 = 5
[a]
s = "text"
i = 0x10
f = 2.50
big = 1e21
yes = true
no = false
multi = """
[b]
fake = 1
"""
fake = 2
"quoted key" = 1
'single' = 1
[ "b c" ]
x = 1
`))
	if err != nil {
		t.Fatal(err)
	}
	want := []option.Entry{
		{Name: "s", Value: "text", Line: 7},
		{Name: "i", Value: "16", Line: 8},
		{Name: "f", Value: "2.5", Line: 9},
		{Name: "big", Value: "1000000000000000000000", Line: 10},
		{Name: "yes", Value: "1", Line: 11},
		{Name: "no", Value: "0", Line: 12},
		{Name: "multi", Value: "[b]\nfake = 1\n", Line: 13},
		{Name: "fake", Value: "2", Line: 17},
		{Name: "quoted key", Value: "1", Line: 18},
		{Name: "single", Value: "1", Line: 19},
	}
	if diff := cmp.Diff(want, f.Sections["a"].Entries); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if s := f.Sections["b c"]; s.Line != 20 || s.Entries[0].Line != 21 {
		t.Errorf("section %v; want it on line 20", s)
	}
	if len(f.Stacks) != 1 || len(f.Stacks[0].Instances) != 2 || len(f.Plugins) != 2 || len(f.Warnings) != 1 {
		t.Errorf("got %v, %v, %v; want one stack, two plugins, one warning", f.Stacks, f.Plugins, f.Warnings)
	}
}

func TestTOMLListLines(t *testing.T) {
	f, err := Parse("u.toml", []byte("[global]\n# all\nstack = [\n  'a:A',\n\n  'b:B', # two\n  'nonsense',\n]\n"))
	if err != nil {
		t.Fatal(err)
	}
	var lines []int
	for _, s := range f.Stacks {
		lines = append(lines, s.Line)
	}
	if diff := cmp.Diff([]int{4, 6, 7}, lines); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := errorText(f.Stacks[2].Err); !strings.HasPrefix(got, "u.toml:7: ") {
		t.Errorf("got %s, want it on line 7", got)
	}
}

// TestOtherSectionWays reads sections that are not written as headers.
func TestOtherSectionWays(t *testing.T) {
	f, err := Parse("u.toml", []byte("global.loglevel = 3\nlog1 = {group = 1, bind = true}\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := option.Section{Name: "log1", File: "u.toml", Line: 2, Entries: []option.Entry{
		{Name: "group", Value: "1", Line: 2},
		{Name: "bind", Value: "1", Line: 2},
	}}
	if diff := cmp.Diff(want, f.Sections["log1"]); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if f.Global.Loglevel != 3 {
		t.Errorf("loglevel %d, want 3", f.Global.Loglevel)
	}
}

func TestRoundTrip(t *testing.T) {
	for _, file := range configs(t) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			f, err := Parse(file, read(t, file))
			if err != nil {
				t.Fatal(err)
			}
			checkRoundTrip(t, f)
		})
	}
}

// checkRoundTrip writes f as TOML and reads it again: with every value a
// string it is the same file, and with typed values the options mean the same.
func checkRoundTrip(t *testing.T, f *File) {
	t.Helper()
	if again := rewrite(t, f, noFields); again != nil {
		opts := cmp.Options{
			cmpopts.IgnoreFields(File{}, "Name", "Dialect", "Warnings", "Sections"),
			cmpopts.IgnoreUnexported(File{}),
			cmpopts.EquateEmpty(),
			cmpopts.IgnoreFields(Stack{}, "Line", "Err"),
			cmpopts.IgnoreFields(PluginLine{}, "Line"),
		}
		want := *f
		if f.Dialect != V2 {
			want.Stacks = slices.DeleteFunc(slices.Clone(f.Stacks), func(s Stack) bool { return s.Err != nil })
		}
		if diff := cmp.Diff(&want, again, opts); diff != "" {
			t.Errorf("read again (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(effective(f), effective(again)); diff != "" {
			t.Errorf("sections read again (-want +got):\n%s", diff)
		}
	}
	if again := rewrite(t, f, fakeFields); again != nil {
		if diff := cmp.Diff(applied(f), applied(again)); diff != "" {
			t.Errorf("options applied again (-want +got):\n%s", diff)
		}
	}
}

// rewrite is f written as TOML and read again, or nil if that can't be.
func rewrite(t *testing.T, f *File, fields func(string) []option.Field) *File {
	t.Helper()
	var b strings.Builder
	if err := f.WriteTOML(&b, fields); err != nil {
		if utf8Only(f) {
			t.Fatal(err)
		}
		return nil
	}
	again, err := Parse("u.toml", []byte(b.String()))
	if err != nil {
		t.Fatalf("%v\n%s", err, b.String())
	}
	return again
}

func utf8Only(f *File) bool {
	for name, s := range f.Sections {
		texts := []string{name}
		for _, e := range s.Entries {
			texts = append(texts, e.Name, e.Value)
		}
		// Each by itself: two halves of a character may stand side by side.
		for _, text := range texts {
			if !utf8.ValidString(text) {
				return false
			}
		}
	}
	return true
}

// effective are the options of each section that count, sorted by name,
// without the indented comments, and without those that are typed and thus
// compared in File.Global.
func effective(f *File) map[string][]string {
	all := map[string][]string{}
	for name, s := range f.Sections {
		all[name] = []string{}
		seen := map[string]bool{}
		for _, e := range s.Entries {
			list := name == global && isList(e)
			if name == global && (e.Name == "loglevel" || e.Name == "strict") {
				continue
			}
			if e.NoValue || strings.HasPrefix(e.Name, "#") || seen[e.Name] && !list {
				continue
			}
			seen[e.Name] = true
			all[name] = append(all[name], e.Name+"="+e.Value)
		}
		slices.SortStableFunc(all[name], func(a, b string) int {
			a, _, _ = strings.Cut(a, "=")
			b, _, _ = strings.Cut(b, "=")
			return strings.Compare(a, b)
		})
	}
	return all
}

// applied is what the instances' options are set to.
func applied(f *File) map[string]any {
	all := map[string]any{"": f.Global}
	for _, s := range f.Stacks {
		for _, i := range s.Instances {
			var fake fakeOptions
			var out outOptions
			_, err := option.Apply(&fake, f.Section(i.Name), false)
			_, outErr := option.Apply(&out, f.Section(i.Name), false)
			if i.Plugin == "OUT" {
				all[i.Name+":OUT"] = []any{out, outErr == nil}
			} else if i.Plugin != "BASE" && err == nil {
				all[i.Name+":"+i.Plugin] = fake
			}
		}
	}
	return all
}
