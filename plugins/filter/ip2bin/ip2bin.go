// Package ip2bin is the filter IP2BIN, which writes addresses as SQL literals of 16 bytes.
package ip2bin

import (
	"encoding/binary"

	"github.com/ulogd-go/ulogd/pkg/event"
	"github.com/ulogd-go/ulogd/pkg/plugin"
)

func init() {
	plugin.Default.Register(plugin.NewFilter(plugin.Info{
		Name: "IP2BIN", Summary: "writes addresses as hexadecimal literals for BINARY(16) columns",
		Takes: plugin.Packet | plugin.Flow, Gives: plugin.Packet | plugin.Flow,
	}, plugin.NoOptions{}, open))
}

// address is a key to read and the key to write.
type address struct{ in, out event.Slot }

type ip2bin struct {
	family, protocol event.Slot // ulogd needs them to tell IPv4 from IPv6; here each value tells
	addresses        [len(names)]address
}

var names = [...]string{
	"ip.saddr", "ip.daddr", "orig.ip.saddr", "orig.ip.daddr",
	"reply.ip.saddr", "reply.ip.daddr", "arp.saddr", "arp.daddr",
}

func open(plugin.NoOptions, *plugin.Env) (plugin.Filter, error) { return new(ip2bin), nil }

func (f *ip2bin) Bind(b *event.Binder) {
	b.In(&f.family, "oob.family", event.U8)
	b.In(&f.protocol, "oob.protocol", event.U16)
	for i, name := range names {
		b.Optional(&f.addresses[i].in, name, event.Addr)
	}
	for i, name := range names {
		b.Out(&f.addresses[i].out, event.Key{
			Name: name + ".bin", Kind: event.Literal, Doc: name + " as 0x and 32 hex digits, IPv4 as ::ffff:a.b.c.d",
		})
	}
}

func (f *ip2bin) Filter(rows *event.Rows) {
	for e := range rows.All() {
		for _, a := range f.addresses {
			if a.out != event.Unused {
				write(rows.Batch, e, a)
			}
		}
	}
}

func write(b *event.Batch, e event.Event, a address) {
	var addr [16]byte
	switch v := e[a.in]; v.K {
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
	b.Store(e, a.out, event.Literal, off)
}
