// Package local is the filter LOCAL, which says which host has logged a packet, and
// when.
package local

import (
	"strings"
	"time"

	"github.com/ulogd-go/ulogd/pkg/event"
	"github.com/ulogd-go/ulogd/pkg/plugin"
)

func init() {
	plugin.Default.Register(plugin.NewFilter(plugin.Info{
		Name: "LOCAL", Summary: "says which host has logged an event, and when",
		Takes: plugin.Raw | plugin.Packet | plugin.Flow | plugin.Sum, Gives: plugin.Raw | plugin.Packet | plugin.Flow | plugin.Sum,
	}, options{}, open))
}

type options struct {
	Name   string `toml:"hostname" extra:"true" doc:"name of this host; if empty, the one that the system has"`
	Domain bool   `toml:"domain" extra:"true" doc:"keep what is behind the first dot of that name"`
}

type local struct {
	host string
	now  func() time.Time

	time, hostname event.Slot
}

func open(o options, env *plugin.Env) (plugin.Filter, error) {
	if o.Name == "" {
		o.Name = env.Hostname
	}
	if !o.Domain {
		o.Name, _, _ = strings.Cut(o.Name, ".")
	}
	return &local{host: o.Name, now: env.Now}, nil
}

func (f *local) Bind(b *event.Binder) {
	b.Out(&f.time, event.Key{Name: "local.time", Kind: event.U32, Doc: "time at which the event is worked on, in seconds since 1970"})
	b.Out(&f.hostname, event.Key{Name: "local.hostname", Kind: event.String, Doc: "name of this host"})
}

// Filter sets both keys. The events of a batch share the text.
func (f *local) Filter(rows *event.Rows) {
	now := uint64(uint32(f.now().Unix()))
	host := event.Ref(len(rows.Buf), len(f.host))
	rows.Buf = append(rows.Buf, f.host...)
	for e := range rows.All() {
		e.Set(f.time, event.U32, now)
		e.Set(f.hostname, event.String, host)
	}
}
