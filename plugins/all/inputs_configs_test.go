package all

import (
	"bufio"
	"net"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ulogd-go/ulogd/contrib/lab"
)

// TestAccountingFromTheField runs configuration 14: one NFACCT in three stacks, which is
// read every two seconds and not reset, with a time in each stack.
func TestAccountingFromTheField(t *testing.T) {
	program := buildOurs(t)
	ns := lab.Test(t)
	if err := ns.Account("http-in", 3, 1234); err != nil {
		t.Fatal(err)
	}
	var graphite net.Listener
	if err := ns.Do(func() (err error) { graphite, err = net.Listen("tcp", "127.0.0.1:2003"); return err }); err != nil {
		t.Fatal(err)
	}
	defer graphite.Close()
	f := startField(t, ns, program, configPath(t, "14-nfacct-graphite-xml"), t.TempDir())
	if err := graphite.(*net.TCPListener).SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	c, err := graphite.Accept()
	if err != nil {
		t.Fatalf("%v\n%s", err, &f.log)
	}
	defer c.Close()
	if err := c.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	metric := regexp.MustCompile(`^fw\.acct\.http-in\.(pkts 3|bytes 1234) [1-9][0-9]{9}$`)
	for s, n := bufio.NewScanner(c), 0; n < 4; n++ { // of two polls
		if !s.Scan() || !metric.MatchString(s.Text()) {
			t.Fatalf("line %d: %q, %v", n, s.Text(), s.Err())
		}
	}
	text := regexp.MustCompile(`^timestamp=[0-9/:-]{19},sum\.name=http-in,sum\.pkts=3,sum\.bytes=1234,oob\.time\.sec=[1-9][0-9]{9},oob\.time\.usec=[0-9]+$`)
	until(t, "two lines of GPRINT", func() bool {
		list := lines(f.path("ulog/gprint.log"))
		return len(list) >= 2 && text.MatchString(list[0]) && text.MatchString(list[1])
	})
	names, err := filepath.Glob(f.path("ulog/ulogd-sum-*.xml"))
	if err != nil || len(names) != 1 || !regexp.MustCompile(`ulogd-sum-[0-9]{8}-[0-9]{6}\.xml$`).MatchString(names[0]) {
		t.Fatalf("XML files %q, %v", names, err)
	}
	until(t, "a record of XML", func() bool {
		list := lines(names[0])
		return len(list) > 2 && strings.HasPrefix(list[2], "<obj><name>http-in</name><pkts>00000000000000000003</pkts><bytes>00000000000000001234</bytes><hour>")
	})
	f.stop(t)
}

// unixSocketAndULOG has a packet of OPRINT, one that a program sends, and one by NFLOG in
// the place of ULOG, which this kernel does not have.
func unixSocketAndULOG(t *testing.T, f *field) {
	until(t, "a packet of OPRINT", func() bool {
		list := lines(f.path("ulog/oprint.log"))
		return len(list) > 20 && list[0] == "===>PACKET BOUNDARY"
	})
	c, err := net.Dial("unix", filepath.Join("/proc", strconv.Itoa(f.cmd.Process.Pid), "root/run/ulog/packets.sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write(unixStream(1)); err != nil {
		t.Fatal(err)
	}
	hasMessage(t, f, "nu1: counters packets=1 ")
	hasMessage(t, f, "sys1: counters rows=1 ")
	hasMessage(t, f, "ulog1: the kernel has no ULOG, so it listens to NFLOG group 2 in place of ULOG group 2")
	hasLine("ulog/syslogemu.log")(t, f)
	connection(t, f.ns)
	until(t, "a flow of NACCT", func() bool {
		list := lines(f.path("ulog/nacct.log"))
		return len(list) == 1 && strings.Contains(list[0], "\t17\t127.0.0.1\t") && strings.HasSuffix(list[0], "\t127.0.0.1\t9\t0\t0")
	})
}
