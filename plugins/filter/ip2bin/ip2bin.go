// Package ip2bin is the filter IP2BIN, which writes addresses as SQL literals of 16 bytes.
package ip2bin

import (
	"encoding/binary"

	"github.com/ulogd-go/ulogd/pkg/event"
	"github.com/ulogd-go/ulogd/pkg/packet"
	"github.com/ulogd-go/ulogd/pkg/plugin"
)

func init() {
	plugin.Default.Register(plugin.NewFilter(plugin.Info{
		Name: "IP2BIN", Summary: "writes addresses as hexadecimal literals for BINARY(16) columns",
		Takes: plugin.Packet | plugin.Flow, Gives: plugin.Packet | plugin.Flow,
	}, plugin.NoOptions{}, open))
}

type ip2bin struct{ packet.Addresses }

func open(plugin.NoOptions, *plugin.Env) (plugin.Filter, error) { return new(ip2bin), nil }

func (f *ip2bin) Bind(b *event.Binder) {
	f.Addresses.Bind(b, func(name string) event.Key {
		return event.Key{
			Name: name + ".bin", Kind: event.Literal, Doc: name + " as 0x and 32 hex digits, IPv4 as ::ffff:a.b.c.d",
		}
	})
}

func (f *ip2bin) Filter(rows *event.Rows) {
	for e := range rows.All() {
		for _, a := range f.Used {
			write(rows.Batch, e, a)
		}
	}
}

func write(b *event.Batch, e event.Event, a packet.Converted) {
	var addr [16]byte
	switch v := e[a.In]; v.K {
	case event.IP4:
		addr[10], addr[11] = 0xff, 0xff
		binary.BigEndian.PutUint32(addr[12:], uint32(v.V))
	case event.IP6:
		copy(addr[:], b.Bytes(v))
	default:
		return
	}
	off := len(b.Buf)
	b.Buf = event.AppendHex(append(b.Buf, "0x"...), addr[:])
	b.Store(e, a.Out, event.Literal, off)
}
