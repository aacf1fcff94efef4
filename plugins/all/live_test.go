package all

import (
	"bytes"
	"cmp"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	diff "github.com/google/go-cmp/cmp"

	"github.com/ulogd-go/ulogd/contrib/lab"
)

// original is the ulogd to compare with.
const original = "/usr/sbin/ulogd"

// needOriginal skips the test where the original ulogd is not installed.
func needOriginal(t *testing.T) {
	t.Helper()
	if _, err := os.Stat(original); err == nil {
		return
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s is not there: install the packages ulogd2, ulogd2-json, ulogd2-pcap, ulogd2-sqlite3", original)
	}
	t.Skipf("SKIPPED: %s is not there: install the packages ulogd2, ulogd2-json, ulogd2-pcap, ulogd2-sqlite3", original)
}

// buildOurs builds the daemon.
func buildOurs(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ulogd")
	build := exec.Command("go", "build", "-o", path, "../../cmd/ulogd")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return path
}

// sideBySide is a daemon that writes into a directory.
type sideBySide struct {
	dir string
	cmd *exec.Cmd
	log bytes.Buffer
}

// launch starts a daemon inside a namespace, with some more in its environment, and ends
// it with the test. In its configuration DIR stands for its directory.
func launch(t *testing.T, ns *lab.NS, program, dir, text string, env ...string) *sideBySide {
	t.Helper()
	d := &sideBySide{dir: dir}
	conf := filepath.Join(dir, "ulogd.conf")
	if err := os.WriteFile(conf, []byte(strings.ReplaceAll(text, "DIR", dir)), 0o600); err != nil {
		t.Fatal(err)
	}
	d.cmd = exec.Command(program, "-c", conf)
	d.cmd.Env = append(os.Environ(), env...)
	d.cmd.Stdout, d.cmd.Stderr = &d.log, &d.log
	if err := ns.Start(d.cmd); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.cmd.Process.Kill(); _ = d.cmd.Wait() })
	return d
}

const allOutputs = `[global]
logfile="stdout"
loglevel=5
stack=log1:NFLOG,base1:BASE,ifi1:IFINDEX,ip2str1:IP2STR,print1:PRINTPKT,emu1:LOGEMU
stack=log1:NFLOG,base1:BASE,ifi1:IFINDEX,ip2str1:IP2STR,mac2str1:HWHDR,json1:JSON
stack=log1:NFLOG,base1:BASE,ifi1:IFINDEX,ip2str1:IP2STR,op1:OPRINT
stack=log1:NFLOG,base1:BASE,ifi1:IFINDEX,ip2str1:IP2STR,gp1:GPRINT
stack=log1:NFLOG,xml1:XML
stack=log1:NFLOG,base1:BASE,pcap1:PCAP
stack=log1:NFLOG,base1:BASE,ifi1:IFINDEX,ip2str1:IP2STR,mac2str1:HWHDR,db1:SQLITE3
[log1]
group=%d
netlink_socket_buffer_size=16777216
netlink_socket_buffer_maxsize=16777217
[emu1]
file="DIR/logemu.log"
sync=1
[json1]
file="DIR/json.log"
sync=1
[op1]
file="DIR/oprint.log"
sync=1
[gp1]
file="DIR/gprint.log"
sync=1
[xml1]
directory="DIR"
sync=1
[pcap1]
file="DIR/ulogd.pcap"
sync=1
[db1]
db="DIR/ulogd.db"
table="ulog"
`

// table has the columns of an SQLite table that the original fills.
const table = `CREATE TABLE ulog (raw_pktlen, raw_pktcount, oob_prefix, oob_time_sec, oob_time_usec, oob_mark, oob_hook,
	oob_family, oob_protocol, oob_in, oob_out, ip_saddr, ip_saddr_str, ip_daddr_str, ip_protocol, ip_totlen, ip_ttl, ip_id,
	ip_fragoff, ip6_nexthdr, ip6_flowlabel, tcp_sport, tcp_dport, tcp_seq, tcp_window, tcp_syn, tcp_res2, udp_sport,
	udp_dport, icmp_type, icmp_csum, icmpv6_type, sctp_dport, mac_saddr_str, mac_str, raw_mac, raw_label)`

// selected are the rows, without what 2.0.8 stores otherwise than we do: numbers
// of 32 bits with a sign, IPv6 addresses cut to a number.
const selected = `SELECT rowid, raw_pktlen, raw_pktcount, oob_prefix, oob_time_sec, oob_time_usec, oob_mark & 0xffffffff, oob_hook,
	oob_family, oob_protocol, oob_in, oob_out, CASE WHEN oob_family = 2 THEN ip_saddr END, ip_saddr_str, ip_daddr_str,
	ip_protocol, ip_totlen, ip_ttl, ip_id, ip_fragoff, ip6_nexthdr, ip6_flowlabel, tcp_sport, tcp_dport,
	tcp_seq & 0xffffffff, tcp_window, tcp_syn, tcp_res2, udp_sport, udp_dport, icmp_type, icmp_csum, icmpv6_type,
	sctp_dport, mac_saddr_str, mac_str, raw_label FROM ulog ORDER BY rowid`

func makeTables(t *testing.T, path, statements string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(statements); err != nil {
		t.Fatal(err)
	}
}

// dump is the rows that a query selects as text, a line each.
func dump(t *testing.T, path, query string) []byte {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rows, err := db.Query(query)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	var text []byte
	for rows.Next() {
		values, at := make([]any, len(columns)), make([]any, len(columns))
		for i := range values {
			at[i] = &values[i]
		}
		if err := rows.Scan(at...); err != nil {
			t.Fatal(err)
		}
		text = fmt.Appendf(text, "%#v\n", values)
	}
	if rows.Err() != nil {
		t.Fatal(rows.Err())
	}
	return text
}

// startDaemon starts a daemon on a group and waits until it listens.
func startDaemon(t *testing.T, ns *lab.NS, program string, group uint16) *sideBySide {
	t.Helper()
	dir := t.TempDir()
	makeTables(t, filepath.Join(dir, "ulogd.db"), table)
	d := launch(t, ns, program, dir, fmt.Sprintf(allOutputs, group), "STATE_DIRECTORY="+t.TempDir())
	if _, err := ns.WaitListener(t.Context(), group); err != nil {
		t.Fatalf("%s: %v\n%s", program, err, &d.log)
	}
	return d
}

// stop ends the daemon in good order once it has written all packets.
func (d *sideBySide) stop(t *testing.T, packets int) {
	t.Helper()
	last := filepath.Join(d.dir, "logemu.log") // of a shared source, ulogd serves the first stack last
	for deadline := time.Now().Add(60 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		data, err := os.ReadFile(last)
		if err == nil && bytes.Count(data, []byte("MARK=0x")) >= packets {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s wrote %d of %d packets\n%s", d.cmd.Path, bytes.Count(data, []byte("\n")), packets, &d.log)
		}
	}
	if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := d.cmd.Wait(); err != nil {
		t.Errorf("%s: %v\n%s", d.cmd.Path, err, &d.log)
	}
}

// What 2.0.8 writes otherwise than later versions do, whom we follow: addresses
// in OPRINT and GPRINT, the octets of a gateway, and the addresses of ARP.
var (
	bareAddress = regexp.MustCompile(`\b((?:ip|arp)\.[sd]addr|icmp\.gateway)=[0-9a-f.:]+`)
	arpText     = regexp.MustCompile(`(arp\.[sd]addr\.str"?[=:] ?"?)[0-9.]+`)
	arpLine     = regexp.MustCompile(`SRC=[0-9.]+ DST=[0-9.]+ PROTO=ARP`)
	gateway     = regexp.MustCompile(`GATEWAY=[0-9.]+`)
)

func maskVersions(data []byte) []byte {
	data = when.ReplaceAll(data, []byte("<when/>"))
	data = bareAddress.ReplaceAll(data, []byte("$1=address"))
	data = arpText.ReplaceAll(data, []byte("${1}address"))
	data = arpLine.ReplaceAll(data, []byte("PROTO=ARP"))
	return gateway.ReplaceAll(data, []byte("GATEWAY=address"))
}

// compareLive compares all outputs of the two daemons line by line.
func compareLive(t *testing.T, theirs, ours *sideBySide) {
	t.Helper()
	for _, name := range []string{"logemu.log", "json.log", "oprint.log", "gprint.log", "xml.xml", "ulogd.pcap", "ulogd.db"} {
		read := readOutput
		if name == "ulogd.db" {
			read = func(t *testing.T, dir, name string) []byte { return dump(t, filepath.Join(dir, name), selected) }
		}
		want, got := read(t, theirs.dir, name), read(t, ours.dir, name)
		if name != "ulogd.pcap" {
			want, got = maskVersions(want), maskVersions(got)
		}
		if bytes.Equal(want, got) {
			continue
		}
		w, g := strings.SplitAfter(string(want), "\n"), strings.SplitAfter(string(got), "\n")
		sameRecords(t, name+" line", w, g)
		t.Errorf("%s differs: %d lines of ulogd, %d of ours", name, len(w), len(g))
	}
}

// sameRecords compares what two daemons wrote piece by piece, and shows the first that
// differ.
func sameRecords(t *testing.T, name string, want, got []string) {
	t.Helper()
	shown := 0
	for i := range max(len(want), len(got)) {
		if a, b := line(want, i), line(got, i); a != b && shown < 3 {
			t.Errorf("%s %d (-ulogd +ours):\n%s", name, i+1, diff.Diff(a, b))
			shown++
		}
	}
}

func line(lines []string, i int) string {
	if i < len(lines) {
		return lines[i]
	}
	return "(none)"
}

// TestLive sends the same random packets, a part of them malformed, to the
// original and to ours, and compares what they write.
func TestLive(t *testing.T) {
	needOriginal(t)
	program := buildOurs(t)
	for _, tt := range []struct {
		name   string
		seed   uint64
		frames int
		vlan   int
		rule   lab.Rule
		bridge bool
	}{
		{"routed", 1, 4000, 0, lab.Rule{Family: "inet", Hook: "prerouting", Priority: lab.PriorityFirst, Prefix: "routed: "}, false},
		{"bridged", 2, 4000, 10, lab.Rule{Family: "bridge", Hook: "prerouting", Prefix: "bridged", Mark: 0xbeef}, true},
		{"cut", 3, 3000, 0, lab.Rule{Family: "bridge", Hook: "prerouting", Snaplen: 47, Prefix: strings.Repeat("long ", 25)}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ns, peer := lab.Test(t), lab.Test(t)
			port := lab.Port{NS: ns, Name: "va", Index: 11, MAC: "02:00:00:00:00:0a"}
			if tt.bridge {
				if err := lab.Bridge(lab.Port{NS: ns, Name: "br0", Index: 10}); err != nil {
					t.Fatal(err)
				}
				port.Master = "br0"
			} else {
				port.Addrs = []string{"192.0.2.1/24", "2001:db8::1/64"}
			}
			if err := lab.Veth(port, lab.Port{NS: peer, Name: "vb", MAC: "02:00:00:00:00:0b"}); err != nil {
				t.Fatal(err)
			}
			tt.rule.SrcMAC, tt.rule.Groups = "02:00:00:00:be:ef", []uint16{1, 2}
			hits, err := ns.Log(tt.rule)
			if err != nil {
				t.Fatal(err)
			}
			stamps, err := ns.Timestamps()
			if err != nil {
				t.Fatal(err)
			}
			defer stamps.Close()
			theirs, ours := startDaemon(t, ns, original, 1), startDaemon(t, ns, program, 2)

			maker := lab.Packets(tt.seed)
			maker.VLAN = tt.vlan
			if err := peer.SendFrames("vb", maker.Frames(tt.frames)...); err != nil {
				t.Fatal(err)
			}
			matched, err := hits.Packets()
			if err = cmp.Or(err, atLeast(matched, 1000)); err != nil {
				t.Fatal(err)
			}
			theirs.stop(t, int(matched))
			ours.stop(t, int(matched))
			compareLive(t, theirs, ours)
			t.Logf("%d packets compared", matched)
		})
	}
}

func atLeast(n, want uint64) error {
	if n < want {
		return fmt.Errorf("the rule matched %d packets, want %d at least", n, want)
	}
	return nil
}
