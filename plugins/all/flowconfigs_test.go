package all

import (
	"encoding/json"
	"errors"
	"net"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ulogd-go/ulogd/contrib/lab"
)

// connection begins a connection of UDP within this host, and ends it.
func connection(t *testing.T, ns *lab.NS) {
	t.Helper()
	if err := ns.Track(0); err != nil {
		t.Fatal(err)
	}
	if err := ns.Do(func() error { return datagram("udp", "127.0.0.1:9") }); err != nil && !errors.Is(err, syscall.ECONNREFUSED) {
		t.Fatal(err)
	}
	if err := ns.FlushConnections(); err != nil {
		t.Fatal(err)
	}
}

// TestFlowConfigsFromTheField runs configurations of flows as they are.
func TestFlowConfigsFromTheField(t *testing.T) {
	program := buildOurs(t)
	for conf, check := range map[string]func(t *testing.T, program, conf string){
		"07-nfct-syslog-quoted-stack":  newFlowsToSyslog,
		"08-nfct-destroy-filters-json": endedFlows,
	} {
		t.Run(conf, func(t *testing.T) { check(t, program, configPath(t, conf)) })
	}
}

// newFlowsToSyslog has the test listen in the place of the syslog daemon.
func newFlowsToSyslog(t *testing.T, program, conf string) {
	r, files := newRouter(t), t.TempDir()
	daemon, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(files, "log"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer daemon.Close()
	f := startField(t, r.ns, program, conf, files)
	newGroup := 1 // NFNLGRP_CONNTRACK_NEW
	until(t, "a listener", func() bool { n, err := r.ns.Members(syscall.NETLINK_NETFILTER, newGroup); return err == nil && n > 0 })
	r.talk(t, 3, 10)
	messages := make(chan string, 1000)
	go func() { // until the end: a daemon whose log is not read would wait
		defer close(messages)
		for buf := make([]byte, 4096); ; {
			n, err := daemon.Read(buf)
			if err != nil {
				return
			}
			// The daemon's own log goes there, too, by logfile="syslog".
			if text := string(buf[:n]); strings.Contains(text, "ORIG: ") {
				select {
				case messages <- text:
				default:
				}
			}
		}
	}()
	for found := false; !found; {
		select {
		case text := <-messages:
			if !strings.HasPrefix(text, "<149>") || !strings.Contains(text, "]: [NEW] ORIG: SRC=") {
				t.Fatalf("%q, want local2.notice and a new connection", text)
			}
			found = strings.Contains(text, "SRC=192.0.2.2 DST=192.0.2.1 PROTO=TCP ") && strings.Contains(text, " DPT=8080 ")
		case <-time.After(15 * time.Second):
			t.Fatalf("no message of the connection\n%s", &f.log)
		}
	}
	f.stop(t)
}

// endedFlows are those of TCP and UDP from two networks.
func endedFlows(t *testing.T, program, conf string) {
	r := newRouter(t)
	f := startField(t, r.ns, program, conf, t.TempDir())
	destroyGroup := 3 // NFNLGRP_CONNTRACK_DESTROY
	until(t, "a listener", func() bool {
		n, err := r.ns.Members(syscall.NETLINK_NETFILTER, destroyGroup)
		return err == nil && n > 0
	})
	r.talk(t, 3, 100)
	if err := r.ns.FlushConnections(); err != nil {
		t.Fatal(err)
	}
	list := func() []string { return lines(f.path("ulog/nfct.json")) }
	families := map[int]int{}
	until(t, "flows of both families", func() bool {
		clear(families)
		for _, line := range list() {
			var flow struct {
				Device   string `json:"dvc"`
				Source   string `json:"src_ip"`
				Protocol int    `json:"orig.ip.protocol"`
				Event    int    `json:"ct.event"`
				Family   int    `json:"oob.family"`
			}
			if json.Unmarshal([]byte(line), &flow) != nil {
				return false // half a line
			}
			families[flow.Family]++
			inside := strings.HasPrefix(flow.Source, "192.0.2.") || strings.HasPrefix(flow.Source, "2001:db8::")
			if flow.Device != "edge-a" || !inside || flow.Protocol != 6 && flow.Protocol != 17 || flow.Event != 4 {
				t.Fatalf("%s, want a connection of TCP or UDP that has ended", line)
			}
		}
		return families[2] > 5 && families[10] > 2
	})
	f.stop(t)
}
