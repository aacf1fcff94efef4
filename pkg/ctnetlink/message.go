// Package ctnetlink is the wire format of the kernel's connection tracking
// (linux/netfilter/nfnetlink_conntrack.h): events, answers to dumps, and the
// requests for them. It has no socket. Messages are split by package
// nlsock, and attributes by package nflog, which has the same ones.
package ctnetlink

import (
	"github.com/ulogd-go/ulogd/pkg/nflog"
	"github.com/ulogd-go/ulogd/pkg/nlsock"
)

// Message types, as in the type field of a netlink header.
const (
	subsystem = 1 // NFNL_SUBSYS_CTNETLINK

	TypeNew     = subsystem << 8   // IPCTNL_MSG_CT_NEW: new and changed connections, and answers to dumps
	TypeGet     = subsystem<<8 | 1 // IPCTNL_MSG_CT_GET
	TypeDelete  = subsystem<<8 | 2 // IPCTNL_MSG_CT_DELETE: connections that have ended
	TypeGetZero = subsystem<<8 | 3 // IPCTNL_MSG_CT_GET_CTRZERO: a get that sets the counters to 0
	flagsNew    = 0x400 | 0x200    // NLM_F_CREATE | NLM_F_EXCL, which tell new from changed
)

// Event is what has happened to a connection. The numbers are ulogd's ct.event,
// and the bits of its event_mask.
type Event uint8

// The events.
const (
	New     Event = 1
	Update  Event = 2
	Destroy Event = 4
)

// EventOf is the event that a message reports, and 0 if it reports none. An
// answer to a dump is an Update.
func EventOf(m nlsock.Message) Event {
	switch {
	case m.Type == TypeDelete:
		return Destroy
	case m.Type != TypeNew:
		return 0
	case m.Flags&flagsNew == flagsNew:
		return New
	}
	return Update
}

// Groups are the netlink groups in which the events of a mask are multicast
// (NFNLGRP_CONNTRACK_NEW, _UPDATE, _DESTROY).
func (e Event) Groups() (groups []int) {
	for group, event := range []Event{1: New, 2: Update, 3: Destroy} {
		if e&event != 0 {
			groups = append(groups, group)
		}
	}
	return groups
}

// AllFamilies is the body of a request (of TypeGet or TypeGetZero, as a dump)
// for the connections of all families.
func AllFamilies() []byte { return make([]byte, nflog.FamilyHeaderLen) }

// One is the body of a request (of TypeGet or TypeGetZero) for one connection: that of
// the message with the given body, which has been decoded without an error.
func One(body []byte) []byte {
	request := append(make([]byte, 0, len(body)), body[0], 0, 0, 0)
	for attrs := body[nflog.FamilyHeaderLen:]; ; {
		typ, _, rest, ok := nflog.Next(attrs)
		if !ok {
			return request
		}
		if typ == AttrOrig || typ == attrZone {
			request = append(request, attrs[:len(attrs)-len(rest)]...)
		}
		attrs = rest
	}
}

// Attributes of a connection (enum ctattr_type).
const (
	AttrOrig          = 1
	attrReply         = 2
	attrStatus        = 3
	attrProtoInfo     = 4
	attrTimeout       = 7
	attrMark          = 8
	attrCountersOrig  = 9
	attrCountersReply = 10
	attrUse           = 11
	attrID            = 12
	attrZone          = 18
	attrTimestamp     = 20
	attrLabels        = 22
)

// Attributes inside a tuple (enum ctattr_tuple), and inside those (enum ctattr_ip,
// enum ctattr_l4proto).
const (
	TupleIP    = 1
	TupleProto = 2
	tupleZone  = 3

	IPv4Src = 1
	IPv4Dst = 2
	IPv6Src = 3
	IPv6Dst = 4

	ProtoNumber     = 1
	protoSrcPort    = 2
	protoDstPort    = 3
	protoICMPID     = 4
	protoICMPType   = 5
	protoICMPCode   = 6
	protoICMPv6ID   = 7
	protoICMPv6Type = 8
	protoICMPv6Code = 9
)

// Attributes inside the counters, the timestamp and the protocol's information
// (enum ctattr_counters, enum ctattr_timestamp, enum ctattr_protoinfo).
const (
	countersPackets = 1
	countersBytes   = 2

	timestampStart = 1
	timestampStop  = 2

	infoTCP   = 1
	infoDCCP  = 2
	infoSCTP  = 3
	infoState = 1 // in each of the three
)
