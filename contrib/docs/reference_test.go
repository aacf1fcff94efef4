package main

import (
	"encoding/csv"
	"os"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ulogd-go/ulogd/pkg/config"
	"github.com/ulogd-go/ulogd/pkg/event"
	"github.com/ulogd-go/ulogd/pkg/option"
	"github.com/ulogd-go/ulogd/pkg/plugin"
)

// key is a row of testdata/keys.csv: a key of ulogd's, in the order of the plugin.
type key struct {
	Name     string
	Kind     event.Kind
	Optional bool
	IPFIX    event.Field
}

// kinds are the types in the table. No key is of any type: "any" stands beside "*".
var kinds = map[string]event.Kind{
	"none": event.None, "any": event.None, "bool": event.Bool, "uint8": event.U8, "uint16": event.U16, "uint32": event.U32,
	"uint64": event.U64, "ipaddr": event.Addr, "string": event.String, "raw": event.Raw, "rawstr": event.Literal,
}

// TestKeysAndOptionsAreUlogds: each plugin that ulogd has, too, has the same
// keys and the same options with the same defaults, in the same order. Ours
// come after them.
func TestKeysAndOptionsAreUlogds(t *testing.T) {
	keys, options := ulogdKeys(t), ulogdOptions(t)
	compare(t, "global", options["global"], config.GlobalFields())
	compared := 0
	for _, name := range plugin.Default.Names() {
		inputs, outputs := keys[name+" in"], keys[name+" out"]
		if len(inputs)+len(outputs) == 0 {
			continue // a plugin of ours
		}
		compared++
		spec, err := plugin.Default.Lookup(name)
		if err != nil {
			t.Fatal(err)
		}
		compare(t, name, options[name], spec.Options)
		x, err := spec.Describe()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var b event.Binder
		x.Bind(&b)
		compareInputs(t, name, inputs, &b)
		compareOutputs(t, name, outputs, b.Keys())
	}
	if compared < 16 {
		t.Errorf("%d plugins compared, want at least 16", compared)
	}
}

func compare(t *testing.T, name string, want, fields []option.Field) {
	t.Helper()
	var got []option.Field
	for i, f := range fields {
		if f.Extra {
			continue
		}
		if len(got) != i {
			t.Errorf("%s: option %s, which ulogd has, stands behind one of ours", name, f.Name)
		}
		got = append(got, option.Field{Name: f.Name, Type: f.Type, Default: f.Default, Mandatory: f.Mandatory})
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s: options (-ulogd +ours)\n%s", name, diff)
	}
}

// compareInputs leaves out what comes after ulogd's inputs: ours must not be needed.
func compareInputs(t *testing.T, name string, want []key, b *event.Binder) {
	t.Helper()
	if len(want) == 1 && want[0].Name == "*" {
		want = nil // they are not known before the stack is
	}
	var got []key
	for i, in := range b.Inputs() {
		if i < len(want) {
			got = append(got, key{Name: in.Name, Kind: in.Kind, Optional: in.Optional})
		} else if !in.Optional {
			t.Errorf("%s: needs %s, which ulogd does not", name, in.Name)
		}
	}
	for i := range want {
		want[i].IPFIX = event.Field{} // not known of inputs
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s: inputs (-ulogd +ours)\n%s", name, diff)
	}
}

func compareOutputs(t *testing.T, name string, want []key, keys []event.Key) {
	t.Helper()
	var got []key
	for i, k := range keys {
		if k.Extra {
			continue
		}
		if len(got) != i {
			t.Errorf("%s: key %s, which ulogd has, stands behind one of ours", name, k.Name)
		}
		got = append(got, key{Name: k.Name, Kind: k.Kind, IPFIX: k.IPFIX})
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s: keys (-ulogd +ours)\n%s", name, diff)
	}
}

// rows are the rows of a table without its head.
func rows(t *testing.T, path string) [][]string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	all, err := csv.NewReader(f).ReadAll()
	if err != nil || len(all) < 100 {
		t.Fatalf("%s: %d rows, %v", path, len(all), err)
	}
	return all[1:]
}

// ulogdKeys are ulogd's keys by plugin and direction, such as "BASE out".
func ulogdKeys(t *testing.T) map[string][]key {
	t.Helper()
	keys := make(map[string][]key)
	for _, row := range rows(t, "testdata/keys.csv") {
		kind, ok := kinds[row[3]]
		if !ok {
			t.Fatalf("type %q", row[3])
		}
		at := row[0] + " " + row[1]
		keys[at] = append(keys[at], key{
			Name: row[2], Kind: kind, Optional: row[4] == "optional",
			IPFIX: event.Field{Vendor: number(t, row[5]), ID: uint16(number(t, row[6]))},
		})
	}
	return keys
}

// ulogdOptions are ulogd's options by plugin.
func ulogdOptions(t *testing.T) map[string][]option.Field {
	t.Helper()
	types := map[string]string{"int": "Integer", "string": "String"}
	options := make(map[string][]option.Field)
	for _, row := range rows(t, "testdata/options.csv") {
		options[row[0]] = append(options[row[0]], option.Field{
			Name: row[1], Type: types[row[2]], Mandatory: row[3] == "yes", Default: row[4],
		})
	}
	return options
}

// number is a number, or 0 for nothing.
func number(t *testing.T, text string) uint32 {
	t.Helper()
	if text == "" {
		return 0
	}
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	return uint32(n)
}
