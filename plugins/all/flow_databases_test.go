package all

import (
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	diff "github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/ulogd-go/ulogd/contrib/dbtest"
	"github.com/ulogd-go/ulogd/contrib/lab"
	"github.com/ulogd-go/ulogd/schema"
)

// flowWay is how connections are stored.
type flowWay struct {
	engine                                dbtest.Engine
	original                              string // ulogd's schema; ours if there is none
	plugin, convert, so, table, procedure string
	without                               []string // columns that may differ
}

var flowWays = []flowWay{
	{dbtest.PostgreSQL, "", "PGSQL", "ip2str1:IP2STR", "IP2STR", "ulog2_ct", "INSERT_OR_REPLACE_CT", nil},
	{dbtest.PostgreSQL, "ulogd2-flat", "PGSQL", "ip2str1:IP2STR", "IP2STR", "ulog2_ct", "INSERT_OR_REPLACE_CT", nil},
	{dbtest.PostgreSQL, "ulogd2", "PGSQL", "ip2str1:IP2STR", "IP2STR", "ulog2_ct", "INSERT_CT", nil},
	// ulogd 2.0.8 leaves one of the addresses out.
	{dbtest.MySQL, "", "MYSQL", "ip2bin1:IP2BIN", "IP2BIN", "conntrack", "INSERT_CT", []string{"reply_ip_daddr"}},
	{dbtest.MySQL, "ulogd2", "MYSQL", "ip2bin1:IP2BIN", "IP2BIN", "conntrack", "INSERT_CT", []string{"reply_ip_daddr"}},
	{dbtest.MySQL, "ulogd2-flat", "MYSQL", "ip2bin1:IP2BIN", "IP2BIN", "conntrack", "INSERT_CT", []string{"reply_ip_daddr"}},
}

// TestFlowDatabases has Debian's ulogd and ours store the same connections in its
// schemas and in ours, and compares the rows but for times, for which each looks at the clock.
func TestFlowDatabases(t *testing.T) {
	needOriginal(t)
	ours := buildOurs(t)
	for _, w := range flowWays {
		t.Run(fmt.Sprint(w.engine, " ", cmp.Or(w.original, "ours"), " ", w.procedure), func(t *testing.T) {
			r := newRouter(t)
			var dbs [2]*dbtest.Database
			for i, program := range []string{original, ours} {
				dbs[i] = dbtest.Get(t, w.engine).Database(t)
				if w.original != "" {
					dbs[i].LoadOriginal(t, w.original)
				} else {
					dbs[i].LoadOurs(t, schema.V2, schema.Options{})
				}
				w.start(t, r.ns, program, dbs[i], i+1)
			}
			r.talk(t, 1, 60)
			if err := r.ns.FlushConnections(); err != nil {
				t.Fatal(err)
			}
			var rows [2][]string
			until(t, "equal numbers of rows", func() bool {
				before := len(rows[0])
				for i, d := range dbs {
					rows[i] = d.Dump(t, "ulog2_ct", append(w.without, "_ct_id", "flow_start_sec", "flow_start_usec", "flow_end_sec", "flow_end_usec")...)
				}
				return len(rows[0]) > 50 && len(rows[0]) == before && diff.Equal(rows[0], rows[1])
			})
			t.Logf("%d rows compared", len(rows[0]))
		})
	}
}

// start starts a daemon, and waits until so many hear of connections.
func (w flowWay) start(t *testing.T, ns *lab.NS, program string, d *dbtest.Database, listeners int) {
	t.Helper()
	alter, host := "alter role %s password 'plain'", d.Socket
	if d.Engine == dbtest.MySQL {
		alter, host = "alter user %s@localhost identified by 'plain'", "localhost"
	}
	if _, err := d.DB.Exec(fmt.Sprintf(alter, d.User)); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	text := fmt.Sprintf("[global]\nlogfile=%q\nstack=ct1:NFCT,%s,db1:%s\n[ct1]\nhash_enable=0\nnetlink_socket_buffer_size=16777216\nnetlink_socket_buffer_maxsize=16777217\n[db1]\ndb=%q\nhost=%q\nuser=%q\npass=\"plain\"\ntable=%q\nprocedure=%q\n",
		dir+"/log", w.convert, w.plugin, d.Name, host, d.User, w.table, w.procedure)
	if program == original {
		for _, so := range []string{"inpflow_NFCT", "filter_" + w.so, "output_" + w.plugin} {
			text = strings.Replace(text, "stack=", fmt.Sprintf("plugin=\"/usr/lib/x86_64-linux-gnu/ulogd/ulogd_%s.so\"\nstack=", so), 1)
		}
	}
	conf := filepath.Join(dir, "ulogd.conf")
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "-c", conf)
	cmd.Env = append(os.Environ(), "MYSQL_UNIX_PORT="+d.Socket, "STATE_DIRECTORY="+dir+"/state")
	if err := ns.Start(cmd); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // all its rows were seen
		_ = cmd.Wait()
		if t.Failed() {
			log, _ := os.ReadFile(filepath.Join(dir, "log"))
			t.Logf("%s:\n%s", program, log[max(0, len(log)-2000):])
			t.Logf("%d rows, such as\n%s", len(d.Dump(t, "ulog2_ct")), strings.Join(d.Dump(t, "ulog2_ct")[:min(3, len(d.Dump(t, "ulog2_ct")))], "\n"))
		}
	})
	const destroyGroup = 3 // NFNLGRP_CONNTRACK_DESTROY
	until(t, "a listener", func() bool {
		n, err := ns.Members(unix.NETLINK_NETFILTER, destroyGroup)
		if err != nil {
			t.Fatal(err)
		}
		return n >= listeners
	})
}
