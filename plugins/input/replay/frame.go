package replay

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"github.com/ulogd-go/ulogd/pkg/nflog"
	"github.com/ulogd-go/ulogd/pkg/packet"
)

// Link types of captures (IANA, PCAP link type registry).
const (
	linkEthernet = layers.LinkType(1)
	linkRaw      = layers.LinkType(101)
	linkIPv4     = layers.LinkType(228)
	linkIPv6     = layers.LinkType(229)
	linkNFLOG    = layers.LinkType(239)
)

func supported(t layers.LinkType) bool {
	switch t {
	case linkEthernet, linkRaw, linkIPv4, linkIPv6, linkNFLOG:
		return true
	}
	return false
}

// magicNG begins a pcapng file.
var magicNG = []byte{0x0a, 0x0d, 0x0d, 0x0a}

// newCapture reads the head of a capture in either format.
func newCapture(r *bufio.Reader) (capture, error) {
	head, err := r.Peek(len(magicNG))
	if err != nil {
		return nil, fmt.Errorf("no capture: %w", err)
	}
	if bytes.Equal(head, magicNG) {
		o := pcapgo.DefaultNgReaderOptions
		o.ErrorOnMismatchingLinkType = true // or it passes over packets in silence
		return pcapgo.NewNgReader(r, o)
	}
	return pcapgo.NewReader(r)
}

// EtherTypes of VLAN tags (IEEE 802.1Q), of which a frame has two at most.
const (
	etherVLAN  = 0x8100
	etherQinQ  = 0x88a8
	ethernetHd = 14
	taggedHd   = ethernetHd + 2*4
)

// appendMessage appends the message with which the kernel would have logged a
// captured packet on its way in. It appends nothing if the packet is too short
// to tell what it is.
func appendMessage(dst, data []byte, link layers.LinkType, t time.Time) []byte {
	if link == linkEthernet {
		return appendEthernet(dst, data, t)
	}
	if len(data) == 0 {
		return dst
	}
	if data[0]>>4 == 6 {
		return appendPacket(dst, nflog.FamilyIPv6, packet.EtherIPv6, data, t)
	}
	return appendPacket(dst, nflog.FamilyIPv4, packet.EtherIPv4, data, t)
}

// appendEthernet splits off the link-layer header and its tags. The kernel takes
// the tags out of the header, and keeps the header with them beside it.
func appendEthernet(dst, frame []byte, t time.Time) []byte {
	if len(frame) < ethernetHd {
		return dst
	}
	end := ethernetHd // of the header, tags included
	etherType := binary.BigEndian.Uint16(frame[12:])
	tag := etherType
	for (etherType == etherVLAN || etherType == etherQinQ) && len(frame) >= end+4 && end < taggedHd {
		etherType = binary.BigEndian.Uint16(frame[end+2:])
		end += 4
	}
	dst = appendPacket(dst, familyOf(etherType), etherType, frame[end:], t)
	dst = nflog.AppendAttr(dst, nflog.AttrHWAddr, append([]byte{0, 6, 0, 0}, append(bytes.Clone(frame[6:12]), 0, 0)...)...)
	dst = nflog.AppendAttr(dst, nflog.AttrHWType, 0, 1)
	dst = nflog.AppendAttr(dst, nflog.AttrHWHeader, append(bytes.Clone(frame[:12]), byte(etherType>>8), byte(etherType))...)
	dst = nflog.AppendAttr(dst, nflog.AttrHWLen, 0, ethernetHd)
	if end == ethernetHd {
		return dst
	}
	vlan := nflog.AppendAttr(nil, nflog.AttrVLANTCI, frame[14:16]...)
	vlan = nflog.AppendAttr(vlan, nflog.AttrVLANProto, binary.BigEndian.AppendUint16(nil, tag)...)
	dst = nflog.AppendAttr(dst, nflog.AttrVLAN, vlan...)
	return nflog.AppendAttr(dst, nflog.AttrL2Header, frame[:end]...)
}

// familyOf is the protocol family under which the kernel logs an EtherType;
// what it does not know passes only through bridges.
func familyOf(etherType uint16) byte {
	switch etherType {
	case packet.EtherIPv4:
		return nflog.FamilyIPv4
	case packet.EtherIPv6:
		return nflog.FamilyIPv6
	case packet.EtherARP:
		return nflog.FamilyARP
	}
	return nflog.FamilyBridge
}

// maxPayload is what an attribute has room for.
const maxPayload = 0xffff - 4

func appendPacket(dst []byte, family byte, etherType uint16, payload []byte, t time.Time) []byte {
	dst = append(dst, family, 0, 0, 0)
	dst = nflog.AppendAttr(dst, nflog.AttrPacketHdr, byte(etherType>>8), byte(etherType), 0, 0)
	stamp := binary.BigEndian.AppendUint64(nil, uint64(t.Unix()))
	stamp = binary.BigEndian.AppendUint64(stamp, uint64(t.Nanosecond()/1000))
	dst = nflog.AppendAttr(dst, nflog.AttrTimestamp, stamp...)
	return nflog.AppendAttr(dst, nflog.AttrPayload, payload[:min(len(payload), maxPayload)]...)
}
