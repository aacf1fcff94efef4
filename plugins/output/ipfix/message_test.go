package ipfix

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ulogd-go/ulogd/pkg/plugin"
	"github.com/ulogd-go/ulogd/pkg/plugintest"
	"github.com/ulogd-go/ulogd/pkg/queue"
)

// collector is the configuration of an exporter to where nobody listens.
func collector(opts plugintest.Options) plugintest.Options {
	all := plugintest.Options{"oid": "7", "host": "127.0.0.1", "proto": "udp"}
	for k, v := range opts {
		all[k] = v
	}
	return all
}

// start is an exporter with records of flows.
func start(t testing.TB, opts plugintest.Options, flows ...plugintest.Event) (*exporter, *queue.Block) {
	t.Helper()
	run := plugintest.Bench{Plugin: "IPFIX", Options: collector(opts), Keys: keyList}.Start(t, flows...)
	x := run.Instance.(*exporter)
	t.Cleanup(func() { _ = x.Close() })
	return x, run.Encode(t)
}

// set is a set of a message, without its header.
type set struct {
	ID   uint16
	Body []byte
}

// message is what a collector sees.
type message struct {
	Time, Seq, OID uint32
	Sets           []set
}

// parse takes a message apart (RFC 7011, section 3).
func parse(b []byte) (m message, err error) {
	be := binary.BigEndian
	if len(b) < headerLen || be.Uint16(b) != 10 || int(be.Uint16(b[2:])) != len(b) {
		return m, fmt.Errorf("%d bytes with header %x", len(b), b[:min(len(b), headerLen)])
	}
	m = message{Time: be.Uint32(b[4:]), Seq: be.Uint32(b[8:]), OID: be.Uint32(b[12:])}
	for b = b[headerLen:]; len(b) > 0; {
		if len(b) < setHeaderLen || int(be.Uint16(b[2:])) < setHeaderLen || int(be.Uint16(b[2:])) > len(b) {
			return m, fmt.Errorf("set %x", b)
		}
		n := be.Uint16(b[2:])
		m.Sets = append(m.Sets, set{be.Uint16(b), b[setHeaderLen:n]})
		b = b[n:]
	}
	return m, nil
}

// stream is what a collector knows of a session.
type stream struct {
	templates map[uint16]int // sizes of their records
	rows      [][]byte       // numbers of templates and records, as in the queue
	announced int            // templates that have come, again and again
	next      uint32
}

// read reads a message, which has to be one that this collector can read.
func (s *stream) read(b []byte) error {
	m, err := parse(b)
	if err != nil {
		return err
	}
	if m.Seq != s.next || m.OID != 7 {
		return fmt.Errorf("sequence number %d in domain %d, want %d in 7", m.Seq, m.OID, s.next)
	}
	for _, set := range m.Sets {
		if set.ID == templateSet {
			s.learn(set.Body)
			continue
		}
		size := s.templates[set.ID]
		if size == 0 || len(set.Body) == 0 || len(set.Body)%size != 0 {
			return fmt.Errorf("set %d of %d bytes, and the template has %d", set.ID, len(set.Body), size)
		}
		for r := set.Body; len(r) > 0; r = r[size:] {
			s.rows = append(s.rows, append(binary.BigEndian.AppendUint16(nil, set.ID), r[:size]...))
			s.next++
		}
	}
	return nil
}

// learn reads one template.
func (s *stream) learn(b []byte) {
	if s.templates == nil {
		s.templates = map[uint16]int{}
	}
	s.announced++
	id, n, size := binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:]), 0
	b = b[4:]
	for range n {
		size += int(binary.BigEndian.Uint16(b[2:]))
		vendor := binary.BigEndian.Uint16(b)&0x8000 != 0
		b = b[4:]
		if vendor {
			b = b[4:]
		}
	}
	if len(b) > 0 {
		size = -1
	}
	s.templates[id] = size
}

// packed are the messages that a block becomes.
func packed(x *exporter, blk *queue.Block) (messages [][]byte) {
	x.pack(blk, 0, x.templateOf)
	for i := range x.messages.Rows() {
		messages = append(messages, bytes.Clone(x.messages.Row(i)))
	}
	return messages
}

// many are flows of both families in turn.
func many(n int) []plugintest.Event {
	flows := make([]plugintest.Event, n)
	for i := range flows {
		flows[i] = with([]plugintest.Event{translated, v6, v6, ping, translated}[i%5], plugintest.Event{"ct.id": i})
	}
	return flows
}

// TestMessages: whatever the size of messages and the way of sending templates, no
// message is too long, and a collector reads each record once, in order.
func TestMessages(t *testing.T) {
	const flows = 200
	for _, proto := range []string{"tcp", "udp"} {
		for _, how := range []string{"once", "always", "never"} {
			for _, fields := range []string{"all", "ulogd"} {
				for _, mtu := range []int{0, 200, 300, 512, 1400, 65507} {
					name := fmt.Sprintf("%s, %s, %s, %d", proto, how, fields, mtu)
					opts := plugintest.Options{"proto": proto, "send_template": how, "fields": fields}
					if mtu == 0 { // the least
						mtu = leastMTU(t, opts)
					}
					opts["mtu"] = fmt.Sprint(mtu)
					if mtu < leastMTU(t, opts) {
						continue
					}
					x, blk := start(t, opts, many(flows)...)
					x.begin(true)
					s := stream{}
					if how == "never" {
						s.templates = map[uint16]int{256: x.v4.size, 257: x.v6.size}
					}
					messages := packed(x, blk)
					for _, m := range messages {
						if len(m) > mtu {
							t.Errorf("%s: a message of %d bytes", name, len(m))
						}
						if err := s.read(m); err != nil {
							t.Fatalf("%s: %v", name, err)
						}
					}
					if len(s.rows) != flows {
						t.Fatalf("%s: %d records, want %d", name, len(s.rows), flows)
					}
					for i := range s.rows {
						if !bytes.Equal(s.rows[i], blk.Row(i)) {
							t.Fatalf("%s: record %d is %x, want %x", name, i, s.rows[i], blk.Row(i))
						}
					}
					if want := map[string]int{"once": 2, "never": 0}[how]; how != "always" && s.announced != want {
						t.Errorf("%s: %d templates, want %d", name, s.announced, want)
					} else if how == "always" && s.announced < len(messages) {
						t.Errorf("%s: %d templates in %d messages, want one in each at least", name, s.announced, len(messages))
					}
				}
			}
		}
	}
}

// leastMTU is the smallest that is accepted.
func leastMTU(t *testing.T, opts plugintest.Options) int {
	t.Helper()
	opts = collector(opts)
	opts["mtu"] = "1"
	_, _, err := plugintest.Bench{Plugin: "IPFIX", Options: opts}.Open(t)
	var n int
	if _, rest, ok := strings.Cut(fmt.Sprint(err), "; use "); ok {
		fmt.Sscan(rest, &n)
	}
	if n == 0 {
		t.Fatalf("mtu=1: %v, want an error that says what to use", err)
	}
	return n
}

// TestAsUlogd compares with a message of ulogd 2.0.8. Ours has the same IPv4 records,
// but for the counters' size, behind a template that says so.
func TestAsUlogd(t *testing.T) {
	text, err := os.ReadFile("testdata/ulogd-2.0.8.hex")
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	old, err := parse(theirs)
	if err != nil || len(old.Sets) != 2 {
		t.Fatalf("%+v, %v", old, err)
	}
	want := message{Time: uint32(plugintest.Now.Unix()), OID: 7, Sets: []set{{templateSet, bytes.Clone(old.Sets[0].Body)}, {ID: 256}}}
	for _, element := range []int{2, 3} { // packetTotalCount, octetTotalCount
		want.Sets[0].Body[4+4*element+3] = 8
	}
	var flows []plugintest.Event
	for r := old.Sets[1].Body; len(r) > 0; r = r[33:] {
		if r[0] == 0x20 {
			continue // of IPv6
		}
		wide := append(bytes.Clone(r[:8]), 0, 0, 0, 0)
		wide = append(append(append(wide, r[8:12]...), 0, 0, 0, 0), r[12:33]...)
		want.Sets[1].Body = append(want.Sets[1].Body, wide...)
		be := binary.BigEndian
		flow := with(ping, plugintest.Event{"orig.ip.protocol": r[28], "flow.start.sec": be.Uint32(r[16:]), "ct.mark": be.Uint32(r[29:])})
		if sport := be.Uint16(r[24:]); sport != 0 {
			flow["orig.l4.sport"], flow["orig.l4.dport"] = sport, be.Uint16(r[26:])
		}
		flows = append(flows, flow)
	}
	x, blk := start(t, plugintest.Options{"fields": "ulogd"}, flows...)
	x.begin(true)
	messages := packed(x, blk)
	got, err := parse(messages[0])
	if err != nil || len(messages) != 1 || len(flows) != 7 {
		t.Fatalf("%d messages of %d flows, %v; want 1 of 7", len(messages), len(flows), err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// TestTemplatesComeAgain by UDP, so that a collector that was restarted gets them.
func TestTemplatesComeAgain(t *testing.T) {
	announced := func(x *exporter, blk *queue.Block, s *stream) int {
		t.Helper()
		before := s.announced
		for _, m := range packed(x, blk) {
			if err := s.read(m); err != nil {
				t.Fatal(err)
			}
		}
		return s.announced - before
	}
	f := func(opts plugintest.Options, later time.Duration, want int) {
		t.Helper()
		x, blk := start(t, opts, translated, v6)
		now := plugintest.Now
		x.now = func() time.Time { return now }
		x.begin(true)
		s := new(stream)
		if n := announced(x, blk, s); n != 2 {
			t.Errorf("%v: %d templates at first, want 2", opts, n)
		}
		now = now.Add(later - time.Nanosecond)
		if n := announced(x, blk, s); n != 0 {
			t.Errorf("%v: %d templates before %v, want none", opts, n, later)
		}
		now = now.Add(time.Nanosecond)
		if n := announced(x, blk, s); n != want {
			t.Errorf("%v: %d templates after %v, want %d", opts, n, later, want)
		}
		if n := announced(x, blk, s); n != 0 {
			t.Errorf("%v: %d templates after that, want none", opts, n)
		}
	}
	f(plugintest.Options{}, 10*time.Minute, 2)
	f(plugintest.Options{"template_refresh": "30s"}, 30*time.Second, 2)
	f(plugintest.Options{"template_refresh": "0"}, 1000*time.Hour, 0)
	f(plugintest.Options{"proto": "tcp"}, 1000*time.Hour, 0)
}

func TestOptions(t *testing.T) {
	f := func(opts plugintest.Options, want string) {
		t.Helper()
		_, _, err := plugintest.Bench{Plugin: "IPFIX", Options: opts}.Open(t)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want an error with %q", opts, err, want)
		}
	}
	f(plugintest.Options{"host": "127.0.0.1"}, "oid: mandatory option is missing")
	f(plugintest.Options{"oid": "7"}, "host: mandatory option is missing")
	f(collector(plugintest.Options{"oid": "0"}), `oid = "0": needs another value`)
	f(collector(plugintest.Options{"proto": "UDP"}), `unknown proto "UDP"; use tcp or udp`)
	f(collector(plugintest.Options{"mtu": "65508"}), "can't have more than 65507 bytes")
	f(collector(plugintest.Options{"proto": "tcp", "mtu": "65536"}), "can't have more than 65535 bytes")
	f(collector(plugintest.Options{"tls": "1"}), "can't be used over udp")
	f(collector(plugintest.Options{"fields": "some"}), "use all or ulogd")
}

// TestForeignRecords: what waited on disk while the options were others is rejected,
// and costs no other record.
func TestForeignRecords(t *testing.T) {
	_, blk := start(t, plugintest.Options{"fields": "ulogd"}, translated)
	x, _ := start(t, nil)
	if err := x.Connect(t.Context()); err != nil {
		t.Fatal(err)
	}
	var reject *plugin.RejectError
	if err := x.Write(t.Context(), blk); !errors.As(err, &reject) || len(reject.Rows) != 0 {
		t.Errorf("%v, want a RejectError without rows", err)
	}
}

func TestAllocs(t *testing.T) {
	plugintest.Allocs(t, "IPFIX", collector(nil), keyList, translated, v6, ping)
	x, blk := start(t, nil, many(100)...)
	if n := testing.AllocsPerRun(100, func() { x.begin(true); x.pack(blk, 0, x.templateOf) }); n != 0 {
		t.Errorf("%v allocations for the messages of a block, want none", n)
	}
}

// TestOtherFamilies: a flow without addresses makes no record.
func TestOtherFamilies(t *testing.T) {
	none := plugintest.Event{"orig.ip.protocol": 6, "ct.mark": 1}
	_, blk := start(t, nil, none, v6, none)
	if blk.Rows() != 1 {
		t.Errorf("%d records, want 1", blk.Rows())
	}
}

// FuzzMessages: any flows in any size of message are read back.
func FuzzMessages(f *testing.F) {
	f.Add([]byte{0, 1, 0, 1, 1, 0}, uint16(512), true)
	f.Add([]byte{1}, uint16(0), false)
	f.Fuzz(func(t *testing.T, families []byte, mtu uint16, always bool) {
		x, _ := start(t, plugintest.Options{"send_template": map[bool]string{true: "always", false: "once"}[always]})
		x.mtu = max(int(mtu), x.least(x.v4), x.least(x.v6))
		blk := new(queue.Block)
		for i, b := range families {
			tpl := []*template{x.v4, x.v6}[b&1]
			blk.Data = binary.BigEndian.AppendUint16(blk.Data, tpl.id)
			blk.Data = append(blk.Data, bytes.Repeat([]byte{byte(i)}, tpl.size)...)
			blk.End()
		}
		x.begin(true)
		s := new(stream)
		for _, m := range packed(x, blk) {
			if len(m) > x.mtu {
				t.Fatalf("a message of %d bytes, the limit being %d", len(m), x.mtu)
			}
			if err := s.read(m); err != nil {
				t.Fatal(err)
			}
		}
		if len(s.rows) != blk.Rows() {
			t.Fatalf("%d records, want %d", len(s.rows), blk.Rows())
		}
		for i := range s.rows {
			if !bytes.Equal(s.rows[i], blk.Row(i)) {
				t.Fatalf("record %d is %x, want %x", i, s.rows[i], blk.Row(i))
			}
		}
	})
}
