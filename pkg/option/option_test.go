package option

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// color is an option with its own text form.
type color struct{ name string }

func (c *color) UnmarshalText(text []byte) error {
	if c.name = string(text); c.name != "red" && c.name != "blue" {
		return fmt.Errorf("unknown color %q; use red or blue", text)
	}
	return nil
}

func (c *color) MarshalText() ([]byte, error) {
	if c.name == "" {
		return nil, errors.New("no color")
	}
	return []byte(c.name), nil
}

type shared struct {
	Backlog Size `toml:"backlog" doc:"bytes kept"`
}

type options struct {
	File   string        `toml:"file" doc:"path of the output file"`
	Sync   bool          `toml:"sync" doc:"write at once"`
	Group  int           `toml:"group" doc:"group"`
	Narrow int32         `toml:"narrow" doc:"32 bits"`
	Wide   int64         `toml:"wide" doc:"64 bits"`
	Mark   uint32        `toml:"mark" default:"-1" doc:"mark"`
	Port   uint16        `toml:"port" doc:"port"`
	TTL    uint8         `toml:"ttl" doc:"ttl"`
	Count  int           `toml:"count" extra:"true" doc:"count"`
	Speed  float64       `toml:"speed" extra:"true" doc:"speed | factor"`
	Wait   time.Duration `toml:"wait" doc:"wait"`
	Flush  time.Duration `toml:"flush" extra:"true" doc:"flush"`
	Chunk  Size          `toml:"chunk" extra:"true" doc:"chunk"`
	Color  color         `toml:"color" doc:"red or blue"`
	Pass   string        `toml:"pass" secret:"true" doc:"password"`
	Pin    int           `toml:"pin" secret:"true" doc:"pin"`
	Tint   color         `toml:"tint" secret:"true" doc:"tint"`
	shared
	Left chan int `toml:"-"`
}

func defaults() options {
	return options{File: "/var/log/x", Group: 1, Mark: 0xffffffff, Speed: 1.5, Wait: 2 * time.Second, Color: color{"red"}}
}

func section(entries ...Entry) Section {
	for i := range entries {
		entries[i].Line = 10 + i
	}
	return Section{Name: "log1", File: "u.conf", Line: 9, Entries: entries}
}

// TestApplyValues checks single values: what is stored, and whether that took
// a warning.
func TestApplyValues(t *testing.T) {
	const fine, warned = false, true
	tests := []struct {
		name, value string
		want        any
		warning     bool
	}{
		{"file", "", "", fine},
		{"file", " a=b ", " a=b ", fine},

		{"sync", "1", true, fine},
		{"sync", "0", false, fine},
		{"sync", "7", true, fine},
		{"sync", "-1", true, fine},
		{"sync", "Yes", true, fine},
		{"sync", "on", true, fine},
		{"sync", "false", false, fine},
		{"sync", "", false, warned},
		{"sync", "1x", true, warned},
		{"sync", "maybe", false, warned},
		{"sync", "4294967296", false, warned}, // 0 in 32 bits

		{"group", "12", 12, fine},
		{"group", "-5", -5, fine},
		{"group", "+5", 5, fine},
		{"group", "0x10", 16, fine},
		{"group", "0X1f", 31, fine},
		{"group", "-0x10", -16, fine},
		{"group", "010", 8, fine},
		{"group", " \t7", 7, fine},
		{"group", "2147483647", 2147483647, fine},
		{"group", "-2147483648", -2147483648, fine},
		{"group", "", 0, warned},
		{"group", "abc", 0, warned},
		{"group", "5 x", 5, warned},
		{"group", "09", 0, warned},
		{"group", "0x", 0, warned},
		{"group", "0xg", 0, warned},
		{"group", "--5", 0, warned},
		{"group", "1_000", 1, warned},
		{"group", "2147483648", -2147483648, warned},
		{"group", "0xffffffff", -1, warned},
		{"group", "-2147483649", 2147483647, warned},
		{"group", "99999999999", 99999999999 - 23<<32, warned},
		{"group", "99999999999999999999", -1, warned},
		{"group", "-99999999999999999999", -1, warned},
		{"narrow", "0xffffffff", int32(-1), warned},

		{"wide", "99999999999", int64(99999999999), fine},
		{"wide", "-9223372036854775808", int64(-9223372036854775808), fine},
		{"wide", "5x", int64(5), warned},

		{"mark", "0xffffffff", uint32(0xffffffff), fine},
		{"mark", "-1", uint32(0xffffffff), fine},
		{"mark", "-2", uint32(0xfffffffe), fine},
		{"mark", "-0x80000000", uint32(0x80000000), fine},
		{"mark", "-0x80000001", uint32(0x7fffffff), warned},
		{"mark", "4294967296", uint32(0), warned},
		{"mark", "0xf0z", uint32(0xf0), warned},

		{"port", "65535", uint16(65535), fine},
		{"port", "80tcp", uint16(80), warned},
		{"ttl", "255", uint8(255), fine},
		{"count", "99999999999", 99999999999, fine},
		{"speed", "0.25", 0.25, fine},
		{"speed", "1e3", 1000.0, fine},

		{"wait", "250ms", 250 * time.Millisecond, fine},
		{"wait", "5", 5 * time.Second, fine},
		{"wait", "0x10", 16 * time.Second, fine},
		{"wait", "1.5", 1500 * time.Millisecond, fine},
		{"wait", "5sec", 5 * time.Second, warned},
		{"wait", "", time.Duration(0), warned},
		{"flush", "1m30s", 90 * time.Second, fine},

		{"backlog", "4096", Size(4096), fine},
		{"backlog", "64k", Size(65536), fine},
		{"backlog", "64 KB", Size(65536), fine},
		{"backlog", "16MiB", Size(16 << 20), fine},
		{"backlog", "2g", Size(2 << 30), fine},
		{"backlog", "1T", Size(1 << 40), fine},
		{"backlog", "100b", Size(100), fine},
		{"backlog", "64q", Size(64), warned},
		{"backlog", "k", Size(0), warned},
		{"chunk", "8k", Size(8192), fine},

		{"color", "blue", color{"blue"}, fine},
	}
	for _, tt := range tests {
		t.Run(tt.name+"="+tt.value, func(t *testing.T) {
			o := defaults()
			warnings, err := Apply(&o, section(Entry{Name: tt.name, Value: tt.value}), false)
			if err != nil {
				t.Fatal(err)
			}
			if got := value(t, &o, tt.name); got != tt.want {
				t.Errorf("got %#v, want %#v", got, tt.want)
			}
			if warned := len(warnings) > 0; warned != tt.warning {
				t.Errorf("warnings %v, want some: %t", warnings, tt.warning)
			}
			_, err = Apply(&o, section(Entry{Name: tt.name, Value: tt.value}), true)
			if failed := err != nil; failed != tt.warning {
				t.Errorf("strict: error %v, want one: %t", err, tt.warning)
			}
		})
	}
}

// value is the field of o with an option's name.
func value(t *testing.T, o *options, name string) any {
	t.Helper()
	fields, err := fieldsOf(o)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range fields {
		if f.Name == name {
			return f.v.Interface()
		}
	}
	t.Fatalf("no option %s", name)
	return nil
}

func TestApplyMessages(t *testing.T) {
	tests := []struct {
		name    string
		entries []Entry
		strict  bool
		warning string
		err     string
	}{
		{
			name:    "unknown, a letter missing",
			entries: []Entry{{Name: "fle", Value: "s3cr3t"}},
			warning: `u.conf:10: [log1] fle: unknown option, ignored; did you mean file?`,
		},
		{
			name:    "unknown, letters swapped",
			entries: []Entry{{Name: "amrk", Value: "1"}},
			warning: `u.conf:10: [log1] amrk: unknown option, ignored; did you mean mark?`,
		},
		{
			name:    "unknown, strict",
			entries: []Entry{{Name: "File", Value: "x"}},
			strict:  true,
			err:     `u.conf:10: [log1] File: unknown option; did you mean file?`,
		},
		{
			name:    "indented comment",
			entries: []Entry{{Name: "#", Value: "note"}},
			warning: `u.conf:10: [log1] "#": unknown option, ignored; a comment needs its # in the first column`,
		},
		{
			name:    "no value",
			entries: []Entry{{Name: "file", NoValue: true}},
			warning: `u.conf:10: [log1] file: no value, line ignored; write file = value, or remove the line`,
		},
		{
			name:    "repeated",
			entries: []Entry{{Name: "file", Value: "a"}, {Name: "file", Value: "b"}},
			warning: `u.conf:11: [log1] file = "b": repeated, line 10 counts; remove one of the two lines`,
		},
		{
			name:    "number",
			entries: []Entry{{Name: "group", Value: "5x"}},
			warning: `u.conf:10: [log1] group = "5x": not a valid number, read as ulogd 2.0.8 does; write group = 5`,
		},
		{
			name:    "number, strict",
			entries: []Entry{{Name: "sync", Value: "maybe"}},
			strict:  true,
			err:     `u.conf:10: [log1] sync = "maybe": not a valid number; write sync = 0`,
		},
		{
			name:    "out of range",
			entries: []Entry{{Name: "port", Value: "65536"}},
			err:     `u.conf:10: [log1] port = "65536": out of range 0 to 65535; port: port`,
		},
		{
			name:    "negative",
			entries: []Entry{{Name: "ttl", Value: "-1"}},
			err:     `u.conf:10: [log1] ttl = "-1": out of range 0 to 255; ttl: ttl`,
		},
		{
			name:    "extra number",
			entries: []Entry{{Name: "count", Value: "5x"}},
			err:     `u.conf:10: [log1] count = "5x": not a whole number; count: count`,
		},
		{
			name:    "not finite",
			entries: []Entry{{Name: "speed", Value: "inf"}},
			err:     `u.conf:10: [log1] speed = "inf": not a number; speed: speed | factor`,
		},
		{
			name:    "extra duration",
			entries: []Entry{{Name: "flush", Value: "5sec"}},
			err:     `u.conf:10: [log1] flush = "5sec": not a duration; write "250ms", "1s" or a number of seconds; flush: flush`,
		},
		{
			name:    "negative duration",
			entries: []Entry{{Name: "wait", Value: "-5s"}},
			err:     `u.conf:10: [log1] wait = "-5s": out of range, less than 0; wait: wait`,
		},
		{
			name:    "long duration",
			entries: []Entry{{Name: "wait", Value: "9223372037"}},
			err:     `u.conf:10: [log1] wait = "9223372037": out of range 0 to 9223372036 seconds; wait: wait`,
		},
		{
			name:    "extra size",
			entries: []Entry{{Name: "chunk", Value: "64q"}},
			err:     `u.conf:10: [log1] chunk = "64q": not a size; write 4096, "64k" or "16MiB"; chunk: chunk`,
		},
		{
			name:    "large size",
			entries: []Entry{{Name: "backlog", Value: "8388608T"}},
			err:     `u.conf:10: [log1] backlog = "8388608T": out of range 0 to 9223372036854775807 bytes; backlog: bytes kept`,
		},
		{
			name:    "word",
			entries: []Entry{{Name: "color", Value: "pink"}},
			err:     `u.conf:10: [log1] color = "pink": unknown color "pink"; use red or blue; color: red or blue`,
		},
		{
			name:    "secret repeated",
			entries: []Entry{{Name: "pass", Value: "s3cr3t"}, {Name: "pass", Value: "s3cr3t"}},
			warning: `u.conf:11: [log1] pass: repeated, line 10 counts; remove one of the two lines`,
		},
		{
			name:    "secret number",
			entries: []Entry{{Name: "pin", Value: "1234x"}},
			warning: `u.conf:10: [log1] pin: not a valid number, read as ulogd 2.0.8 does; write pin = a number`,
		},
		{
			name:    "secret word",
			entries: []Entry{{Name: "tint", Value: "s3cr3t"}},
			err:     `u.conf:10: [log1] tint: value is not accepted; tint: tint`,
		},
		{
			name:    "every error is reported",
			entries: []Entry{{Name: "port", Value: "-1"}, {Name: "ttl", Value: "256"}},
			err: `u.conf:10: [log1] port = "-1": out of range 0 to 65535; port: port
u.conf:11: [log1] ttl = "256": out of range 0 to 255; ttl: ttl`,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := defaults()
			warnings, err := Apply(&o, section(tt.entries...), tt.strict)
			if diff := cmp.Diff(tt.warning, text(errors.Join(warnings...))); diff != "" {
				t.Errorf("warnings (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.err, text(err)); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
		})
	}
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestApplyFirstWins(t *testing.T) {
	o := defaults()
	s := section(Entry{Name: "file", NoValue: true}, Entry{Name: "file", Value: "a"}, Entry{Name: "file", Value: "b"})
	if _, err := Apply(&o, s, false); err != nil {
		t.Fatal(err)
	}
	if o.File != "a" {
		t.Errorf("file is %q, want the first value, a", o.File)
	}
}

func TestApplyUnknownListsOptions(t *testing.T) {
	var o struct {
		DB   string `toml:"db" doc:"database"`
		Host string `toml:"host" doc:"host"`
	}
	warnings, err := Apply(&o, section(Entry{Name: "x", Value: "1"}), false)
	want := "u.conf:10: [log1] x: unknown option, ignored; remove it, or use one of db, host"
	if got := text(errors.Join(warnings...)); got != want || err != nil {
		t.Errorf("got %s, %v; want %s", got, err, want)
	}
	warnings, err = Apply(&struct{}{}, section(Entry{Name: "x", Value: "1"}), false)
	want = "u.conf:10: [log1] x: unknown option, ignored; remove it, there are no options here"
	if got := text(errors.Join(warnings...)); got != want || err != nil {
		t.Errorf("got %s, %v; want %s", got, err, want)
	}
}

func TestApplyMandatory(t *testing.T) {
	type table struct {
		Table string `toml:"table" mandatory:"true" doc:"table to write to"`
	}
	tests := []struct {
		name string
		s    Section
		want string
	}{
		{"missing", section(), `u.conf:9: [log1] table: mandatory option is missing; add table = value (table to write to)`},
		{"without value", section(Entry{Name: "table", NoValue: true}), `u.conf:9: [log1] table: mandatory option is missing; add table = value (table to write to)`},
		{"no section", Section{Name: "db", File: "u.conf"}, `u.conf: [db] table: mandatory option is missing; add table = value (table to write to)`},
		{"no file", Section{Name: "db"}, `[db] table: mandatory option is missing; add table = value (table to write to)`},
		{"empty", section(Entry{Name: "table"}), ""},
		{"given", section(Entry{Name: "table", Value: "ulog"}), ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Apply(&table{}, tt.s, false)
			if got := text(err); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

func TestApplyNeeded(t *testing.T) {
	type collector struct {
		OID int `toml:"oid" needed:"true" doc:"number of the domain"`
	}
	for value, want := range map[string]string{
		"0": `u.conf:10: [log1] oid = "0": needs another value (number of the domain)`,
		"7": "",
	} {
		_, err := Apply(&collector{}, section(Entry{Name: "oid", Value: value}), false)
		if got := text(err); got != want {
			t.Errorf("%s: got %s, want %s", value, got, want)
		}
	}
	_, err := Apply(&collector{}, section(), false)
	if got, want := text(err), "u.conf:9: [log1] oid: mandatory option is missing; add oid = value (number of the domain)"; got != want {
		t.Errorf("missing: got %s, want %s", got, want)
	}
	f := Fields(collector{})[0]
	if f.Mandatory || !f.Needed || f.Default != "0" || f.shownDefault() != "required" {
		t.Errorf("%+v, want an option that is needed, and has a default for ulogd -i", f)
	}
}

func TestApplyWantsPointerToStruct(t *testing.T) {
	n := 1
	for _, dst := range []any{nil, options{}, &n, (*options)(nil)} {
		if _, err := Apply(dst, section(), false); err == nil {
			t.Errorf("Apply(%T) succeeded", dst)
		}
	}
}

func TestFields(t *testing.T) {
	o := defaults()
	o.Backlog = 65536
	want := []Field{
		{Name: "file", Type: "String", Default: "/var/log/x", Doc: "path of the output file", GoKind: reflect.String},
		{Name: "sync", Type: "Integer", Default: "0", Doc: "write at once", GoKind: reflect.Bool},
		{Name: "group", Type: "Integer", Default: "1", Doc: "group", GoKind: reflect.Int},
		{Name: "narrow", Type: "Integer", Default: "0", Doc: "32 bits", GoKind: reflect.Int32},
		{Name: "wide", Type: "Integer", Default: "0", Doc: "64 bits", GoKind: reflect.Int64},
		{Name: "mark", Type: "Integer", Default: "-1", Doc: "mark", GoKind: reflect.Uint32},
		{Name: "port", Type: "Integer", Default: "0", Doc: "port", GoKind: reflect.Uint16},
		{Name: "ttl", Type: "Integer", Default: "0", Doc: "ttl", GoKind: reflect.Uint8},
		{Name: "count", Type: "Integer", Default: "0", Doc: "count", Extra: true, GoKind: reflect.Int},
		{Name: "speed", Type: "Integer", Default: "1.5", Doc: "speed | factor", Extra: true, GoKind: reflect.Float64},
		{Name: "wait", Type: "String", Default: "2s", Doc: "wait", GoKind: reflect.String},
		{Name: "flush", Type: "String", Default: "0s", Doc: "flush", Extra: true, GoKind: reflect.String},
		{Name: "chunk", Type: "String", Default: "0", Doc: "chunk", Extra: true, GoKind: reflect.String},
		{Name: "color", Type: "String", Default: "red", Doc: "red or blue", GoKind: reflect.String},
		{Name: "pass", Type: "String", Doc: "password", Secret: true, GoKind: reflect.String},
		{Name: "pin", Type: "Integer", Default: "0", Doc: "pin", Secret: true, GoKind: reflect.Int},
		{Name: "tint", Type: "String", Doc: "tint", Secret: true, GoKind: reflect.String},
		{Name: "backlog", Type: "String", Default: "64KiB", Doc: "bytes kept", GoKind: reflect.String},
	}
	if diff := cmp.Diff(want, Fields(o)); diff != "" {
		t.Errorf("by value (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(want, Fields(&o)); diff != "" {
		t.Errorf("by pointer (-want +got):\n%s", diff)
	}
	if got := Fields(5); got != nil {
		t.Errorf("Fields(5) = %v", got)
	}
}

func TestCheck(t *testing.T) {
	if err := Check(defaults()); err != nil {
		t.Errorf("good options: %v", err)
	}
	if err := Check(struct{}{}); err != nil {
		t.Errorf("no options: %v", err)
	}
	bad := map[string]any{
		"not a struct": 5,
		"nil":          nil,
		"type": struct {
			X []string `toml:"x" doc:"x"`
		}{},
		"no doc": struct {
			X string `toml:"x"`
		}{},
		"no name": struct {
			X string `doc:"x"`
		}{},
		"odd name": struct {
			X string `toml:"x y" doc:"x"`
		}{},
		"unexported": struct {
			x string `toml:"x" doc:"x"`
		}{},
		"tag": struct {
			X string `toml:"x" doc:"x" secret:"yes"`
		}{},
		"half a text form": struct {
			X half `toml:"x" doc:"x"`
		}{},
		"embedded pointer": struct {
			*shared
		}{},
		"twice": struct {
			shared
			X int `toml:"backlog" doc:"x"`
		}{},
	}
	for name, o := range bad {
		t.Run(name, func(t *testing.T) {
			if err := Check(o); err == nil {
				t.Error("accepted")
			}
		})
	}
}

type half int

func (*half) UnmarshalText([]byte) error { return nil }

// FuzzApply checks on any input that Apply does not panic, tells no secret,
// says where each mistake is, finds the same mistakes with strict, and that
// formatted values mean the same.
func FuzzApply(f *testing.F) {
	f.Add("group", "0x10", false)
	f.Add("wait", "1h", true)
	f.Add("backlog", "1k", false)
	f.Add("mark", "-1", false)
	f.Add("pass", "x", true)
	f.Add("speed", "1e300", false)
	const secret = "s3cr3t"
	f.Fuzz(func(t *testing.T, name, value string, noValue bool) {
		s := section(
			Entry{Name: "pass", Value: secret}, Entry{Name: "pass", Value: secret},
			Entry{Name: "tint", Value: secret + value}, Entry{Name: "pin", Value: value + secret},
			Entry{Name: name, Value: value, NoValue: noValue},
		)
		loose, strict := defaults(), defaults()
		warnings, err := Apply(&loose, s, false)
		none, strictErr := Apply(&strict, s, true)
		if len(none) > 0 {
			t.Errorf("warnings with strict: %v", none)
		}
		if strictErr == nil {
			t.Error("strict let a repeated option pass")
		}
		found := append(warnings, err, strictErr)
		for _, line := range strings.Split(text(errors.Join(found...)), "\n") {
			if strings.Contains(line, secret) && !strings.Contains(name+value, secret) {
				t.Errorf("tells a secret: %s", line)
			}
		}
		for _, w := range warnings {
			if !strings.HasPrefix(w.Error(), "u.conf:1") {
				t.Errorf("no place: %v", w)
			}
		}
		checkFormat(t, name, value)
	})
}

// checkFormat checks that a value formatted as an integer, a bool or a float
// sets what the value itself sets.
func checkFormat(t *testing.T, name, value string) {
	for _, f := range Fields(defaults()) {
		formatted := f.Format(value)
		if f.Name != name || strings.HasPrefix(formatted, `"`) {
			continue
		}
		plain, again := defaults(), defaults()
		if _, err := Apply(&plain, section(Entry{Name: name, Value: value}), false); err != nil {
			t.Errorf("%s is written %s, but is not valid: %v", value, formatted, err)
		}
		if warnings, err := Apply(&again, section(Entry{Name: name, Value: formatted}), true); err != nil {
			t.Errorf("%s: %v, %v", formatted, warnings, err)
		}
		if plain != again {
			t.Errorf("%s means another value than %s", formatted, value)
		}
	}
}
