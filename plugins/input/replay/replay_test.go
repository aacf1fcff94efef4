package replay

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
	"golang.org/x/sys/unix"

	"github.com/ulogd-go/ulogd/pkg/event"
	"github.com/ulogd-go/ulogd/pkg/nflog"
	"github.com/ulogd-go/ulogd/pkg/plugin"
	"github.com/ulogd-go/ulogd/pkg/stats"
)

// began is the time of the first packet of a capture.
var began = time.Unix(1795420633, 42000)

// capturing makes a capture of the packets, a second apart.
func capturing(tb testing.TB, link layers.LinkType, packets ...string) []byte {
	tb.Helper()
	var buf bytes.Buffer
	w := pcapgo.NewWriter(&buf)
	if err := w.WriteFileHeader(65536, link); err != nil {
		tb.Fatal(err)
	}
	for i, p := range packets {
		info := gopacket.CaptureInfo{Timestamp: began.Add(time.Duration(i) * time.Second), CaptureLength: len(p), Length: len(p)}
		if err := w.WritePacket(info, []byte(p)); err != nil {
			tb.Fatal(err)
		}
	}
	return buf.Bytes()
}

func file(tb testing.TB, data []byte) string {
	tb.Helper()
	name := filepath.Join(tb.TempDir(), "capture")
	if err := os.WriteFile(name, data, 0o600); err != nil {
		tb.Fatal(err)
	}
	return name
}

// player is a source of which all keys are read.
type player struct {
	*source
	all   []event.Bound
	batch *event.Batch
	log   bytes.Buffer
	set   stats.Set
}

type sink struct{ all *[]event.Bound }

func (s sink) Bind(b *event.Binder) { b.All(s.all, func(event.Key) bool { return true }) }

func newPlayer(tb testing.TB, o options) *player {
	tb.Helper()
	p := new(player)
	x, err := open(o, &plugin.Env{Log: slog.New(slog.NewTextHandler(&p.log, nil)), Stats: &p.set, Now: func() time.Time { return began.Add(time.Hour) }})
	if err != nil {
		tb.Fatal(err)
	}
	p.source = x.(*source)
	tree := event.NewTree("replay1", p.source)
	if err := tree.Stack([]string{"sink"}, []event.Bindable{sink{&p.all}}); err != nil {
		tb.Fatal(err)
	}
	p.batch = event.NewBatch(tree.Layout())
	return p
}

// run plays until the end, and hands each event to see. The error is that which
// ended it, nil for the end of the capture.
func (p *player) run(ctx context.Context, see func(e map[string]string)) error {
	if err := p.Open(); err != nil {
		return err
	}
	defer p.Close()
	for {
		p.batch.Reset()
		err := p.Read(ctx, p.batch)
		for e := range p.batch.Rows().All() {
			if see != nil {
				see(p.facts(e))
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// facts are an event's values, but those that all events have.
func (p *player) facts(e event.Event) map[string]string {
	f := make(map[string]string)
	for _, k := range p.all {
		v := e[k.Slot]
		switch k.Name {
		case "raw", "raw.pktlen", "raw.pktcount", "raw.label", "raw.mac.addrlen", "oob.mark":
			continue
		}
		switch v.K {
		case event.None:
		case event.Raw:
			f[k.Name] = fmt.Sprintf("%x", p.batch.Bytes(v))
		case event.String:
			f[k.Name] = string(p.batch.Bytes(v))
		default:
			f[k.Name] = strconv.FormatUint(v.V, 10)
		}
	}
	return f
}

// text is the facts in the order of the keys.
func (p *player) text(f map[string]string) string {
	var out []string
	for _, k := range p.all {
		if v, ok := f[k.Name]; ok {
			out = append(out, k.Name+"="+v)
		}
	}
	return strings.Join(out, " ")
}

func play(t *testing.T, data []byte) (events []string, p *player) {
	t.Helper()
	p = newPlayer(t, options{File: file(t, data), Repeat: 1})
	if err := p.run(t.Context(), func(f map[string]string) { events = append(events, p.text(f)) }); err != nil {
		t.Fatal(err)
	}
	return events, p
}

const (
	macs  = "\x02\x00\x00\x00\x00\x0a\x02\x00\x00\x00\xbe\xef"
	ip4   = "\x45\x00packet4"
	ip6   = "\x60\x00packet6"
	times = "oob.time.sec=1795420633 oob.time.usec=42 "
)

func TestLinkTypes(t *testing.T) {
	const mac, saddr = "02000000000a02000000beef", "raw.mac.saddr=02000000beef"
	four, six := fmt.Sprintf("raw.pkt=%x ", ip4), fmt.Sprintf("raw.pkt=%x ", ip6)
	link := func(proto string, pkt string, rest string) string {
		return "raw.mac=" + mac + proto + " " + pkt + times + "oob.hook=0 raw.mac_len=14 " + rest + " raw.type=1 " + saddr
	}
	message := nflog.AppendAttr([]byte{10, 0, 0, 5}, nflog.AttrPrefix, []byte("p: \x00")...)
	message = nflog.AppendAttr(message, nflog.AttrPayload, []byte(ip6)...)
	tests := []struct {
		name string
		link layers.LinkType
		data string
		want string // empty if the record is no packet
	}{
		{"RAW, IPv4", linkRaw, ip4, four + times + "oob.hook=0 oob.family=2 oob.protocol=2048"},
		{"RAW, IPv6", linkRaw, ip6, six + times + "oob.hook=0 oob.family=10 oob.protocol=34525"},
		{"RAW, nothing", linkRaw, "", ""},
		{"IPV4", linkIPv4, ip4, four + times + "oob.hook=0 oob.family=2 oob.protocol=2048"},
		{"IPV6", linkIPv6, ip6, six + times + "oob.hook=0 oob.family=10 oob.protocol=34525"},
		{"NFLOG", linkNFLOG, string(message), six + "oob.prefix=p:  " + times + "oob.family=10"},
		{"NFLOG, damaged", linkNFLOG, string(message[:6]), ""},
		{"NFLOG, nothing", linkNFLOG, "", ""},
		{"Ethernet, IPv4", linkEthernet, macs + "\x08\x00" + ip4, link("0800", four, "oob.family=2 oob.protocol=2048")},
		{"Ethernet, IPv6", linkEthernet, macs + "\x86\xdd" + ip6, link("86dd", six, "oob.family=10 oob.protocol=34525")},
		{"Ethernet, ARP", linkEthernet, macs + "\x08\x06\x00\x01", link("0806", "raw.pkt=0001 ", "oob.family=3 oob.protocol=2054")},
		{"Ethernet, unknown", linkEthernet, macs + "\x88\xcc\x00\x01", link("88cc", "raw.pkt=0001 ", "oob.family=7 oob.protocol=35020")},
		{"Ethernet, no payload", linkEthernet, macs + "\x08\x00", link("0800", "", "oob.family=2 oob.protocol=2048")},
		{"Ethernet, 13 bytes", linkEthernet, macs + "\x08", ""},
		{"Ethernet, VLAN", linkEthernet, macs + "\x81\x00\xb0\x0a\x08\x00" + ip4, link("0800", four, "oob.family=2 oob.protocol=2048") +
			" oob.vlan.proto=33024 oob.vlan.id=10 oob.vlan.priority=5 raw.l2hdr=" + mac + "8100b00a0800"},
		{"Ethernet, two tags", linkEthernet, macs + "\x88\xa8\x00\x01\x81\x00\x00\x02\x86\xdd" + ip6, link("86dd", six, "oob.family=10 oob.protocol=34525") +
			" oob.vlan.proto=34984 oob.vlan.id=1 oob.vlan.priority=0 raw.l2hdr=" + mac + "88a8000181000002" + "86dd"},
		{"Ethernet, three tags", linkEthernet, macs + strings.Repeat("\x81\x00\x00\x01", 3) + "\x08\x00", link("8100", "raw.pkt=00010800 ", "oob.family=7 oob.protocol=33024") +
			" oob.vlan.proto=33024 oob.vlan.id=1 oob.vlan.priority=0 raw.l2hdr=" + mac + "81000001810000018100"},
		{"Ethernet, tag cut", linkEthernet, macs + "\x81\x00\xb0\x0a", link("8100", "raw.pkt=b00a ", "oob.family=7 oob.protocol=33024")},
	}
	for _, tt := range tests {
		got, p := play(t, capturing(t, tt.link, tt.data))
		want := []string{tt.want}
		if tt.want == "" {
			want = nil
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
		if n := p.unusable.Value(); n != uint64(1-len(want)) || p.packets.Value() != uint64(len(want)) {
			t.Errorf("%s: %d packets, %d records that are none", tt.name, p.packets.Value(), n)
		}
	}
}

// TestLargeFrame has more than the attribute of a message can hold.
func TestLargeFrame(t *testing.T) {
	got, _ := play(t, capturing(t, linkEthernet, macs+"\x08\x00"+strings.Repeat("x", 66000)))
	if len(got) != 1 || !strings.Contains(got[0], "raw.pkt="+strings.Repeat("78", maxPayload)+" ") {
		t.Errorf("%d events, want one with %d bytes", len(got), maxPayload)
	}
}

// TestFormats reads one capture in all forms.
func TestFormats(t *testing.T) {
	plain := capturing(t, linkRaw, ip4, ip6, ip4)
	var packed, ng, nano bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, err := z.Write(plain)
	if err := errors.Join(err, z.Close()); err != nil {
		t.Fatal(err)
	}
	nw, err := pcapgo.NewNgWriter(&ng, linkRaw)
	if err != nil {
		t.Fatal(err)
	}
	nano.Write(plain[:24])
	copy(nano.Bytes(), "\x4d\x3c\xb2\xa1")
	for i, p := range []string{ip4, ip6, ip4} {
		info := gopacket.CaptureInfo{Timestamp: began.Add(time.Duration(i) * time.Second), CaptureLength: len(p), Length: len(p)}
		if err := nw.WritePacket(info, []byte(p)); err != nil {
			t.Fatal(err)
		}
	}
	if err := nw.Flush(); err != nil {
		t.Fatal(err)
	}
	want, _ := play(t, plain)
	if len(want) != 3 {
		t.Fatalf("%d packets, want 3", len(want))
	}
	for name, data := range map[string][]byte{"gzip": packed.Bytes(), "pcapng": ng.Bytes()} {
		got, _ := play(t, data)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-pcap +%s):\n%s", name, name, diff)
		}
	}
	if got, p := play(t, nano.Bytes()); len(got) != 0 || p.log.Len() != 0 {
		t.Errorf("an empty capture in nanoseconds: %q, %s", got, &p.log)
	}
}

func TestBadCaptures(t *testing.T) {
	good := capturing(t, linkRaw, ip4, ip6)
	other := capturing(t, layers.LinkType(113), ip4)
	for name, tt := range map[string]struct {
		data []byte
		want string
	}{
		"empty":           {nil, "no capture"},
		"short":           {good[:3], "no capture"},
		"header cut":      {good[:20], "EOF"},
		"no capture":      {[]byte("#!/bin/sh\nexit 0 # and so on\n"), "magic"},
		"other link type": {other, "(113); use a capture of type NFLOG, RAW, IPV4, IPV6 or EN10MB"},
	} {
		p := newPlayer(t, options{File: file(t, tt.data), Repeat: 1})
		if err := p.run(t.Context(), nil); err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), p.File) {
			t.Errorf("%s: %v, want an error with the file and %q", name, err, tt.want)
		}
	}
	if err := newPlayer(t, options{File: "/nonexistent/x.pcap", Repeat: 1}).run(t.Context(), nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
}

// TestDamage has captures that end too early, or go on with something else: what
// stands before is read, and the damage logged.
func TestDamage(t *testing.T) {
	good := capturing(t, linkRaw, ip4, ip6)
	second := len(good) - len(ip6)
	lying := bytes.Clone(good)
	copy(lying[second-8:], "\xff\xff\xff\x7f\xff\xff\xff\x7f")
	for name, tt := range map[string]struct {
		data    []byte
		packets int
		damaged bool
	}{
		"whole":                     {good, 2, false},
		"cut in a packet":           {good[:len(good)-1], 1, true},
		"cut behind its header":     {good[:second], 1, true},
		"cut in its header":         {good[:second-1], 1, true},
		"cut between two":           {good[:second-16], 1, false},
		"a length of 2 GiB":         {lying, 1, true},
		"something else at the end": {append(bytes.Clone(good), "garbage that is longer than a header"...), 2, true},
	} {
		got, p := play(t, tt.data)
		if logged := strings.Contains(p.log.String(), "the capture is damaged"); len(got) != tt.packets || logged != tt.damaged {
			t.Errorf("%s: %d packets, want %d; logged: %s", name, len(got), tt.packets, &p.log)
		}
	}
}

func TestRepeat(t *testing.T) {
	name := file(t, capturing(t, linkRaw, ip4, ip6))
	for repeat, want := range map[int]int{1: 2, 3: 6, 100: 200} {
		got := 0
		if err := newPlayer(t, options{File: name, Repeat: repeat}).run(t.Context(), func(map[string]string) { got++ }); err != nil || got != want {
			t.Errorf("repeat=%d: %d packets, %v; want %d", repeat, got, err, want)
		}
	}
	// For ever: until the context ends.
	ctx, cancel := context.WithCancel(t.Context())
	got := 0
	err := newPlayer(t, options{File: name}).run(ctx, func(map[string]string) {
		if got++; got == 1000 {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) || got < 1000 {
		t.Errorf("%d packets, %v", got, err)
	}
	// But not when there is nothing to repeat.
	if err := newPlayer(t, options{File: file(t, capturing(t, linkRaw, ""))}).run(t.Context(), nil); err != nil {
		t.Error(err)
	}
}

func TestSpeed(t *testing.T) {
	name := file(t, capturing(t, linkRaw, ip4, ip6, ip4, ip6))
	for speed, want := range map[float64][]time.Duration{
		0: {0, 0, 0, 0},
		1: {0, time.Second, 2 * time.Second, 3 * time.Second},
		4: {0, time.Second / 4, time.Second / 2, time.Second * 3 / 4},
	} {
		synctest.Test(t, func(t *testing.T) {
			var got []time.Duration
			start := time.Now()
			err := newPlayer(t, options{File: name, Repeat: 1, Speed: speed}).run(t.Context(), func(map[string]string) { got = append(got, time.Since(start)) })
			if diff := cmp.Diff(want, got); diff != "" || err != nil {
				t.Errorf("speed=%v: %v (-want +got):\n%s", speed, err, diff)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
		defer cancel()
		start, got := time.Now(), 0
		err := newPlayer(t, options{File: name, Repeat: 1, Speed: 1}).run(ctx, func(map[string]string) { got++ })
		if !errors.Is(err, context.DeadlineExceeded) || got != 2 || time.Since(start) != 1500*time.Millisecond {
			t.Errorf("the context's end: %d packets, %v after %v", got, err, time.Since(start))
		}
	})
}

func TestBadOptions(t *testing.T) {
	for _, o := range []options{{Speed: -1}, {Speed: math.NaN()}, {Repeat: -1}} {
		if _, err := open(o, &plugin.Env{Stats: new(stats.Set)}); err == nil {
			t.Errorf("%+v: no error", o)
		}
	}
	var i interfaces
	for text, want := range map[string]interfaces{"": {}, "10=br0,11=vnet0": {10: "br0", 11: "vnet0"}, "10=br0 11=a=b": {10: "br0", 11: "a=b"}} {
		if err := i.UnmarshalText([]byte(text)); err != nil || cmp.Diff(want, i) != "" {
			t.Errorf("%q: %v, %v", text, i, err)
		}
	}
	for _, text := range []string{"br0", "10=", "x=br0", "10=br0,4294967296=x"} {
		if err := i.UnmarshalText([]byte(text)); err == nil || !strings.Contains(err.Error(), "such as 10=br0") {
			t.Errorf("%q: %v, want an error with an example", text, err)
		}
	}
}

func TestLinks(t *testing.T) {
	p := newPlayer(t, options{File: file(t, capturing(t, linkRaw, ip4)), Repeat: 1, Interfaces: interfaces{10: "br0"}})
	if got := p.Links().Name(10); got != "br0" {
		t.Errorf("interface 10 is %q, want br0", got)
	}
	if err := p.run(t.Context(), nil); err != nil || p.Links().Name(10) != "br0" {
		t.Errorf("after the end: %v, %q", err, p.Links().Name(10))
	}
	p = newPlayer(t, options{File: file(t, capturing(t, linkRaw, ip4)), Repeat: 1})
	p.Links()
	if err := p.run(t.Context(), nil); err != nil || p.Links().Name(1) != "lo" {
		t.Errorf("without names the first interface is %q, %v; want this machine's", p.Links().Name(1), err)
	}
}

// TestPipe has a program write the capture while it is played: each packet is
// passed on when it comes, and the daemon need not wait for the next to end.
func TestPipe(t *testing.T) {
	name := filepath.Join(t.TempDir(), "pipe")
	if err := unix.Mkfifo(name, 0o600); err != nil {
		t.Fatal(err)
	}
	w, err := os.OpenFile(name, os.O_RDWR, 0) // waits for nobody
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	data := capturing(t, linkRaw, ip4, ip6)
	second := len(data) - len(ip6) - 16
	if _, err := w.Write(data[:second]); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	got := 0
	err = newPlayer(t, options{File: name, Repeat: 1}).run(ctx, func(map[string]string) {
		if got++; got == 1 {
			if _, err := w.Write(data[second:]); err != nil {
				t.Error(err)
			}
			return
		}
		time.AfterFunc(10*time.Millisecond, cancel)
	})
	if !errors.Is(err, context.Canceled) || got != 2 {
		t.Errorf("%d packets, %v; want 2 and the context's end", got, err)
	}
}

// FuzzCapture asserts that any file is played to an end.
func FuzzCapture(f *testing.F) {
	for _, l := range []layers.LinkType{linkRaw, linkIPv4, linkEthernet, linkNFLOG} {
		f.Add(capturing(f, l, ip4, ip6, macs+"\x81\x00\xb0\x0a\x08\x00"+ip4))
	}
	files, err := filepath.Glob("../../all/testdata/cases/*/packets.pcap")
	if err != nil || len(files) == 0 {
		f.Fatalf("recordings: %q, %v", files, err)
	}
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	var ng bytes.Buffer
	w, err := pcapgo.NewNgWriter(&ng, linkRaw)
	if err == nil {
		err = errors.Join(w.WritePacket(gopacket.CaptureInfo{Timestamp: began, CaptureLength: len(ip4), Length: len(ip4)}, []byte(ip4)), w.Flush())
	}
	if err != nil {
		f.Fatal(err)
	}
	f.Add(ng.Bytes())
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, data []byte) {
		name := filepath.Join(dir, strconv.Itoa(os.Getpid()))
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
		p := newPlayer(t, options{File: name, Repeat: 2})
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if err := p.run(ctx, func(map[string]string) {}); errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%d bytes take more than 10 s", len(data))
		}
	})
}

// TestMixedLinkTypes: packets of interfaces that have another link type than the first of a
// pcapng are counted.
func TestMixedLinkTypes(t *testing.T) {
	ip := "\x45\x00\x00\x1c\x00\x01\x00\x00\x40\x11\x00\x00\x01\x02\x03\x04\x05\x06\x07\x08\x00\x01\x00\x02\x00\x08\x00\x00"
	var buf bytes.Buffer
	w, err := pcapgo.NewNgWriter(&buf, layers.LinkTypeRaw)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.AddInterface(pcapgo.NgInterface{LinkType: layers.LinkTypeEthernet}); err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		info := gopacket.CaptureInfo{Timestamp: began, CaptureLength: len(ip), Length: len(ip), InterfaceIndex: i % 2}
		if err := w.WritePacket(info, []byte(ip)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	p := newPlayer(t, options{File: file(t, buf.Bytes()), Repeat: 1})
	packets := 0
	if err := p.run(t.Context(), func(map[string]string) { packets++ }); err != nil {
		t.Fatal(err)
	}
	if packets != 3 || p.unusable.Value() != 2 {
		t.Errorf("%d packets and %d of another link type, want 3 and 2", packets, p.unusable.Value())
	}
}

// TestNoPackets: records that are no packets take no memory, however many they are.
func TestNoPackets(t *testing.T) {
	record := strings.Repeat("\xff", 1000)
	p := newPlayer(t, options{File: file(t, capturing(t, linkNFLOG, slices.Repeat([]string{record}, 2000)...)), Repeat: 1})
	if err := p.run(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if n := cap(p.batch.Buf); n > 100*len(record) || p.unusable.Value() != 2000 {
		t.Errorf("%d bytes for %d records of no use, of 2000", n, p.unusable.Value())
	}
}
