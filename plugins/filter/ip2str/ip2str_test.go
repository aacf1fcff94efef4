package ip2str_test

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ulogd-go/ulogd/pkg/event"
	"github.com/ulogd-go/ulogd/pkg/plugin"
	"github.com/ulogd-go/ulogd/pkg/plugintest"
	_ "github.com/ulogd-go/ulogd/plugins/filter/ip2str"
)

var names = []string{"ip.saddr", "ip.daddr", "orig.ip.saddr", "orig.ip.daddr", "reply.ip.saddr", "reply.ip.daddr", "arp.saddr", "arp.daddr"}

func TestIP2STR(t *testing.T) {
	for in, want := range map[string]string{
		"192.0.2.1": "192.0.2.1", "0.0.0.0": "0.0.0.0", "2001:db8::1": "2001:db8::1", "::": "::", "::1": "::1",
		"::2:1": "::0.2.0.1", "::ffff:192.0.2.1": "::ffff:192.0.2.1",
	} {
		for _, name := range names {
			got := plugintest.Filter(t, "IP2STR", nil, plugintest.Event{name: netip.MustParseAddr(in)})[0]
			delete(got, name)
			if diff := cmp.Diff(plugintest.Event{name + ".str": want}, got); diff != "" {
				t.Errorf("%s=%s (-want +got):\n%s", name, in, diff)
			}
		}
	}
}

// TestOthersPass has events without addresses, of families that ulogd does not
// know: they pass as they are.
func TestOthersPass(t *testing.T) {
	in := []plugintest.Event{{}, {"oob.family": uint8(7), "oob.protocol": uint16(0x88cc)}, {"oob.family": uint8(99)}}
	if diff := cmp.Diff(in, plugintest.Filter(t, "IP2STR", nil, in...)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestJSONNames are the keys that JSON calls by another name.
func TestJSONNames(t *testing.T) {
	spec, err := plugin.Default.Lookup("IP2STR")
	if err != nil {
		t.Fatal(err)
	}
	x, err := spec.Describe()
	if err != nil {
		t.Fatal(err)
	}
	var b event.Binder
	x.Bind(&b)
	want := map[string]string{"ip.saddr.str": "src_ip", "ip.daddr.str": "dest_ip", "orig.ip.saddr.str": "src_ip", "orig.ip.daddr.str": "dest_ip"}
	for _, k := range b.Keys() {
		if k.JSON != want[k.Name] {
			t.Errorf("%s is %q in JSON, want %q", k.Name, k.JSON, want[k.Name])
		}
	}
}
