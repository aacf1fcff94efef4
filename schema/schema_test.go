package schema_test

import (
	"database/sql"
	"slices"
	"strings"
	"testing"

	_ "modernc.org/sqlite"

	"github.com/ulogd-go/ulogd/pkg/event"
	"github.com/ulogd-go/ulogd/pkg/nflog"
	"github.com/ulogd-go/ulogd/pkg/plugin"
	"github.com/ulogd-go/ulogd/pkg/row"
	_ "github.com/ulogd-go/ulogd/plugins/filter/base"
	_ "github.com/ulogd-go/ulogd/plugins/filter/hwhdr"
	_ "github.com/ulogd-go/ulogd/plugins/filter/ifindex"
	_ "github.com/ulogd-go/ulogd/plugins/filter/ip2str"
	_ "github.com/ulogd-go/ulogd/plugins/filter/local"
	_ "github.com/ulogd-go/ulogd/plugins/filter/pwsniff"
	"github.com/ulogd-go/ulogd/schema"
)

// flowKeys and sumKeys are those of NFCT and NFACCT that an SQL column can hold
// (reference page "ulogd2-keys").
var (
	flowKeys = strings.Fields(`oob.family oob.protocol ct.id ct.mark ct.event icmp.code icmp.type icmpv6.code icmpv6.type
		orig.ip.protocol orig.l4.sport orig.l4.dport orig.raw.pktlen orig.raw.pktcount
		reply.ip.protocol reply.l4.sport reply.l4.dport reply.raw.pktlen reply.raw.pktcount
		flow.start.sec flow.start.usec flow.end.sec flow.end.usec`)
	sumKeys = strings.Fields("sum.name sum.pkts sum.bytes oob.time.sec oob.time.usec")
)

// keys are what the plugins publish.
func keys(t *testing.T, plugins ...string) (names []string) {
	t.Helper()
	var b event.Binder
	new(nflog.Decoder).Bind(&b)
	for _, name := range plugins {
		spec, err := plugin.Default.Lookup(name)
		if err != nil {
			t.Fatal(err)
		}
		x, err := spec.Describe()
		if err != nil {
			t.Fatal(err)
		}
		x.Bind(&b)
	}
	for _, k := range b.Keys() {
		names = append(names, k.Name)
	}
	return names
}

// columns loads the statements into a new database and lists the table's columns.
func columns(t *testing.T, statements, table string) (names []string) {
	t.Helper()
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1) // each connection is a database
	if _, err := db.Exec(statements); err != nil {
		t.Fatal(err)
	}
	rows, err := db.Query("select name from pragma_table_info(?)", table)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return names
}

// TestOwn: the statements load whatever the table's name, and a plugin fills
// each column but the first, which is the row's number.
func TestOwn(t *testing.T) {
	tests := []struct {
		contents schema.Contents
		keys     []string
		least    int // number of columns
	}{
		{schema.Packets, keys(t, "BASE", "IFINDEX", "IP2STR", "HWHDR"), 60},
		{schema.First, append(keys(t, "BASE", "IFINDEX", "PWSNIFF", "LOCAL"), "oob.prefix"), 40},
		{schema.Flows, append(keys(t, "IP2STR"), flowKeys...), 20},
		{schema.Sums, sumKeys, 5},
	}
	for _, tt := range tests {
		for _, table := range []string{"ulog", `my "log" of 1`} {
			got := columns(t, schema.Own(tt.contents, table), table)
			if len(got) < tt.least {
				t.Fatalf("%s: columns %q, want %d at least", tt.contents, got, tt.least)
			}
			for _, c := range got[1:] {
				if !slices.Contains(tt.keys, row.Key(c)) {
					t.Errorf("%s: nobody publishes the key of column %s", tt.contents, c)
				}
			}
		}
	}
}

// TestPayload: a column for the packet's bytes, or their number, would make the
// kernel copy all of each packet.
func TestPayload(t *testing.T) {
	for _, c := range columns(t, schema.Own(schema.Packets, "t"), "t") {
		if strings.HasPrefix(c, "raw_pkt") {
			t.Errorf("column %s", c)
		}
	}
}

func TestUnknownContents(t *testing.T) {
	if s := schema.Own("weather", "t"); s != "" {
		t.Errorf("statements %q for unknown contents", s)
	}
}
