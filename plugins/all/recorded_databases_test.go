package all

import (
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/ulogd-go/ulogd/contrib/dbtest"
	"github.com/ulogd-go/ulogd/contrib/lab"
)

// recorded is a packet of a recording.
type recorded struct {
	recording string
	index     int
	sec       uint64 // its time, which no other has
	message   []byte // the kernel's, for group 1
}

func (p recorded) String() string { return fmt.Sprintf("%s/%d", p.recording, p.index) }

// etherType is in the first attribute of each message.
func (p recorded) etherType() uint16 { return binary.BigEndian.Uint16(p.message[8:]) }

// recordedPackets are the packets of all recordings, each with a time of its own: some
// have none from the kernel, and daemons would take their own.
func recordedPackets(t *testing.T) (list []recorded) {
	t.Helper()
	dirs, err := filepath.Glob("testdata/cases/*")
	if err != nil || len(dirs) < 39 {
		t.Fatalf("%d recordings, %v; want at least 39", len(dirs), err)
	}
	sec := uint64(time.Now().Add(-time.Hour).Unix())
	for _, dir := range dirs {
		for i, l := range loggedIn(t, dir+"/packets.pcap") {
			sec++
			l.attrs[3] = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, sec), sec%1000)
			list = append(list, recorded{filepath.Base(dir), i, sec, l.message(1)})
		}
	}
	return list
}

// message is what the kernel sent to a group, without the netlink header.
func (l logged) message(group uint16) []byte {
	m := []byte{l.family, 0, byte(group >> 8), byte(group)}
	for typ := range uint16(32) {
		if v, ok := l.attrs[typ]; ok {
			m = binary.LittleEndian.AppendUint16(m, uint16(4+len(v)))
			m = binary.LittleEndian.AppendUint16(m, typ)
			m = append(m, v...)
			m = append(m, make([]byte, -len(v)&3)...)
		}
	}
	return m
}

// recordedLinks are the interfaces of all recordings, by index.
var recordedLinks = map[int]string{2: "tun7", 10: "br0", 11: "va", 12: "vc"}

// withLinks is a namespace with these interfaces.
func withLinks(t *testing.T) *lab.NS {
	t.Helper()
	ns := lab.Test(t)
	for index, name := range recordedLinks {
		if err := lab.Bridge(lab.Port{NS: ns, Name: name, Index: index}); err != nil {
			t.Fatal(err)
		}
	}
	return ns
}

// capture makes a capture file of packets, and the source that reads it.
func capture(t *testing.T, packets []recorded) source {
	t.Helper()
	le := binary.LittleEndian
	file := le.AppendUint32(nil, 0xa1b2c3d4)
	file = append(file, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0)
	file = le.AppendUint32(file, 239)
	for _, p := range packets {
		file = append(file, make([]byte, 8)...)
		file = le.AppendUint32(le.AppendUint32(file, uint32(len(p.message))), uint32(len(p.message)))
		file = append(file, p.message...)
	}
	path := filepath.Join(t.TempDir(), "packets.pcap")
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	names := []string{"1=lo"}
	for index, name := range recordedLinks {
		names = append(names, fmt.Sprint(index, "=", name))
	}
	return source{"REPLAY", fmt.Sprintf("file=%q\ninterfaces=%q\n", path, strings.Join(names, ","))}
}

// kernel is the sender of a daemon's netlink messages.
type kernel struct{ net.Conn }

// dialKernel takes the kernel's place at a daemon that was started with the library of
// nflog-of-processes.c.
func dialKernel(t *testing.T, path string) (k kernel) {
	t.Helper()
	until(t, "a socket of the daemon", func() bool {
		var err error
		k.Conn, err = net.Dial("unixgram", path)
		return err == nil
	})
	t.Cleanup(func() { k.Close() })
	return k
}

func (k kernel) send(t *testing.T, p recorded) {
	t.Helper()
	const packet = 4 << 8 // NFNL_SUBSYS_ULOG, NFULNL_MSG_PACKET
	b := binary.NativeEndian.AppendUint32(nil, uint32(16+len(p.message)))
	b = binary.NativeEndian.AppendUint16(b, packet)
	b = append(b, make([]byte, 10)...)
	if _, err := k.Write(append(b, p.message...)); err != nil {
		t.Fatal(err)
	}
}

// loses tells whether ulogd loses a packet because a value does not fit (reference page
// "schemas", section 6.6). Each was sent by itself to see it.
func (w way) loses(p recorded) bool {
	packet := p.String()
	switch {
	case packet == "30-prefix-bytes/2": // no UTF-8
		return true
	case strings.HasPrefix(w.schema, "ours"), strings.HasPrefix(w.schema, "v1"):
		return false
	case p.recording == "29-long-prefix":
		return true
	case w.schema == numbersAndTexts:
		return packet == "18-udp6/2" // a mapped address is longer than the column for IPv4
	case w.engine == dbtest.MySQL:
		return p.etherType() >= 1<<15 || w.relational() && packet == "13-sctp/0"
	}
	return slices.Contains([]string{"08-icmp4-redirect/0", "08-icmp4-redirect/1", "08-icmp4-redirect/2", "08-icmp4-redirect/3", "13-sctp/0",
		"14-ip4-fragments/5", "14-ip4-fragments/6", "27-mark/1", "27-mark/2"}, packet)
}

// blank removes what ulogd stores of an address of IPv6 where it has no text for it: four
// bytes as a number. Ours is NULL, or text in a column for texts.
func (w way) blank(t *testing.T, db *dbtest.Database, packets []recorded) {
	t.Helper()
	var times []string
	for _, p := range packets {
		if p.etherType() == unix.ETH_P_IPV6 {
			times = append(times, fmt.Sprint(p.sec))
		}
	}
	db.Exec(t, fmt.Sprintf("update %s set ip_saddr = null, ip_daddr = null where oob_time_sec in (%s)", w.packets(), strings.Join(times, ", ")))
}

// TestRecordedRows has Debian's ulogd and ours store the packets of all recordings, to
// the bit of the kernel's messages, and compares all tables. What ulogd loses we store.
func TestRecordedRows(t *testing.T) {
	needOriginal(t)
	ours, so := buildOurs(t), shim(t, "nflog-of-processes.c")
	for _, w := range ways {
		t.Run(w.String(), func(t *testing.T) {
			ns := withLinks(t)
			var stored, lost []recorded
			for _, p := range recordedPackets(t) {
				if w.loses(p) {
					lost = append(lost, p)
				} else {
					stored = append(stored, p)
				}
			}
			if len(stored) < 110 || len(stored)+len(lost) != 170 {
				t.Fatalf("%d packets and %d", len(stored), len(lost))
			}

			theirs := w.database(t)
			path := filepath.Join(t.TempDir(), "nflog")
			startOn(t, ns, original, theirs, w, fromGroup(1), "", "LD_PRELOAD="+so, "NFLOG_SOCKET="+path)
			k := dialKernel(t, path)
			for _, p := range stored {
				k.send(t, p)
			}
			awaitRows(t, theirs, w.packets(), fmt.Sprint(len(stored)), "ulogd")
			if w.bare() {
				w.blank(t, theirs, stored)
			}
			want := w.contents(t, theirs)

			options := []string{""}
			if w.procedure != "INSERT" {
				options = append(options, "direct=\"no\"\n")
			}
			for _, o := range options {
				db := w.database(t)
				play := func(packets []recorded) {
					t.Helper()
					if err := startOn(t, ns, ours, db, w, capture(t, packets), o).Wait(); err != nil {
						t.Error(err)
					}
				}
				play(stored)
				if w.schema == "v1 with texts" {
					w.blank(t, db, stored)
				}
				if diff := cmp.Diff(want, w.contents(t, db)); diff != "" {
					t.Errorf("%q: ulogd's rows and ours (-want +got):\n%s", o, diff[:min(len(diff), 5000)])
				}
				play(lost)
				total := len(stored) + len(lost)
				if o != "" && w.engine == dbtest.MySQL && w.schema == "ulogd2" {
					total-- // its procedure refuses the checksum of 13-sctp, and the row is kept as a reject
				}
				if n := db.Count(t, w.packets()); n != fmt.Sprint(total) {
					t.Errorf("%q: %s rows, want one for each of %d packets", o, n, total)
				}
			}
			t.Logf("%d packets compared, in %d rows of all tables; ulogd loses %d more", len(stored), len(want), len(lost))
		})
	}
}

// selectedPackets are the rows of ulogd's own table, without the sign of 32-bit numbers.
const selectedPackets = `SELECT rowid, raw_pktlen, raw_pktcount, oob_prefix, oob_time_sec, oob_time_usec, oob_mark & 0xffffffff, oob_hook,
	oob_uid & 0xffffffff, oob_gid & 0xffffffff FROM ulog_pkt ORDER BY rowid`

// TestRecordedRowsSQLite has both store the packets of all recordings in SQLite, in ulogd's
// own table, whose definition is from its package, and in one with more columns.
func TestRecordedRowsSQLite(t *testing.T) {
	needOriginal(t)
	definition, err := os.ReadFile("/usr/share/doc/ulogd2/sqlite3.table")
	if err != nil {
		t.Fatal(err)
	}
	packets, so := recordedPackets(t), shim(t, "nflog-of-processes.c")
	// Of a shared source ulogd serves the first stack last, and a reader of its databases
	// would cost it rows.
	const text = `stack=log1:%[1]s,gp1:GPRINT
stack=log1:%[1]s,base1:BASE,ifi1:IFINDEX,ip2str1:IP2STR,mac2str1:HWHDR,db1:SQLITE3
stack=log1:%[1]s,pkt1:SQLITE3
[gp1]
file="DIR/gprint.log"
sync=1
[db1]
db="DIR/wide.db"
table="ulog"
[pkt1]
db="DIR/ulogd.db"
table="ulog_pkt"
[log1]
%[2]s`
	var files [2]string // of each daemon
	for i, program := range []string{original, buildOurs(t)} {
		dir := t.TempDir()
		files[i] = dir
		makeTables(t, filepath.Join(dir, "wide.db"), table)
		makeTables(t, filepath.Join(dir, "ulogd.db"), string(definition))
		from, path := fromGroup(1), filepath.Join(t.TempDir(), "nflog")
		if program != original {
			from = capture(t, packets)
		}
		d := launch(t, withLinks(t), program, dir, "[global]\nlogfile=stdout\n"+fmt.Sprintf(text, from.plugin, from.options),
			"STATE_DIRECTORY="+t.TempDir(), "LD_PRELOAD="+so, "NFLOG_SOCKET="+path)
		if program == original {
			k := dialKernel(t, path)
			for _, p := range packets {
				k.send(t, p)
			}
			until(t, "all packets", func() bool { return len(lines(filepath.Join(dir, "gprint.log"))) == len(packets) })
			d.signal(t, unix.SIGTERM)
		}
		if err := d.cmd.Wait(); err != nil {
			t.Errorf("%s: %v\n%s", program, err, &d.log)
		}
	}
	for name, query := range map[string]string{"wide.db": selected, "ulogd.db": selectedPackets} {
		want, got := dump(t, filepath.Join(files[0], name), query), dump(t, filepath.Join(files[1], name), query)
		if n := strings.Count(string(want), "\n"); n != len(packets) {
			t.Errorf("%s: ulogd has stored %d of %d packets", name, n, len(packets))
		}
		sameRecords(t, name+" row", strings.Split(string(want), "\n"), strings.Split(string(got), "\n"))
	}
}
