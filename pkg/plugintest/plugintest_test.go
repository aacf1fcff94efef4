package plugintest_test

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ulogd-go/ulogd/pkg/event"
	"github.com/ulogd-go/ulogd/pkg/plugin"
	"github.com/ulogd-go/ulogd/pkg/plugintest"
)

func init() {
	plugin.Default.Register(plugin.NewFilter(plugin.Info{Name: "TESTLOUD", Takes: plugin.Packet, Gives: plugin.Packet},
		loudOptions{Suffix: "!"}, openLoud))
}

type loudOptions struct {
	Suffix string `toml:"suffix" doc:"appended to what is said"`
}

// loud passes events that say something, and says it louder.
type loud struct {
	loudOptions
	said, louder, volume event.Slot
}

func openLoud(o loudOptions, _ *plugin.Env) (plugin.Filter, error) { return &loud{loudOptions: o}, nil }

func (f *loud) Bind(b *event.Binder) {
	b.In(&f.said, "said", event.String)
	b.Optional(&f.volume, "volume", event.U16)
	b.Out(&f.louder, event.Key{Name: "louder", Kind: event.String})
}

func (f *loud) Filter(rows *event.Rows) {
	rows.Keep(func(e event.Event) bool { return e.Has(f.said) })
	for e := range rows.All() {
		off := len(rows.Buf)
		rows.Buf = append(rows.Buf, rows.Bytes(e[f.said])...)
		for range max(1, e.Uint(f.volume)) {
			rows.Buf = append(rows.Buf, f.Suffix...)
		}
		rows.Store(e, f.louder, event.String, off)
	}
}

func TestFilter(t *testing.T) {
	got := plugintest.Filter(t, "TESTLOUD", plugintest.Options{"suffix": "?"},
		plugintest.Event{"said": "a", "volume": 3},
		plugintest.Event{"volume": uint16(7)},
		plugintest.Event{"said": "b", "raw": []byte{1}},
	)
	want := []plugintest.Event{
		{"said": "a", "volume": uint16(3), "louder": "a???"},
		{"said": "b", "raw": []byte{1}, "louder": "b?"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// TestKinds shows that every kind of value comes out as it went in.
func TestKinds(t *testing.T) {
	want := plugintest.Event{
		"said": "", "yes": true, "no": false,
		"u8": uint8(255), "u16": uint16(65535), "u32": uint32(1 << 31), "u64": uint64(1 << 63),
		"i8": int8(-1), "i16": int16(-2), "i32": int32(-3), "i64": int64(-4),
		"ip4": netip.MustParseAddr("192.0.2.1"), "ip6": netip.MustParseAddr("::ffff:192.0.2.1"),
		"raw": []byte("\x00"), "literal": plugintest.Literal("0x01"), "louder": "!",
	}
	in := plugintest.Event{}
	for k, v := range want {
		in[k] = v
	}
	delete(in, "louder")
	got := plugintest.Filter(t, "TESTLOUD", nil, in)
	if diff := cmp.Diff([]plugintest.Event{want}, got, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestAllocs(t *testing.T) {
	keys := []event.Key{{Name: "said", Kind: event.String}}
	plugintest.Allocs(t, "TESTLOUD", nil, keys, plugintest.Event{"said": "a"}, plugintest.Event{})
}

func TestOpenRefusesUnknownOptions(t *testing.T) {
	_, _, err := plugintest.Bench{Plugin: "TESTLOUD", Options: plugintest.Options{"sufix": "?"}}.Open(t)
	if err == nil {
		t.Error("no error for the unknown option sufix")
	}
}

// complaints is a test that only counts its errors.
type complaints struct {
	testing.TB
	n int
}

func (c *complaints) Errorf(string, ...any) { c.n++ }

// wrong publishes a value that is not what the key's kind promises.
type wrong struct {
	kind  event.Kind
	value event.Value
	slot  event.Slot
}

func (f *wrong) Bind(b *event.Binder) { b.Out(&f.slot, event.Key{Name: "wrong", Kind: f.kind}) }

func (f *wrong) Filter(rows *event.Rows) {
	for e := range rows.All() {
		e[f.slot] = f.value
	}
}

// promises are keys and values of filters TESTWRONG0, TESTWRONG1, and so on.
var promises = []struct {
	kind  event.Kind
	value event.Value
	want  int // errors
}{
	{event.U8, event.Value{V: 255, K: event.U8}, 0},
	{event.U8, event.Value{V: 256, K: event.U8}, 1},
	{event.U8, event.Value{V: 1, K: event.U16}, 1},
	{event.U16, event.Value{V: 1 << 16, K: event.U16}, 1},
	{event.U32, event.Value{V: 1 << 32, K: event.U32}, 1},
	{event.U64, event.Value{V: 1 << 63, K: event.U64}, 0},
	{event.Bool, event.Value{V: 15, K: event.Bool}, 0},
	{event.Addr, event.Value{V: 1 << 31, K: event.IP4}, 0},
	{event.Addr, event.Value{V: event.Ref(0, 16), K: event.IP6}, 0},
	{event.Addr, event.Value{V: 1 << 31, K: event.U32}, 1},
	{event.String, event.Value{K: event.Raw}, 1},
	{event.U32, event.Value{}, 0}, // none
}

func init() {
	for i, p := range promises {
		plugin.Default.Register(plugin.NewFilter(plugin.Info{Name: wrongName(i), Takes: plugin.Packet, Gives: plugin.Packet}, plugin.NoOptions{},
			func(plugin.NoOptions, *plugin.Env) (plugin.Filter, error) {
				return &wrong{kind: p.kind, value: p.value}, nil
			}))
	}
}

func wrongName(i int) string { return fmt.Sprintf("TESTWRONG%d", i) }

// TestBrokenPromises: the helpers find values that are not of their key's kind.
func TestBrokenPromises(t *testing.T) {
	for i, p := range promises {
		c := &complaints{TB: t}
		plugintest.Filter(c, wrongName(i), nil, plugintest.Event{"raw": make([]byte, 16)})
		if c.n != p.want {
			t.Errorf("%v for a key of kind %v: %d errors, want %d", p.value, p.kind, c.n, p.want)
		}
	}
}
