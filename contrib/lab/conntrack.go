package lab

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Track has the kernel follow the connections of the namespace, and gives a mark to
// those that begin. A mark of 0 is none.
func (ns *NS) Track(mark uint32) error {
	for _, hook := range []string{"prerouting", "output"} {
		_, err := ns.Log(Rule{Family: "inet", Hook: hook, Priority: PriorityFilter, Match: []expr.Any{
			&expr.Immediate{Register: 1, Data: binary.NativeEndian.AppendUint32(nil, mark)},
			&expr.Ct{Key: expr.CtKeyMARK, Register: 1, SourceRegister: true},
		}})
		if err != nil {
			return fmt.Errorf("track connections: %w", err)
		}
	}
	return nil
}

// Translation is a rule for the first packet of a connection.
type Translation struct {
	Source   bool // change the source of what leaves, and else the destination of what arrives
	Protocol uint8
	DstPort  uint16 // that the packet has
	To       netip.AddrPort
}

// Priorities of linux/netfilter_ipv4.h.
const (
	priorityDNAT = -100
	prioritySNAT = 100
)

// Translate adds a rule that translates addresses and ports.
func (ns *NS) Translate(t Translation) error {
	conn, err := nftables.New(nftables.WithNetNSFd(ns.FD()))
	if err != nil {
		return fmt.Errorf("translate to %v: %w", t.To, err)
	}
	family, hook, priority, kind := "ip", "prerouting", int32(priorityDNAT), expr.NATTypeDestNAT
	number := uint32(unix.NFPROTO_IPV4)
	if t.To.Addr().Is6() {
		family, number = "ip6", unix.NFPROTO_IPV6
	}
	if t.Source {
		hook, priority, kind = "postrouting", prioritySNAT, expr.NATTypeSourceNAT
	}
	rule := Rule{Family: family, Hook: hook, Priority: priority, Protocol: t.Protocol, DstPort: t.DstPort}
	chain, err := rule.chain()
	if err == nil {
		var match []expr.Any
		match, err = rule.matches()
		chain.Type = nftables.ChainTypeNAT
		conn.AddTable(chain.Table)
		conn.AddChain(chain)
		conn.AddRule(&nftables.Rule{Table: chain.Table, Chain: chain, Exprs: append(match,
			&expr.Immediate{Register: 1, Data: t.To.Addr().AsSlice()},
			&expr.Immediate{Register: 2, Data: binary.BigEndian.AppendUint16(nil, t.To.Port())},
			&expr.NAT{Type: kind, Family: number, RegAddrMin: 1, RegProtoMin: 2})})
	}
	if err == nil {
		err = conn.Flush()
	}
	if err != nil {
		return fmt.Errorf("translate to %v: %w", t.To, err)
	}
	return nil
}

// FlushConnections ends all connections of the namespace as the kernel sees them.
func (ns *NS) FlushConnections() error {
	return ns.Do(func() error {
		if err := netlink.ConntrackTableFlush(netlink.ConntrackTable); err != nil {
			return fmt.Errorf("end all connections: %w", err)
		}
		return nil
	})
}

// Members counts the sockets of the namespace that have joined a group of a netlink
// protocol, such as unix.NETLINK_NETFILTER. See proc_net(5) and netlink(7).
func (ns *NS) Members(protocol, group int) (n int, err error) {
	err = ns.Do(func() error {
		n, err = countMembers("/proc/thread-self/net/netlink", protocol, group)
		return err
	})
	return n, err
}
