package sqldb

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ulogd-go/ulogd/pkg/row"
)

func TestParseStatement(t *testing.T) {
	f := func(procedure string, want Statement) {
		t.Helper()
		if got := ParseStatement(procedure); got != want {
			t.Errorf("%q: %+v, want %+v", procedure, got, want)
		}
	}
	f("INSERT", Statement{Mode: Insert})
	f("insert", Statement{Mode: Insert})
	f("Insert ignore into t1", Statement{InsertAs, "Insert ignore into t1"})
	f("INSERT_PACKET_FULL", Statement{Select, "INSERT_PACKET_FULL"})
	f("CALL log_packet", Statement{Call, "log_packet"})
	f("call  p", Statement{Call, "p"})
	f("call_pkt", Statement{Call, "call_pkt"})
	f("my.function", Statement{Select, "my.function"})
}

// TestRelational distributes the columns of the view, so that each has its place
// in a base table.
func TestRelational(t *testing.T) {
	columns := append(WithForm(PacketColumns, "bin"), "local_hostname")
	r := NewRelational(columns, func(string) bool { return true })
	if got := len(r.Packet.Columns); got != 26 {
		t.Errorf("ulog2 has %d columns %q, want 24, the label and the one that was added", got, r.Packet.Columns)
	}
	for _, name := range []string{"ip_saddr", "ip_daddr", "label", "local_hostname", "ip6_fragid"} {
		if !slices.Contains(r.Packet.Columns, name) {
			t.Errorf("ulog2 lacks %s: %q", name, r.Packet.Columns)
		}
	}
	var sizes []int
	for _, c := range r.Children {
		sizes = append(sizes, len(c.Columns))
		for i, name := range c.Columns {
			if columns[c.Sources[i]] != name {
				t.Errorf("%s.%s comes from %s", c.Table, name, columns[c.Sources[i]])
			}
		}
	}
	if diff := cmp.Diff([]int{12, 3, 3, 6, 5}, sizes); diff != "" {
		t.Errorf("columns of tcp, udp, sctp, icmp, icmpv6 (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"raw_type", "raw_header"}, r.Hardware.Columns); diff != "" {
		t.Errorf("hwhdr (-want +got):\n%s", diff)
	}
}

func TestRelationalRows(t *testing.T) {
	columns := WithForm(PacketColumns, "str")
	r := NewRelational(columns, func(string) bool { return true })
	values := func(set map[string]row.Value) []row.Value {
		vs := make([]row.Value, len(columns))
		for name, v := range set {
			vs[slices.Index(columns, name)] = v
		}
		return vs
	}
	tests := []struct {
		name          string
		set           map[string]row.Value
		child         string
		ethernet, has bool
	}{
		{"nothing", nil, "", false, false},
		{"TCP over Ethernet", map[string]row.Value{"ip_protocol": number(6), "raw_type": number(1), "mac_str": text("00")}, "tcp", true, false},
		{"UDP over loopback", map[string]row.Value{"ip_protocol": number(17), "raw_type": number(772), "mac_str": text("00")}, "udp", false, true},
		{"SCTP without a header", map[string]row.Value{"ip_protocol": number(132)}, "sctp", false, false},
		{"ICMPv6 over a tunnel", map[string]row.Value{"ip_protocol": number(58), "raw_type": number(65535)}, "icmpv6", false, true},
		{"GRE", map[string]row.Value{"ip_protocol": number(47)}, "", false, false},
	}
	for _, tt := range tests {
		vs := values(tt.set)
		child := ""
		if i := r.Child(vs); i >= 0 {
			child = r.Children[i].Table
		}
		if child != tt.child || r.Ethernet(vs) != tt.ethernet || r.HasHardware(vs) != tt.has {
			t.Errorf("%s: child %q, Ethernet %v, hardware %v", tt.name, child, r.Ethernet(vs), r.HasHardware(vs))
		}
	}
}

func TestCheck(t *testing.T) {
	good := Defaults
	good.Table, good.Procedure = "ulog", "INSERT"
	if err := Check(good, ExtraDefaults); err != nil {
		t.Error(err)
	}
	for want, change := range map[string]func(*Options, *Extra){
		"batch_rows":   func(_ *Options, x *Extra) { x.BatchRows = 0 },
		"reconnect":    func(o *Options, _ *Extra) { o.Reconnect = -1 },
		"ledger":       func(_ *Options, x *Extra) { x.Ledger = "" },
		"NUL":          func(o *Options, _ *Extra) { o.Table = "a\x00" },
		"backlog_memc": func(o *Options, _ *Extra) { o.BacklogMemcap = -1 },
	} {
		o, x := good, ExtraDefaults
		change(&o, &x)
		if err := Check(o, x); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one about %s", err, want)
		}
	}
}

// TestDelivery: ulogd's options for a backlog and a ring do what they say.
func TestDelivery(t *testing.T) {
	o := Defaults
	o.BacklogMemcap, o.RingBufferSize, o.BacklogOneshot = 1<<20, 10000, 19000
	q, b := Delivery(o, ExtraDefaults)
	if q.Memory != 10000*512 || b.Rows != 19000 || b.MaxWait.Seconds() != 2 || q.Spool != "auto" {
		t.Errorf("queue %+v, batching %+v", q, b)
	}
	o.RingBufferSize = 0
	if q, _ := Delivery(o, ExtraDefaults); q.Memory != 1<<20 {
		t.Errorf("queue %+v, want the memory of backlog_memcap", q)
	}
}

func TestPassword(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("CREDENTIALS_DIRECTORY", dir)
	write(t, dir+"/dbpass", "sec ret\n")
	for file, want := range map[string]string{"": "plain", "dbpass": "sec ret", dir + "/dbpass": "sec ret"} {
		if got, err := (Login{PasswordFile: file}).Password("plain"); err != nil || got != want {
			t.Errorf("password_file %q: %q, %v", file, got, err)
		}
	}
	if _, err := (Login{PasswordFile: "none"}).Password("plain"); err == nil || strings.Contains(err.Error(), "plain") {
		t.Errorf("a missing file: error %v", err)
	}
}
