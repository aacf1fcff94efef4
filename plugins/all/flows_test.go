package all

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"maps"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"github.com/ulogd-go/ulogd/pkg/config"
	"github.com/ulogd-go/ulogd/pkg/ctnetlink"
	"github.com/ulogd-go/ulogd/pkg/nlsock"
	"github.com/ulogd-go/ulogd/pkg/option"
)

// flowOutputs are the outputs of a recording of flows, by the plugin that writes them.
var flowOutputs = map[string]string{
	"LOGEMU": "logemu.log",
	"OPRINT": "oprint.log",
	"GPRINT": "gprint.log",
	"JSON":   "json.log",
	"XML":    "xml.xml",
	"NACCT":  "nacct.log",
}

// TestGoldenFlows replays the kernel's messages of each recording of connections, and
// compares what is written with what the real ulogd wrote.
func TestGoldenFlows(t *testing.T) {
	dirs, err := filepath.Glob("testdata/flows/*")
	if err != nil || len(dirs) != 3 {
		t.Fatalf("%d recordings, %v; want 3", len(dirs), err)
	}
	for _, dir := range dirs {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			t.Parallel()
			goldenFlows(t, dir)
		})
	}
}

func goldenFlows(t *testing.T, dir string) {
	rec := readRecording(t, dir)
	out := t.TempDir()
	f := flowConfig(t, dir, out, slices.Collect(maps.Keys(flowOutputs))...)
	run(t, f, rec)
	for _, name := range flowOutputs {
		want := maskFlows(asSince209(readFile(t, filepath.Join(dir, name))))
		got := maskFlows(withoutICMPv6(readOutput(t, out, name)))
		if len(want) == 0 || !bytes.Equal(want, got) {
			t.Errorf("%s (-ulogd +ours):\n%s", name, cmp.Diff(strings.SplitAfter(string(want), "\n"), strings.SplitAfter(string(got), "\n")))
		}
	}
}

// TestGoldenFlowsIPFIX replays the same to a collector, and compares with the datagrams of
// ulogd. Its records of IPv6 are parts of addresses, and its counters have 4 bytes; ours
// are compared where it is right, with fields=ulogd.
func TestGoldenFlowsIPFIX(t *testing.T) {
	for _, name := range []string{"f1-nohash", "f3-nohash-bare"} { // of the third nothing was ever sent
		dir := "testdata/flows/" + name
		datagram, err := hex.DecodeString(strings.TrimSpace(string(readFile(t, dir+"/ipfix.hex"))))
		if err != nil {
			t.Fatal(err)
		}
		const head, template, size = 16, 48, 33
		var want [][]byte
		for r := datagram[head+template+4:]; len(r) > 0; r = r[size:] {
			if r[0] != 0x20 { // of 2001:db8::
				record := slices.Concat(r[:8], make([]byte, 4), r[8:12], make([]byte, 4), r[12:size])
				want = append(want, record)
			}
		}
		got := exported(t, dir)
		if len(want) != 7 || len(got) < len(want) {
			t.Fatalf("%s: %d records of ulogd, %d of ours", name, len(want), len(got))
		}
		for i := range want { // the connections that have ended came in a later datagram, which ulogd did not send
			if !bytes.Equal(want[i], got[i]) {
				t.Errorf("%s, record %d\n-ulogd %x\n+ours  %x", name, i, want[i], got[i])
			}
		}
		if len(got) != 14 {
			t.Errorf("%s: %d records of IPv4, want each of 7 connections when it begins and when it ends", name, len(got))
		}
	}
}

// exported are the records of IPv4 that a replay sends.
func exported(t *testing.T, dir string) (records [][]byte) {
	t.Helper()
	collector, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer collector.Close()
	_, port, _ := net.SplitHostPort(collector.LocalAddr().String())
	f := flowConfig(t, dir, t.TempDir(), "IPFIX")
	section := f.Sections["ipfix1"]
	for i := range section.Entries {
		if section.Entries[i].Name == "port" {
			section.Entries[i].Value = port
		}
	}
	section.Entries = append(section.Entries, option.Entry{Name: "fields", Value: "ulogd"})
	f.Sections["ipfix1"] = section
	run(t, f, readRecording(t, dir))
	buf := make([]byte, 1<<16)
	for {
		// All was sent: what has not come by now never will.
		if err := collector.SetReadDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		n, _, err := collector.ReadFrom(buf)
		if err != nil {
			return records
		}
		be := binary.BigEndian
		for b := bytes.Clone(buf[16:n]); len(b) > 0; b = b[be.Uint16(b[2:]):] {
			if be.Uint16(b) == 256 {
				records = slices.AppendSeq(records, slices.Chunk(b[4:be.Uint16(b[2:])], 41))
			}
		}
	}
}

// flowConfig is the recording's configuration with its messages in the place of the
// kernel's, and the stacks whose output is compared.
func flowConfig(t *testing.T, dir, out string, outputs ...string) *config.File {
	t.Helper()
	src := bytes.ReplaceAll(readFile(t, dir+"/ulogd.conf"), []byte("/tmp/case"), []byte(out))
	f, err := config.Parse("ulogd.conf", src)
	if err != nil {
		t.Fatal(err)
	}
	f.Stacks = slices.DeleteFunc(f.Stacks, func(s config.Stack) bool {
		return !slices.Contains(outputs, s.Instances[len(s.Instances)-1].Plugin)
	})
	if len(f.Stacks) != len(outputs) {
		t.Fatalf("%d stacks, want one for each of %d outputs", len(f.Stacks), len(outputs))
	}
	section := f.Sections["ct1"]
	section.Entries = append(section.Entries, option.Entry{Name: "capture", Value: flowCapture(t, dir)})
	f.Sections["ct1"] = section
	return f
}

// flowCapture makes a capture of netlink of the messages of a recording, each with the
// time at which ulogd read it, as far as its records show that.
func flowCapture(t *testing.T, dir string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "events.pcap")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	w := pcapgo.NewWriter(file)
	if err := w.WriteFileHeader(65536, layers.LinkType(253)); err != nil {
		t.Fatal(err)
	}
	times := flowTimes(t, string(readFile(t, dir+"/gprint.log")))
	for _, line := range strings.Fields(string(readFile(t, dir+"/events.hex"))) {
		message, err := hex.DecodeString(line)
		if err != nil {
			t.Fatal(err)
		}
		m, _, _ := nlsock.NextMessage(message)
		var f ctnetlink.Flow
		if err := f.Decode(m.Body); err != nil {
			t.Fatal(err)
		}
		header := binary.BigEndian.AppendUint16([]byte{0, 7, 3, 0x38, 13: 0}, 12)
		data := append(header, message...)
		at := times[f.ID][ctnetlink.EventOf(m) == ctnetlink.Destroy]
		info := gopacket.CaptureInfo{Timestamp: at, CaptureLength: len(data), Length: len(data)}
		if err := w.WritePacket(info, data); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

// flowTimes are the times in a record of GPRINT, by the connection: when its beginning
// (false) and its end (true) were read.
func flowTimes(t *testing.T, records string) map[uint32]map[bool]time.Time {
	t.Helper()
	times := make(map[uint32]map[bool]time.Time)
	for line := range strings.Lines(records) {
		keys := make(map[string]int64)
		for _, item := range strings.Split(strings.TrimSpace(line), ",") {
			name, text, _ := strings.Cut(item, "=")
			if n, err := strconv.ParseInt(text, 10, 64); err == nil {
				keys[name] = n
			}
		}
		id := uint32(keys["ct.id"])
		if times[id] == nil {
			times[id] = make(map[bool]time.Time)
		}
		for end, name := range map[bool]string{false: "flow.start", true: "flow.end"} {
			if sec := keys[name+".sec"]; sec != 0 && times[id][end].IsZero() {
				times[id][end] = time.Unix(sec, keys[name+".usec"]*1000)
			}
		}
	}
	return times
}

// What differs from run to run.
var (
	logemuDate    = regexp.MustCompile(`(?m)^[A-Z][a-z]{2} [ 0-9:]{11} `)
	jsonTimestamp = regexp.MustCompile(`"timestamp": "[^"]*"`)
)

func maskFlows(data []byte) []byte {
	data = when.ReplaceAll(data, []byte("<when/>"))
	data = jsonTimestamp.ReplaceAll(data, []byte(`"timestamp": ""`))
	return logemuDate.ReplaceAll(data, []byte("(date) "))
}

// Later versions write addresses as text, as IP2STR does (reference page
// "ulogd2-outputs", section 16), and have keys for ICMPv6.
var (
	flowAddress = regexp.MustCompile(`\b((?:orig|reply)\.ip\.[sd]addr)=[0-9.]+`)
	flowText    = regexp.MustCompile(`\b((?:orig|reply)\.ip\.[sd]addr)\.str=([0-9a-f.:]+)`)
	icmpv6      = regexp.MustCompile(`icmpv6\.(?:code|type)=[0-9]+[,\n]|"icmpv6\.(?:code|type)": [0-9]+, `)
)

// asSince209 is a text of 2.0.8 with addresses as later versions have them.
func asSince209(data []byte) []byte {
	separator := []byte("\n")
	if bytes.Contains(data, []byte("===>PACKET BOUNDARY\n")) {
		separator = []byte("===>PACKET BOUNDARY\n")
	}
	records := bytes.Split(data, separator)
	for i, record := range records {
		texts := make(map[string]string)
		for _, m := range flowText.FindAllSubmatch(record, -1) {
			texts[string(m[1])] = string(m[2])
		}
		records[i] = flowAddress.ReplaceAllFunc(record, func(m []byte) []byte {
			name, _, _ := strings.Cut(string(m), "=")
			return []byte(name + "=" + texts[name])
		})
	}
	return bytes.Join(records, separator)
}

// withoutICMPv6 is a text without the keys that 2.0.8 does not have.
func withoutICMPv6(data []byte) []byte { return icmpv6.ReplaceAll(data, nil) }
