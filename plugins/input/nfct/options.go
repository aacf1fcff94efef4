// Package nfct is the input NFCT, which reports connections as the kernel's
// connection tracking sees them begin, change and end.
package nfct

import (
	"errors"
	"fmt"
	"strings"

	"github.com/ulogd-go/ulogd/pkg/ctnetlink"
	"github.com/ulogd-go/ulogd/pkg/plugin"
)

func init() {
	plugin.Default.Register(plugin.NewSource(plugin.Info{
		Name: "NFCT", Summary: "reports connections that begin, change and end",
		Gives: plugin.Flow,
	}, defaults, open))
}

var defaults = options{HashEnable: true, HashBuckets: 8192, HashMax: 32768, EventMask: 5, Resync: 60}

type options struct {
	Poll        int       `toml:"pollinterval" doc:"seconds between dumps of all connections, which then take the place of events; 0 is for events"`
	HashEnable  bool      `toml:"hash_enable" doc:"follow connections in a table, and report them when they end; otherwise each event is reported"`
	HashBuckets int       `toml:"hash_buckets" doc:"chains of the table at start; there are more when it holds more connections"`
	HashMax     int       `toml:"hash_max_entries" doc:"connections that are followed at most; of those beyond, the beginning is not known when they end"`
	EventMask   int       `toml:"event_mask" doc:"events to receive: 1 new, 2 update, 4 destroy, or a sum of them"`
	SocketSize  int       `toml:"netlink_socket_buffer_size" doc:"bytes of the socket's receive buffer at start; 0 stands for 32 MiB"`
	SocketMax   int       `toml:"netlink_socket_buffer_maxsize" doc:"bytes up to which the receive buffer grows when events are lost; 0 stands for 128 MiB if netlink_socket_buffer_size is 0 too, else for no growth"`
	Resync      int       `toml:"netlink_resync_timeout" doc:"seconds after a loss of events until all connections are dumped, to find what was missed"`
	Reliable    bool      `toml:"reliable" doc:"have the kernel keep an event that finds the receive buffer full, and send it again"`
	AcceptSrc   networks  `toml:"accept_src_filter" doc:"networks of which the source of a connection has to be in one, such as 192.0.2.0/24,2001:db8::/32; all if empty, and all of a family without networks"`
	AcceptDst   networks  `toml:"accept_dst_filter" doc:"the same for its destination, before translation"`
	AcceptProto protocols `toml:"accept_proto_filter" doc:"protocols of which a connection has to have one, by name or number, such as tcp,udp; all if empty"`
	NetNS       string    `toml:"network_namespace_path" doc:"path of the network namespace to listen in, such as /run/netns/x"`
	Emit        emit      `toml:"emit" extra:"true" doc:"events to report, of new, update and destroy, such as new,destroy; auto is destroy with the table, else new,destroy. They are received whatever event_mask says"`
	NATOnly     bool      `toml:"nat_only" extra:"true" doc:"report only connections whose addresses or ports are translated"`
	Capture     string    `toml:"capture" extra:"true" doc:"path of a capture of netlink (pcap, link type NETLINK, as of an nlmon device) to read in place of the kernel's events; the input ends with it"`
}

// emit is a set of events to report; 0 stands for what ulogd reports.
type emit ctnetlink.Event

// eventNames are the events by their names.
var eventNames = []struct {
	name  string
	event ctnetlink.Event
}{{"new", ctnetlink.New}, {"update", ctnetlink.Update}, {"destroy", ctnetlink.Destroy}}

// UnmarshalText reads a list of events, or "auto".
func (e *emit) UnmarshalText(text []byte) error {
	*e = 0
	if strings.EqualFold(string(text), "auto") {
		return nil
	}
	for _, name := range list(string(text)) {
		var found emit
		for _, x := range eventNames {
			if strings.EqualFold(name, x.name) {
				found = emit(x.event)
			}
		}
		if found == 0 {
			return fmt.Errorf("%q is none of new, update and destroy", name)
		}
		*e |= found
	}
	if *e == 0 {
		return errors.New("no event is named; use auto, or some of new,update,destroy")
	}
	return nil
}

// MarshalText is the inverse of UnmarshalText.
func (e emit) MarshalText() ([]byte, error) {
	var names []string
	for _, x := range eventNames {
		if ctnetlink.Event(e)&x.event != 0 {
			names = append(names, x.name)
		}
	}
	if len(names) == 0 {
		return []byte("auto"), nil
	}
	return []byte(strings.Join(names, ",")), nil
}

// list is the elements of a comma-separated list.
func list(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' })
}

// check refuses options that don't fit each other.
func (o options) check() error {
	switch {
	case o.Poll < 0:
		return fmt.Errorf("pollinterval = %d: use seconds, or 0 for events", o.Poll)
	case o.Poll > 0 && !o.HashEnable:
		return errors.New("NFCT polling mode requires the hashtable: set hash_enable = 1, or pollinterval = 0")
	case o.Poll > 0 && o.Capture != "":
		return errors.New("capture: there is nothing to poll in a file; set pollinterval = 0")
	case o.HashEnable && (o.HashBuckets < 1 || o.HashMax < 1):
		return fmt.Errorf("hash_buckets = %d, hash_max_entries = %d: both have to be at least 1", o.HashBuckets, o.HashMax)
	case o.EventMask&^7 != 0:
		return fmt.Errorf("event_mask = %d: use a sum of 1 (new), 2 (update) and 4 (destroy)", o.EventMask)
	}
	return nil
}

// reported are the events to report.
func (o options) reported() ctnetlink.Event {
	switch {
	case o.Emit != 0:
		return ctnetlink.Event(o.Emit)
	case o.HashEnable:
		return ctnetlink.Destroy
	}
	return ctnetlink.New | ctnetlink.Destroy
}

// subscribed are the events to receive.
func (o options) subscribed() ctnetlink.Event {
	return ctnetlink.Event(o.EventMask) | ctnetlink.Event(o.Emit)
}

// Sizes of the receive buffer. Each event takes about 1.3 KiB of it, however
// small it is, and a burst of connections comes at the speed of the network.
const (
	defaultSocketSize = 32 << 20
	defaultSocketMax  = 128 << 20
)

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
