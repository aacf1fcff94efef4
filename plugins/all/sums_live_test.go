package all

import (
	"bufio"
	"net"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ulogd-go/ulogd/contrib/lab"
)

const graphiteStack = `[global]
logfile="stdout"
loglevel=5
stack=acct1:NFACCT,graphite1:GRAPHITE
[acct1]
pollinterval=1
zerocounter=0
timestamp=1
[graphite1]
host="127.0.0.1"
port="2003"
prefix="netfilter.nfacct"
`

// lineTime is the time of a poll.
var lineTime = regexp.MustCompile(` [0-9]{10}$`)

// sentToGraphite runs a daemon until it has sent so many lines, and returns them without
// their times.
func sentToGraphite(t *testing.T, ns *lab.NS, program string, n int) (list []string) {
	t.Helper()
	var l net.Listener
	if err := ns.Do(func() (err error) { l, err = net.Listen("tcp", "127.0.0.1:2003"); return err }); err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	d := launch(t, ns, program, t.TempDir(), graphiteStack)
	defer func() { _ = d.cmd.Process.Kill(); _ = d.cmd.Wait() }()
	if err := l.(*net.TCPListener).SetDeadline(time.Now().Add(15 * time.Second)); err != nil {
		t.Fatal(err)
	}
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(15 * time.Second)); err != nil {
		t.Fatal(err)
	}
	for s := bufio.NewScanner(conn); len(list) < n; {
		if !s.Scan() {
			t.Fatalf("after %d lines: %v", len(list), s.Err())
		}
		if !lineTime.MatchString(s.Text()) {
			t.Errorf("%q does not end with a time", s.Text())
		}
		list = append(list, lineTime.ReplaceAllString(s.Text(), ""))
	}
	return list
}

// TestLiveGraphite has both daemons poll the same accounting objects, and compares what
// they send.
func TestLiveGraphite(t *testing.T) {
	needOriginal(t)
	program := buildOurs(t)
	ns := lab.Test(t)
	objects := map[string]uint64{"http-in": 1, "http.out": 1 << 40, "a-name-of-31-characters-in-full": 0, "x": 12345}
	for name, packets := range objects {
		if err := ns.Account(name, packets, 3*packets); err != nil {
			t.Fatal(err)
		}
	}
	const polls = 2
	n := polls * 2 * len(objects)
	want, got := sentToGraphite(t, ns, original, n), sentToGraphite(t, ns, program, n)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-ulogd +ours)\n%s", diff)
	}
	if !slices.Contains(got, "netfilter.nfacct.http.out.bytes 3298534883328") {
		t.Errorf("%q", strings.Join(got, "; "))
	}
}
