package lab

import (
	"encoding/binary"
	"fmt"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Messages and attributes of accounting objects (linux/netfilter/nfnetlink_acct.h).
const (
	accountNew    = 7 << 8
	accountDelete = 7<<8 | 3

	accountName    = 1
	accountPackets = 2
	accountBytes   = 3
)

// Account makes an accounting object, into which rules may count, with its first
// values. The name may hold any bytes but zero, and 31 of them.
func (ns *NS) Account(name string, packets, bytes uint64) error {
	return ns.account(accountNew, netlink.Create|netlink.Excl, name,
		netlink.Attribute{Type: accountPackets, Data: binary.BigEndian.AppendUint64(nil, packets)},
		netlink.Attribute{Type: accountBytes, Data: binary.BigEndian.AppendUint64(nil, bytes)})
}

// DeleteAccount removes an accounting object into which no rule counts.
func (ns *NS) DeleteAccount(name string) error { return ns.account(accountDelete, 0, name) }

func (ns *NS) account(typ netlink.HeaderType, flags netlink.HeaderFlags, name string, rest ...netlink.Attribute) error {
	attrs := append([]netlink.Attribute{{Type: accountName, Data: append([]byte(name), 0)}}, rest...)
	body, err := netlink.MarshalAttributes(attrs)
	if err != nil {
		return fmt.Errorf("accounting object %q: %w", name, err)
	}
	conn, err := netlink.Dial(unix.NETLINK_NETFILTER, &netlink.Config{NetNS: ns.FD()})
	if err != nil {
		return fmt.Errorf("accounting object %q: %w", name, err)
	}
	defer conn.Close()
	_, err = conn.Execute(netlink.Message{
		Header: netlink.Header{Type: typ, Flags: netlink.Request | netlink.Acknowledge | flags},
		Data:   append(make([]byte, 4), body...),
	})
	if err != nil {
		return fmt.Errorf("accounting object %q: %w", name, err)
	}
	return nil
}
