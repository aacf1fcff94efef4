package option

import (
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFormat(t *testing.T) {
	tests := []struct {
		kind        reflect.Kind
		value, want string
	}{
		{reflect.Bool, "1", "true"},
		{reflect.Bool, "no", "false"},
		{reflect.Bool, "5x", "true"},
		{reflect.Int, "5", "5"},
		{reflect.Int, "+5", "5"},
		{reflect.Int, "0x00000001", "0x00000001"},
		{reflect.Int, "0X1F", "31"},
		{reflect.Int, "-0x10", "-16"},
		{reflect.Int, "010", "8"},
		{reflect.Int, "5 x", "5"},
		{reflect.Int, "0xffffffff", "-1"},
		{reflect.Uint32, "0xffffffff", "0xffffffff"},
		{reflect.Uint32, "-1", "-1"},
		{reflect.Uint16, "70000", `"70000"`},
		{reflect.Float64, "1.5", "1.5"},
		{reflect.Float64, "1e400", `"1e400"`},
		{reflect.Float64, "inf", `"inf"`},
		{reflect.Float64, "x", `"x"`},
		{reflect.String, "5", `"5"`},
		{reflect.String, "a\"b\\c\t\x00\x7fé", `"a\"b\\c\u0009\u0000\u007Fé"`},
		{reflect.Invalid, "5", `"5"`},
	}
	for _, tt := range tests {
		if got := (Field{GoKind: tt.kind}).Format(tt.value); got != tt.want {
			t.Errorf("%v %q: got %s, want %s", tt.kind, tt.value, got, tt.want)
		}
	}
}

func TestKey(t *testing.T) {
	for name, want := range map[string]string{"log1": "log1", "a-b_C": "a-b_C", "": `""`, "a b": `"a b"`, "a.b": `"a.b"`, "é": `"é"`} {
		if got := Key(name); got != want {
			t.Errorf("Key(%q) = %s, want %s", name, got, want)
		}
	}
}

func TestSizeString(t *testing.T) {
	for size, want := range map[Size]string{0: "0", 100: "100", 1024: "1KiB", 1500: "1500", 150000: "150000", 16 << 20: "16MiB", 3 << 40: "3TiB", 1 << 50: "1024TiB"} {
		if got := size.String(); got != want {
			t.Errorf("%d: got %s, want %s", int64(size), got, want)
		}
	}
}

// rendered has one option of each form.
type rendered struct {
	Table string  `toml:"table" mandatory:"true" doc:"table to write to"`
	File  string  `toml:"file" doc:"path of the file"`
	Sync  bool    `toml:"sync" doc:"write at once, 0|1"`
	Speed float64 `toml:"speed" extra:"true" doc:"factor"`
	Mask  uint32  `toml:"mask" default:"-1" doc:"bits that count"`
}

func TestTOML(t *testing.T) {
	want := `[db1]
# table to write to
# table = ""  # required

# path of the file
# file = "/x"

# write at once, 0|1
# sync = true

# factor
# speed = 0

# bits that count
# mask = -1
`
	var b strings.Builder
	if err := TOML(&b, "db1", Fields(rendered{File: "/x", Sync: true})); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestMarkdown(t *testing.T) {
	want := "| option | type | default | meaning |\n|---|---|---|---|\n" +
		"| `table` | string | required | table to write to |\n" +
		"| `file` | string | `/x` | path of the file |\n" +
		"| `sync` | boolean | `true` | write at once, 0\\|1 |\n" +
		"| `speed` | number | `0` | factor (not in ulogd) |\n" +
		"| `mask` | integer | `-1` | bits that count |\n"
	if diff := cmp.Diff(want, Markdown(Fields(rendered{File: "/x", Sync: true}))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := Markdown(nil); got != "No options.\n" {
		t.Errorf("no options: %q", got)
	}
}
