package ifindex_test

import (
	"context"
	"io"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ulogd-go/ulogd/pkg/event"
	"github.com/ulogd-go/ulogd/pkg/link"
	"github.com/ulogd-go/ulogd/pkg/plugin"
	"github.com/ulogd-go/ulogd/pkg/plugintest"
	_ "github.com/ulogd-go/ulogd/plugins/filter/ifindex"
)

// source knows the interfaces which its indexes mean.
type source struct{ *link.Table }

func (s source) Links() *link.Table                     { return s.Table }
func (source) Bind(*event.Binder)                       {}
func (source) Open() error                              { return nil }
func (source) Read(context.Context, *event.Batch) error { return io.EOF }
func (source) Close() error                             { return nil }

func TestIFINDEX(t *testing.T) {
	names := link.NewTable(map[uint32]string{10: "br0", 11: "vnet0", 12: "vnet1"})
	b := plugintest.Bench{Plugin: "IFINDEX", Env: func(env *plugin.Env) { env.Source = source{names} }}
	index := func(in, out, physIn, physOut uint32) plugintest.Event {
		e := plugintest.Event{}
		for name, n := range map[string]uint32{"oob.ifindex_in": in, "oob.ifindex_out": out, "oob.ifindex_physin": physIn, "oob.ifindex_physout": physOut} {
			if n != 0 {
				e[name] = n
			}
		}
		return e
	}
	tests := []struct{ in, want plugintest.Event }{
		{index(10, 0, 0, 0), plugintest.Event{"oob.in": "br0", "oob.out": ""}},
		{index(0, 11, 0, 0), plugintest.Event{"oob.in": "", "oob.out": "vnet0"}},
		{index(0, 0, 0, 0), plugintest.Event{"oob.in": "", "oob.out": ""}},
		{index(99, 11, 0, 0), plugintest.Event{"oob.in": "", "oob.out": "vnet0"}}, // and not the name before
		{index(10, 10, 11, 12), plugintest.Event{"oob.in": "br0", "oob.out": "br0", "oob.physin": "vnet0", "oob.physout": "vnet1"}},
		{index(10, 0, 11, 0), plugintest.Event{"oob.in": "br0", "oob.out": "", "oob.physin": "vnet0"}},
	}
	var events []plugintest.Event
	for _, tt := range tests {
		events = append(events, tt.in)
	}
	for i, got := range b.Filter(t, events...) {
		for name := range tests[i].in {
			delete(got, name)
		}
		if diff := cmp.Diff(tests[i].want, got); diff != "" {
			t.Errorf("%v (-want +got):\n%s", tests[i].in, diff)
		}
	}
}

// TestSourceWithoutInterfaces has a source that knows no names.
func TestSourceWithoutInterfaces(t *testing.T) {
	got := plugintest.Filter(t, "IFINDEX", nil, plugintest.Event{"oob.ifindex_in": uint32(1)})
	if got[0]["oob.in"] != "" || got[0]["oob.out"] != "" {
		t.Errorf("%v, want empty names", got[0])
	}
}
