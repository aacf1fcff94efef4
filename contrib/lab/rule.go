package lab

import (
	"encoding/binary"
	"fmt"
	"math"
	"net"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// Rule is one nftables rule that counts packets and sends them to NFLOG
// groups. A zero field matches every packet, or leaves its statement out.
type Rule struct {
	Family   string // "ip", "ip6", "inet", "bridge", "arp" or "netdev", which needs InName
	Hook     string // "prerouting", "input", "forward", "output" or "postrouting"; "ingress" of netdev
	Priority int32  // of the chain at its hook; smaller ones come first

	InName, OutName string // interface the packet came from, or leaves by
	SrcMAC          string // "02:00:00:00:be:ef", in the link-layer header
	Protocol        uint8  // IPPROTO_…, behind IPv6 extension headers too
	DstPort         uint16 // needs Protocol
	Match           []expr.Any

	Mark       uint32   // sets the packet's mark, for this rule and those after it
	Groups     []uint16 // each group gets a copy of the very same packet
	Prefix     string   // up to 127 bytes
	Snaplen    uint32   // bytes of each packet that are logged, 0 is all
	QThreshold uint16   // packets the kernel may gather in one datagram
	Verdict    string   // "", "accept" or "drop"
}

// Counter tells how many packets a rule has matched. It may be read
// concurrently, until its namespace is closed.
type Counter struct {
	ns  *NS
	obj *nftables.CounterObj
}

const tableName = "lab"

var families = map[string]nftables.TableFamily{
	"ip": nftables.TableFamilyIPv4, "ip6": nftables.TableFamilyIPv6, "inet": nftables.TableFamilyINet,
	"bridge": nftables.TableFamilyBridge, "arp": nftables.TableFamilyARP, "netdev": nftables.TableFamilyNetdev,
}

// The families of ARP and of devices number their hooks by themselves: NF_ARP_IN and
// NF_ARP_OUT of linux/netfilter_arp.h, and NF_NETDEV_INGRESS of linux/netfilter.h.
var (
	hooks    = map[string]uint32{"prerouting": 0, "input": 1, "forward": 2, "output": 3, "postrouting": 4}
	ownHooks = map[string]map[string]uint32{"arp": {"input": 0, "output": 1}, "netdev": {"ingress": 0}}
)

// Log appends a rule to the chain of its family, hook and priority, and makes
// table and chain when they are not there yet.
func (ns *NS) Log(r Rule) (*Counter, error) {
	c, err := ns.log(r)
	if err != nil {
		return nil, fmt.Errorf("add log rule %q at %s %s: %w", r.Prefix, r.Family, r.Hook, err)
	}
	return c, nil
}

func (ns *NS) log(r Rule) (*Counter, error) {
	chain, err := r.chain()
	if err != nil {
		return nil, err
	}
	counter := &nftables.CounterObj{Table: chain.Table, Name: ns.counterName()}
	exprs, err := r.exprs(counter.Name)
	if err != nil {
		return nil, err
	}
	conn, err := nftables.New(nftables.WithNetNSFd(ns.FD()))
	if err != nil {
		return nil, err
	}
	conn.AddTable(chain.Table)
	conn.AddChain(chain)
	conn.AddObj(counter)
	conn.AddRule(&nftables.Rule{Table: chain.Table, Chain: chain, Exprs: exprs})
	if err := conn.Flush(); err != nil {
		return nil, err
	}
	return &Counter{ns: ns, obj: counter}, nil
}

func (ns *NS) counterName() string {
	ns.mu.Lock()
	defer ns.mu.Unlock()
	ns.rules++
	return fmt.Sprintf("rule%d", ns.rules)
}

// Packets is the number of packets the rule has matched so far.
func (c *Counter) Packets() (uint64, error) {
	conn, err := nftables.New(nftables.WithNetNSFd(c.ns.FD()))
	if err != nil {
		return 0, fmt.Errorf("read counter %s: %w", c.obj.Name, err)
	}
	obj, err := conn.GetObject(c.obj)
	if err != nil {
		return 0, fmt.Errorf("read counter %s: %w", c.obj.Name, err)
	}
	got, ok := obj.(*nftables.CounterObj)
	if !ok {
		return 0, fmt.Errorf("read counter %s: the kernel answered with %T", c.obj.Name, obj)
	}
	return got.Packets, nil
}

func (r Rule) chain() (*nftables.Chain, error) {
	family, ok := families[r.Family]
	if !ok {
		return nil, fmt.Errorf("unknown family %q: use ip, ip6, inet, bridge, arp or netdev", r.Family)
	}
	known := hooks
	if own, ok := ownHooks[r.Family]; ok {
		known = own
	}
	hook, ok := known[r.Hook]
	if !ok {
		return nil, fmt.Errorf("family %s has no hook %q", r.Family, r.Hook)
	}
	device := ""
	if r.Family == "netdev" {
		if device = r.InName; device == "" {
			return nil, fmt.Errorf("family netdev without InName, the device")
		}
	}
	priority := nftables.ChainPriority(r.Priority)
	return &nftables.Chain{
		Device:   device,
		Name:     fmt.Sprintf("%s%d", r.Hook, r.Priority),
		Table:    &nftables.Table{Family: family, Name: tableName},
		Type:     nftables.ChainTypeFilter,
		Hooknum:  nftables.ChainHookRef(nftables.ChainHook(hook)),
		Priority: &priority,
	}, nil
}

// exprs are the rule's expressions in the order in which the kernel runs them:
// what it matches, then what it does.
func (r Rule) exprs(counter string) ([]expr.Any, error) {
	out, err := r.matches()
	if err != nil {
		return nil, err
	}
	out = append(out, &expr.Objref{Type: unix.NFT_OBJECT_COUNTER, Name: counter})
	if r.Mark != 0 {
		out = append(out, &expr.Immediate{Register: 1, Data: binary.NativeEndian.AppendUint32(nil, r.Mark)},
			&expr.Meta{Key: expr.MetaKeyMARK, SourceRegister: true, Register: 1})
	}
	for _, group := range r.Groups {
		out = append(out, r.logExpr(group))
	}
	return r.appendVerdict(out)
}

func (r Rule) matches() ([]expr.Any, error) {
	var out []expr.Any
	if r.InName != "" {
		out = append(out, meta(expr.MetaKeyIIFNAME, ifname(r.InName))...)
	}
	if r.OutName != "" {
		out = append(out, meta(expr.MetaKeyOIFNAME, ifname(r.OutName))...)
	}
	if r.SrcMAC != "" {
		mac, err := net.ParseMAC(r.SrcMAC)
		if err != nil {
			return nil, fmt.Errorf("source MAC: %w", err)
		}
		out = append(out, payload(expr.PayloadBaseLLHeader, 6, mac)...)
	}
	if r.Protocol != 0 {
		out = append(out, meta(expr.MetaKeyL4PROTO, []byte{r.Protocol})...)
	}
	if r.DstPort != 0 {
		if r.Protocol == 0 {
			return nil, fmt.Errorf("destination port %d without a protocol", r.DstPort)
		}
		out = append(out, payload(expr.PayloadBaseTransportHeader, 2, binary.BigEndian.AppendUint16(nil, r.DstPort))...)
	}
	return append(out, r.Match...), nil
}

func (r Rule) logExpr(group uint16) *expr.Log {
	log := &expr.Log{Key: 1 << unix.NFTA_LOG_GROUP, Group: group}
	if r.Prefix != "" {
		log.Key |= 1 << unix.NFTA_LOG_PREFIX
		log.Data = []byte(r.Prefix)
	}
	if r.Snaplen != 0 {
		log.Key |= 1 << unix.NFTA_LOG_SNAPLEN
		log.Snaplen = r.Snaplen
	}
	if r.QThreshold != 0 {
		log.Key |= 1 << unix.NFTA_LOG_QTHRESHOLD
		log.QThreshold = r.QThreshold
	}
	return log
}

func (r Rule) appendVerdict(out []expr.Any) ([]expr.Any, error) {
	switch r.Verdict {
	case "":
		return out, nil
	case "accept":
		return append(out, &expr.Verdict{Kind: expr.VerdictAccept}), nil
	case "drop":
		return append(out, &expr.Verdict{Kind: expr.VerdictDrop}), nil
	}
	return nil, fmt.Errorf("unknown verdict %q: use accept, drop or nothing", r.Verdict)
}

func meta(key expr.MetaKey, want []byte) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: key, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: want},
	}
}

func payload(base expr.PayloadBase, offset uint32, want []byte) []expr.Any {
	return []expr.Any{
		&expr.Payload{DestRegister: 1, Base: base, Offset: offset, Len: uint32(len(want))},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: want},
	}
}

// ifname pads a name to the size in which the kernel compares it.
func ifname(name string) []byte {
	padded := make([]byte, unix.IFNAMSIZ)
	copy(padded[:unix.IFNAMSIZ-1], name)
	return padded
}

// Priorities of linux/netfilter_ipv4.h that rules often want.
const (
	PriorityFirst  int32 = math.MinInt32
	PriorityRaw    int32 = -300 // before connection tracking
	PriorityFilter int32 = 0
)
