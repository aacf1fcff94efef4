package config

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ulogd-go/ulogd/pkg/option"
)

// parse parses a ulogd.conf that has to be valid.
func parse(t *testing.T, src string) *File {
	t.Helper()
	f, err := Parse("u.conf", []byte(src))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// values are the options of a section as "name=value", or "name" if there is
// no value.
func values(s option.Section) []string {
	var list []string
	for _, e := range s.Entries {
		if e.NoValue {
			list = append(list, e.Name)
			continue
		}
		list = append(list, e.Name+"="+e.Value)
	}
	return list
}

func messages(errs []error) []string {
	var list []string
	for _, err := range errs {
		list = append(list, err.Error())
	}
	return list
}

// TestWords has a case for each statement about words in the reference,
// section 2.1 and 2.2; the option stands in a section of its own.
func TestWords(t *testing.T) {
	tests := []struct {
		name, line string
		want       []string
	}{
		{"plain", "key=value", []string{"key=value"}},
		{"blanks around =", "key = value", []string{"key=value"}},
		{"blank instead of =", "key value", []string{"key=value"}},
		{"quoted key", `"key"=value`, []string{"key=value"}},
		{"several =", "key===value", []string{"key=value"}},
		{"tabs and indentation", "\t key\t=\tvalue", []string{"key=value"}},
		{"quoted value", `key="a b=c"`, []string{"key=a b=c"}},
		{"empty value", `key=""`, []string{"key="}},
		{"no escapes", `key="a\"b`, []string{`key=a\`}},
		{"unquoted value ends at =", "a=b=c", []string{"a=b"}},
		{"unquoted value ends at a blank", "file=/a b", []string{"file=/a"}},
		{"quote within a word", `key=a"b"c`, []string{`key=a"b"c`}},
		{"single quotes are ordinary", `key='a b'`, []string{"key='a"}},
		{"text after the value", "group=1 # text", []string{"group=1"}},
		{"text after a quoted value", `key="a"b`, []string{"key=a"}},
		{"text right after a quoted key", `"key"value`, []string{"key=value"}},
		{"comment", "#key=value", nil},
		{"indented comment is an option", "  # text more", []string{"#=text"}},
		{"indented comment without a blank", " #group=1", []string{"#group=1"}},
		{"semicolon is an option", ";group=1", []string{";group=1"}},
		{"empty line", "", nil},
		{"only separators", " == ", nil},
		{"CR LF", "key=value\r\n\r\n", []string{"key=value"}},
		{"no value", "key=", []string{"key"}},
		{"no value, no =", "key", []string{"key"}},
		{"open quote in the value", `key="value`, []string{"key"}},
		{"open quote in the key", `"key=value`, nil},
		{"empty key", `""=5`, []string{"=5"}},
		{"long line", "key=" + strings.Repeat("x", 1000), []string{"key=" + strings.Repeat("x", 1000)}},
		{"long comment", "#" + strings.Repeat("x", 253) + "key=value", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := parse(t, "[global]\n[log1]\n"+tt.line) // no newline at the end
			if diff := cmp.Diff(tt.want, values(f.Sections["log1"])); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestHeaders has a case for each statement about sections in the reference,
// section 2.3, and for row 4 of section 9.
func TestHeaders(t *testing.T) {
	tests := []struct {
		name, src string
		want      map[string][]string
	}{
		{"plain", "[id]\na=1", map[string][]string{"id": {"a=1"}}},
		{"blanks inside", "[ id ]\na=1", map[string][]string{"id": {"a=1"}}},
		{"indented, with text", "  [id] text\na=1", map[string][]string{"id": {"a=1"}}},
		{"text is no option", "[id] b=2\na=1", map[string][]string{"id": {"a=1"}}},
		{"not closed", "[id\na=1", map[string][]string{"id": {"a=1"}}},
		{"CR LF", "[id]\r\na=1\r\n", map[string][]string{"id": {"a=1"}}},
		{"first word only", "[my id]\na=1", map[string][]string{"my": {"a=1"}}},
		{"quoted", "[\"my id\"]\na=1", map[string][]string{"my id": {"a=1"}}},
		{"case", "[ID]\na=1\n[id]", map[string][]string{"ID": {"a=1"}, "id": nil}},
		{"needs a bracket", "[id]\nid\nfile \"/x\"\n[file]\na=1", map[string][]string{"id": {"id", "file=/x"}, "file": {"a=1"}}},
		{"first of a name wins", "[id]\na=1\n[id]\nb=2\n[other]\nc=3", map[string][]string{"id": {"a=1"}, "other": {"c=3"}}},
		{"lines before", "a=1\n[id]\nb=2", map[string][]string{"id": {"b=2"}}},
		{"no name ends a section", "[id]\na=1\n[]\nb=2", map[string][]string{"id": {"a=1"}}},
		{"commented", "#[id]\na=1\n[x]", map[string][]string{"x": nil}},
		{"value in brackets", "[id]\na=[b]", map[string][]string{"id": {"a=[b]"}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := parse(t, tt.src+"\n[global]")
			got := map[string][]string{}
			for name, s := range f.Sections {
				if name != s.Name || s.File != "u.conf" {
					t.Errorf("section %s is called %s, in %s", name, s.Name, s.File)
				}
				if name != global {
					got[name] = values(s)
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestLines(t *testing.T) {
	f := parse(t, "# c\n\n[global]\nplugin=x\nstack=a:NFLOG,b:\nstack=c\n\n[log1]\n\ngroup=1")
	if s := f.Sections["log1"]; s.Line != 8 || s.Entries[0].Line != 10 {
		t.Errorf("section on line %d, option on line %d; want 8, 10", s.Line, s.Entries[0].Line)
	}
	if f.Plugins[0].Line != 4 || f.Stacks[0].Line != 5 || f.Stacks[1].Line != 6 {
		t.Errorf("got %v, %v; want lines 4, 5, 6", f.Plugins, f.Stacks)
	}
}

func TestGlobal(t *testing.T) {
	tests := []struct {
		name, src string
		want      Global
		warnings  []string
	}{
		{"defaults", "[global]", Global{Loglevel: 5}, nil},
		{"both", "[global]\nlogfile=stdout\nloglevel 7", Global{Logfile: "stdout", LogfileSet: true, Loglevel: 7, LoglevelSet: true}, nil},
		{"empty", "[global]\nlogfile=\"\"", Global{LogfileSet: true, Loglevel: 5}, nil},
		{"without value", "[global]\nlogfile=\nstack=\nplugin", Global{Loglevel: 5}, []string{
			"u.conf:2: [global] logfile: no value, line ignored; write logfile = value, or remove the line",
			"u.conf:3: [global] stack: no value, line ignored; write stack = value, or remove the line",
			"u.conf:4: [global] plugin: no value, line ignored; write plugin = value, or remove the line",
		}},
		{"repeated", "[global]\nlogfile=a\nlogfile=b", Global{Logfile: "a", LogfileSet: true, Loglevel: 5}, []string{
			`u.conf:3: [global] logfile = "b": repeated, line 2 counts; remove one of the two lines`,
		}},
		{"unknown", "[global]\nrmem=131071", Global{Loglevel: 5}, []string{
			"u.conf:2: [global] rmem: unknown option, ignored; remove it, or use one of logfile, loglevel, plugin, stack, strict",
		}},
		{"bad number", "[global]\nloglevel=high", Global{LoglevelSet: true}, []string{
			`u.conf:2: [global] loglevel = "high": not a valid number, read as ulogd 2.0.8 does; write loglevel = 0`,
		}},
		{"stray lines", "a=1\nb=2\n[global]\n[]\nc=3\nd=4", Global{Loglevel: 5}, []string{
			"u.conf:1: line outside any section, ignored with those that follow it; move them below a [section] header",
			"u.conf:5: line outside any section, ignored with those that follow it; move them below a [section] header",
		}},
		{"in use", "[global]\nstack=log1:NFLOG\n[log1]\n\"group=1\n[log1]", Global{Loglevel: 5}, []string{
			"u.conf:4: [log1] a quote is not closed, line ignored; add the closing quote",
			"u.conf:5: [log1] repeated, ignored because the section on line 3 counts; merge the two",
		}},
		{"not in use", "[global]\nstack=log2:NFLOG\n[log1]\n\"group=1\nnonsense=1\n[log1]", Global{Loglevel: 5}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := parse(t, tt.src)
			if diff := cmp.Diff(tt.want, f.Global); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.warnings, messages(f.Warnings)); diff != "" {
				t.Errorf("warnings (-want +got):\n%s", diff)
			}
		})
	}
}

// Some editors begin a file with a byte-order mark, which is not to be seen.
func TestByteOrderMark(t *testing.T) {
	for name, src := range map[string]string{
		"u.conf":  "[global]\nstack=r:REPLAY,emu1:LOGEMU\n",
		"u.toml":  "[global]\nstack = \"r:REPLAY,emu1:LOGEMU\"\n",
		"v1.conf": "[global]\nplugin=ulogd_BASE.so\nplugin=ulogd_LOGEMU.so\n",
		"v0.conf": "nlgroup 1\nplugin ulogd_BASE.so\nplugin ulogd_LOGEMU.so\n",
	} {
		want, err := Parse(name, []byte(src))
		if err != nil {
			t.Fatal(err)
		}
		got, err := Parse(name, []byte("\ufeff"+src))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(File{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestParseErrors(t *testing.T) {
	tests := []struct{ name, file, src, want string }{
		{"empty file", "u.conf", "", "u.conf: no [global] section, so there is no stack; the file is empty: add one, with a line such as stack = log1:NFLOG,base1:BASE,json1:JSON"},
		{"blank file", "u.toml", " \n\n", "u.toml: no [global] section, so there is no stack; the file is empty: add one, with a line such as stack = log1:NFLOG,base1:BASE,json1:JSON"},
		{"no sections", "u.conf", "nlgroup=1\n", "u.conf: no [global] section, so there is no stack; a file without sections looks like ulogd 1.x or older: put its options into sections, the common ones into [global], with a line such as stack = log1:NFLOG,base1:BASE,json1:JSON"},
		{"no global", "u.conf", "[log1]\n", "u.conf: no [global] section, so there is no stack; add one, with a line such as stack = log1:NFLOG,base1:BASE,json1:JSON"},
		{"global without brackets", "u.conf", "global\nstack=a:B\n[log1]", "u.conf: no [global] section, so there is no stack; add one, with a line such as stack = log1:NFLOG,base1:BASE,json1:JSON"},
		{"strict unknown", "u.conf", "[global]\nbufsize=1\nstrict=1", "u.conf:2: [global] bufsize: unknown option; remove it, or use one of logfile, loglevel, plugin, stack, strict"},
		{"strict repeated", "u.conf", "[global]\nstrict=yes\nloglevel=1\nloglevel=3", `u.conf:4: [global] loglevel = "3": repeated; remove one of the two lines`},
		{"strict, every mistake", "u.conf", "x\n[global]\nstrict=1\nlogfile", "u.conf:1: line outside any section, ignored with those that follow it; move them below a [section] header\nu.conf:4: [global] logfile: no value; write logfile = value, or remove the line"},
		{"strict itself", "u.conf", "[global]\nstrict=maybe", `u.conf:2: [global] strict = "maybe": not a whole number; strict: treat unknown options and other mistakes that ulogd 2.0.8 tolerated as errors`},

		{"toml syntax", "u.toml", "[global]\nloglevel = \n", "u.toml:2: expected value but found '\\n' instead"},
		{"toml duplicate", "u.toml", "[global]\nloglevel = 1\nloglevel = 2\n", "u.toml:3: Key 'global.loglevel' has already been defined."},
		{"toml no global", "u.toml", "[log1]\ngroup = 1", "u.toml: no [global] section, so there is no stack; add one, with a line such as stack = log1:NFLOG,base1:BASE,json1:JSON"},
		{"toml outside", "u.toml", "loglevel = 1\n[global]\n", "u.toml:1: loglevel is not in a section; put it below a header such as [global], with single brackets"},
		{"toml double brackets", "u.toml", "[global]\n[[log1]]\ngroup = 1\n", "u.toml:2: log1 is not in a section; put it below a header such as [global], with single brackets"},
		{"toml nested header", "u.toml", "[global]\n[log1]\n[log1.sub]\na = 1\nb = 2\n", "u.toml:2: [log1] sub: tables within a section have no meaning; give it a single value, or a section of its own"},
		{"toml nested, dotted", "u.toml", "[global]\n[log1]\ngroup = 1\na.b = 1\n", "u.toml:2: [log1] a: tables within a section have no meaning; give it a single value, or a section of its own"},
		{"toml nested, inline", "u.toml", "[global]\n[log1]\n\na = {b = 1}\n", "u.toml:4: [log1] a: tables within a section have no meaning; give it a single value, or a section of its own"},
		{"toml nested, double brackets", "u.toml", "[global]\n[[log1.a]]\nb = 1\n", "u.toml:1: [log1] a: tables within a section have no meaning; give it a single value, or a section of its own"},
		{"toml list", "u.toml", "[global]\nlogfile = [\"a\"]\n", `u.toml:2: [global] logfile: lists have no meaning here; write one string, such as "a,b"`},
		{"toml list elsewhere", "u.toml", "[global]\n[log1]\nstack = [\"a\"]\n", `u.toml:3: [log1] stack: lists have no meaning here; write one string, such as "a,b"`},
		{"toml list of numbers", "u.toml", "[global]\nstack = [1]\n", "u.toml:2: [global] stack: not a list of strings; put each element in quotes"},
		{"toml date", "u.toml", "[global]\n[log1]\nsince = 2024-01-01\n", "u.toml:3: [log1] since: dates have no meaning here; put the value in quotes"},
		{"toml strict", "u.toml", "[global]\nstrict = true\nrmem = 1", "u.toml:3: [global] rmem: unknown option; remove it, or use one of logfile, loglevel, plugin, stack, strict"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f, err := Parse(tt.file, []byte(tt.src))
			if err == nil {
				t.Fatalf("accepted: %v", f)
			}
			if diff := cmp.Diff(tt.want, err.Error()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseStack(t *testing.T) {
	long := strings.Repeat("x", 30)
	tests := []struct {
		text string
		want []Instance
		err  string
	}{
		{"log1:NFLOG,emu1:LOGEMU", []Instance{{"log1", "NFLOG"}, {"emu1", "LOGEMU"}}, ""},
		{"", nil, ""},
		{",,", nil, ""},
		{",a:A,,b:B,", []Instance{{"a", "A"}, {"b", "B"}}, ""},
		{"a:A, b:B ", []Instance{{"a", "A"}, {" b", "B "}}, ""},
		{":A", []Instance{{"", "A"}}, ""},
		{"a:", []Instance{{"a", ""}}, ""},
		{"a:b:c", []Instance{{"a", "b:c"}}, ""},
		{long + ":A", []Instance{{long, "A"}}, ""},
		{"a:A,x" + long + ":A", nil, "syntax error while parsing `x" + long + ":A'of line `a:A': the name has 31 characters; use at most 30"},
		{"log1,b:B", nil, "syntax error while parsing `log1'of line `log1': no colon; write name:PLUGIN"},
	}
	for _, tt := range tests {
		got, err := ParseStack(tt.text)
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%q (-want +got):\n%s", tt.text, diff)
		}
		if msg := errorText(err); msg != tt.err {
			t.Errorf("%q: error %s, want %s", tt.text, msg, tt.err)
		}
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestBrokenStackLeavesOthers(t *testing.T) {
	f := parse(t, "[global]\nstack=a\nstack=\"\"\nstack=b:B c:C")
	want := []Stack{
		{Text: "a", Line: 2},
		{Text: "", Line: 3},
		{Text: "b:B", Line: 4, Instances: []Instance{{"b", "B"}}},
	}
	if diff := cmp.Diff(want, f.Stacks, cmpopts.IgnoreFields(Stack{}, "Err")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	wantErr := "u.conf:2: [global] stack = \"a\": syntax error while parsing `a'of line `a': no colon; write name:PLUGIN"
	if got := errorText(f.Stacks[0].Err); got != wantErr {
		t.Errorf("got %s, want %s", got, wantErr)
	}
	if f.Stacks[1].Err != nil || f.Stacks[2].Err != nil {
		t.Errorf("errors in good stacks: %v, %v", f.Stacks[1].Err, f.Stacks[2].Err)
	}
}

func TestPluginName(t *testing.T) {
	for file, want := range map[string]string{
		"/usr/lib64/ulogd/ulogd_output_LOGEMU.so": "LOGEMU",
		"ulogd_raw2packet_BASE.so":                "BASE",
		"./ulogd_filter_MY_OWN.so":                "MY_OWN",
		"/usr/lib/ulogd/ulogd_BASE.so":            "", // of ulogd 1.x
		"/usr/lib/ulogd_output_LOGEMU.la":         "",
		"ulogd__X.so":                             "",
		"output_LOGEMU.so":                        "",
		"":                                        "",
	} {
		if got := pluginName(file); got != want {
			t.Errorf("%s: got %q, want %q", file, got, want)
		}
	}
}

func TestSection(t *testing.T) {
	f := parse(t, "[global]\n[log1]\ngroup=1")
	if got := values(f.Section("log1")); len(got) != 1 {
		t.Errorf("log1 has options %v, want one", got)
	}
	want := option.Section{Name: "log2", File: "u.conf"}
	if diff := cmp.Diff(want, f.Section("log2")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestGlobalFields(t *testing.T) {
	if err := option.Check(globalDefaults); err != nil {
		t.Error(err)
	}
	var names []string
	for _, f := range GlobalFields() {
		names = append(names, f.Name)
	}
	if diff := cmp.Diff([]string{"logfile", "loglevel", "plugin", "stack", "strict"}, names); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestFieldConfigs reads configurations as they are in use; what they share
// with ulogd 1.x is warned of, and nothing else.
func TestFieldConfigs(t *testing.T) {
	warned := map[string]int{"13": 2, "18": 1}
	stacks := map[string]int{"03": 2, "04": 3, "05": 2, "06": 2, "09": 2, "11": 4, "12": 3, "13": 2, "14": 3, "15": 2, "18": 5, "20": 4}
	dialects := map[string]Dialect{"16": V1, "17": V1, "18": V1, "19": Flat}
	for _, file := range configs(t) {
		id := filepath.Base(file)[:2]
		t.Run(filepath.Base(file), func(t *testing.T) {
			f, err := Parse(file, read(t, file))
			if err != nil {
				t.Fatal(err)
			}
			if f.Dialect != dialects[id] {
				t.Errorf("%v, want %v", f.Dialect, dialects[id])
			}
			want, ok := stacks[id]
			if !ok {
				want = 1
			}
			if len(f.Stacks) != want || len(f.Warnings) != warned[id] {
				t.Errorf("%d stacks, warnings %v; want %d, and %d warnings", len(f.Stacks), f.Warnings, want, warned[id])
			}
			for _, s := range f.Stacks {
				if s.Err != nil || len(s.Instances) < 2 {
					t.Errorf("stack %q: %v, %v", s.Text, s.Instances, s.Err)
				}
			}
		})
	}
}

func configs(t testing.TB) []string {
	t.Helper()
	files, err := filepath.Glob("testdata/*.conf")
	if err != nil || len(files) != 20 {
		t.Fatalf("%d configurations in testdata, %v; want 20", len(files), err)
	}
	return files
}

func read(t testing.TB, file string) []byte {
	t.Helper()
	src, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return src
}

// checkLines checks that everything says where in the file it stands.
func checkLines(t *testing.T, f *File, src string) {
	t.Helper()
	last := strings.Count(src, "\n") + 1
	first := 1
	if f.Dialect != V2 {
		first = 0 // of what is not written
	}
	check := func(what string, line int) {
		if line < first || line > last {
			t.Errorf("%s on line %d of %d", what, line, last)
		}
	}
	for name, s := range f.Sections {
		check(name, s.Line)
		for _, e := range s.Entries {
			check(name+" "+e.Name, e.Line)
		}
	}
	for _, s := range f.Stacks {
		check(s.Text, s.Line)
		if (s.Err != nil) && s.Instances != nil {
			t.Errorf("stack %q has an error and instances", s.Text)
		}
	}
	place := regexp.MustCompile(`^u\.(conf|toml):(\d+:)? `)
	for _, w := range f.Warnings {
		if !place.MatchString(w.Error()) {
			t.Errorf("warning does not say where: %v", w)
		}
	}
}

// FuzzParseConf checks that any file is read without panic, with lines in
// range, and that what was read can be written as TOML and read again.
func FuzzParseConf(f *testing.F) {
	for _, file := range configs(f) {
		f.Add(string(read(f, file)))
	}
	f.Add("[global]\nstack=\"\"\nstack=a:MARK,b:MARK\nstack=a:OUT\nx=\n#\n #a\n[a]\nsync=2\nmark=0x1\n[]\n\"\n[\"a b\"]\n\"c d\"=\x00\n")
	f.Fuzz(func(t *testing.T, src string) {
		c, err := Parse("u.conf", []byte(src))
		if err != nil {
			return
		}
		checkLines(t, c, src)
		checkRoundTrip(t, c)
	})
}

// FuzzParseV1 does the same for files of ulogd 1.x, which are written as
// ulogd.conf of ulogd 2, too.
func FuzzParseV1(f *testing.F) {
	for _, file := range configs(f) {
		f.Add(string(read(f, file)))
	}
	f.Add("global x\nnlgroup  =\t\"2\" y\nplugin ulogd_BASE.so\nplugin=ulogd_MYSQL.so\nplugin=ulogd_SYSLOG.so\n #\n[MYSQL]\npass=a\"b\nuser=\"\n[ SYSLOG\nlevel\nfacility")
	f.Add("nlgroup 3\nplugin x/ulogd_LOGEMU.so\nplugin ulogd_BASE.so\nsyslogsync 07\nsyslogfile \"a b\"")
	f.Fuzz(func(t *testing.T, src string) {
		c, err := Parse("u.conf", []byte(src))
		if err != nil || c.Dialect == V2 {
			return
		}
		checkLines(t, c, src)
		checkRoundTrip(t, c)
		checkConf(t, c)
		if done := c.ReplaceULOG(); len(done) > 1 {
			t.Errorf("%d inputs, want one: %v", len(done), done)
		}
		checkRoundTrip(t, c)
		checkConf(t, c)
	})
}

// FuzzParseTOML does the same for TOML.
func FuzzParseTOML(f *testing.F) {
	for _, file := range configs(f) {
		c, err := Parse(file, read(f, file))
		if err != nil {
			continue
		}
		var b strings.Builder
		if err := c.WriteTOML(&b, fakeFields); err != nil {
			f.Fatal(err)
		}
		f.Add(b.String())
	}
	f.Add("global.stack = ['''a:MARK''',\n\"b:OUT\"]\n[a]\nmark = 0xff\nsync=true\nspeed=1e3\n\"x y\" = \"\"\"\n[b]\n\"\"\"\n")
	f.Fuzz(func(t *testing.T, src string) {
		c, err := Parse("u.toml", []byte(src))
		if err != nil {
			if !strings.HasPrefix(err.Error(), "u.toml:") {
				t.Errorf("error does not name the file: %v", err)
			}
			return
		}
		checkLines(t, c, src)
		checkRoundTrip(t, c)
	})
}
