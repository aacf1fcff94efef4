package packet

import "github.com/ulogd-go/ulogd/pkg/event"

// addressKeys are the keys that hold addresses, in ulogd's order.
var addressKeys = [...]string{
	"ip.saddr", "ip.daddr", "orig.ip.saddr", "orig.ip.daddr",
	"reply.ip.saddr", "reply.ip.daddr", "arp.saddr", "arp.daddr",
}

// Addresses are the keys of a filter that writes each address in another form.
type Addresses struct {
	// Used are the addresses that somebody gives and whose other form
	// somebody reads. It is known when all slots are.
	Used []Converted

	family, protocol event.Slot // ulogd needs them to tell IPv4 from IPv6; here each value tells
	all              [len(addressKeys)]Converted
}

// Converted is an address to read, and where its other form goes.
type Converted struct{ In, Out event.Slot }

// Bind declares the keys; other describes the other form of an address key.
func (a *Addresses) Bind(b *event.Binder, other func(name string) event.Key) {
	b.In(&a.family, "oob.family", event.U8)
	b.In(&a.protocol, "oob.protocol", event.U16)
	for i, name := range addressKeys {
		b.Optional(&a.all[i].In, name, event.Addr)
	}
	for i, name := range addressKeys {
		b.Out(&a.all[i].Out, other(name))
	}
	b.After(a.prune)
}

func (a *Addresses) prune() {
	a.Used = a.Used[:0]
	for _, c := range a.all {
		if c.In != event.Absent && c.Out != event.Unused {
			a.Used = append(a.Used, c)
		}
	}
}
