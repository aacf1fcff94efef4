package sqldb

import (
	"slices"
	"strings"

	"github.com/ulogd-go/ulogd/pkg/row"
)

// PacketColumns are the columns of the view "ulog" of the relational schema, in
// the order in which its function takes them. The addresses end in _bin or _str.
//
// See reference page "schemas", section 2.3.
var PacketColumns = strings.Fields(`oob_time_sec oob_time_usec oob_hook oob_prefix oob_mark oob_in oob_out oob_family
	ip_saddr_* ip_daddr_* ip_protocol ip_tos ip_ttl ip_totlen ip_ihl ip_csum ip_id ip_fragoff
	ip6_payloadlen ip6_priority ip6_hoplimit ip6_flowlabel ip6_fragoff ip6_fragid
	tcp_sport tcp_dport tcp_seq tcp_ackseq tcp_window tcp_urg tcp_urgp tcp_ack tcp_psh tcp_rst tcp_syn tcp_fin
	udp_sport udp_dport udp_len icmp_type icmp_code icmp_echoid icmp_echoseq icmp_gateway icmp_fragmtu
	icmpv6_type icmpv6_code icmpv6_echoid icmpv6_echoseq icmpv6_csum
	raw_type mac_str mac_saddr_str mac_daddr_str oob_protocol raw_label sctp_sport sctp_dport sctp_csum`)

// FlowColumns are those of the view "conntrack" and of the table "ulog2_ct". The
// latter has ct_event behind them in PostgreSQL.
//
// See reference page "schemas", section 2.5.
var FlowColumns = strings.Fields(`oob_family orig_ip_saddr_* orig_ip_daddr_* orig_ip_protocol orig_l4_sport orig_l4_dport
	orig_raw_pktlen orig_raw_pktcount reply_ip_saddr_* reply_ip_daddr_* reply_ip_protocol reply_l4_sport reply_l4_dport
	reply_raw_pktlen reply_raw_pktcount icmp_code icmp_type ct_mark flow_start_sec flow_start_usec flow_end_sec flow_end_usec`)

// SumColumns are those of the table "nfacct".
var SumColumns = strings.Fields("sum_name sum_pkts sum_bytes oob_time_sec oob_time_usec")

// WithForm is columns with the form of addresses, "bin" or "str", put in.
func WithForm(columns []string, form string) []string {
	with := make([]string, len(columns))
	for i, c := range columns {
		if strings.HasSuffix(c, "_*") {
			c = c[:len(c)-1] + form
		}
		with[i] = c
	}
	return with
}

// Part is a base table of the relational schema, with what a packet has for it.
type Part struct {
	Table   string
	ID      string   // the column for the packet's number
	Columns []string // of the table
	Sources []int    // which value of the row each of them takes
}

// add takes a column of the view into the part.
func (p *Part) add(column string, source int) {
	p.Columns = append(p.Columns, column)
	p.Sources = append(p.Sources, source)
}

// Relational says which base table of the relational schema the values of a row
// go to, by the names of the view's columns.
//
// See reference page "schemas", sections 2.2 to 2.4.
type Relational struct {
	Packet   Part
	Children [5]Part // tcp, udp, sctp, icmp, icmpv6
	Hardware Part    // hwhdr: the header of what is not Ethernet
	MAC      [3]int  // sources of mac_saddr, mac_daddr and mac_protocol, or -1
	protocol int     // source of the IP protocol, or -1
	hwType   int     // source of the hardware type, or -1
}

// protocols are those of Children, in their order.
var protocols = [5]uint64{6, 17, 132, 1, 58}

// ethernet is the hardware type (ARPHRD_ETHER, linux/if_arp.h) whose headers are
// kept in the table mac.
const ethernet = 1

// NewRelational distributes columns of the view. Addresses are columns of the
// base table under the view's name in PostgreSQL, and without "_bin" in MySQL.
// Columns that the view was given in addition are the packet table's, too. Those that
// it does not have are left out: rows from before the database was seen have each
// address in all of its forms.
func NewRelational(columns []string, has func(column string) bool) *Relational {
	r := &Relational{
		Packet:   Part{Table: "ulog2", ID: "_id"},
		Hardware: Part{Table: "hwhdr", ID: "_hw_id"},
		MAC:      [3]int{-1, -1, -1}, protocol: -1, hwType: -1,
	}
	for i, name := range [5]string{"tcp", "udp", "sctp", "icmp", "icmpv6"} {
		r.Children[i] = Part{Table: name, ID: "_" + name + "_id"}
	}
	for i, c := range columns {
		if has(c) {
			r.place(c, i)
		}
	}
	return r
}

func (r *Relational) place(column string, source int) {
	switch column {
	case "mac_saddr_str":
		r.MAC[0] = source
	case "mac_daddr_str":
		r.MAC[1] = source
	case "oob_protocol":
		r.MAC[2] = source
	case "mac_str":
		r.Hardware.add("raw_header", source)
	case "raw_type":
		r.hwType = source
		r.Hardware.add("raw_type", source)
	case "raw_label":
		r.Packet.add("label", source)
	default:
		if column == "ip_protocol" {
			r.protocol = source
		}
		r.partOf(column).add(strings.TrimSuffix(column, "_bin"), source)
	}
}

// partOf is the base table of a column whose name it keeps.
func (r *Relational) partOf(column string) *Part {
	if !slices.Contains(PacketColumns, column) {
		return &r.Packet
	}
	prefix, _, _ := strings.Cut(column, "_")
	for i := range r.Children {
		if r.Children[i].Table == prefix {
			return &r.Children[i]
		}
	}
	return &r.Packet
}

// Child is the index in Children of the part that a packet has beside its own, or
// -1.
func (r *Relational) Child(values []row.Value) int {
	if r.protocol < 0 || values[r.protocol].Kind != row.Uint {
		return -1
	}
	return slices.Index(protocols[:], values[r.protocol].Num)
}

// Ethernet tells whether the packet's header is one for the table mac.
func (r *Relational) Ethernet(values []row.Value) bool {
	return r.hwType >= 0 && values[r.hwType].Kind == row.Uint && values[r.hwType].Num == ethernet
}

// HasHardware tells whether the packet has anything for the table hwhdr.
// ulogd's function also stores rows of NULLs there, which no reader can tell
// from none.
func (r *Relational) HasHardware(values []row.Value) bool {
	return !r.Ethernet(values) && slices.ContainsFunc(r.Hardware.Sources, func(i int) bool { return values[i].Kind != row.Null })
}
