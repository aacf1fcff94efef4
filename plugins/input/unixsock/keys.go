package unixsock

import "github.com/ulogd-go/ulogd/pkg/event"

// keys are what the input publishes, in ulogd's order. Those without a slot of their
// own have never a value, as in ulogd.
type keys struct {
	pkt, pktLen, pktCount, prefix, sec, in, out, family, label,
	user, userID, osName, osRel, osVers, app event.Slot

	never [13]event.Slot
}

// Bind declares the keys.
func (k *keys) Bind(b *event.Binder) {
	nf := func(id uint16) event.Field { return event.Field{Vendor: event.Netfilter, ID: id} }
	ietf := func(id uint16) event.Field { return event.Field{ID: id} }
	n := 0
	never := func(name string, kind event.Kind, field event.Field) {
		b.Out(&k.never[n], event.Key{Name: name, Kind: kind, Doc: "never has a value", IPFIX: field})
		n++
	}
	never("raw.mac", event.Raw, event.Field{})
	b.Out(&k.pkt, event.Key{Name: "raw.pkt", Kind: event.Raw, Doc: "the packet from its network header on", IPFIX: nf(1)})
	b.Out(&k.pktLen, event.Key{Name: "raw.pktlen", Kind: event.U32, Doc: "its number of bytes", IPFIX: nf(2)})
	b.Out(&k.pktCount, event.Key{Name: "raw.pktcount", Kind: event.U32, Doc: "always 1", IPFIX: ietf(2)})
	b.Out(&k.prefix, event.Key{Name: "oob.prefix", Kind: event.String, Doc: "option 1", IPFIX: nf(3)})
	b.Out(&k.sec, event.Key{Name: "oob.time.sec", Kind: event.U32, Doc: "option 4: time of the packet, in seconds since 1970", IPFIX: ietf(150)})
	never("oob.time.usec", event.U32, ietf(154))
	never("oob.mark", event.U32, nf(4))
	b.Out(&k.in, event.Key{Name: "oob.in", Kind: event.String, Doc: "option 2: name of the input interface", IPFIX: ietf(10)})
	b.Out(&k.out, event.Key{Name: "oob.out", Kind: event.String, Doc: "option 3: name of the output interface", IPFIX: ietf(14)})
	never("oob.hook", event.U8, nf(5))
	never("raw.mac_len", event.U16, event.Field{})
	never("oob.seq.local", event.U32, nf(7))
	never("oob.seq.global", event.U32, nf(8))
	b.Out(&k.family, event.Key{Name: "oob.family", Kind: event.U8, Doc: "2 IPv4, 10 IPv6, by the packet's version; else 0"})
	never("oob.protocol", event.U16, event.Field{})
	never("oob.uid", event.U32, event.Field{})
	never("oob.gid", event.U32, event.Field{})
	b.Out(&k.label, event.Key{Name: "raw.label", Kind: event.U8, Doc: "option 206: 0 drop, 1 open, 2 established, 3 close, 4 unknown"})
	never("raw.type", event.U16, event.Field{})
	never("raw.mac.saddr", event.Raw, ietf(56))
	never("raw.mac.addrlen", event.U16, event.Field{})
	b.Out(&k.user, event.Key{Name: "nufw.user.name", Kind: event.String, Doc: "option 200: name of the user"})
	b.Out(&k.userID, event.Key{Name: "nufw.user.id", Kind: event.U32, Doc: "option 201: number of the user"})
	b.Out(&k.osName, event.Key{Name: "nufw.os.name", Kind: event.String, Doc: "option 202: name of the user's operating system"})
	b.Out(&k.osRel, event.Key{Name: "nufw.os.rel", Kind: event.String, Doc: "option 203: its release"})
	b.Out(&k.osVers, event.Key{Name: "nufw.os.vers", Kind: event.String, Doc: "option 204: its version"})
	b.Out(&k.app, event.Key{Name: "nufw.app.name", Kind: event.String, Doc: "option 205: name of the program"})
}
