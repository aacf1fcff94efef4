// Package nflog is the input NFLOG, which receives the packets that netfilter
// rules log to a group.
package nflog

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/ulogd-go/ulogd/pkg/nflog"
	"github.com/ulogd-go/ulogd/pkg/plugin"
)

func init() {
	plugin.Default.Register(plugin.NewSource(plugin.Info{
		Name: "NFLOG", Summary: "receives packets that netfilter rules log to a group",
		Gives: plugin.Raw,
	}, options{BufSize: 150000, Unbind: true, CopyRange: copyAuto}, open))
}

type options struct {
	BufSize      int       `toml:"bufsize" doc:"bytes of memory for one netlink datagram, at least 262144, which the longest fits; nlbufsiz is kept below the number given"`
	Group        int       `toml:"group" doc:"number of the NFLOG group, 0 to 65535"`
	Unbind       bool      `toml:"unbind" doc:"where protocol families are bound, take them from their present logger first"`
	BindFamilies bool      `toml:"bind" doc:"make nfnetlink_log the logger of IPv4, IPv6 and bridge, as is always done for group 0"`
	SeqLocal     bool      `toml:"seq_local" doc:"publish oob.seq.local, which counts the packets of the group"`
	SeqGlobal    bool      `toml:"seq_global" doc:"publish oob.seq.global, which counts the packets of all groups"`
	Label        int       `toml:"numeric_label" doc:"value of raw.label, cut to 8 bits"`
	SocketSize   int       `toml:"netlink_socket_buffer_size" doc:"bytes of the socket's receive buffer at start; 0 stands for 64 MiB"`
	SocketMax    int       `toml:"netlink_socket_buffer_maxsize" doc:"bytes up to which the receive buffer grows when packets are lost; 0 stands for 128 MiB if netlink_socket_buffer_size is 0 too, else for no growth"`
	QThreshold   uint32    `toml:"netlink_qthreshold" doc:"packets that the kernel gathers before it sends a datagram; 0 stands for 256"`
	QTimeout     uint32    `toml:"netlink_qtimeout" doc:"how long the kernel gathers at most, in 1/100 s; 0 stands for 5"`
	Conntrack    bool      `toml:"attach_conntrack" doc:"have the kernel attach what connection tracking knows, as key ct"`
	NetNS        string    `toml:"network_namespace_path" doc:"path of the network namespace to listen in, such as /run/netns/x"`
	DatagramSize int       `toml:"nlbufsiz" extra:"true" doc:"bytes of a datagram that the kernel fills, up to 131072; 0 stands for 65536"`
	CopyRange    copyRange `toml:"copy_range" extra:"true" doc:"bytes of each packet to receive: a number up to 65535, or auto for the headers, and all of the packet if some plugin reads it"`
}

// copyRange is the number of bytes of a packet to receive.
type copyRange int

// copyAuto leaves the number to what the plugins read.
const copyAuto copyRange = -1

// UnmarshalText reads a number, or "auto".
func (c *copyRange) UnmarshalText(text []byte) error {
	if strings.EqualFold(string(text), "auto") {
		*c = copyAuto
		return nil
	}
	n, err := strconv.ParseUint(string(text), 0, 16)
	if err != nil {
		return fmt.Errorf("%q is neither auto nor a number up to %d", text, nflog.MaxCopyRange)
	}
	*c = copyRange(n)
	return nil
}

// MarshalText is the inverse of UnmarshalText.
func (c copyRange) MarshalText() ([]byte, error) {
	if c == copyAuto {
		return []byte("auto"), nil
	}
	return strconv.AppendInt(nil, int64(c), 10), nil
}

// Defaults of what ulogd leaves to the kernel. With the kernel's own, a lone
// packet would wait for a second, and a flood would come in small datagrams. The
// receive buffer has room for a burst of 200,000 packets, since a database server on
// the same machine may keep the processors from the daemon: with 8 MiB a third of
// them was lost.
// See README.md for the measurements.
const (
	defaultQThreshold   = 256
	defaultQTimeout     = 5 // 1/100 s
	defaultDatagramSize = 64 << 10
	defaultSocketSize   = 64 << 20
	defaultSocketMax    = 128 << 20
)

// group is the configuration of the kernel's side, of which each packet is
// copied up to the given number of bytes.
func (o options) group(copied int) nflog.Group {
	g := nflog.Group{
		Number:     uint16(o.Group),
		CopyRange:  uint32(copied),
		QThreshold: o.QThreshold,
		Timeout:    o.QTimeout,
		Flags:      nflog.FlagSeq,
	}
	if g.QThreshold == 0 {
		g.QThreshold = defaultQThreshold
	}
	if g.Timeout == 0 {
		g.Timeout = defaultQTimeout
	}
	if o.SeqGlobal {
		g.Flags |= nflog.FlagSeqGlobal
	}
	if o.Conntrack {
		g.Flags |= nflog.FlagConntrack
	}
	g.BufferSize = uint32(o.datagramSize())
	return g
}

// datagramSize is what the kernel sets aside for a datagram, and charges to the
// receive buffer as soon as there is one packet in it.
func (o options) datagramSize() int {
	size := o.DatagramSize
	if size <= 0 {
		size = defaultDatagramSize
	}
	return min(size, nflog.MaxBufferSize, o.BufSize)
}

// bytesWanted is how much of each packet to receive, of which the plugins read
// extent bytes.
func (o options) bytesWanted(extent int) int {
	if o.CopyRange != copyAuto {
		return int(o.CopyRange)
	}
	return min(extent, nflog.MaxCopyRange)
}

// socketSizes are the receive buffer's first and largest size.
func (o options) socketSizes() (size, limit int) {
	size, limit = o.SocketSize, o.SocketMax
	if size == 0 {
		size = defaultSocketSize
		if limit == 0 {
			limit = defaultSocketMax
		}
		if limit > 0 {
			size = min(size, limit)
		}
	}
	return size, limit
}
