// Package nfacct is the wire format of the kernel's accounting objects
// (linux/netfilter/nfnetlink_acct.h): named counters of packets and bytes, that
// rules count into. It has no socket.
//
// Messages and attributes are framed as in package nflog; the values of attributes
// are in network byte order.
package nfacct

import (
	"encoding/binary"

	"github.com/ulogd-go/ulogd/pkg/event"
	"github.com/ulogd-go/ulogd/pkg/nflog"
)

// Message types, as in the type field of a netlink header.
const (
	subsystem = 7 // NFNL_SUBSYS_ACCT

	TypeObject  = subsystem << 8   // NFNL_MSG_ACCT_NEW: an object, in an answer
	TypeGet     = subsystem<<8 | 1 // NFNL_MSG_ACCT_GET
	TypeGetZero = subsystem<<8 | 2 // NFNL_MSG_ACCT_GET_CTRZERO: and set its counters to 0
)

// Attributes of an object (enum nfnl_acct_type).
const (
	attrName    = 1 // text and a zero byte, 31 bytes at most without it
	attrPackets = 2 // 64 bits
	attrBytes   = 3 // 64 bits
)

// AllObjects is the body of a request that dumps all objects.
func AllObjects() []byte { return make([]byte, nflog.FamilyHeaderLen) }

// ByName is the body of a request for one object.
func ByName(name []byte) []byte {
	terminated := append(append([]byte(nil), name...), 0)
	return nflog.AppendAttr(AllObjects(), attrName, terminated...)
}

// Object is an accounting object.
type Object struct {
	Name           event.Value // of kind String
	Packets, Bytes uint64
}

// Decode reads the object whose message, from its family header on, lies in b's
// buffer from off to before end. It reports false if the message lacks something, or
// is not what its own lengths say.
func Decode(b *event.Batch, off, end int) (o Object, ok bool) {
	seen := 0
	for rest := b.Buf[min(off+nflog.FamilyHeaderLen, end):end]; len(rest) > 0; {
		typ, value, next, ok := nflog.Next(rest)
		if !ok {
			return Object{}, false
		}
		at := end - len(rest) + attrHeaderLen
		rest = next
		switch {
		case typ == attrName:
			o.Name = event.Value{V: event.Ref(at, textLen(value)), K: event.String}
		case typ == attrPackets && len(value) == 8:
			o.Packets = binary.BigEndian.Uint64(value)
		case typ == attrBytes && len(value) == 8:
			o.Bytes = binary.BigEndian.Uint64(value)
		default:
			continue
		}
		seen |= 1 << typ
	}
	return o, seen == 1<<attrName|1<<attrPackets|1<<attrBytes
}

// attrHeaderLen is the size of struct nlattr.
const attrHeaderLen = 4

// textLen is the number of bytes before the first zero byte.
func textLen(value []byte) int {
	for i, c := range value {
		if c == 0 {
			return i
		}
	}
	return len(value)
}
