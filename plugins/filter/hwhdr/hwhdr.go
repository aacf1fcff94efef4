// Package hwhdr is the filter HWHDR, which writes link-layer headers as text.
package hwhdr

import (
	"encoding/binary"
	"log/slog"

	"github.com/ulogd-go/ulogd/pkg/event"
	"github.com/ulogd-go/ulogd/pkg/logging"
	"github.com/ulogd-go/ulogd/pkg/plugin"
	"github.com/ulogd-go/ulogd/pkg/stats"
)

func init() {
	plugin.Default.Register(plugin.NewFilter(plugin.Info{
		Name: "HWHDR", Summary: "writes link-layer headers as text",
		Takes: plugin.Packet, Gives: plugin.Packet,
	}, plugin.NoOptions{}, open))
}

// Hardware types (linux/if_arp.h).
const (
	typeEthernet = 1
	typeVoid     = 0xffff
)

// maxLen is the longest header that has a text; packets with a longer one end
// here, as in ulogd.
const maxLen = 42

type hwhdr struct {
	typ, protocol, mac, macLen, saddr, addrLen event.Slot

	outType, outProtocol, outSaddr, outDaddr, outMAC event.Slot

	tooLong *stats.Counter
	tally   *logging.Tally
}

func open(_ plugin.NoOptions, env *plugin.Env) (plugin.Filter, error) {
	return &hwhdr{
		tooLong: env.Stats.Counter("header_too_long", "events dropped because their link-layer header has more than 42 bytes"),
		tally:   logging.NewTally(env.Log, slog.LevelError, "dropped %d events whose link-layer header has more than 42 bytes"),
	}, nil
}

func (f *hwhdr) Bind(b *event.Binder) {
	b.Optional(&f.typ, "raw.type", event.U16)
	b.In(&f.protocol, "oob.protocol", event.U16)
	b.Optional(&f.mac, "raw.mac", event.Raw)
	b.Optional(&f.macLen, "raw.mac_len", event.U16)
	b.Optional(&f.saddr, "raw.mac.saddr", event.Raw)
	b.Optional(&f.addrLen, "raw.mac.addrlen", event.U16)

	b.Out(&f.outType, event.Key{Name: "raw.type", Kind: event.U16, Doc: "ARPHRD_*; 65535 when only an address is known"})
	b.Out(&f.outProtocol, event.Key{Name: "oob.protocol", Kind: event.U16, Doc: "EtherType, from an Ethernet header if there is one"})
	b.Out(&f.outSaddr, event.Key{Name: "mac.saddr.str", Kind: event.String, Doc: "source hardware address"})
	b.Out(&f.outDaddr, event.Key{Name: "mac.daddr.str", Kind: event.String, Doc: "destination hardware address, of Ethernet only"})
	b.Out(&f.outMAC, event.Key{Name: "mac.str", Kind: event.String, Doc: "the whole link-layer header"})
}

func (f *hwhdr) Filter(rows *event.Rows) {
	dropped := rows.Keep(func(e event.Event) bool { return f.write(rows.Batch, e) })
	if dropped > 0 {
		f.tooLong.Add(uint64(dropped))
		f.tally.Add(uint64(dropped))
	}
}

// write sets the keys of one event, and reports false if its header is too long.
func (f *hwhdr) write(b *event.Batch, e event.Event) bool {
	e[f.outProtocol] = e[f.protocol]
	saddr := e[f.saddr]
	if saddr.K != event.None {
		if len(b.Bytes(saddr)) > maxLen {
			return false
		}
		f.text(b, e, f.outSaddr, saddr)
		e.Set(f.outType, event.U16, typeVoid)
	}
	mac := e[f.mac]
	if mac.K == event.None {
		return true
	}
	typ := uint64(typeVoid)
	switch {
	case e.Has(f.typ):
		typ = e.Uint(f.typ)
	case len(b.Bytes(mac)) == 14:
		typ = typeEthernet
	}
	e.Set(f.outType, event.U16, typ)
	if len(b.Bytes(mac)) > maxLen {
		return false
	}
	if typ == typeEthernet && len(b.Bytes(mac)) >= 14 {
		if saddr.K == event.None {
			f.text(b, e, f.outSaddr, part(mac, 6, 6))
		}
		f.text(b, e, f.outDaddr, part(mac, 0, 6))
		e.Set(f.outProtocol, event.U16, uint64(binary.BigEndian.Uint16(b.Bytes(mac)[12:])))
	}
	f.text(b, e, f.outMAC, mac)
	return true
}

// part is n bytes at off of what v refers to.
func part(v event.Value, off, n int) event.Value {
	return event.Value{V: event.Ref(int(v.V>>32)+off, n), K: v.K}
}

func (f *hwhdr) text(b *event.Batch, e event.Event, s event.Slot, v event.Value) {
	if s == event.Unused {
		return
	}
	off := len(b.Buf)
	b.Buf = event.AppendMAC(b.Buf, b.Bytes(v))
	b.Store(e, s, event.String, off)
}
