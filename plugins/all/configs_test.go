package all

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ulogd-go/ulogd/contrib/lab"
)

// field is a daemon that runs a configuration from the field, unchanged: in its
// own network and mount namespace, with an empty /var/log.
type field struct {
	ns   *lab.NS
	cmd  *exec.Cmd
	log  bytes.Buffer
	done chan struct{}
}

// prepare makes the directories that such configurations expect, and puts files
// there that the test brings. If it brings a socket "log", that is /dev/log.
const prepare = `mount -t tmpfs none /var/log && mount -t tmpfs none /run &&
if [ -S "$0"/log ]; then mount -t tmpfs none /dev && mknod -m 666 /dev/null c 1 3 && ln -s "$0"/log /dev/log; fi &&
mkdir -p /var/log/ulog /var/log/ulogd /var/log/rules-pcap /run/ulog && cp -r "$0"/. /var/log/ulog/ && exec "$@"`

func startField(t *testing.T, ns *lab.NS, program, conf, files string) *field {
	t.Helper()
	f := &field{ns: ns, done: make(chan struct{})}
	f.cmd = exec.Command("sh", "-c", prepare, files, program, "-v", "-c", conf)
	f.cmd.Env = append(os.Environ(), "STATE_DIRECTORY="+t.TempDir())
	f.cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	f.cmd.Stdout, f.cmd.Stderr = &f.log, &f.log
	if err := ns.Start(f.cmd); err != nil {
		t.Fatal(err)
	}
	go func() { _ = f.cmd.Wait(); close(f.done) }()
	t.Cleanup(func() {
		_ = f.cmd.Process.Kill()
		<-f.done
		if t.Failed() {
			t.Logf("the daemon said:\n%s", &f.log)
		}
	})
	return f
}

// path is where a file of the daemon's own /var/log is seen from here.
func (f *field) path(name string) string {
	return filepath.Join("/proc", strconv.Itoa(f.cmd.Process.Pid), "root/var/log", name)
}

// stop ends the daemon and checks that it ends well.
func (f *field) stop(t *testing.T) {
	t.Helper()
	select {
	case <-f.done:
		t.Fatalf("the daemon did not stay alive: %v\n%s", f.cmd.ProcessState, &f.log)
	default:
	}
	if err := f.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	<-f.done
	if code := f.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("exit code %d, want 0\n%s", code, &f.log)
	}
}

// until polls a condition.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(15 * time.Second); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// lines are the complete lines of a file, none if it is not there.
func lines(path string) []string {
	data, err := os.ReadFile(path)
	if err != nil || len(data) == 0 {
		return nil
	}
	return strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")
}

// isJSON tells whether each of n lines is an object.
func isJSON(list []string, n int) bool {
	for _, l := range list {
		if !json.Valid([]byte(l)) {
			return false
		}
	}
	return len(list) == n
}

// openFiles counts the daemon's descriptors of a file.
func (f *field) openFiles(t *testing.T, name string) (n int) {
	t.Helper()
	dir := filepath.Join("/proc", strconv.Itoa(f.cmd.Process.Pid), "fd")
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		if target, err := os.Readlink(filepath.Join(dir, e.Name())); err == nil && target == name {
			n++
		}
	}
	return n
}

// TestConfigsFromTheField runs configurations of the shapes that are in use, as
// they are, and checks that they do what their table says.
func TestConfigsFromTheField(t *testing.T) {
	program, first := buildOurs(t), new(firstLog)
	tests := []struct {
		conf   string
		groups []uint16
		files  func(t *testing.T, dir string) // for /var/log/ulog
		check  func(t *testing.T, f *field)
	}{
		{conf: "01-debian-style-default", groups: []uint16{0}, check: hasLine("ulog/syslogemu.log")},
		{conf: "02-el-explicit-plugins", groups: []uint16{0}, check: hasLine("ulogd/ulogd_syslogemu.log")},
		{conf: "03-two-groups-unquoted", groups: []uint16{0, 1}, check: func(t *testing.T, f *field) {
			hasLine("ulogd-in.log")(t, f)
			hasLine("ulogd-fwd.log")(t, f)
		}},
		{conf: "04-shared-filters-three-inputs", groups: []uint16{10, 11, 12}, check: func(t *testing.T, f *field) {
			until(t, "three JSON objects", func() bool { return isJSON(lines(f.path("ulog/netflow.jsonl")), 3) })
			if n := f.openFiles(t, "/var/log/ulog/netflow.jsonl"); n != 1 {
				t.Errorf("%d descriptors of the shared file, want 1", n)
			}
		}},
		{conf: "05-generated-ini-two-outputs", groups: []uint16{100}, check: func(t *testing.T, f *field) {
			hasLine("ulogd.log")(t, f)
			until(t, "a JSON object", func() bool { return isJSON(lines(f.path("ulogd.json")), 1) })
		}},
		{conf: "11-sqlite-several-tables", groups: []uint16{10, 11, 20}, files: tables, check: func(t *testing.T, f *field) {
			until(t, "two rows in mainlog", func() bool { return rows(t, f.path("ulog/main.db"), "mainlog", fieldPacket) == 2 })
			until(t, "a row in bootlog", func() bool { return rows(t, f.path("ulog/boot.db"), "bootlog", fieldPacket) == 1 })
			connection(t, f.ns)
			until(t, "a connection that has ended in ulog_ct", func() bool {
				return rows(t, f.path("ulog/flow.db"), "ulog_ct", "flow_end_sec > 0 AND orig_ip_protocol = 17 AND orig_l4_dport = 9") == 1
			})
		}},
		{conf: "12-pcap-per-rule", groups: []uint16{1000, 1001, 1002}, check: func(t *testing.T, f *field) {
			for _, name := range []string{"0A000010", "0A000020", "0A000030"} {
				isCapture(t, f.path("rules-pcap/"+name+".pcap"))
			}
		}},
		{conf: "13-mark-filter-and-devnull", groups: []uint16{3, 4}, check: func(t *testing.T, f *field) {
			isCapture(t, f.path("ulog/all.pcap")) // of the packet without a mark
			hasMessage(t, f, "null1: counters rows=0 ")
			logPacket(t, f.ns, lab.Rule{DstPort: 4712, Groups: []uint16{3}, Mark: 0x15})
			hasMessage(t, f, "null1: counters rows=1 ")
			hasMessage(t, f, "[global] rmem: unknown option, ignored")
			hasMessage(t, f, "[global] bufsize: unknown option, ignored")
		}},
		{conf: "16-v1-stock-logemu", groups: []uint16{1}, check: hasFirstLine("ulogd.syslogemu")},
		{conf: "18-v1-many-outputs-loose-syntax", groups: []uint16{32}, files: first.files, check: func(t *testing.T, f *field) {
			hasFirstLine("ulogd.syslogemu")(t, f)
			hasFirstRecord("ulog/pktlog.log")(t, f)
			isCapture(t, f.path("ulog/pkts.pcap"))
			if data, _ := os.ReadFile(f.path("ulog/pkts.pcap")); binary.NativeEndian.Uint32(data[16:]) != 65535 {
				t.Errorf("packets of up to %d bytes, want 65535", binary.NativeEndian.Uint32(data[16:]))
			}
			hasFirstRow(t, f, "ulog/pkts.db")
			first.hasMessage(t)
		}},
		{conf: "19-v0-flat-keywords", groups: []uint16{1}, check: hasFirstRecord("ulogd.pktlog")},
		{conf: "17-v1-mysql-local-pwsniff", groups: []uint16{3}, check: func(t *testing.T, f *field) {
			hasMessage(t, f, "mysql1: packets 1 = written 0 + rejected 0 + waiting 1 ") // there is no server, and the row waits
		}},
		{conf: "20-unixsock-oprint-nacct-ulog", groups: []uint16{1, 2}, check: unixSocketAndULOG},
	}
	for _, tt := range tests {
		t.Run(tt.conf, func(t *testing.T) {
			ns := lab.Test(t)
			files := t.TempDir()
			if tt.files != nil {
				tt.files(t, files)
			}
			f := startField(t, ns, program, configPath(t, tt.conf), files)
			packetTo(t, ns, tt.groups)
			tt.check(t, f)
			f.stop(t)
		})
	}
}

func configPath(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs("testdata/configs/" + name + ".conf")
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// packetTo logs one packet to each group as soon as all are listened to.
func packetTo(t *testing.T, ns *lab.NS, groups []uint16) {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), 30*time.Second)
	defer stop()
	for _, g := range groups {
		if _, err := ns.WaitListener(ctx, g); err != nil {
			t.Fatal(err)
		}
	}
	logPacket(t, ns, lab.Rule{DstPort: 4711, Groups: groups, Prefix: "field: "})
}

// logPacket sends a packet to the rule's port of this host.
func logPacket(t *testing.T, ns *lab.NS, r lab.Rule) {
	t.Helper()
	r.Family, r.Hook, r.Protocol = "inet", "output", syscall.IPPROTO_UDP
	if _, err := ns.Log(r); err != nil {
		t.Fatal(err)
	}
	err := ns.Do(func() error {
		c, err := net.Dial("udp", fmt.Sprintf("127.0.0.1:%d", r.DstPort))
		if err != nil {
			return err
		}
		defer c.Close()
		_, err = c.Write([]byte("hello"))
		return err
	})
	if err != nil && !errors.Is(err, syscall.ECONNREFUSED) {
		t.Fatal(err)
	}
}

// hasMessage waits for a text in the daemon's log file, which counters enter when
// they are asked for.
func hasMessage(t *testing.T, f *field, text string) {
	t.Helper()
	until(t, "the message "+text, func() bool {
		if err := f.cmd.Process.Signal(syscall.SIGUSR1); err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(f.path("ulog/ulogd.log"))
		return err == nil && bytes.Contains(data, []byte(text))
	})
}

// hasLine waits for the packet's line.
func hasLine(name string) func(*testing.T, *field) {
	return func(t *testing.T, f *field) {
		t.Helper()
		until(t, "a line in "+name, func() bool {
			list := lines(f.path(name))
			return len(list) == 1 && strings.Contains(list[0], " field:  IN= OUT=lo MAC= SRC=127.0.0.1 DST=127.0.0.1 LEN=33 ") &&
				strings.Contains(list[0], " PROTO=UDP ") && strings.HasSuffix(list[0], " LEN=13 UID=0 GID=0 MARK=0x0 ")
		})
	}
}

// isCapture waits for a capture of link type 101 with a packet in it.
func isCapture(t *testing.T, path string) {
	t.Helper()
	until(t, "a capture in "+path, func() bool {
		data, err := os.ReadFile(path)
		return err == nil && len(data) == 24+16+33 && data[20] == 101
	})
}

// tables makes the databases of configuration 11.
func tables(t *testing.T, dir string) {
	t.Helper()
	const packets = "(oob_prefix TEXT, ip_saddr_str TEXT, udp_dport INTEGER, mac_str TEXT)"
	for file, table := range map[string]string{
		"main.db": "mainlog " + packets, "boot.db": "bootlog " + packets,
		"flow.db": "ulog_ct (flow_start_sec INTEGER, flow_end_sec INTEGER, orig_ip_protocol INTEGER, orig_l4_dport INTEGER)",
	} {
		db, err := sql.Open("sqlite", filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		if _, err := db.Exec("CREATE TABLE " + table); err != nil {
			t.Fatal(err)
		}
	}
}

// fieldPacket is what a row of the packet has.
const fieldPacket = "oob_prefix = 'field: ' AND ip_saddr_str = '127.0.0.1' AND udp_dport = 4711"

// rows counts the rows that are so, in a copy: SQLite would follow the link to the
// daemon's root and look in ours.
func rows(t *testing.T, path, table, so string) (n int) {
	t.Helper()
	copied := filepath.Join(t.TempDir(), "copy.db")
	data, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	if err := os.WriteFile(copied, data, 0o600); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", copied)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	err = db.QueryRow("SELECT count(*) FROM " + table + " WHERE " + so).Scan(&n)
	if err != nil {
		t.Logf("%s: %v", table, err) // perhaps it was copied in the middle of a transaction
	}
	return n
}

// TestJSONOverTCPFromTheField runs configuration 06 with a collector that comes
// late: nothing is lost.
func TestJSONOverTCPFromTheField(t *testing.T) {
	ns := lab.Test(t)
	f := startField(t, ns, buildOurs(t), configPath(t, "06-json-over-tcp"), t.TempDir())
	packetTo(t, ns, []uint16{2})
	var collector net.Listener
	if err := ns.Do(func() (err error) { collector, err = net.Listen("tcp", "127.0.0.1:6001"); return err }); err != nil {
		t.Fatal(err)
	}
	defer collector.Close()
	if err := collector.(*net.TCPListener).SetDeadline(time.Now().Add(15 * time.Second)); err != nil {
		t.Fatal(err)
	}
	c, err := collector.Accept()
	if err != nil {
		t.Fatalf("%v\n%s", err, &f.log)
	}
	defer c.Close()
	var got struct {
		Prefix string `json:"oob.prefix"`
		Port   int    `json:"dest_port"`
	}
	if err := json.NewDecoder(c).Decode(&got); err != nil || got.Prefix != "field: " || got.Port != 4711 {
		t.Errorf("%+v, %v", got, err)
	}
	f.stop(t)
}
