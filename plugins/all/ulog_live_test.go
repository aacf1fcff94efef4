package all

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ulogd-go/ulogd/contrib/lab"
	"github.com/ulogd-go/ulogd/pkg/config"
	"github.com/ulogd-go/ulogd/pkg/event"
	"github.com/ulogd-go/ulogd/pkg/plugin"
	"github.com/ulogd-go/ulogd/pkg/ulog"
)

func init() {
	plugin.Default.Register(plugin.NewSource(plugin.Info{Name: "ULOGTAPE", Gives: plugin.Raw}, ulogTapeOptions{},
		func(o ulogTapeOptions, _ *plugin.Env) (plugin.Source, error) {
			return &ulogTape{ulogTapeOptions: o, Decoder: ulog.Decoder{Label: uint8(o.Label)}}, nil
		}))
}

type ulogTapeOptions struct {
	File  string `toml:"file" doc:"datagrams, each behind its length"`
	Label int    `toml:"numeric_label" doc:"value of raw.label"`
}

// ulogTape is ULOG with datagrams from a file: no kernel that tests run on has it.
type ulogTape struct {
	ulogTapeOptions
	ulog.Decoder
	rest []byte
}

func (s *ulogTape) Open() (err error) { s.rest, err = os.ReadFile(s.File); return err }
func (s *ulogTape) Close() error      { return nil }

func (s *ulogTape) Read(_ context.Context, b *event.Batch) error {
	if len(s.rest) == 0 {
		return io.EOF
	}
	n := binary.NativeEndian.Uint32(s.rest)
	off := len(b.Buf)
	b.Buf = append(b.Buf, s.rest[4:4+n]...)
	s.rest = s.rest[4+n:]
	if malformed := s.Decode(b, off, len(b.Buf)); malformed > 0 {
		return fmt.Errorf("%d malformed messages", malformed)
	}
	return nil
}

// ulogDatagrams are random packets of IPv4, a part of them malformed, alone and in batches
// that end with NLMSG_DONE.
func ulogDatagrams(frames int) (datagrams [][]byte, packets int) {
	var batch []lab.ULOG
	for i, frame := range lab.Packets(5).Frames(frames) {
		if binary.BigEndian.Uint16(frame[12:]) != 0x0800 {
			continue // ULOG has no other
		}
		packets++
		u := lab.ULOG{Mark: uint32(i) * 0x01010101, Sec: 1700000000 + uint32(i), Usec: uint32(i), Hook: uint32(i % 5), Prefix: strings.Repeat("FW: ", i%8), Packet: frame[14:]}
		switch i % 3 {
		case 0:
			u.In, u.MAC = "eth0", frame[:14]
		case 1:
			u.In, u.Out = "ppp0", "eth1"
		default:
			u.Out = "wlan0"
		}
		if batch = append(batch, u); len(batch) <= i%4 {
			continue
		}
		var d []byte
		for n, u := range batch {
			switch {
			case n < len(batch)-1:
				d = u.Append(d, 8, lab.ULOGEvent, lab.ULOGMulti)
			case i%2 == 0:
				d = u.Append(d, 8, lab.ULOGDone, 0)
			default: // as when the timer is up
				d = u.Append(d, 8, lab.ULOGEvent, 0)
			}
		}
		datagrams, batch = append(datagrams, d), nil
	}
	return datagrams, packets - len(batch)
}

// shim builds a library that lets a program receive from processes what the kernel sends.
func shim(t *testing.T, source string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "shim.so")
	out, err := exec.Command("gcc", "-shared", "-fPIC", "-o", path, "testdata/"+source, "-ldl").CombinedOutput()
	if err != nil && os.Getenv("CI") != "true" {
		t.Skipf("SKIPPED: gcc: %v: install the packages gcc and libc6-dev\n%s", err, out)
	}
	if err != nil {
		t.Fatalf("gcc: %v: install the packages gcc and libc6-dev\n%s", err, out)
	}
	return path
}

// TestLiveULOG sends the same datagrams to the original, as a process in the place of the
// kernel, and to our decoder, and compares what they write.
func TestLiveULOG(t *testing.T) {
	needOriginal(t)
	t.Setenv("TZ", "UTC0")
	outputs := inputOutputs
	var stacks, sections strings.Builder
	for _, o := range outputs {
		stacks.WriteString("stack=ulog1:ULOG," + o.stack + "\n")
		sections.WriteString(o.section)
	}
	text := stacks.String() + "[ulog1]\nnlgroup=7\nnumeric_label=5\n" + sections.String()
	datagrams, packets := ulogDatagrams(2000)

	ns := lab.Test(t)
	theirs := startConfig(t, ns, original, text, "LD_PRELOAD="+shim(t, "ulog-of-processes.c"))
	sent := 0
	for len(datagrams[sent:]) > 0 {
		next := min(sent+50, len(datagrams)) // as many as fit the receive buffer
		if err := ns.SendULOG(7, datagrams[sent:next]...); err != nil {
			t.Fatal(err)
		}
		sent = next
		want := 0
		for _, d := range datagrams[:sent] {
			want += countULOG(d)
		}
		until(t, fmt.Sprintf("%d of %d packets", want, packets), func() bool {
			return len(lines(filepath.Join(theirs.dir, "logemu.log"))) == want
		})
	}
	theirs.end(t)

	dir := t.TempDir()
	var tape []byte
	for _, d := range datagrams {
		tape = append(binary.NativeEndian.AppendUint32(tape, uint32(len(d))), d...)
	}
	if err := os.WriteFile(filepath.Join(dir, "tape"), tape, 0o600); err != nil {
		t.Fatal(err)
	}
	text = strings.ReplaceAll(text, "nlgroup=7\n", "file=DIR/tape\n")
	text = "[global]\n" + strings.ReplaceAll(strings.ReplaceAll(text, ":ULOG,", ":ULOGTAPE,"), "DIR", dir)
	f, err := config.Parse("ulogd.conf", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	run(t, f, recording{TZ: "UTC0", Hostname: host})
	for _, o := range outputs {
		want, got := readFile(t, filepath.Join(theirs.dir, o.file)), readFile(t, filepath.Join(dir, o.file))
		if o.file == "ulogd.pcap" {
			if !bytes.Equal(want, got) {
				t.Errorf("captures of %d and %d bytes differ", len(want), len(got))
			}
			continue
		}
		sameLines(t, o.file, maskVersions(want), maskVersions(got))
	}
	t.Logf("%d packets in %d datagrams compared", packets, len(datagrams))
}

// countULOG is the number of messages in a datagram.
func countULOG(d []byte) (n int) {
	for ; len(d) >= 16; n++ {
		d = d[min(len(d), int(binary.NativeEndian.Uint32(d)+3)&^3):]
	}
	return n
}
