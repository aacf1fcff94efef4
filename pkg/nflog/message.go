// Package nflog is the wire format of the kernel's packet logger
// (linux/netfilter/nfnetlink_log.h): the attributes of messages, and the
// requests that configure a group. It has no socket; the messages themselves
// are split by package nlsock.
//
// Netlink headers and attribute headers are in host byte order, the values of
// attributes in network byte order.
package nflog

import "encoding/binary"

// Message types, as in the type field of a netlink header.
const (
	subsystem = 4 // NFNL_SUBSYS_ULOG

	TypePacket = subsystem << 8   // NFULNL_MSG_PACKET, number 0 of the subsystem
	TypeConfig = subsystem<<8 | 1 // NFULNL_MSG_CONFIG
)

// Families of packets (linux/netfilter.h).
const (
	FamilyIPv4   = 2
	FamilyARP    = 3
	FamilyNetdev = 5
	FamilyBridge = 7
	FamilyIPv6   = 10
)

// Attributes of a packet (enum nfulnl_attr_type).
const (
	AttrPacketHdr  = 1  // EtherType, hook, a byte of padding
	AttrMark       = 2  // 32 bits
	AttrTimestamp  = 3  // seconds and microseconds, 64 bits each
	AttrIfindexIn  = 4  // 32 bits
	AttrIfindexOut = 5  // 32 bits
	AttrPhysIn     = 6  // 32 bits, the bridge port
	AttrPhysOut    = 7  // 32 bits, the bridge port
	AttrHWAddr     = 8  // length, 2 bytes of padding, 8 bytes
	AttrPayload    = 9  // from the network header on
	AttrPrefix     = 10 // text and a zero byte
	AttrUID        = 11 // 32 bits
	AttrSeq        = 12 // 32 bits, counts the packets of the group
	AttrSeqGlobal  = 13 // 32 bits, counts the packets of all groups
	AttrGID        = 14 // 32 bits
	AttrHWType     = 15 // 16 bits, ARPHRD_*
	AttrHWHeader   = 16 // the link-layer header
	AttrHWLen      = 17 // its length, 16 bits
	AttrConntrack  = 18 // nested, as in ctnetlink
	AttrCTInfo     = 19 // 32 bits
	AttrVLAN       = 20 // nested, of bridged packets
	AttrL2Header   = 21 // the whole link-layer header of a bridged packet
)

// Attributes inside AttrVLAN (enum nfulnl_vlan_attr).
const (
	AttrVLANProto = 1 // EtherType of the tag, 16 bits
	AttrVLANTCI   = 2 // priority and VLAN identifier, 16 bits
)

// Sizes of headers in bytes.
const (
	// FamilyHeaderLen is the size of the header between the netlink header
	// and the attributes (struct nfgenmsg): family, version, and the group
	// in network byte order.
	FamilyHeaderLen = 4
	attrHeaderLen   = 4
)

// Next splits the first attribute off b. It reports false at the end, and if
// what is there is not a whole attribute: then rest is not empty. The flags in
// the type (nested, byte order) are cut off.
func Next(b []byte) (typ uint16, value, rest []byte, ok bool) {
	if len(b) < attrHeaderLen {
		return 0, nil, b, false
	}
	n := int(binary.NativeEndian.Uint16(b))
	if n < attrHeaderLen || n > len(b) {
		return 0, nil, b, false
	}
	return binary.NativeEndian.Uint16(b[2:]) & 0x3fff, b[attrHeaderLen:n], b[min(align(n), len(b)):], true
}

// align rounds up to the boundary at which messages and attributes begin.
func align(n int) int { return (n + 3) &^ 3 }

// AppendAttr appends an attribute and the padding behind it.
func AppendAttr(dst []byte, typ uint16, value ...byte) []byte {
	dst = binary.NativeEndian.AppendUint16(dst, uint16(attrHeaderLen+len(value)))
	dst = binary.NativeEndian.AppendUint16(dst, typ)
	dst = append(dst, value...)
	return append(dst, make([]byte, align(len(value))-len(value))...)
}
