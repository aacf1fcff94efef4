package ctnetlink

import (
	"encoding/binary"
	"errors"

	"github.com/ulogd-go/ulogd/pkg/nflog"
)

// Tuple is one direction of a connection, as its packets show it. Tuples can be
// compared.
type Tuple struct {
	Src, Dst         [16]byte // in network byte order; the first 4 bytes for IPv4
	SrcPort, DstPort uint16   // in host order; the keys of GRE, and the identifier of ICMP as SrcPort
	Zone             uint16   // of this direction only
	Proto            uint8
	Type, Code       uint8 // of ICMP and ICMPv6
}

// Has tells which of a flow's attributes the kernel has sent.
type Has uint16

// The attributes that may be missing.
const (
	HasCounters Has = 1 << iota
	HasMark
	HasID
	HasStatus
	HasTimeout
	HasZone
	HasState
	HasLabels
	HasUse
)

// Counters are of one direction.
type Counters struct{ Packets, Bytes uint64 }

// Flow is a connection. It has no pointers.
type Flow struct {
	Orig, Reply Tuple
	OrigCount   Counters
	ReplyCount  Counters
	Start, Stop int64    // in nanoseconds since 1970; 0 if the kernel does not say
	Mark        uint32   //
	ID          uint32   // in host order, as conntrack(8) prints it
	Status      uint32   // IPS_* of linux/netfilter/nf_conntrack_common.h
	Timeout     uint32   // in seconds
	Use         uint32   // references that the kernel holds; in dumps only
	Labels      [16]byte // bit 0 is the lowest bit of the first byte
	Zone        uint16
	Has         Has
	Family      uint8 // nflog.FamilyIPv4 or nflog.FamilyIPv6
	State       uint8 // of TCP, DCCP or SCTP
}

// ErrMalformed says that a message is not what its own lengths say, or says
// nothing of a connection.
var ErrMalformed = errors.New("malformed message")

// Decode reads the body of a message from its family header on. Everything in f
// is replaced. What is missing in the message is 0. The error is ErrMalformed.
func (f *Flow) Decode(body []byte) error {
	*f = Flow{}
	if len(body) < nflog.FamilyHeaderLen {
		return ErrMalformed
	}
	f.Family = body[0]
	return f.DecodeAttrs(body[nflog.FamilyHeaderLen:])
}

// DecodeAttrs adds what the attributes of a connection say.
func (f *Flow) DecodeAttrs(attrs []byte) error {
	ok := false
	for {
		typ, value, rest, more := nflog.Next(attrs)
		if !more {
			if len(rest) > 0 || !ok {
				return ErrMalformed
			}
			return nil
		}
		attrs = rest
		ok = ok || typ == AttrOrig
		if !f.set(typ, value) {
			return ErrMalformed
		}
	}
}

// set reads one attribute. It is false if it is malformed.
func (f *Flow) set(typ uint16, value []byte) bool {
	switch typ {
	case AttrOrig:
		return f.Orig.decode(value)
	case attrReply:
		return f.Reply.decode(value)
	case attrCountersOrig:
		f.Has |= HasCounters
		return pair(value, countersPackets, countersBytes, &f.OrigCount.Packets, &f.OrigCount.Bytes)
	case attrCountersReply:
		f.Has |= HasCounters
		return pair(value, countersPackets, countersBytes, &f.ReplyCount.Packets, &f.ReplyCount.Bytes)
	case attrTimestamp:
		var start, stop uint64
		ok := pair(value, timestampStart, timestampStop, &start, &stop)
		f.Start, f.Stop = int64(start), int64(stop)
		return ok
	case attrStatus:
		return f.u32(&f.Status, HasStatus, value)
	case attrTimeout:
		return f.u32(&f.Timeout, HasTimeout, value)
	case attrUse:
		return f.u32(&f.Use, HasUse, value)
	case attrMark:
		return f.u32(&f.Mark, HasMark, value)
	case attrID:
		return f.u32(&f.ID, HasID, value)
	case attrZone:
		f.Has |= HasZone
		return u16(&f.Zone, value)
	case attrLabels:
		f.Has |= HasLabels
		copy(f.Labels[:], value)
	case attrProtoInfo:
		return f.state(value)
	}
	return true
}

func (f *Flow) u32(dst *uint32, has Has, value []byte) bool {
	if len(value) < 4 {
		return false
	}
	*dst = binary.BigEndian.Uint32(value)
	f.Has |= has
	return true
}

// state reads the state of the protocol out of what is particular to it.
func (f *Flow) state(value []byte) bool {
	return each(value, func(typ uint16, value []byte) bool {
		if typ != infoTCP && typ != infoDCCP && typ != infoSCTP {
			return true
		}
		return each(value, func(typ uint16, value []byte) bool {
			if typ != infoState {
				return true
			}
			f.Has |= HasState
			return u8(&f.State, value)
		})
	})
}

// decode reads a tuple.
func (t *Tuple) decode(value []byte) bool {
	return each(value, func(typ uint16, value []byte) bool {
		switch typ {
		case TupleIP:
			return each(value, t.address)
		case TupleProto:
			return each(value, t.protocol)
		case tupleZone:
			return u16(&t.Zone, value)
		}
		return true
	})
}

func (t *Tuple) address(typ uint16, value []byte) bool {
	switch typ {
	case IPv4Src:
		return address(&t.Src, 4, value)
	case IPv4Dst:
		return address(&t.Dst, 4, value)
	case IPv6Src:
		return address(&t.Src, 16, value)
	case IPv6Dst:
		return address(&t.Dst, 16, value)
	}
	return true
}

func (t *Tuple) protocol(typ uint16, value []byte) bool {
	switch typ {
	case ProtoNumber:
		return u8(&t.Proto, value)
	case protoSrcPort, protoICMPID, protoICMPv6ID:
		return u16(&t.SrcPort, value)
	case protoDstPort:
		return u16(&t.DstPort, value)
	case protoICMPType, protoICMPv6Type:
		return u8(&t.Type, value)
	case protoICMPCode, protoICMPv6Code:
		return u8(&t.Code, value)
	}
	return true
}

// each walks nested attributes until f says no, or the end.
func each(attrs []byte, f func(typ uint16, value []byte) bool) bool {
	for {
		typ, value, rest, ok := nflog.Next(attrs)
		if !ok {
			return len(rest) == 0
		}
		if !f(typ, value) {
			return false
		}
		attrs = rest
	}
}

// pair reads two nested attributes of 64 bits.
func pair(attrs []byte, first, second uint16, a, b *uint64) bool {
	return each(attrs, func(typ uint16, value []byte) bool {
		if typ != first && typ != second {
			return true
		}
		if len(value) < 8 {
			return false
		}
		if v := binary.BigEndian.Uint64(value); typ == first {
			*a = v
		} else {
			*b = v
		}
		return true
	})
}

func address(dst *[16]byte, n int, value []byte) bool {
	return len(value) >= n && copy(dst[:n], value) == n
}

func u16(dst *uint16, value []byte) bool {
	if len(value) < 2 {
		return false
	}
	*dst = binary.BigEndian.Uint16(value)
	return true
}

func u8(dst *uint8, value []byte) bool {
	if len(value) < 1 {
		return false
	}
	*dst = value[0]
	return true
}

// Merge takes over what the kernel has said anew, and keeps what it has not
// mentioned. Start stays as it is.
func (f *Flow) Merge(n *Flow) {
	if n.Has&HasCounters != 0 {
		f.OrigCount, f.ReplyCount = n.OrigCount, n.ReplyCount
	}
	for _, x := range [...]struct {
		has      Has
		dst, src *uint32
	}{
		{HasMark, &f.Mark, &n.Mark}, {HasID, &f.ID, &n.ID},
		{HasStatus, &f.Status, &n.Status}, {HasTimeout, &f.Timeout, &n.Timeout},
		{HasUse, &f.Use, &n.Use},
	} {
		if n.Has&x.has != 0 {
			*x.dst = *x.src
		}
	}
	if n.Has&HasState != 0 {
		f.State = n.State
	}
	if n.Has&HasLabels != 0 {
		f.Labels = n.Labels
	}
	f.Has |= n.Has
}

// Protocols with identifiers in the place of ports.
const (
	protoICMP   = 1
	protoICMPv6 = 58
)

// Translated tells whether the replies come from elsewhere than the packets
// went to, or go elsewhere than those came from: network address translation.
func (f *Flow) Translated() bool {
	o, r := &f.Orig, &f.Reply
	if o.Src != r.Dst || o.Dst != r.Src {
		return true
	}
	if o.Proto == protoICMP || o.Proto == protoICMPv6 {
		return o.SrcPort != r.SrcPort
	}
	return o.SrcPort != r.DstPort || o.DstPort != r.SrcPort
}
