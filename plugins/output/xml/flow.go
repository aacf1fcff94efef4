package xml

import (
	"encoding/binary"
	"strconv"
	"time"

	"github.com/ulogd-go/ulogd/pkg/ctnetlink"
	"github.com/ulogd-go/ulogd/pkg/event"
	"github.com/ulogd-go/ulogd/pkg/nflog"
)

// appendFlow appends the record of a connection, without a newline.
func appendFlow(dst []byte, f *ctnetlink.Flow, when []byte, now time.Time) []byte {
	dst = append(dst, "<flow>"...)
	dst = appendDirection(dst, "original", f, &f.Orig, f.OrigCount)
	dst = appendDirection(dst, "reply", f, &f.Reply, f.ReplyCount)
	dst = append(dst, `<meta direction="independent">`...)
	if f.Has&ctnetlink.HasState != 0 && int(f.State) < len(states) {
		dst = appendText(dst, "state", states[f.State], false)
	}
	dst = appendIf(dst, f.Has&ctnetlink.HasTimeout != 0, "timeout", uint64(f.Timeout))
	dst = appendIf(dst, f.Has&ctnetlink.HasMark != 0, "mark", uint64(f.Mark))
	dst = appendIf(dst, f.Has&ctnetlink.HasZone != 0, "zone", uint64(f.Zone))
	dst = appendIf(dst, f.Has&ctnetlink.HasUse != 0, "use", uint64(f.Use))
	dst = appendIf(dst, f.Has&ctnetlink.HasID != 0, "id", uint64(f.ID))
	if f.Has&ctnetlink.HasStatus != 0 {
		dst = appendStatus(dst, f.Status)
	}
	if f.Start != 0 {
		dst = appendElement(dst, "deltatime", seconds(f, now), 1)
	}
	dst = append(append(dst, "</meta>"...), when...)
	return append(dst, "</flow>"...)
}

// seconds is how long a connection lasted, or has lasted until now.
func seconds(f *ctnetlink.Flow, now time.Time) uint64 {
	stop := f.Stop
	if stop == 0 {
		stop = now.UnixNano()
	}
	return uint64(max(0, stop-f.Start) / int64(time.Second))
}

// states are the names of TCP's states (linux/netfilter/nf_conntrack_tcp.h). They stand
// for those of SCTP with the same numbers, too, as in ulogd.
var states = [][]byte{
	[]byte("NONE"), []byte("SYN_SENT"), []byte("SYN_RECV"), []byte("ESTABLISHED"), []byte("FIN_WAIT"),
	[]byte("CLOSE_WAIT"), []byte("LAST_ACK"), []byte("TIME_WAIT"), []byte("CLOSE"), []byte("SYN_SENT2"),
}

// appendStatus appends what the bits of linux/netfilter/nf_conntrack_common.h say.
func appendStatus(dst []byte, status uint32) []byte {
	const seenReply, assured = 1 << 1, 1 << 2
	if status&assured != 0 {
		dst = append(dst, "<assured/>"...)
	}
	if status&seenReply == 0 {
		dst = append(dst, "<unreplied/>"...)
	}
	return dst
}

func appendIf(dst []byte, has bool, name string, n uint64) []byte {
	if !has {
		return dst
	}
	return appendElement(dst, name, n, 1)
}

// appendDirection appends what belongs to one direction.
func appendDirection(dst []byte, direction string, f *ctnetlink.Flow, t *ctnetlink.Tuple, n ctnetlink.Counters) []byte {
	dst = append(append(append(dst, `<meta direction="`...), direction...), `">`...)
	dst = appendLayer3(dst, f.Family, t)
	dst = appendLayer4(dst, t)
	dst = appendIf(dst, t.Zone != 0, "zone", uint64(t.Zone))
	if f.Has&ctnetlink.HasCounters != 0 {
		dst = appendElement(append(dst, "<counters>"...), "packets", n.Packets, 1)
		dst = append(appendElement(dst, "bytes", n.Bytes, 1), "</counters>"...)
	}
	return append(dst, "</meta>"...)
}

func appendLayer3(dst []byte, family uint8, t *ctnetlink.Tuple) []byte {
	switch family {
	case nflog.FamilyIPv4:
		dst = appendProtocol(dst, "layer3", family, "ipv4")
		dst = event.AppendIP4(appendStart(dst, "src"), binary.BigEndian.Uint32(t.Src[:]))
		dst = event.AppendIP4(append(dst, "</src><dst>"...), binary.BigEndian.Uint32(t.Dst[:]))
		dst = appendEnd(dst, "dst")
	case nflog.FamilyIPv6:
		dst = appendProtocol(dst, "layer3", family, "ipv6")
		dst = event.AppendIP6(appendStart(dst, "src"), t.Src[:])
		dst = event.AppendIP6(append(dst, "</src><dst>"...), t.Dst[:])
		dst = appendEnd(dst, "dst")
	default:
		dst = appendProtocol(dst, "layer3", family, "unknown")
	}
	return appendEnd(dst, "layer3")
}

// protocols are the transport protocols that have a name (IANA, Assigned Internet
// Protocol Numbers).
var protocols = [256]string{
	1: "icmp", 6: "tcp", 17: "udp", 33: "dccp", gre: "gre", 58: "icmpv6", 132: "sctp", 136: "udplite",
}

const gre = 47

func appendLayer4(dst []byte, t *ctnetlink.Tuple) []byte {
	name := protocols[t.Proto]
	if name == "" {
		name = "unknown"
	}
	dst = appendProtocol(dst, "layer4", t.Proto, name)
	switch name {
	case "tcp", "udp", "udplite", "sctp", "dccp":
		dst = appendElement(dst, "sport", uint64(t.SrcPort), 1)
		dst = appendElement(dst, "dport", uint64(t.DstPort), 1)
	case "gre":
		dst = strconv.AppendUint(append(dst, "<srckey>0x"...), uint64(t.SrcPort), 16)
		dst = strconv.AppendUint(append(dst, "</srckey><dstkey>0x"...), uint64(t.DstPort), 16)
		dst = append(dst, "</dstkey>"...)
	}
	return appendEnd(dst, "layer4")
}

// appendProtocol begins the element of a layer.
func appendProtocol(dst []byte, layer string, number uint8, name string) []byte {
	dst = append(append(append(dst, '<'), layer...), ` protonum="`...)
	dst = event.AppendByte(dst, number)
	dst = append(append(dst, `" protoname="`...), name...)
	return append(dst, `">`...)
}
