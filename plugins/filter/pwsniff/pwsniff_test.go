package pwsniff

import (
	"encoding/binary"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ulogd-go/ulogd/pkg/event"
	"github.com/ulogd-go/ulogd/pkg/plugintest"
)

// segment is a packet to a port, with as many words of IP options as asked for.
func segment(port uint16, words int, data string) []byte {
	b := make([]byte, 20+4*words+20)
	b[0], b[9] = 0x45+byte(words), 6
	binary.BigEndian.PutUint16(b[20+4*words+2:], port)
	b = append(b, data...)
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	return b
}

// patched is a packet with a byte changed.
func patched(b []byte, at int, with byte) []byte {
	b[at] = with
	return b
}

// TestFirst: in ulogd 1.x all packets pass.
func TestFirst(t *testing.T) {
	type e = plugintest.Event
	events := []e{{"raw.pkt": segment(22, 0, "USER a ")}, {"raw.pkt": segment(21, 0, "USER a ")}, {"oob.mark": uint32(1)}}
	got := plugintest.Filter(t, "PWSNIFF", plugintest.Options{"generation": "1"}, events...)
	if len(got) != 3 || got[0]["pwsniff.user"] != nil || got[1]["pwsniff.user"] != "a" {
		t.Errorf("%v, want three events, and a user in the second", got)
	}
}

func TestPWSNIFF(t *testing.T) {
	type e = plugintest.Event
	none, gone := e{}, e(nil)
	f := func(what string, pkt []byte, want e) {
		t.Helper()
		got := plugintest.Filter(t, "PWSNIFF", nil, e{"raw.pkt": pkt})
		if want == nil {
			if len(got) != 0 {
				t.Errorf("%s: %v, want it to end here", what, got)
			}
			return
		}
		if len(got) != 1 {
			t.Errorf("%s: %d events, want one", what, len(got))
			return
		}
		delete(got[0], "raw.pkt")
		if diff := cmp.Diff(want, got[0]); diff != "" {
			t.Errorf("%s (-want +got)\n%s", what, diff)
		}
	}
	// What servers are sent.
	f("FTP", segment(21, 0, "USER alice\r\n"), e{"pwsniff.user": "alice"})
	f("POP3", segment(110, 0, "PASS secret\r\n"), e{"pwsniff.pass": "secret"})
	f("both", segment(110, 0, "user alice\npass secret\n"), e{"pwsniff.user": "alice", "pwsniff.pass": "secret"})
	f("any case", segment(21, 0, "uSeR Alice pAsS Secret "), e{"pwsniff.user": "Alice", "pwsniff.pass": "Secret"})
	f("IP options", segment(21, 10, "USER alice\r\n"), e{"pwsniff.user": "alice"})
	f("TCP options", segment(21, 0, "\x01\x01\x08\x0a12345678USER alice\r\n"), e{"pwsniff.user": "alice"})
	f("any bytes", segment(21, 0, "USER \xff\x00,\"\r\n"), e{"pwsniff.user": "\xff\x00,\""})
	// The last counts.
	f("twice", segment(21, 0, "USER alice\r\nUSER bob\r\n"), e{"pwsniff.user": "bob"})
	f("the last has no end", segment(21, 0, "USER alice\r\nUSER bob"), none)
	f("the last is empty", segment(21, 0, "USER alice\r\nUSER \r\n"), none)
	// Nothing to find.
	f("another command", segment(21, 0, "SYST\r\n"), none)
	f("no data", segment(21, 0, ""), none)
	f("no word", segment(21, 0, "USER "), none)
	f("no blank", segment(21, 0, "USER\r\n"), none)
	// As much as the IP header says, and as was captured.
	long := segment(21, 0, "USER alice\r\n")
	f("behind the end", patched(long, 3, byte(len(long)-2)), none)
	f("cut", segment(21, 0, "USER alice\r\n")[:50], none)
	f("a length beyond the capture", patched(segment(21, 0, "USER alice\r\n"), 2, 0xff), e{"pwsniff.user": "alice"})
	// Everything else ends here.
	f("another port", segment(80, 0, "USER alice\r\n"), gone)
	f("UDP", patched(segment(21, 0, "USER alice\r\n"), 9, 17), gone)
	f("IPv6", patched(segment(21, 0, "USER alice\r\n"), 0, 0x65), gone)
	f("a later fragment", patched(segment(21, 0, "USER alice\r\n"), 7, 1), gone)
	f("a header of 16 bytes", patched(segment(21, 0, "USER alice\r\n"), 0, 0x44), gone)
	f("no TCP header", segment(21, 0, "")[:39], gone)
	f("a length without a TCP header", patched(segment(21, 0, "USER alice\r\n"), 3, 30), gone)
	f("no packet", []byte{0x45}, gone)
	f("nothing", []byte{}, gone)
	if got := (plugintest.Bench{Plugin: "PWSNIFF", Keys: []event.Key{{Name: "raw.pkt", Kind: event.Raw}}}).Filter(t, e{}); len(got) != 0 {
		t.Errorf("an event without a packet: %v", got)
	}
}

func TestPWSNIFFDoesNotAllocate(t *testing.T) {
	keys := []event.Key{{Name: "raw.pkt", Kind: event.Raw}}
	plugintest.Allocs(t, "PWSNIFF", nil, keys,
		plugintest.Event{"raw.pkt": segment(21, 0, "USER alice\r\nPASS secret\r\n"+strings.Repeat("x", 1000))},
		plugintest.Event{"raw.pkt": segment(80, 0, "GET / HTTP/1.1")})
}

func FuzzPWSNIFF(f *testing.F) {
	f.Add(segment(21, 0, "USER alice\r\nPASS secret\r\n"))
	f.Add(segment(110, 10, "pass secret\n"))
	f.Fuzz(func(t *testing.T, pkt []byte) {
		for _, e := range plugintest.Filter(t, "PWSNIFF", nil, plugintest.Event{"raw.pkt": pkt}) {
			for _, name := range []string{"pwsniff.user", "pwsniff.pass"} {
				if word, ok := e[name].(string); ok && (word == "" || strings.ContainsAny(word, " \r\n")) {
					t.Errorf("%s is %q", name, word)
				}
			}
		}
	})
}
