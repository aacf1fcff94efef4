package local_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ulogd-go/ulogd/pkg/plugintest"
	_ "github.com/ulogd-go/ulogd/plugins/filter/local"
)

// TestKeys: the host of the tests is fw1.example.net.
func TestKeys(t *testing.T) {
	f := func(options plugintest.Options, host string) {
		t.Helper()
		in := []plugintest.Event{{"oob.mark": uint32(1)}, {"oob.mark": uint32(2)}}
		got := plugintest.Filter(t, "LOCAL", options, in...)
		for i, e := range in {
			e["local.time"], e["local.hostname"] = uint32(plugintest.Now.Unix()), host
			if diff := cmp.Diff(e, got[i]); diff != "" {
				t.Errorf("%v (-want +got):\n%s", options, diff)
			}
		}
	}
	f(nil, "fw1")
	f(plugintest.Options{"domain": "1"}, "fw1.example.net")
	f(plugintest.Options{"hostname": "a.b"}, "a")
	f(plugintest.Options{"hostname": "a.b", "domain": "yes"}, "a.b")
}

func TestFilterDoesNotAllocate(t *testing.T) {
	plugintest.Allocs(t, "LOCAL", nil, nil, plugintest.Event{"oob.mark": uint32(1)})
}
