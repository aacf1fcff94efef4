package ipfix

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"github.com/ulogd-go/ulogd/pkg/plugintest"
)

// need skips the test where a program is not installed.
func need(t *testing.T, program, pkg string) {
	t.Helper()
	if _, err := exec.LookPath(program); err == nil {
		return
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s is not there: install the package %s", program, pkg)
	}
	t.Skipf("SKIPPED: %s is not there: install the package %s", program, pkg)
}

// nfcapd runs the collector of nfdump, and stops it when it has read everything.
func nfcapd(t *testing.T) (opts plugintest.Options, stop func() []map[string]any) {
	t.Helper()
	need(t, "nfcapd", "nfdump")
	free, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	opts = address(t, free.LocalAddr())
	free.Close()
	dir := t.TempDir()
	var log bytes.Buffer
	cmd := exec.Command("nfcapd", "-p", opts["port"], "-b", opts["host"], "-w", dir)
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	t.Cleanup(func() { _ = cmd.Process.Kill(); <-ended })
	until(t, "nfcapd listens", func() bool { _, ok := unread(t, opts["port"]); return ok })
	return opts, func() []map[string]any {
		t.Helper()
		until(t, "nfcapd has read everything", func() bool { n, _ := unread(t, opts["port"]); return n == 0 })
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		<-ended
		if !strings.Contains(log.String(), "Sequence Errors: 0, Bad Packets: 0") {
			t.Errorf("nfcapd says\n%s", &log)
		}
		out, err := exec.Command("nfdump", "-R", dir, "-o", "json").Output()
		var flows []map[string]any
		if err == nil {
			err = json.Unmarshal(out, &flows)
		}
		if err != nil {
			t.Fatalf("nfdump: %v\n%s", err, out)
		}
		return flows
	}
}

// unread is how many bytes wait in the socket of a UDP port (proc(5), /proc/net/udp).
func unread(t *testing.T, port string) (n int64, ok bool) {
	t.Helper()
	number, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("/proc/net/udp")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if strings.HasSuffix(f[1], fmt.Sprintf(":%04X", number)) {
			_, rx, _ := strings.Cut(f[4], ":")
			n, err = strconv.ParseInt(rx, 16, 64)
			return n, err == nil
		}
	}
	return 0, false
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(wait); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// TestNfcapd has the collector of nfdump read flows of either family, of which one was
// translated.
func TestNfcapd(t *testing.T) {
	opts, stop := nfcapd(t)
	flows := []plugintest.Event{translated, ping, v6}
	for range 100 {
		flows = append(flows, translated, v6)
	}
	x, blk := start(t, join(opts, plugintest.Options{"biflow": "1"}), flows...)
	if err := x.Connect(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := x.Write(t.Context(), blk); err != nil {
		t.Fatal(err)
	}
	want := []map[string]any{
		{
			"src4_addr": "192.0.2.2", "dst4_addr": "198.51.100.1", "proto": 6.0, "src_port": 40000.0, "dst_port": 8080.0,
			"in_packets": 6.0, "in_bytes": float64(5 << 32), "out_packets": 4.0, "out_bytes": 221.0,
			"first": "2026-11-23T08:14:50.801", "last": "2026-11-23T08:14:52.100",
			"src4_xlt_ip": "203.0.113.9", "dst4_xlt_ip": "198.51.100.1", "src_xlt_port": "50000", "dst_xlt_port": "8080",
		},
		{"src4_addr": "192.0.2.2", "dst4_addr": "192.0.2.1", "proto": 1.0, "icmp_type": 8.0, "icmp_code": 0.0, "in_packets": 0.0},
		{
			"src6_addr": "2001:db8::2", "dst6_addr": "2001:db8::1", "proto": 17.0, "src_port": 1111.0, "dst_port": 9.0,
			"in_packets": 1.0, "in_bytes": 49.0, "out_packets": 0.0,
		},
	}
	got := stop()
	if len(got) != len(flows) {
		t.Fatalf("%d flows, want %d", len(got), len(flows))
	}
	seen := map[string]int{}
	for _, flow := range got {
		for i, w := range want {
			if flow["proto"] != w["proto"] {
				continue
			}
			seen[fmt.Sprint(i)]++
			for name, value := range w {
				if diff := cmp.Diff(value, flow[name]); diff != "" {
					t.Errorf("%s of %v (-want +got)\n%s", name, flow, diff)
				}
			}
		}
	}
	if diff := cmp.Diff(map[string]int{"0": 101, "1": 1, "2": 101}, seen); diff != "" {
		t.Errorf("flows by kind (-want +got)\n%s", diff)
	}
}

// TestTshark has Wireshark's dissector read the messages, with no complaint.
func TestTshark(t *testing.T) {
	need(t, "tshark", "tshark")
	const n = 60
	all := map[string]int{
		"cflow.srcaddr=192.0.2.2": n / 2, "cflow.srcaddrv6=2001:db8::2": n / 2, "cflow.dstport=8080": n / 2, "cflow.dstport=9": n / 2,
		"cflow.permanent_octets=21474836701": n / 2, "cflow.permanent_octets=49": n / 2,
		"cflow.post_natsource_ipv4_address=203.0.113.9": n / 2, "cflow.post_nat_source_ipv6_address=2001:db8::2": n / 2,
		"cflow.firewall_event=2": n,
	}
	ulogd := maps.Clone(all)
	maps.DeleteFunc(ulogd, func(field string, _ int) bool {
		return strings.Contains(field, "post_nat") || strings.Contains(field, "firewall")
	})
	biflow := maps.Clone(all)
	delete(biflow, "cflow.permanent_octets=21474836701")
	biflow["cflow.permanent_octets=21474836480"] = n / 2
	biflow["cflow.permanent_octets=221"] = n / 2
	biflow["cflow.permanent_octets=0"] = n / 2
	for _, tt := range []struct {
		opts plugintest.Options
		want map[string]int
	}{
		{plugintest.Options{}, all},
		{plugintest.Options{"fields": "ulogd"}, ulogd},
		{plugintest.Options{"biflow": "1", "mtu": "1400"}, biflow},
		{plugintest.Options{"send_template": "always", "mtu": "300"}, all},
	} {
		flows := make([]plugintest.Event, n)
		for i := range flows {
			flows[i] = []plugintest.Event{translated, v6}[i%2]
		}
		x, blk := start(t, tt.opts, flows...)
		x.begin(true)
		if diff := cmp.Diff(tt.want, dissect(t, packed(x, blk))); diff != "" {
			t.Errorf("%v: fields and how often they were read (-want +got)\n%s", tt.opts, diff)
		}
	}
}

// dissect counts what tshark reads in messages. Its complaints, of which there should
// be none, count too: of sequence numbers, and of what it does not understand.
func dissect(t *testing.T, messages [][]byte) map[string]int {
	t.Helper()
	fields := []string{
		"cflow.srcaddr", "cflow.srcaddrv6", "cflow.dstport", "cflow.permanent_octets", "cflow.post_natsource_ipv4_address",
		"cflow.post_nat_source_ipv6_address", "cflow.firewall_event", "cflow.sequence_analysis.expected_sn", "_ws.expert", "_ws.malformed",
	}
	args := []string{"-r", capture(t, messages), "-d", "udp.port==4739,cflow", "-T", "fields"}
	for _, f := range fields {
		args = append(args, "-e", f)
	}
	cmd := exec.Command("tshark", args...)
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("tshark: %v\n%s", err, &complaint)
	}
	count := map[string]int{}
	for line := range strings.Lines(string(out)) {
		for i, column := range strings.Split(strings.TrimSuffix(line, "\n"), "\t") {
			for value := range strings.SplitSeq(column, ",") {
				if value != "" {
					count[fields[i]+"="+value]++
				}
			}
		}
	}
	return count
}

// capture is a file with a datagram of each message.
func capture(t *testing.T, messages [][]byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ipfix.pcap")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := pcapgo.NewWriter(f)
	if err := w.WriteFileHeader(1<<16, layers.LinkTypeRaw); err != nil {
		t.Fatal(err)
	}
	for _, m := range messages {
		ip := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolUDP, SrcIP: net.IP{192, 0, 2, 1}, DstIP: net.IP{192, 0, 2, 10}}
		udp := &layers.UDP{SrcPort: 40000, DstPort: 4739}
		if err := udp.SetNetworkLayerForChecksum(ip); err != nil {
			t.Fatal(err)
		}
		b := gopacket.NewSerializeBuffer()
		if err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, ip, udp, gopacket.Payload(m)); err != nil {
			t.Fatal(err)
		}
		info := gopacket.CaptureInfo{Timestamp: plugintest.Now, CaptureLength: len(b.Bytes()), Length: len(b.Bytes())}
		if err := w.WritePacket(info, b.Bytes()); err != nil {
			t.Fatal(err)
		}
	}
	return path
}
