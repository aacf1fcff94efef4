package xml

import (
	"bytes"
	stdxml "encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ulogd-go/ulogd/pkg/ctnetlink"
	"github.com/ulogd-go/ulogd/pkg/event"
	"github.com/ulogd-go/ulogd/pkg/nflog"
	"github.com/ulogd-go/ulogd/pkg/plugin"
	"github.com/ulogd-go/ulogd/pkg/plugintest"
	"github.com/ulogd-go/ulogd/pkg/queue"
)

const when = "<when><hour>7</hour><min>57</min><sec>13</sec><wday>2</wday><day>23</day><month>11</month><year>2026</year></when>"

var keys = []event.Key{{Name: "raw", Kind: event.Raw}, {Name: "ct", Kind: event.Raw}}

// message is an NFLOG message without its netlink header: IPv4, group 1.
func message(attrs ...[]byte) []byte {
	return append([]byte{2, 0, 0, 1}, bytes.Join(attrs, nil)...)
}

func attr(typ uint16, value ...byte) []byte { return nflog.AppendAttr(nil, typ, value...) }

func prefix(s string) []byte { return attr(nflog.AttrPrefix, append([]byte(s), 0)...) }

// bridged is a packet with everything that a record can show, and some that it
// does not show.
var bridged = message(
	attr(nflog.AttrPacketHdr, 0x08, 0x00, 2, 0),
	prefix("brnf: "),
	attr(nflog.AttrIfindexIn, 0, 0, 0, 10),
	attr(nflog.AttrIfindexOut, 0, 0, 0, 10),
	attr(nflog.AttrPhysIn, 0, 0, 0, 11),
	attr(nflog.AttrPhysOut, 0, 0, 0, 12),
	attr(nflog.AttrMark, 0xff, 0, 0, 1),
	attr(nflog.AttrHWAddr, 0, 6, 0, 0, 2, 0, 0, 0, 0xbe, 0xef, 0, 0),
	attr(nflog.AttrUID, 0, 0, 0, 0),
	attr(nflog.AttrSeq, 0, 0, 0, 1),
	attr(nflog.AttrPayload, 0x45, 0, 0, 0x1c),
)

func TestEncode(t *testing.T) {
	tests := []struct {
		name string
		raw  []byte
		opts plugintest.Options
		want string
	}{
		{
			name: "everything",
			raw:  bridged,
			want: "<prefix>brnf: </prefix><hook>2</hook><hw><proto>0800</proto><src>02000000beef</src></hw>" +
				"<mark>4278190081</mark><indev>10</indev><outdev>10</outdev><physindev>11</physindev><physoutdev>12</physoutdev>" +
				"<payload>4500001c</payload>",
		},
		{
			name: "OUTPUT: no hardware address; an empty prefix; mark 0",
			raw: message(attr(nflog.AttrPacketHdr, 0x86, 0xdd, 3, 0), prefix(""),
				attr(nflog.AttrMark, 0, 0, 0, 0), attr(nflog.AttrIfindexOut, 0, 0, 0, 11)),
			want: "<prefix></prefix><hook>3</hook><hw><proto>86dd</proto></hw><outdev>11</outdev>",
		},
		{name: "no attribute", raw: message(), want: ""},
		{name: "no message", raw: []byte{2}, want: ""},
		{
			name: "an attribute that claims more than there is",
			raw:  append(message(prefix("a")), 0xff, 0, nflog.AttrPayload, 0, 1, 2),
			want: "<prefix>a</prefix>",
		},
		{
			name: "attributes that are too short, an address that claims too much",
			raw: message(attr(nflog.AttrPacketHdr, 8, 0), attr(nflog.AttrIfindexIn, 1),
				attr(nflog.AttrHWAddr, 6), attr(nflog.AttrPacketHdr, 8, 0, 1), attr(nflog.AttrHWAddr, 0xff, 0xff, 0, 0, 7)),
			want: "<hook>1</hook><hw><proto>0800</proto><src>07</src></hw>",
		},
		{
			name: "more than ulogd's 4095 bytes",
			raw:  message(attr(nflog.AttrPayload, make([]byte, 3000)...)),
			want: "<payload>" + strings.Repeat("00", 3000) + "</payload>",
		},
		{
			name: "markup, control bytes and invalid UTF-8 as they are",
			raw:  message(prefix("<a href=\"x\">&amp;</a> \x01\xff")),
			want: "<prefix><a href=\"x\">&amp;</a> \x01\xff</prefix>",
		},
		{
			name: "escaped",
			raw:  message(prefix("<a href=\"x\">&amp;</a>\t\r\n\x01\xff \xef\xbf\xbf é")),
			opts: plugintest.Options{"escape": "1"},
			want: "<prefix>&lt;a href=\"x\"&gt;&amp;amp;&lt;/a&gt;\t&#13;\n\ufffd\ufffd \ufffd é</prefix>",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			rows := plugintest.Output(t, "XML", tt.opts, keys, plugintest.Event{"raw": tt.raw})
			if len(rows) != 1 {
				t.Fatalf("%d rows, want 1", len(rows))
			}
			if diff := cmp.Diff("<log>"+when+tt.want+"</log>\n", string(rows[0])); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestWhenIsLocal(t *testing.T) {
	sunday := time.Date(2027, time.January, 3, 4, 5, 6, 0, time.FixedZone("", 3600))
	want := "<when><hour>4</hour><min>05</min><sec>06</sec><wday>1</wday><day>3</day><month>1</month><year>2027</year></when>"
	b := plugintest.Bench{Plugin: "XML", Keys: keys, Env: func(env *plugin.Env) {
		env.Zone = sunday.Location()
		env.Now = func() time.Time { return sunday.UTC() }
	}}
	got := string(b.Output(t, plugintest.Event{"raw": message()})[0])
	if want = "<log>" + want + "</log>\n"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// flow are the attributes of a connection.
func flow(f ctnetlink.Flow) []byte { return f.AppendAttrs(nil) }

var (
	tcp = ctnetlink.Flow{
		Family: nflog.FamilyIPv4,
		Orig:   ctnetlink.Tuple{Src: [16]byte{192, 0, 2, 2}, Dst: [16]byte{192, 0, 2, 1}, SrcPort: 40000, DstPort: 8080, Proto: 6},
		Reply:  ctnetlink.Tuple{Src: [16]byte{192, 0, 2, 1}, Dst: [16]byte{192, 0, 2, 2}, SrcPort: 8080, DstPort: 40000, Proto: 6},
		Start:  1795421690801459000, Stop: 1795421692100999000,
		Mark: 42, ID: 2538068353, Status: 0xe, Timeout: 118, State: 7,
		OrigCount: ctnetlink.Counters{Packets: 5, Bytes: 270}, ReplyCount: ctnetlink.Counters{Packets: 1 << 40, Bytes: 1<<64 - 1},
		Has: ctnetlink.HasCounters | ctnetlink.HasMark | ctnetlink.HasID | ctnetlink.HasStatus | ctnetlink.HasTimeout | ctnetlink.HasState,
	}
	zoned = ctnetlink.Flow{
		Family: nflog.FamilyIPv6,
		Orig:   ctnetlink.Tuple{Src: [16]byte{0x20, 1, 15: 1}, Dst: [16]byte{0x20, 1, 15: 2}, SrcPort: 1, DstPort: 0xffff, Proto: gre, Zone: 11},
		Reply:  ctnetlink.Tuple{Src: [16]byte{0x20, 1, 15: 2}, Dst: [16]byte{0x20, 1, 15: 1}, SrcPort: 0xffff, DstPort: 1, Proto: gre},
		Start:  plugintest.Now.Add(-3500 * time.Millisecond).UnixNano(), // and not over yet
		Zone:   9, Use: 2, ID: 1, Status: 0, Has: ctnetlink.HasZone | ctnetlink.HasUse | ctnetlink.HasID | ctnetlink.HasStatus,
	}
)

const tcpRecord = `<flow><meta direction="original"><layer3 protonum="2" protoname="ipv4"><src>192.0.2.2</src><dst>192.0.2.1</dst></layer3>` +
	`<layer4 protonum="6" protoname="tcp"><sport>40000</sport><dport>8080</dport></layer4><counters><packets>5</packets><bytes>270</bytes></counters></meta>` +
	`<meta direction="reply"><layer3 protonum="2" protoname="ipv4"><src>192.0.2.1</src><dst>192.0.2.2</dst></layer3>` +
	`<layer4 protonum="6" protoname="tcp"><sport>8080</sport><dport>40000</dport></layer4>` +
	`<counters><packets>1099511627776</packets><bytes>18446744073709551615</bytes></counters></meta>` +
	`<meta direction="independent"><state>TIME_WAIT</state><timeout>118</timeout><mark>42</mark><id>2538068353</id><assured/><deltatime>1</deltatime></meta>` +
	when + `</flow>`

// TestFlows has what the recordings do not have; those are in plugins/all. Zones stand
// where ulogd 2.0.8 has written them.
func TestFlows(t *testing.T) {
	flowKeys := []event.Key{{Name: "ct", Kind: event.Raw}, {Name: "oob.family", Kind: event.U8}, {Name: "raw", Kind: event.Raw}}
	tests := []struct {
		name string
		in   plugintest.Event
		want string
	}{
		{"everything", plugintest.Event{"ct": flow(tcp), "oob.family": 2}, tcpRecord},
		{"zones; GRE; not yet answered", plugintest.Event{"ct": flow(zoned), "oob.family": 10},
			`<flow><meta direction="original"><layer3 protonum="10" protoname="ipv6"><src>2001::1</src><dst>2001::2</dst></layer3>` +
				`<layer4 protonum="47" protoname="gre"><srckey>0x1</srckey><dstkey>0xffff</dstkey></layer4><zone>11</zone></meta>` +
				`<meta direction="reply"><layer3 protonum="10" protoname="ipv6"><src>2001::2</src><dst>2001::1</dst></layer3>` +
				`<layer4 protonum="47" protoname="gre"><srckey>0xffff</srckey><dstkey>0x1</dstkey></layer4></meta>` +
				`<meta direction="independent"><zone>9</zone><use>2</use><id>1</id><unreplied/><deltatime>3</deltatime></meta>` + when + `</flow>`},
		{"nothing is known", plugintest.Event{"ct": []byte{1}},
			`<flow><meta direction="original"><layer3 protonum="0" protoname="unknown"></layer3><layer4 protonum="0" protoname="unknown"></layer4></meta>` +
				`<meta direction="reply"><layer3 protonum="0" protoname="unknown"></layer3><layer4 protonum="0" protoname="unknown"></layer4></meta>` +
				`<meta direction="independent"></meta>` + when + `</flow>`},
		{"attached to a packet", plugintest.Event{"ct": flow(tcp), "oob.family": 2, "raw": message(prefix("a"))},
			"<log>" + when + "<prefix>a</prefix></log>" + tcpRecord},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			rows := plugintest.Output(t, "XML", nil, flowKeys, tt.in)
			if len(rows) != 1 {
				t.Fatalf("%d rows, want 1", len(rows))
			}
			if diff := cmp.Diff(tt.want+"\n", string(rows[0])); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
	plugintest.Allocs(t, "XML", nil, flowKeys, tests[0].in, tests[1].in)
}

// TestSums has records as ulogd 2.0.8 has written them, and a name that breaks the
// document unless it is escaped.
func TestSums(t *testing.T) {
	sums := []event.Key{{Name: "sum.name", Kind: event.String}, {Name: "sum.pkts", Kind: event.U64}, {Name: "sum.bytes", Kind: event.U64}, {Name: "sum", Kind: event.Raw}}
	moment := strings.TrimSuffix(strings.TrimPrefix(when, "<when>"), "</when>")
	f := func(escape string, e plugintest.Event, want string) {
		t.Helper()
		rows := plugintest.Output(t, "XML", plugintest.Options{"escape": escape}, sums, e)
		if len(rows) != 1 || string(rows[0]) != "<obj>"+want+moment+"</obj>\n" {
			t.Errorf("%q, want %q", rows, want)
		}
	}
	f("0", plugintest.Event{"sum.name": "http-in", "sum.pkts": 1, "sum.bytes": 33, "sum": []byte{1}},
		"<name>http-in</name><pkts>00000000000000000001</pkts><bytes>00000000000000000033</bytes>")
	f("0", plugintest.Event{"sum.name": "", "sum.pkts": 0, "sum.bytes": uint64(1<<64 - 1)},
		"<name></name><pkts>00000000000000000000</pkts><bytes>18446744073709551615</bytes>")
	f("0", plugintest.Event{"sum.name": "a<b", "sum.pkts": 1, "sum.bytes": 1}, "<name>a<b</name><pkts>00000000000000000001</pkts><bytes>00000000000000000001</bytes>")
	f("1", plugintest.Event{"sum.name": "a<b\xff", "sum.pkts": 1, "sum.bytes": 1}, "<name>a&lt;b\ufffd</name><pkts>00000000000000000001</pkts><bytes>00000000000000000001</bytes>")
	plugintest.Allocs(t, "XML", nil, sums, plugintest.Event{"sum.name": "http-in", "sum.pkts": 1, "sum.bytes": 33})
}

func TestEncodeDoesNotAllocate(t *testing.T) {
	for _, escape := range []string{"0", "1"} {
		plugintest.Allocs(t, "XML", plugintest.Options{"escape": escape}, keys,
			plugintest.Event{"raw": bridged}, plugintest.Event{"raw": bridged})
	}
}

func TestQueue(t *testing.T) {
	for sync, want := range map[string]queue.Batching{"0": {Age: 40 * time.Millisecond}, "1": {}} {
		out := plugintest.Bench{Plugin: "XML", Options: plugintest.Options{"sync": sync}, Keys: keys}.Start(t).Output(t)
		if o, got := out.Queue(); got != want || o != queue.Defaults {
			t.Errorf("sync=%s: %+v, %+v", sync, o, got)
		}
	}
}

// FuzzEncode: with escape, any message makes a well-formed record of one line, and so
// do any attributes of a connection.
func FuzzEncode(f *testing.F) {
	f.Add(bridged, flow(tcp))
	f.Add(message(prefix("<&>\x00")), flow(zoned))
	f.Add([]byte{}, []byte{})
	f.Fuzz(func(t *testing.T, raw, ct []byte) {
		var p packet
		p.read(raw)
		record := p.append(nil, []byte(when), true)
		for _, family := range []uint8{2, 10, 7} {
			connection := ctnetlink.Flow{Family: family}
			_ = connection.DecodeAttrs(ct) // what can be read is written
			record = appendFlow(record, &connection, []byte(when), plugintest.Now)
		}
		d := stdxml.NewDecoder(bytes.NewReader(record))
		for {
			_, err := d.Token()
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	})
}
