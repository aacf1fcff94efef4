package torture

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"testing"

	"github.com/ulogd-go/ulogd/contrib/dbtest"
)

// target is a database with ulogd's own schema, or an SQLite file, and how it is
// configured.
type target struct {
	*dbtest.Database        // nil for a file
	file             string // the file's path
	config           string
	rows             func(t *testing.T) []string // the source address of each packet, which is its number
}

// filters make what the schemas want.
const stack = "stack=log1:NFLOG,base1:BASE,ifi1:IFINDEX,ip2str1:IP2STR,ip2bin1:IP2BIN,mac2str1:HWHDR,db1:"

// newTarget makes a database. The host is where the server listens, in place of
// its own socket if it is not empty.
func newTarget(t *testing.T, e dbtest.Engine, host string) *target {
	t.Helper()
	server := dbtest.Get(t, e)
	d := &target{Database: server.Database(t)}
	d.LoadOriginal(t, "ulogd2")
	if host == "" {
		host = server.Socket
	}
	plugin, addresses := "PGSQL", "select host(ip_saddr_str) from ulog2"
	if e == dbtest.MySQL {
		plugin, addresses = "MYSQL", "select inet_ntoa(conv(hex(substr(ip_saddr, 13)), 16, 10)) from ulog2"
	}
	d.rows = func(t *testing.T) (list []string) {
		for _, r := range d.Query(t, addresses) {
			list = append(list, r[0])
		}
		return list
	}
	d.config = stack + plugin + fmt.Sprintf(`
[log1]
group=1
netlink_socket_buffer_size=33554432
[db1]
host="%s"
db="%s"
user="%s"
password_file="DIR/password"
pass="wrong on purpose"
table="ulog"
procedure="INSERT_PACKET_FULL"
spool="DIR/spool"
reconnect=1
batch_time=50ms
`, host, d.Name, d.User)
	return d
}

// seen counts the rows of each packet.
func (d *target) seen(t *testing.T) map[uint32]int {
	t.Helper()
	seen := map[uint32]int{}
	for _, text := range d.rows(t) {
		seen[number(text)]++
	}
	return seen
}

// number is that of the packet with a source address.
func number(text string) uint32 {
	a := netip.MustParseAddr(text).As4()
	return binary.BigEndian.Uint32(a[:]) & 0xffffff
}

// numberOf is the packet's number in a rejected row.
func numberOf(values map[string]any) uint32 {
	for _, name := range []string{"ip_saddr_str", "ip_saddr_bin"} {
		if text, ok := values[name].(string); ok {
			return number(text)
		}
	}
	return 0
}

// settle waits until nothing waits, and checks that every packet is in the table
// once, or among the rejected, or counted.
func (d *target) settle(t *testing.T, x *daemon) books {
	t.Helper()
	var b books
	x.await(t, "settled", func() bool {
		b = x.status(t)
		return b.waiting == 0 && b.packets >= uint64(x.fw.sent)
	})
	hits, err := x.fw.hits.Packets()
	if err != nil {
		t.Fatal(err)
	}
	seen := d.seen(t)
	rejects := map[uint32]int{}
	for _, n := range x.rejects(t, numberOf) {
		rejects[n]++
	}
	missing := 0
	for n := range x.fw.sent {
		if seen[n]+rejects[n] > 1 {
			t.Errorf("packet %d is there %d times and rejected %d times", n, seen[n], rejects[n])
		}
		if seen[n]+rejects[n] == 0 {
			missing++
		}
	}
	if b.packets != hits || uint64(len(seen)) != b.written || uint64(len(rejects)) != b.rejected || uint64(missing) != b.lost+b.refused+b.filtered {
		t.Errorf("the rule has logged %d packets; %d are in the table, %d rejected, %d missing; the daemon says %+v", hits, len(seen), len(rejects), missing, b)
	}
	t.Logf("%d packets: %d in the table, %d rejected, %d counted as lost", hits, len(seen), len(rejects), missing)
	return b
}
