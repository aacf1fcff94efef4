package all

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"io"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ulogd-go/ulogd/contrib/lab"
	"github.com/ulogd-go/ulogd/pkg/config"
	"github.com/ulogd-go/ulogd/pkg/event"
	"github.com/ulogd-go/ulogd/pkg/pipeline"
	"github.com/ulogd-go/ulogd/pkg/plugin"
	"github.com/ulogd-go/ulogd/pkg/stats"
	"github.com/ulogd-go/ulogd/pkg/ulog"
)

// canned is a source of datagrams of ULOG as a kernel sends them.
type canned struct {
	ulog.Decoder
	datagrams [][]byte
}

func (*canned) Open() error  { return nil }
func (*canned) Close() error { return nil }

func (c *canned) Read(_ context.Context, b *event.Batch) error {
	if len(c.datagrams) == 0 {
		return io.EOF
	}
	off := len(b.Buf)
	b.Buf, b.Now = append(b.Buf, c.datagrams[0]...), time.Now()
	c.datagrams = c.datagrams[1:]
	c.Decode(b, off, len(b.Buf))
	return nil
}

// withULOG is all plugins, with datagrams in the place of the kernel's ULOG.
func withULOG(t *testing.T, datagrams [][]byte) *plugin.Registry {
	t.Helper()
	r := new(plugin.Registry)
	for _, name := range plugin.Default.Names() {
		if spec, err := plugin.Default.Lookup(name); err != nil {
			t.Fatal(err)
		} else if name != "ULOG" {
			r.Register(spec)
		}
	}
	type options struct {
		Group int `toml:"nlgroup" doc:"group"`
	}
	r.Register(plugin.NewSource(plugin.Info{Name: "ULOG", Summary: "s", Gives: plugin.Raw}, options{},
		func(options, *plugin.Env) (plugin.Source, error) { return &canned{datagrams: datagrams}, nil }))
	return r
}

// ip is a packet from 192.0.2.1 to 198.51.100.2 whose header, but for its length,
// addresses and checksum, is given.
func ip(t *testing.T, header, load string) []byte {
	t.Helper()
	unhex := func(text string) []byte {
		b, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	b := append(unhex(header), 192, 0, 2, 1, 198, 51, 100, 2)
	b = append(b, unhex(load)...)
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	return b
}

// TestFirstULOG has the packets of which the reference page "ulogd1", sections 5.1 and
// 5.2, has what releases after 1.24 really wrote, by way of ULOG: in batches whose last
// message is of type NLMSG_DONE, and from kernels of both word sizes.
func TestFirstULOG(t *testing.T) {
	const head, plain = "45 00 0000 1234 4000 40", "SRC=192.0.2.1 DST=198.51.100.2 "
	full := lab.ULOG{Sec: 1700000000, Usec: 123456, In: "eth0", Prefix: "FW-DROP:", MAC: []byte("\x00\x11\x22\x33\x44\x55\x66\x77\x88\x99\xaa\xbb\x08\x00")}
	const from = "Nov 14 22:13:20 vm FW-DROP: IN=eth0 OUT= MAC=00:11:22:33:44:55:66:77:88:99:aa:bb:08:00 " + plain
	const echo = "08 00 0000 004d 0003"
	tests := []struct {
		change       func(*lab.ULOG)
		header, load string
		line         string
	}{
		{nil, head + "06 3c65", "9c40 0016 12345678 9abcdef0 5012 faf0 0000 0000",
			from + "LEN=40 TOS=00 PREC=0x00 TTL=64 ID=4660 DF PROTO=TCP SPT=40000 DPT=22 SEQ=305419896 ACK=2596069104 WINDOW=64240 ACK SYN URGP=0 "},
		{func(u *lab.ULOG) { u.Out = "eth1" }, "45 b8 0000 8123 a010 01 06 0000", "9c41 0050 00000001 00000000 503f ffff 0000 0007",
			strings.Replace(from, "OUT=", "OUT=eth1", 1) + "LEN=40 TOS=18 PREC=0xA0 TTL=1 ID=33059 CE MF FRAG:16 PROTO=TCP SPT=40001 DPT=80 SEQ=1 ACK=0 WINDOW=65535 URG ACK PSH RST SYN FIN URGP=7 "},
		{nil, head + "01 0000", echo, from + "LEN=28 TOS=00 PREC=0x00 TTL=64 ID=4660 DF PROTO=ICMP TYPE=8 CODE=0 ID=77 SEQ=3 "},
		{nil, head + "01 0000", "03 04 0000 0000 0578", from + "LEN=28 TOS=00 PREC=0x00 TTL=64 ID=4660 DF PROTO=ICMP TYPE=3 CODE=4 MTU=1400 "},
		{nil, head + "01 0000", "03 03 0000 0000 0000", from + "LEN=28 TOS=00 PREC=0x00 TTL=64 ID=4660 DF PROTO=ICMP TYPE=3 CODE=3 "},
		{nil, head + "01 0000", "05 01 0000 c00002fe", from + "LEN=28 TOS=00 PREC=0x00 TTL=64 ID=4660 DF PROTO=ICMP TYPE=5 CODE=1 GATEWAY=192.0.2.254 "},
		{nil, head + "01 0000", "0c 00 0000 14000000", from + "LEN=28 TOS=00 PREC=0x00 TTL=64 ID=4660 DF PROTO=ICMP TYPE=12 CODE=0 PARAMETER=20 "},
		{nil, head + "01 0000", "0b 00 0000 00000000", from + "LEN=28 TOS=00 PREC=0x00 TTL=64 ID=4660 DF PROTO=ICMP TYPE=11 CODE=0 "},
		{nil, head + "32 0000", "00000000", from + "LEN=24 TOS=00 PREC=0x00 TTL=64 ID=4660 DF PROTO=ESP SPI=0x0 "},
		{nil, head + "33 0000", "00000000 00000000", from + "LEN=28 TOS=00 PREC=0x00 TTL=64 ID=4660 DF PROTO=AH SPI=0x0 "},
		{nil, head + "2f 0000", "00000000", from + "LEN=24 TOS=00 PREC=0x00 TTL=64 ID=4660 DF PROTO=47 "},
		{func(u *lab.ULOG) { u.Prefix = "tail " }, head + "01 0000", echo,
			strings.Replace(from, "FW-DROP:", "tail ", 1) + "LEN=28 TOS=00 PREC=0x00 TTL=64 ID=4660 DF PROTO=ICMP TYPE=8 CODE=0 ID=77 SEQ=3 "},
		{func(u *lab.ULOG) { u.In, u.Out, u.MAC = "", "eth1", nil }, head + "01 0000", echo,
			"Nov 14 22:13:20 vm FW-DROP: IN= OUT=eth1 MAC= " + plain + "LEN=28 TOS=00 PREC=0x00 TTL=64 ID=4660 DF PROTO=ICMP TYPE=8 CODE=0 ID=77 SEQ=3 "},
		{func(u *lab.ULOG) { u.Prefix, u.MAC = "", nil }, head + "11 3c63", "0035 14e9 000b cafe 616263",
			"Nov 14 22:13:20 vm IN=eth0 OUT= MAC= " + plain + "LEN=31 TOS=00 PREC=0x00 TTL=64 ID=4660 DF PROTO=UDP SPT=53 DPT=5353 LEN=11 "},
	}
	var packets []lab.ULOG
	var want []string
	for _, tt := range tests {
		u := full
		if tt.change != nil {
			tt.change(&u)
		}
		u.Packet = ip(t, tt.header, tt.load)
		packets, want = append(packets, u), append(want, tt.line)
	}
	for _, long := range []int{8, 4} {
		lines, records := runULOG(t, batches(packets, long))
		if diff := cmp.Diff(want, lines); diff != "" {
			t.Errorf("kernel of %d bits (-want +got):\n%s", 8*long, diff)
		}
		if first := records[:strings.Index(records[1:], boundary)+1]; first != firstSample {
			t.Errorf("kernel of %d bits (-want +got):\n%s", 8*long, cmp.Diff(firstSample, first))
		}
	}
}

// firstSample is the record of section 5.2, but for the checksum and the offset of TCP.
const firstSample = boundary + `tcp.csum=0
tcp.res2=0
tcp.res1=0
tcp.fin=0
tcp.syn=1
tcp.rst=0
tcp.psh=0
tcp.ack=1
tcp.urg=0
tcp.window=64240
tcp.reserved=0
tcp.offset=5
tcp.ackseq=2596069104
tcp.seq=305419896
tcp.dport=22
tcp.sport=40000
ip.fragoff=16384
ip.id=4660
ip.csum=15461
ip.ihl=5
ip.totlen=40
ip.ttl=64
ip.tos=0
ip.protocol=6
ip.daddr=198.51.100.2
ip.saddr=192.0.2.1
oob.out=
oob.in=eth0
oob.mark=0
oob.time.usec=123456
oob.time.sec=1700000000
oob.prefix=FW-DROP:
raw.pktlen=40
raw.pkt=
raw.mac=00:11:22:33:44:55:66:77:88:99:aa:bb:08:00
`

// batches are the datagrams of a kernel that gathers three packets.
func batches(packets []lab.ULOG, long int) (datagrams [][]byte) {
	var datagram []byte
	for i, p := range packets {
		if i%3 == 2 || i == len(packets)-1 {
			datagrams = append(datagrams, p.Append(datagram, long, lab.ULOGDone, 0))
			datagram = nil
			continue
		}
		datagram = p.Append(datagram, long, lab.ULOGEvent, lab.ULOGMulti)
	}
	return datagrams
}

// runULOG runs a configuration of ulogd 1.x on datagrams.
func runULOG(t *testing.T, datagrams [][]byte) (lines []string, records string) {
	t.Helper()
	dir := t.TempDir()
	text := strings.ReplaceAll(strings.ReplaceAll(firstConfig, "DIR", dir), `plugin="/usr/lib/ulogd/ulogd_LOCAL.so"`+"\n", "")
	f, err := config.Parse("ulogd.conf", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	p, err := pipeline.Build(f, withULOG(t, datagrams), pipeline.Env{
		Log: slog.New(slog.NewTextHandler(&log, nil)), Stats: new(stats.Registry), Now: time.Now, Zone: time.UTC, Hostname: "vm",
	})
	if err == nil {
		err = p.Start(t.Context())
	}
	if err == nil {
		err = p.Run(t.Context())
	}
	if err != nil || p.Failed() > 0 {
		t.Fatalf("%v\n%s", err, &log)
	}
	logemu := string(readFile(t, filepath.Join(dir, "logemu.log")))
	return strings.Split(strings.TrimSuffix(logemu, "\n"), "\n"), string(readFile(t, filepath.Join(dir, "oprint.log")))
}
