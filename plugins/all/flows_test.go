package all

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
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
	"github.com/ulogd-go/ulogd/pkg/nflog"
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
	f := flowConfig(t, dir, out)
	run(t, f, rec)
	for _, name := range flowOutputs {
		want := maskFlows(asSince209(readFile(t, filepath.Join(dir, name))))
		got := maskFlows(withoutICMPv6(readOutput(t, out, name)))
		if len(want) == 0 || !bytes.Equal(want, got) {
			t.Errorf("%s (-ulogd +ours):\n%s", name, cmp.Diff(strings.SplitAfter(string(want), "\n"), strings.SplitAfter(string(got), "\n")))
		}
	}
}

// flowConfig is the recording's configuration with its messages in the place of the
// kernel's, and the stacks whose output is compared.
func flowConfig(t *testing.T, dir, out string) *config.File {
	t.Helper()
	src := bytes.ReplaceAll(readFile(t, dir+"/ulogd.conf"), []byte("/tmp/case"), []byte(out))
	f, err := config.Parse("ulogd.conf", src)
	if err != nil {
		t.Fatal(err)
	}
	f.Stacks = slices.DeleteFunc(f.Stacks, func(s config.Stack) bool {
		return flowOutputs[s.Instances[len(s.Instances)-1].Plugin] == ""
	})
	if len(f.Stacks) != len(flowOutputs) {
		t.Fatalf("%d stacks, want one for each of %d outputs", len(f.Stacks), len(flowOutputs))
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
		m, _, _ := nflog.NextMessage(message)
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
