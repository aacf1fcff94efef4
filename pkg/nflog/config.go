package nflog

import "encoding/binary"

// Limits of the kernel.
const (
	MaxCopyRange  = 0xffff    // bytes of a packet
	MaxBufferSize = 128 << 10 // bytes of a datagram (NFULNL_NLBUFSIZ_MAX); the kernel ignores larger values in silence
)

// Flags of a group (NFULNL_CFG_F_*).
const (
	FlagSeq       = 1 // number the packets of the group
	FlagSeqGlobal = 2 // number the packets of all groups
	FlagConntrack = 4 // attach what connection tracking knows
)

// Commands (enum nfulnl_msg_config_cmds).
const (
	cmdBind         = 1
	cmdUnbind       = 2
	cmdFamilyBind   = 3
	cmdFamilyUnbind = 4
)

// Attributes of a configuration request (enum nfulnl_attr_config).
const (
	cfgCmd     = 1
	cfgMode    = 2
	cfgBufSize = 3
	cfgTimeout = 4
	cfgQThresh = 5
	cfgFlags   = 6

	copyMeta   = 1 // NFULNL_COPY_META, no payload
	copyPacket = 2 // NFULNL_COPY_PACKET
)

// Group is how the kernel is to log a group. Zero fields leave its defaults, but
// for CopyRange.
type Group struct {
	Number     uint16
	CopyRange  uint32 // bytes of each packet, up to MaxCopyRange; 0 for no packet, only what is known of it
	BufferSize uint32 // of one datagram in bytes, up to MaxBufferSize
	Timeout    uint32 // until an unfilled datagram is sent, in 1/100 s
	QThreshold uint32 // packets in a datagram
	Flags      uint16
}

func request(family byte, group uint16, attrs ...byte) []byte {
	b := []byte{family, 0, byte(group >> 8), byte(group)}
	return append(b, attrs...)
}

// Bind is the body of the request (of TypeConfig) that creates a group with all
// its settings. It is one request, so that no packet is logged before the
// settings are in force.
func (g Group) Bind() []byte { return g.configure(AppendAttr(nil, cfgCmd, cmdBind)) }

// Configure is the body of the request that changes the settings of a group that
// the socket has bound already.
func (g Group) Configure() []byte { return g.configure(nil) }

func (g Group) configure(attrs []byte) []byte {
	mode := byte(copyPacket)
	if g.CopyRange == 0 {
		mode = copyMeta // a packet of range 0 would be all of it
	}
	attrs = AppendAttr(attrs, cfgMode, append(binary.BigEndian.AppendUint32(nil, g.CopyRange), mode, 0)...)
	for _, x := range []struct {
		typ   uint16
		value uint32
	}{{cfgBufSize, g.BufferSize}, {cfgTimeout, g.Timeout}, {cfgQThresh, g.QThreshold}} {
		if x.value != 0 {
			attrs = AppendAttr(attrs, x.typ, binary.BigEndian.AppendUint32(nil, x.value)...)
		}
	}
	attrs = AppendAttr(attrs, cfgFlags, binary.BigEndian.AppendUint16(nil, g.Flags)...)
	return request(0, g.Number, attrs...)
}

// Unbind is the body of the request that ends a group.
func (g Group) Unbind() []byte {
	return request(0, g.Number, AppendAttr(nil, cfgCmd, cmdUnbind)...)
}

// BindFamily is the body of the request that makes nfnetlink_log the logger of a
// protocol family.
func BindFamily(family byte) []byte {
	return request(family, 0, AppendAttr(nil, cfgCmd, cmdFamilyBind)...)
}

// UnbindFamily is the body of the request that takes a protocol family from
// whatever logs it.
func UnbindFamily(family byte) []byte {
	return request(family, 0, AppendAttr(nil, cfgCmd, cmdFamilyUnbind)...)
}
