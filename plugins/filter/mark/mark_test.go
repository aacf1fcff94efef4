package mark_test

import (
	"strings"
	"testing"

	"github.com/ulogd-go/ulogd/pkg/plugintest"
	_ "github.com/ulogd-go/ulogd/plugins/filter/mark"
)

func TestMARK(t *testing.T) {
	type options = plugintest.Options
	type e = plugintest.Event
	f := func(opts options, in e, passes bool) {
		t.Helper()
		if got := len(plugintest.Filter(t, "MARK", opts, in)) == 1; got != passes {
			t.Errorf("%v with %v passes: %v, want %v", in, opts, got, passes)
		}
	}
	oob := func(mark uint32) e { return e{"oob.mark": mark} }
	ct := func(mark uint32) e { return e{"ct.mark": mark, "oob.mark": uint32(7)} }
	// The defaults let only unmarked events pass.
	f(nil, oob(0), true)
	f(nil, oob(1), false)
	f(nil, oob(0x80000000), false)
	f(nil, e{"other": uint32(1)}, true)
	// A mark, and the whole of it.
	f(options{"mark": "5"}, oob(5), true)
	f(options{"mark": "5"}, oob(0x105), false)
	f(options{"mark": "0xdeadbeef"}, oob(0xdeadbeef), true)
	f(options{"mark": "-559038737", "mask": "-0x10"}, oob(0xdeadbeef), false)
	f(options{"mark": "-559038752", "mask": "-0x10"}, oob(0xdeadbeef), true)
	// The mark of the connection comes first.
	f(options{"mark": "5"}, ct(5), true)
	f(options{"mark": "7"}, ct(5), false)
	f(options{"mark": "7"}, ct(7), true)
	f(options{"mark": "5"}, e{"ct.mark": uint32(5)}, true)
	f(options{"mark": "5"}, e{"other": uint32(1)}, true)
	// A mask. The mark itself is not masked.
	f(options{"mark": "5", "mask": "0xff"}, oob(0x105), true)
	f(options{"mark": "0x105", "mask": "0xff"}, oob(0x105), false)
	f(options{"mark": "0", "mask": "0"}, oob(0x105), true)
	f(options{"mark": "5", "mask": "-1"}, oob(5), true)
	f(options{"mark": "5", "mask": "-1"}, oob(0x105), false)
	f(options{"mark": "5", "mask": "0xffffffff"}, oob(5), true)
}

func TestBadMark(t *testing.T) {
	_, _, err := plugintest.Bench{Plugin: "MARK", Options: plugintest.Options{"mask": "0x1ffffffff"}}.Open(t)
	if err == nil || !strings.Contains(err.Error(), "mask") {
		t.Errorf("a mask of 33 bits: %v, want an error that names the option", err)
	}
}
