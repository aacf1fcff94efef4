package ipfix

import (
	"encoding/binary"

	"github.com/ulogd-go/ulogd/pkg/event"
)

// element is an information element of a record, and where its value is from.
// Without a vendor it is one of IANA's registry "IPFIX Information Elements".
type element struct {
	id     uint16
	vendor uint32
	size   int // in bytes
	slot   *event.Slot
	value  func(*keys, event.Event) uint64 // if it is not in a slot
}

// reverse is the vendor of an element that is IANA's, of the other direction
// (RFC 5103, section 6.1).
const reverse = 29305

// template says what the records of a data set hold (RFC 7011, section 3.4.1).
type template struct {
	id       uint16 // of ulogd's template for IPv4, and the next
	elements []element
	size     int    // of a record
	set      []byte // that announces the template, with its header
	pending  bool   // to be sent before the next record
}

// family is what differs between the records of IPv4 and IPv6.
type family struct {
	template                                                           uint16
	addrSize                                                           int
	saddr, daddr, natSaddr, natDaddr, icmpTypeOf, icmpCodeOf, icmpBoth uint16 // elements
	icmpType, icmpCode                                                 *event.Slot
}

// newTemplates makes those of IPv4 and IPv6.
func newTemplates(k *keys, o options) (v4, v6 *template) {
	v4 = newTemplate(k, o, family{256, 4, 8, 12, 225, 226, 176, 177, 32, &k.icmpType, &k.icmpCode})
	v6 = newTemplate(k, o, family{257, 16, 27, 28, 281, 282, 178, 179, 139, &k.icmp6Type, &k.icmp6Code})
	return v4, v6
}

// newTemplate has what ulogd sends, in its order, and then what it does not.
// Counters have 8 bytes; in ulogd they are cut to 4.
func newTemplate(k *keys, o options, f family) *template {
	t := &template{id: f.template}
	t.add(
		element{id: f.saddr, size: f.addrSize, slot: &k.saddr}, // sourceIPv4Address, sourceIPv6Address
		element{id: f.daddr, size: f.addrSize, slot: &k.daddr}, // destinationIPv4Address, destinationIPv6Address
	)
	if o.Biflow {
		t.add(
			element{id: 86, size: 8, slot: &k.pktCount}, // packetTotalCount
			element{id: 85, size: 8, slot: &k.pktLen},   // octetTotalCount
		)
	} else {
		t.add(element{id: 86, size: 8, value: (*keys).packets}, element{id: 85, size: 8, value: (*keys).octets})
	}
	t.add(
		element{id: 150, size: 4, slot: &k.startSec}, // flowStartSeconds
		element{id: 151, size: 4, slot: &k.endSec},   // flowEndSeconds
		element{id: 7, size: 2, slot: &k.sport},      // sourceTransportPort
		element{id: 11, size: 2, slot: &k.dport},     // destinationTransportPort
		element{id: 4, size: 1, slot: &k.protocol},   // protocolIdentifier
		element{id: 95, size: 4, slot: &k.mark},      // applicationId
	)
	if o.Biflow {
		t.add(
			element{id: 86, vendor: reverse, size: 8, slot: &k.replyPktCount},
			element{id: 85, vendor: reverse, size: 8, slot: &k.replyPktLen},
		)
	}
	if o.Fields == fieldsAll {
		t.add(k.more(f)...)
	}
	t.announce()
	return t
}

// more are the elements that ulogd does not send. Those of Netfilter have the
// numbers of ulogd's keys.
func (k *keys) more(f family) []element {
	return []element{
		{id: 152, size: 8, value: (*keys).startMsec},                   // flowStartMilliseconds
		{id: 153, size: 8, value: (*keys).endMsec},                     // flowEndMilliseconds
		{id: f.natSaddr, size: f.addrSize, slot: &k.replyDaddr},        // postNATSourceIPv4Address, postNATSourceIPv6Address
		{id: f.natDaddr, size: f.addrSize, slot: &k.replySaddr},        // postNATDestinationIPv4Address, postNATDestinationIPv6Address
		{id: 227, size: 2, slot: &k.replyDport},                        // postNAPTSourceTransportPort
		{id: 228, size: 2, slot: &k.replySport},                        // postNAPTDestinationTransportPort
		{id: f.icmpTypeOf, size: 1, slot: f.icmpType},                  // icmpTypeIPv4, icmpTypeIPv6
		{id: f.icmpCodeOf, size: 1, slot: f.icmpCode},                  // icmpCodeIPv4, icmpCodeIPv6
		{id: f.icmpBoth, size: 2, value: (*keys).icmp},                 // icmpTypeCodeIPv4, icmpTypeCodeIPv6
		{id: 233, size: 1, value: (*keys).firewallEvent},               // firewallEvent
		{id: 4, vendor: event.Netfilter, size: 4, slot: &k.mark},       // ct.mark
		{id: 6, vendor: event.Netfilter, size: 4, slot: &k.connection}, // ct.id
	}
}

func (t *template) add(elements ...element) {
	for _, el := range elements {
		t.elements = append(t.elements, el)
		t.size += el.size
	}
}

const templateSet = 2 // RFC 7011, section 3.3.2

// announce makes the set.
func (t *template) announce() {
	be := binary.BigEndian
	set := be.AppendUint16(nil, templateSet)
	set = be.AppendUint16(set, 0)
	set = be.AppendUint16(set, t.id)
	set = be.AppendUint16(set, uint16(len(t.elements)))
	for _, el := range t.elements {
		if el.vendor == 0 {
			set = be.AppendUint16(be.AppendUint16(set, el.id), uint16(el.size))
			continue
		}
		set = be.AppendUint16(be.AppendUint16(set, 0x8000|el.id), uint16(el.size))
		set = be.AppendUint32(set, el.vendor)
	}
	be.PutUint16(set[2:], uint16(len(set)))
	t.set = set
}
