package all

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ulogd-go/ulogd/contrib/lab"
)

// inputOutputs are what follows a source in the stacks of these tests, by the file
// that it writes.
var inputOutputs = []struct{ file, stack, section string }{
	{"logemu.log", "base1:BASE,ip2str1:IP2STR,print1:PRINTPKT,emu1:LOGEMU", "[emu1]\nfile=DIR/logemu.log\nsync=1\n"},
	{"json.log", "base1:BASE,ip2str1:IP2STR,hw1:HWHDR,json1:JSON", "[json1]\nfile=DIR/json.log\nsync=1\n"},
	{"oprint.log", "base1:BASE,ip2str1:IP2STR,hw1:HWHDR,op1:OPRINT", "[op1]\nfile=DIR/oprint.log\nsync=1\n"},
	{"gprint.log", "base1:BASE,ip2str1:IP2STR,gp1:GPRINT", "[gp1]\nfile=DIR/gprint.log\nsync=1\n"},
	{"ulogd.pcap", "base1:BASE,pcap1:PCAP", "[pcap1]\nfile=DIR/ulogd.pcap\nsync=1\n"},
}

// startConfig starts a daemon, with some more in its environment, and waits until it
// runs. DIR stands for its directory.
func startConfig(t *testing.T, ns *lab.NS, program, text string, env ...string) *sideBySide {
	t.Helper()
	d := launch(t, ns, program, t.TempDir(), "[global]\nlogfile=DIR/log\nloglevel=3\n"+text, env...)
	log := filepath.Join(d.dir, "log")
	t.Cleanup(func() {
		if text, err := os.ReadFile(log); err == nil && t.Failed() {
			t.Logf("%s said:\n%s", program, text[max(0, len(text)-2000):])
		}
	})
	until(t, program+" runs", func() bool {
		data, err := os.ReadFile(log)
		return err == nil && bytes.Contains(data, []byte("initialization finished"))
	})
	return d
}

// end ends a daemon in good order.
func (d *sideBySide) end(t *testing.T) {
	t.Helper()
	d.signal(t, unix.SIGTERM)
	if err := d.cmd.Wait(); err != nil {
		t.Errorf("%s: %v\n%s", d.cmd.Path, err, &d.log)
	}
}

func (d *sideBySide) signal(t *testing.T, s os.Signal) {
	t.Helper()
	if err := d.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// sameLines compares two texts line by line.
func sameLines(t *testing.T, name string, want, got []byte) {
	t.Helper()
	w, g := strings.SplitAfter(string(want), "\n"), strings.SplitAfter(string(got), "\n")
	sameRecords(t, name+" line", w, g)
	if len(want) == 0 {
		t.Errorf("%s: ulogd wrote nothing", name)
	}
}

// unixStacks is a configuration with a stack for each output: on one socket, or on a
// socket each, since ulogd gives packets to the first stack only.
func unixStacks(shared bool) (text string, sockets []string) {
	var sections strings.Builder
	for i, o := range inputOutputs {
		name := fmt.Sprintf("nu%d", i)
		if shared {
			name = "nu0"
		}
		if i == 0 || !shared {
			sockets = append(sockets, name)
			fmt.Fprintf(&sections, "[%s]\nsocket_path=DIR/%[1]s\n", name)
		}
		text += "stack=" + name + ":UNIXSOCK," + o.stack + "\n"
		sections.WriteString(o.section)
	}
	return text + sections.String(), sockets
}

// unixStream is n random packets, a part of them malformed, as a client sends them: each
// with a time and perhaps with other options. Ulogd takes a packet without any for one
// with those of an earlier packet.
func unixStream(n int) []byte {
	rnd := rand.New(rand.NewPCG(1, 2))
	var stream []byte
	for i, frame := range lab.Packets(4).Frames(n) {
		number := func(n uint32) string { return string(binary.NativeEndian.AppendUint32(nil, n)) }
		options := unixOption(nil, 4, number(1700000000+uint32(i)))
		for _, o := range []struct {
			number uint32
			value  string
		}{
			{1, "FW: \x00"}, {2, "eth0\x00"}, {3, "eth1\x00"}, {200, "alice\x00"}, {201, number(rnd.Uint32())}, {202, "Linux\x00"},
			{203, "6.1.0\x00"}, {204, "#1 SMP\x00"}, {205, "/usr/bin/ssh\x00"}, {206, string([]byte{byte(rnd.IntN(5))})}, {207, "unknown"},
		} {
			if rnd.IntN(3) == 0 {
				options = unixOption(options, o.number, o.value)
			}
		}
		payload := frame[14:]
		padded := append(bytes.Clone(payload), make([]byte, -len(payload)&7)...)
		stream = append(stream, 0x41, 0xc9, 0x0f, 0xd4)
		stream = binary.BigEndian.AppendUint16(stream, uint16(8+len(padded)+len(options)))
		stream = append(stream, 0, 0, 0, 0)
		stream = binary.BigEndian.AppendUint16(stream, uint16(len(payload)))
		stream = append(append(stream, padded...), options...)
	}
	return stream
}

func unixOption(dst []byte, number uint32, value string) []byte {
	dst = binary.BigEndian.AppendUint32(dst, number)
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(value)))
	dst = append(dst, value...)
	return append(dst, make([]byte, -len(value)&7)...)
}

// TestLiveUnixSocket has a client send the same bytes to the original and to ours.
func TestLiveUnixSocket(t *testing.T) {
	needOriginal(t)
	ns := lab.Test(t)
	const packets = 2000
	stream := unixStream(packets)
	run := func(program string, shared bool) *sideBySide {
		text, sockets := unixStacks(shared)
		d := startConfig(t, ns, program, text)
		for _, name := range sockets {
			c, err := net.Dial("unix", filepath.Join(d.dir, name))
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if _, err := c.Write(stream); err != nil {
				t.Fatal(err)
			}
		}
		until(t, "all packets", func() bool {
			for _, name := range []string{"logemu.log", "json.log", "gprint.log"} {
				if len(lines(filepath.Join(d.dir, name))) < packets {
					return false
				}
			}
			op, _ := os.ReadFile(filepath.Join(d.dir, "oprint.log"))
			return bytes.Count(op, []byte("===>PACKET")) == packets
		})
		d.end(t)
		return d
	}
	theirs, ours := run(original, false), run(buildOurs(t), true)
	for _, o := range inputOutputs {
		want, got := readFile(t, filepath.Join(theirs.dir, o.file)), readFile(t, filepath.Join(ours.dir, o.file))
		if o.file == "ulogd.pcap" {
			// The time of reading: those of the packets have no microseconds.
			if want, got := withoutTimes(want), withoutTimes(got); !bytes.Equal(want, got) || len(want) < 1000 {
				t.Errorf("captures of %d and %d bytes differ", len(want), len(got))
			}
			continue
		}
		sameLines(t, o.file, maskVersions(want), maskVersions(got))
	}
}

// withoutTimes is a capture whose records have no times.
func withoutTimes(capture []byte) []byte {
	capture = bytes.Clone(capture)
	for at := 24; at+16 <= len(capture); at += 16 + int(binary.NativeEndian.Uint32(capture[at+8:])) {
		clear(capture[at : at+8])
	}
	return capture
}

// pollTime is the time of a poll, which the two daemons make one after the other.
var pollTime = regexp.MustCompile(`(oob\.time\.u?sec"?[=:] ?|"timestamp": )("[^"]*"|\d+)`)

// accounts makes objects with the same names and values in a namespace, and a rule that
// counts into one.
func accounts(t *testing.T, ns *lab.NS) {
	t.Helper()
	for name, count := range map[string]uint64{"http-in": 3} {
		if err := ns.Account(name, count, 100*count); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 40 {
		if err := ns.Account(fmt.Sprintf("object %d,=\"ü", i), uint64(i)<<32, uint64(i)); err != nil {
			t.Fatal(err)
		}
	}
	rule := exec.Command("iptables", "-A", "OUTPUT", "-p", "udp", "-m", "nfacct", "--nfacct-name", "http-in")
	var out bytes.Buffer
	rule.Stdout, rule.Stderr = &out, &out
	if err := ns.Start(rule); err != nil {
		t.Fatal(err)
	}
	if err := rule.Wait(); err != nil {
		t.Fatalf("iptables: %v\n%s", err, &out)
	}
	countOne(t, ns)
}

// countOne sends a packet that the rule counts.
func countOne(t *testing.T, ns *lab.NS) {
	t.Helper()
	err := ns.Do(func() error {
		c, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		defer c.Close()
		_, err = c.WriteTo([]byte("hello"), &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 9})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

const objects = 41

// TestLiveAccounting polls accounting objects with the same counters, in a namespace
// each, by the original and by ours: totals, and what was counted since the last poll. The
// polls are asked for by SIGUSR2.
func TestLiveAccounting(t *testing.T) {
	needOriginal(t)
	program := buildOurs(t)
	outputs := []struct{ file, plugin, section string }{
		{"json.log", "json1:JSON", "[json1]\nfile=DIR/json.log\nsync=1\n"},
		{"oprint.log", "op1:OPRINT", "[op1]\nfile=DIR/oprint.log\nsync=1\n"},
		{"gprint.log", "gp1:GPRINT", "[gp1]\nfile=DIR/gprint.log\nsync=1\n"},
		{"xml.xml", "xml1:XML", "[xml1]\ndirectory=DIR\nsync=1\n"},
	}
	// Of stacks on one instance ulogd gives the first a time, and crashes on SIGUSR2.
	config := func(zero string, shared bool, n int) (text string) {
		var sections strings.Builder
		for i, o := range outputs[:n] {
			name := fmt.Sprintf("acct%d", i)
			if shared {
				name = "acct0"
			}
			if i == 0 || !shared {
				fmt.Fprintf(&sections, "[%s]\npollinterval=3600\ntimestamp=1\nzerocounter=%s\n", name, zero)
			}
			text += "stack=" + name + ":NFACCT," + o.plugin + "\n"
			sections.WriteString(o.section)
		}
		return text + sections.String()
	}
	run := func(program, zero string, shared bool, n int) *sideBySide {
		ns := lab.Test(t)
		accounts(t, ns)
		d := startConfig(t, ns, program, config(zero, shared, n))
		for polls := 1; polls <= 3; polls++ {
			d.signal(t, unix.SIGUSR2)
			until(t, fmt.Sprint("poll ", polls), func() bool {
				for _, o := range outputs[:n] {
					if bytes.Count(sumOutput(d.dir, o.file), []byte("http-in")) < polls {
						return false
					}
				}
				return len(lines(filepath.Join(d.dir, "json.log"))) >= objects*polls
			})
			countOne(t, ns)
		}
		d.end(t)
		return d
	}
	for _, tt := range []struct {
		zero string
		n    int
	}{{"0", 4}, {"1", 1}} {
		theirs, ours := run(original, tt.zero, false, tt.n), run(program, tt.zero, true, tt.n)
		for _, o := range outputs[:tt.n] {
			want, got := sumOutput(theirs.dir, o.file), sumOutput(ours.dir, o.file)
			if n := bytes.Count(got, []byte("1970")) + bytes.Count(got, []byte("time.sec=0\n")); n > 0 {
				t.Errorf("%s: %d times are missing", o.file, n)
			}
			sameLines(t, "zerocounter="+tt.zero+": "+o.file, maskPoll(want), maskPoll(got))
		}
	}
}

func maskPoll(data []byte) []byte {
	return sumWhen.ReplaceAll(pollTime.ReplaceAll(data, []byte("${1}time")), []byte("<when/>"))
}

// sumWhen is the time in an XML record of an object.
var sumWhen = regexp.MustCompile(`<hour>.*</year>`)

// sumOutput is what a file holds so far. The name of an XML file carries its time.
func sumOutput(dir, name string) []byte {
	path := filepath.Join(dir, name)
	if name == "xml.xml" {
		list, _ := filepath.Glob(dir + "/ulogd-sum-*.xml")
		if len(list) != 1 {
			return nil
		}
		path = list[0]
	}
	data, _ := os.ReadFile(path)
	return data
}

// TestLivePWSNIFF logs in to a server of FTP. The original's PWSNIFF, of which ours is
// deliberately different, ends every event.
func TestLivePWSNIFF(t *testing.T) {
	needOriginal(t)
	ns := lab.Test(t)
	if _, err := ns.Log(lab.Rule{Family: "inet", Hook: "output", Protocol: unix.IPPROTO_TCP, DstPort: 21, Groups: []uint16{1, 2}}); err != nil {
		t.Fatal(err)
	}
	const config = "stack=log1:NFLOG,base1:BASE,pw1:PWSNIFF,gp1:GPRINT\nstack=log1:NFLOG,base1:BASE,gp2:GPRINT\n" +
		"[log1]\ngroup=%d\n[gp1]\nfile=DIR/found\nsync=1\n[gp2]\nfile=DIR/all\nsync=1\n"
	theirs := startConfig(t, ns, original, fmt.Sprintf(config, 1))
	ours := startConfig(t, ns, buildOurs(t), fmt.Sprintf(config, 2))
	if err := ns.Do(login); err != nil {
		t.Fatal(err)
	}
	for _, d := range []*sideBySide{theirs, ours} {
		until(t, "the packets of the connection", func() bool {
			all, _ := os.ReadFile(filepath.Join(d.dir, "all"))
			return bytes.Contains(all, []byte("tcp.fin=1")) || bytes.Contains(all, []byte("tcp.rst=1"))
		})
		d.end(t)
	}
	if found := readFile(t, filepath.Join(theirs.dir, "found")); len(found) > 0 {
		t.Errorf("the original found %q", found)
	}
	found := string(readFile(t, filepath.Join(ours.dir, "found")))
	if strings.Count(found, "pwsniff.user=alice") != 1 || strings.Count(found, "pwsniff.pass=secret") != 1 {
		t.Errorf("found %q", found)
	}
	packets := len(lines(filepath.Join(ours.dir, "all")))
	if n := strings.Count(found, "\n"); n != packets {
		t.Errorf("%d of %d packets to the port passed", n, packets)
	}
}

// login sends a name and a password, each when the server has answered.
func login() error {
	l, err := net.Listen("tcp", "127.0.0.1:21")
	if err != nil {
		return err
	}
	defer l.Close()
	c, err := net.Dial("tcp", "127.0.0.1:21")
	if err != nil {
		return err
	}
	defer c.Close()
	server, err := l.Accept()
	if err != nil {
		return err
	}
	defer server.Close()
	for _, command := range []string{"USER alice\r\n", "PASS secret\r\n"} {
		if _, err := io.WriteString(c, command); err != nil {
			return err
		}
		if _, err := io.ReadFull(server, make([]byte, len(command))); err != nil {
			return err
		}
	}
	return nil
}
