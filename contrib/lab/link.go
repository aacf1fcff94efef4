package lab

import (
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Port describes a link that Veth or Bridge makes.
type Port struct {
	NS     *NS
	Name   string
	Index  int      // interface index, 0 lets the kernel choose
	MAC    string   // "02:00:00:00:00:0a", empty lets the kernel choose
	Addrs  []string // "192.0.2.1/24", "2001:db8::1/64"
	Master string   // the bridge of the same namespace that it becomes a port of
}

// Veth joins two namespaces (or one with itself) by a pair of virtual Ethernet
// devices and switches both on. They carry no IPv6 address but those given,
// and use those at once: no link-local address, no duplicate address
// detection, no router solicitation. With an IPv6 address they still report
// multicast groups (MLD), so a rule that is to count exactly matches on
// something that only the test's own packets have.
func Veth(a, b Port) error {
	if err := a.NS.Do(func() error { return addVeth(a, b) }); err != nil {
		return fmt.Errorf("make veth pair %s, %s: %w", a.Name, b.Name, err)
	}
	if err := errors.Join(a.setUp(), b.setUp()); err != nil {
		return err
	}
	return errors.Join(a.wait(), b.wait())
}

// wait returns when the link carries packets. The kernel lets a link, and the
// bridge it is a port of, learn of its carrier some time after both ends were
// switched on, and until then a bridge drops what its port receives.
func (p Port) wait() error {
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		up, err := p.operational()
		if err != nil {
			return fmt.Errorf("wait for link %s: %w", p.Name, err)
		}
		if up {
			// The port is enabled under the lock under which the state changed;
			// this request needs that lock too, so it ends after.
			return p.NS.up(p.Name)
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("wait for link %s: not operational after 10 s", p.Name)
		}
	}
}

func (p Port) operational() (up bool, err error) {
	err = p.NS.Do(func() error {
		up = true
		for _, name := range []string{p.Name, p.Master} {
			if name == "" {
				continue
			}
			link, err := netlink.LinkByName(name)
			if err != nil {
				return err
			}
			up = up && link.Attrs().OperState == netlink.OperUp
		}
		return nil
	})
	return up, err
}

// Bridge makes a bridge without spanning tree and without multicast snooping,
// so that it forwards at once and sends nothing by itself.
func Bridge(p Port) error {
	err := p.NS.Do(func() error {
		mac, err := p.mac()
		if err != nil {
			return err
		}
		attrs := netlink.NewLinkAttrs()
		attrs.Name, attrs.Index, attrs.HardwareAddr = p.Name, p.Index, mac
		return netlink.LinkAdd(&netlink.Bridge{LinkAttrs: attrs, MulticastSnooping: new(bool)})
	})
	if err != nil {
		return fmt.Errorf("make bridge %s: %w", p.Name, err)
	}
	return p.setUp()
}

// addVeth asks for the pair with one request of our own, because the library
// can't choose the index of the far end.
func addVeth(a, b Port) error {
	req := nl.NewNetlinkRequest(unix.RTM_NEWLINK, unix.NLM_F_CREATE|unix.NLM_F_EXCL|unix.NLM_F_ACK)
	msg := nl.NewIfInfomsg(unix.AF_UNSPEC)
	msg.Index = int32(a.Index)
	req.AddData(msg)
	attrs, err := a.attrs()
	if err != nil {
		return err
	}
	for _, at := range attrs {
		req.AddData(at)
	}
	info := nl.NewRtAttr(unix.IFLA_LINKINFO, nil)
	info.AddRtAttr(nl.IFLA_INFO_KIND, nl.NonZeroTerminated("veth"))
	peer := info.AddRtAttr(nl.IFLA_INFO_DATA, nil).AddRtAttr(nl.VETH_INFO_PEER, nil)
	if err := b.addPeer(peer); err != nil {
		return err
	}
	req.AddData(info)
	_, err = req.Execute(unix.NETLINK_ROUTE, 0)
	return err
}

func (p Port) addPeer(peer *nl.RtAttr) error {
	nl.NewIfInfomsgChild(peer, unix.AF_UNSPEC).Index = int32(p.Index)
	attrs, err := p.attrs()
	if err != nil {
		return err
	}
	for _, at := range attrs {
		peer.AddChild(at)
	}
	peer.AddRtAttr(unix.IFLA_NET_NS_FD, nl.Uint32Attr(uint32(p.NS.FD())))
	return nil
}

// attrs are the name and, if one is wanted, the hardware address.
func (p Port) attrs() ([]*nl.RtAttr, error) {
	attrs := []*nl.RtAttr{nl.NewRtAttr(unix.IFLA_IFNAME, nl.ZeroTerminated(p.Name))}
	mac, err := p.mac()
	if mac != nil {
		attrs = append(attrs, nl.NewRtAttr(unix.IFLA_ADDRESS, mac))
	}
	return attrs, err
}

func (p Port) mac() (net.HardwareAddr, error) {
	if p.MAC == "" {
		return nil, nil
	}
	mac, err := net.ParseMAC(p.MAC)
	if err != nil || len(mac) != 6 {
		return nil, fmt.Errorf("link %s: %q is no Ethernet address like 02:00:00:00:00:0a", p.Name, p.MAC)
	}
	return mac, nil
}

// setUp gives the link its master and addresses and switches it on.
func (p Port) setUp() error {
	err := p.NS.Do(func() error {
		link, err := netlink.LinkByName(p.Name)
		if err != nil {
			return err
		}
		if err := quiet(link); err != nil {
			return err
		}
		if err := p.enslave(link); err != nil {
			return err
		}
		if err := p.addAddrs(link); err != nil {
			return err
		}
		return netlink.LinkSetUp(link)
	})
	if err != nil {
		return fmt.Errorf("set up link %s: %w", p.Name, err)
	}
	return nil
}

// quiet keeps IPv6 from making a link-local address, and with it from
// everything it would send from there. A kernel without IPv6 is quiet anyway.
func quiet(link netlink.Link) error {
	err := netlink.LinkSetIP6AddrGenMode(link, nl.IN6_ADDR_GEN_MODE_NONE)
	if errors.Is(err, unix.EAFNOSUPPORT) {
		return nil
	}
	return err
}

func (p Port) enslave(link netlink.Link) error {
	if p.Master == "" {
		return nil
	}
	master, err := netlink.LinkByName(p.Master)
	if err != nil {
		return fmt.Errorf("find bridge %s: %w", p.Master, err)
	}
	return netlink.LinkSetMaster(link, master)
}

func (p Port) addAddrs(link netlink.Link) error {
	for _, text := range p.Addrs {
		if err := addAddr(link, text); err != nil {
			return err
		}
	}
	return nil
}

func addAddr(link netlink.Link, text string) error {
	addr, err := netlink.ParseAddr(text)
	if err != nil {
		return fmt.Errorf("address %q: %w", text, err)
	}
	if addr.IP.To4() == nil {
		addr.Flags = unix.IFA_F_NODAD
	}
	if err := netlink.AddrAdd(link, addr); err != nil {
		return fmt.Errorf("add address %s: %w", text, err)
	}
	return nil
}

// AddAddr gives a link of the namespace one more address, for example
// "192.0.2.1/24". On lo that makes all addresses of the prefix local. For one
// that the link has already, errors.Is(err, os.ErrExist) holds.
func (ns *NS) AddAddr(name, addr string) error {
	return ns.Do(func() error {
		link, err := netlink.LinkByName(name)
		if err != nil {
			return fmt.Errorf("find link %s: %w", name, err)
		}
		return addAddr(link, addr)
	})
}
