package config

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestWriteConf(t *testing.T) {
	f, err := Parse("u.toml", []byte(`
[global]
logfile = "syslog"
stack = ["log1:NFLOG,emu1:LOGEMU", "log1:NFLOG,json1:JSON"]
[emu1]
file = "/a b"
sync = true
empty = ""
quote = 'a"b'
"odd key" = "x=y"
[log1]
group = 1
`))
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := f.WriteConf(&b, noFields); err != nil {
		t.Fatal(err)
	}
	want := `[global]
logfile="syslog"
stack="log1:NFLOG,emu1:LOGEMU"
stack="log1:NFLOG,json1:JSON"

[emu1]
file="/a b"
sync="1"
empty=""
quote=a"b
"odd key"="x=y"

[log1]
group="1"
`
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	checkConf(t, f)
}

func TestWriteConfErrors(t *testing.T) {
	for src, want := range map[string]string{
		"[global]\n[a]\nb='''x \"y'''": "u.toml:2: [a] b: a ulogd.conf can't hold a value with a quote and a blank, or of several lines; use TOML",
		"[global]\n[a]\nb=\"x\\ny\"":   "u.toml:2: [a] b: a ulogd.conf can't hold a value",
		"[global]\n[\"a b\"]\nb=1":     "u.toml:2: [a b]: a ulogd.conf can't hold such a name; rename the section",
		"[global]\n[a]\n\"[b\"=1":      `u.toml:2: [a] option "[b": a ulogd.conf can't hold such a name; rename it`,
	} {
		f, err := Parse("u.toml", []byte(src))
		if err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		if got := errorText(f.WriteConf(&b, noFields)); !strings.HasPrefix(got, want) || b.Len() > 0 {
			t.Errorf("%q: %q and %q, want %q", src, got, b.String(), want)
		}
	}
}

func TestConfRoundTrip(t *testing.T) {
	for _, file := range configs(t) {
		f, err := Parse(file, read(t, file))
		if err != nil {
			t.Fatal(err)
		}
		checkConf(t, f)
	}
}

// checkConf writes f as a ulogd.conf and reads that again, which has to mean the same.
func checkConf(t *testing.T, f *File) {
	t.Helper()
	var b strings.Builder
	if err := f.WriteConf(&b, noFields); err != nil {
		return // see TestWriteConfErrors
	}
	again, err := Parse("u.conf", []byte(b.String()))
	if err != nil {
		t.Fatalf("%v\n%s", err, b.String())
	}
	want := *f
	if f.Dialect != V2 {
		want.Stacks = slices.DeleteFunc(slices.Clone(f.Stacks), func(s Stack) bool { return s.Err != nil })
	}
	opts := cmp.Options{
		cmpopts.IgnoreFields(File{}, "Name", "Dialect", "Warnings", "Sections"), cmpopts.IgnoreUnexported(File{}),
		cmpopts.IgnoreFields(Stack{}, "Line", "Err"), cmpopts.IgnoreFields(PluginLine{}, "Line"), cmpopts.EquateEmpty(),
	}
	if diff := cmp.Diff(&want, again, opts); diff != "" {
		t.Errorf("read again (-want +got):\n%s%s", diff, b.String())
	}
	if diff := cmp.Diff(effective(f), effective(again)); diff != "" {
		t.Errorf("sections read again (-want +got):\n%s%s", diff, b.String())
	}
}
