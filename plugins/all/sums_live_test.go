package all

import (
	"bufio"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ulogd-go/ulogd/contrib/lab"
)

// sumStacks have a source for each output: in ulogd only the first stack of a source
// gets times.
const sumStacks = `[global]
logfile="stdout"
loglevel=5
stack=acct1:NFACCT,graphite1:GRAPHITE
stack=acct2:NFACCT,xml1:XML
stack=acct3:NFACCT,gp1:GPRINT
stack=acct4:NFACCT,json1:JSON
stack=acct5:NFACCT,op1:OPRINT
[acct1]
pollinterval=1
zerocounter=0
timestamp=1
[acct2]
pollinterval=1
zerocounter=0
timestamp=1
[acct3]
pollinterval=1
zerocounter=0
timestamp=1
[acct4]
pollinterval=1
zerocounter=0
timestamp=1
[acct5]
pollinterval=1
zerocounter=0
[graphite1]
host="127.0.0.1"
port="2003"
prefix="netfilter.nfacct"
[xml1]
directory="DIR"
sync=1
[gp1]
file="DIR/gprint.log"
sync=1
[json1]
file="DIR/json.log"
sync=1
[op1]
file="DIR/oprint.log"
sync=1
`

// What each poll has anew.
var (
	sumTime   = regexp.MustCompile(`(oob\.time\.u?sec"?[=:] ?)[0-9]+`)
	sumMoment = regexp.MustCompile(`<hour>.*</year>`)
	lineTime  = regexp.MustCompile(` [0-9]{10}$`)
)

// polled runs a daemon until it has written the objects to all outputs, and returns
// what a poll writes to each.
func polled(t *testing.T, ns *lab.NS, program string, objects int) map[string][]string {
	t.Helper()
	var l net.Listener
	if err := ns.Do(func() (err error) { l, err = net.Listen("tcp", "127.0.0.1:2003"); return err }); err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	received := make(chan []string, 1)
	go func() {
		var list []string
		defer func() { received <- list }()
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(15 * time.Second))
		for s := bufio.NewScanner(conn); len(list) < 2*objects && s.Scan(); {
			list = append(list, s.Text())
		}
	}()
	d := &sideBySide{dir: t.TempDir()}
	conf := filepath.Join(d.dir, "ulogd.conf")
	if err := os.WriteFile(conf, []byte(strings.ReplaceAll(sumStacks, "DIR", d.dir)), 0o600); err != nil {
		t.Fatal(err)
	}
	d.cmd = exec.Command(program, "-c", conf)
	d.cmd.Stdout, d.cmd.Stderr = &d.log, &d.log
	if err := ns.Start(d.cmd); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.cmd.Process.Kill(); _ = d.cmd.Wait() })

	texts := map[string][]string{"GRAPHITE": <-received}
	perObject := map[string]int{"gprint.log": 1, "json.log": 1, "oprint.log": 5} // lines
	for name, n := range perObject {
		until(t, name, func() bool { return len(lines(filepath.Join(d.dir, name))) >= n*objects })
		texts[name] = lines(filepath.Join(d.dir, name))[:n*objects]
	}
	until(t, "XML", func() bool { return len(strings.Split(string(readOutput(t, d.dir, "xml.xml")), "\n")) > objects+2 })
	texts["XML"] = strings.Split(string(readOutput(t, d.dir, "xml.xml")), "\n")[:objects+2]
	for _, list := range texts {
		for i := range list {
			list[i] = lineTime.ReplaceAllString(sumMoment.ReplaceAllString(sumTime.ReplaceAllString(list[i], "${1}0"), ""), "")
			list[i] = jsonTimestamp.ReplaceAllString(list[i], "")
		}
	}
	return texts
}

// TestLiveSums has both daemons poll the same accounting objects, and compares what they
// send to Graphite and write to files.
func TestLiveSums(t *testing.T) {
	needOriginal(t)
	program := buildOurs(t)
	ns := lab.Test(t)
	objects := map[string]uint64{"http-in": 1, "http.out": 1 << 40, "a-name-of-31-characters-in-full": 0, "x": 12345}
	for name, packets := range objects {
		if err := ns.Account(name, packets, 3*packets); err != nil {
			t.Fatal(err)
		}
	}
	want, got := polled(t, ns, original, len(objects)), polled(t, ns, program, len(objects))
	for name := range want {
		if n := len(want[name]); n < len(objects) {
			t.Errorf("%s: %d lines of ulogd", name, n)
		}
		if diff := cmp.Diff(want[name], got[name]); diff != "" {
			t.Errorf("%s (-ulogd +ours)\n%s", name, diff)
		}
	}
	if !slices.Contains(got["GRAPHITE"], "netfilter.nfacct.http.out.bytes 3298534883328") {
		t.Errorf("sent to Graphite: %q", got["GRAPHITE"])
	}
}
