package all

import (
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ulogd-go/ulogd/contrib/dbtest"
	"github.com/ulogd-go/ulogd/contrib/lab"
)

// forward has a server be found at an address of a namespace from now on.
func forward(t *testing.T, ns *lab.NS, address, socket string) {
	t.Helper()
	var l net.Listener
	if err := ns.Do(func() (err error) { l, err = net.Listen("tcp", address); return err }); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("unix", socket)
			if err != nil {
				client.Close()
				continue
			}
			go func() { _, _ = io.Copy(server, client); server.Close() }()
			go func() { _, _ = io.Copy(client, server); client.Close() }()
		}
	}()
}

// flows makes connections that end, and waits until the daemon listens before.
func flows(t *testing.T, r *router) {
	t.Helper()
	const destroyGroup = 3 // NFNLGRP_CONNTRACK_DESTROY
	until(t, "a listener", func() bool {
		n, err := r.ns.Members(syscall.NETLINK_NETFILTER, destroyGroup)
		return err == nil && n > 0
	})
	r.talk(t, 3, 20)
	if err := r.ns.FlushConnections(); err != nil {
		t.Fatal(err)
	}
}

// TestFlowsToAMissingServerFromTheField runs configuration 09: the text goes on while there
// is no database, which gets all when it is there.
func TestFlowsToAMissingServerFromTheField(t *testing.T) {
	server := dbtest.Get(t, dbtest.MySQL)
	t.Setenv("MYSQL_UNIX_PORT", server.Socket)
	r := newRouter(t)
	f := startField(t, r.ns, buildOurs(t), configPath(t, "09-nfct-mysql-and-emu"), t.TempDir())
	flows(t, r)
	destroyed := func() int {
		return strings.Count(strings.Join(lines(f.path("ulog/syslogemu.log")), "\n"), "[DESTROY] ORIG: ")
	}
	until(t, "connections as text", func() bool { return destroyed() > 5 })
	db := server.Named(t, "nac", "nac", "example")
	db.Exec(t,
		`create table inline_bytes (orig binary(16), reply binary(16), sent bigint, received bigint)`,
		`create view inline_bytes_v as select cast(null as unsigned) _ct_id, orig orig_ip_saddr_bin, reply reply_ip_saddr_bin,
			sent orig_raw_pktlen, received reply_raw_pktlen from inline_bytes`,
		`create function INSERT_BYTES(orig binary(16), reply binary(16), sent bigint, received bigint) returns int not deterministic modifies sql data
			begin insert into inline_bytes values (orig, reply, sent, received); return 1; end`)
	until(t, "the same connections as rows", func() bool { return db.Count(t, "inline_bytes") == fmt.Sprint(destroyed()) })
	if n := db.Count(t, "inline_bytes where sent > 0 and orig = inet6_aton('::ffff:192.0.2.2')"); n == "0" {
		t.Errorf("no row has the bytes that the peer sent: %v", db.Dump(t, "inline_bytes"))
	}
	f.stop(t)
}

// TestBacklogFromTheField runs configuration 10 without a server at first: the packet waits,
// and reaches the procedure, whose name begins with CALL, when there is one.
func TestBacklogFromTheField(t *testing.T) {
	server := dbtest.Get(t, dbtest.MySQL)
	db := server.Named(t, "fw", "ulogd", "change_this_one")
	db.Exec(t,
		`create table packets (prefix varchar(32), source binary(16), port int)`,
		`create view ulogd_fields as select cast(null as unsigned) id, prefix oob_prefix, source ip_saddr_bin, port udp_dport from packets`,
		`create procedure CALL_ADD_PACKET(prefix varchar(32), source binary(16), port int) insert into packets values (prefix, source, port)`)
	ns := lab.Test(t)
	f := startField(t, ns, buildOurs(t), configPath(t, "10-nflog-mysql-backlog"), t.TempDir())
	packetTo(t, ns, []uint16{1})
	forward(t, ns, "127.0.0.1:3307", server.Socket)
	until(t, "the packet that waited", func() bool { return db.Count(t, "packets") == "1" })
	want := [][]string{{"field: ", "0x00000000000000000000ffff7f000001", "4711"}}
	if diff := cmp.Diff(want, db.Query(t, "select prefix, source, port from packets")); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
	f.stop(t)
}

// TestConnStringFromTheField runs configuration 15: connections go where the connection string
// says, although that is the only server; packets follow when theirs is there.
func TestConnStringFromTheField(t *testing.T) {
	server := dbtest.Get(t, dbtest.PostgreSQL)
	db := server.Named(t, "nulog", "nulog", "example")
	db.LoadOriginal(t, "ulogd2")
	r := newRouter(t)
	f := startField(t, r.ns, buildOurs(t), configPath(t, "15-pgsql-connstring"), t.TempDir())
	socket := server.Dir + "/.s.PGSQL.5432"
	forward(t, r.ns, "127.0.0.1:5433", socket)
	flows(t, r)
	until(t, "connections that have ended", func() bool { return db.Count(t, "ulog2_ct where ct_event = 4") != "0" })
	packetTo(t, r.ns, []uint16{1})
	if n := db.Count(t, "ulog2"); n != "0" {
		t.Errorf("%s packets, though their server is not there", n)
	}
	forward(t, r.ns, "127.0.0.1:5432", socket)
	until(t, "the packet that waited", func() bool {
		return db.Count(t, "ulog where oob_prefix = 'field: ' and udp_dport = 4711 and raw_label = 1") == "1"
	})
	f.stop(t)
}
