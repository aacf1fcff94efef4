package ctnetlink

import (
	"encoding/binary"

	"github.com/ulogd-go/ulogd/pkg/nflog"
)

// nested marks an attribute that holds others (NLA_F_NESTED).
const nested = 0x8000

// AppendAttrs appends the attributes of a connection, as the kernel sends them.
func (f *Flow) AppendAttrs(dst []byte) []byte {
	dst = f.appendTuple(dst, AttrOrig, &f.Orig)
	dst = f.appendTuple(dst, attrReply, &f.Reply)
	for _, x := range [...]struct {
		has   Has
		typ   uint16
		value uint32
	}{
		{HasID, attrID, f.ID}, {HasStatus, attrStatus, f.Status},
		{HasTimeout, attrTimeout, f.Timeout}, {HasMark, attrMark, f.Mark},
		{HasUse, attrUse, f.Use},
	} {
		if f.Has&x.has != 0 {
			dst = append32(dst, x.typ, x.value)
		}
	}
	if f.Has&HasCounters != 0 {
		dst = appendPair(dst, attrCountersOrig, f.OrigCount.Packets, f.OrigCount.Bytes)
		dst = appendPair(dst, attrCountersReply, f.ReplyCount.Packets, f.ReplyCount.Bytes)
	}
	if f.Start != 0 {
		dst = appendPair(dst, attrTimestamp, uint64(f.Start), uint64(f.Stop))
	}
	if info := infoOf(f.Orig.Proto); f.Has&HasState != 0 && info != 0 {
		dst = appendNested(dst, attrProtoInfo, func(dst []byte) []byte {
			return appendNested(dst, info, func(dst []byte) []byte {
				return nflog.AppendAttr(dst, infoState, f.State)
			})
		})
	}
	if f.Has&HasZone != 0 {
		dst = append16(dst, attrZone, f.Zone)
	}
	if f.Has&HasLabels != 0 {
		dst = nflog.AppendAttr(dst, attrLabels, f.Labels[:]...)
	}
	return dst
}

// infoOf is the attribute with the state of a protocol, and 0 if it has none.
func infoOf(proto uint8) uint16 {
	switch proto {
	case 6:
		return infoTCP
	case 33:
		return infoDCCP
	case 132:
		return infoSCTP
	}
	return 0
}

func (f *Flow) appendTuple(dst []byte, typ uint16, t *Tuple) []byte {
	return appendNested(dst, typ, func(dst []byte) []byte {
		dst = appendNested(dst, TupleIP, func(dst []byte) []byte {
			src, to, n := uint16(IPv4Src), uint16(IPv4Dst), 4
			if f.Family == nflog.FamilyIPv6 {
				src, to, n = IPv6Src, IPv6Dst, 16
			}
			return nflog.AppendAttr(nflog.AppendAttr(dst, src, t.Src[:n]...), to, t.Dst[:n]...)
		})
		dst = appendNested(dst, TupleProto, t.appendProtocol)
		if t.Zone != 0 {
			dst = append16(dst, tupleZone, t.Zone)
		}
		return dst
	})
}

func (t *Tuple) appendProtocol(dst []byte) []byte {
	dst = nflog.AppendAttr(dst, ProtoNumber, t.Proto)
	id, typ, code := uint16(protoICMPID), uint16(protoICMPType), uint16(protoICMPCode)
	switch t.Proto {
	case protoICMPv6:
		id, typ, code = protoICMPv6ID, protoICMPv6Type, protoICMPv6Code
	case protoICMP:
	default:
		return append16(append16(dst, protoSrcPort, t.SrcPort), protoDstPort, t.DstPort)
	}
	dst = append16(dst, id, t.SrcPort)
	return nflog.AppendAttr(nflog.AppendAttr(dst, typ, t.Type), code, t.Code)
}

// appendNested appends an attribute that holds what inner appends.
func appendNested(dst []byte, typ uint16, inner func([]byte) []byte) []byte {
	from := len(dst)
	dst = inner(nflog.AppendAttr(dst, typ|nested))
	binary.NativeEndian.PutUint16(dst[from:], uint16(len(dst)-from))
	return dst
}

// appendPair appends two numbers of 64 bits, which are attributes 1 and 2 of another.
func appendPair(dst []byte, typ uint16, a, b uint64) []byte {
	return appendNested(dst, typ, func(dst []byte) []byte {
		for i, v := range [...]uint64{a, b} {
			if i == 0 || v != 0 || typ != attrTimestamp {
				dst = nflog.AppendAttr(dst, uint16(i+1), binary.BigEndian.AppendUint64(nil, v)...)
			}
		}
		return dst
	})
}

func append32(dst []byte, typ uint16, v uint32) []byte {
	return nflog.AppendAttr(dst, typ, binary.BigEndian.AppendUint32(nil, v)...)
}

func append16(dst []byte, typ uint16, v uint16) []byte {
	return nflog.AppendAttr(dst, typ, binary.BigEndian.AppendUint16(nil, v)...)
}
