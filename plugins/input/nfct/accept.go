package nfct

import (
	"bufio"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"github.com/ulogd-go/ulogd/pkg/ctnetlink"
	"github.com/ulogd-go/ulogd/pkg/nflog"
)

// networks are networks of both families.
type networks struct{ v4, v6 []netip.Prefix }

// UnmarshalText reads a comma-separated list of ADDRESS/LENGTH.
func (n *networks) UnmarshalText(text []byte) error {
	*n = networks{}
	for _, item := range list(string(text)) {
		if !strings.Contains(item, "/") {
			return fmt.Errorf("no network specified: %q has no prefix length; write %s/32 or /128 for one address", item, item)
		}
		p, err := netip.ParsePrefix(item)
		switch {
		case err != nil:
			return fmt.Errorf("%q is no network such as 192.0.2.0/24 or 2001:db8::/32", item)
		case p.Addr().Is4():
			n.v4 = append(n.v4, p.Masked())
		default:
			n.v6 = append(n.v6, p.Masked())
		}
	}
	return nil
}

// MarshalText is the inverse of UnmarshalText.
func (n networks) MarshalText() ([]byte, error) {
	var items []string
	for _, p := range append(n.v4[:len(n.v4):len(n.v4)], n.v6...) {
		items = append(items, p.String())
	}
	return []byte(strings.Join(items, ",")), nil
}

// of are the networks of a family.
func (n *networks) of(family uint8) []netip.Prefix {
	switch family {
	case nflog.FamilyIPv4:
		return n.v4
	case nflog.FamilyIPv6:
		return n.v6
	}
	return nil
}

// contain tells whether an address is in one of the networks of its family. In a
// family without networks all are.
func (n *networks) contain(family uint8, addr *[16]byte) bool {
	prefixes := n.of(family)
	if len(prefixes) == 0 {
		return true
	}
	a := netip.AddrFrom16(*addr)
	if family == nflog.FamilyIPv4 {
		a = netip.AddrFrom4([4]byte(addr[:4]))
	}
	for _, p := range prefixes {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// protocols are numbers of protocols.
type protocols []uint8

// protocolsFile is the protocols database, see protocols(5).
const protocolsFile = "/etc/protocols"

// wellKnown are the protocols that can be named without a database.
var wellKnown = map[string]uint8{
	"icmp": 1, "igmp": 2, "tcp": 6, "udp": 17, "dccp": 33, "gre": 47, "esp": 50, "ah": 51,
	"ipv6-icmp": 58, "icmpv6": 58, "sctp": 132, "udplite": 136,
}

// UnmarshalText reads a comma-separated list of names or numbers.
func (p *protocols) UnmarshalText(text []byte) error {
	*p = nil
	for _, item := range list(string(text)) {
		n, err := protocol(item)
		if err != nil {
			return err
		}
		*p = append(*p, n)
	}
	return nil
}

func protocol(name string) (uint8, error) {
	if n, err := strconv.ParseUint(name, 10, 8); err == nil {
		return uint8(n), nil
	}
	if n, ok := wellKnown[strings.ToLower(name)]; ok {
		return n, nil
	}
	n, err := lookUp(name)
	if err != nil {
		return 0, fmt.Errorf("unknown protocol %s: %w; use a name of %s, or a number up to 255", name, err, protocolsFile)
	}
	return n, nil
}

// lookUp finds a name or an alias in the protocols database.
func lookUp(name string) (uint8, error) {
	f, err := os.Open(protocolsFile)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		text, _, _ := strings.Cut(lines.Text(), "#")
		words := strings.Fields(text)
		for i, word := range words {
			if i == 1 || word != name {
				continue
			}
			if n, err := strconv.ParseUint(words[min(1, len(words)-1)], 10, 8); err == nil {
				return uint8(n), nil
			}
		}
	}
	return 0, errors.New("there is no such name")
}

// MarshalText is the inverse of UnmarshalText.
func (p protocols) MarshalText() ([]byte, error) {
	var items []string
	for _, n := range p {
		items = append(items, strconv.Itoa(int(n)))
	}
	return []byte(strings.Join(items, ",")), nil
}

func (p protocols) contain(n uint8) bool {
	for _, x := range p {
		if x == n {
			return true
		}
	}
	return len(p) == 0
}

// accepts tells whether the filters let a connection pass.
func (o *options) accepts(f *ctnetlink.Flow) bool {
	return o.AcceptProto.contain(f.Orig.Proto) &&
		o.AcceptSrc.contain(f.Family, &f.Orig.Src) &&
		o.AcceptDst.contain(f.Family, &f.Orig.Dst)
}
