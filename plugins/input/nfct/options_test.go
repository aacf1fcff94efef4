package nfct

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
	"golang.org/x/sys/unix"

	"github.com/ulogd-go/ulogd/pkg/ctnetlink"
	"github.com/ulogd-go/ulogd/pkg/nlsock"
	"github.com/ulogd-go/ulogd/pkg/plugin"
)

// text is an option that is written as text.
type text interface {
	UnmarshalText([]byte) error
	MarshalText() ([]byte, error)
}

// TestText: what is accepted is written back in its usual form, and the rest is refused
// with a word on what to do.
func TestText(t *testing.T) {
	f := func(x text, in, out, wantErr string) {
		t.Helper()
		err := x.UnmarshalText([]byte(in))
		if wantErr != "" {
			if err == nil || !strings.Contains(err.Error(), wantErr) {
				t.Errorf("%q: error %v, want %q", in, err, wantErr)
			}
			return
		}
		got, _ := x.MarshalText()
		if err != nil || string(got) != out {
			t.Errorf("%q: %q, %v; want %q", in, got, err, out)
		}
	}
	f(new(emit), "auto", "auto", "")
	f(new(emit), "destroy, New", "new,destroy", "")
	f(new(emit), "new,update,destroy", "new,update,destroy", "")
	f(new(emit), "old", "", `"old" is none of new, update and destroy`)
	f(new(emit), ",", "", "no event is named")

	f(new(networks), "", "", "")
	f(new(networks), "2001:db8::1/32,10.1.2.3/8,192.0.2.1/32", "10.0.0.0/8,192.0.2.1/32,2001:db8::/32", "")
	f(new(networks), "::/0, 0.0.0.0/0", "0.0.0.0/0,::/0", "")
	f(new(networks), "192.0.2.1", "", "no network specified")
	f(new(networks), "192.0.2.300/24", "", "is no network such as")
	f(new(networks), "192.0.2.0/33", "", "is no network such as")

	f(new(protocols), "", "", "")
	f(new(protocols), "tcp,UDP,132,ipv6-icmp", "6,17,132,58", "")
	f(new(protocols), "no-such", "", "unknown protocol no-such")
	f(new(protocols), "256", "", "unknown protocol 256")
}

func TestCheck(t *testing.T) {
	f := func(change func(*options), want string) {
		t.Helper()
		o := defaults
		change(&o)
		_, err := open(o, newInput(t, defaults).env)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
	f(func(o *options) { o.Poll, o.HashEnable = 1, false }, "NFCT polling mode requires the hashtable")
	f(func(o *options) { o.Poll = -1 }, "pollinterval = -1")
	f(func(o *options) { o.Poll, o.Capture = 1, "x" }, "there is nothing to poll in a file")
	f(func(o *options) { o.HashMax = 0 }, "hash_max_entries = 0")
	f(func(o *options) { o.EventMask = 8 }, "event_mask = 8")
}

func TestReportedAndSubscribed(t *testing.T) {
	f := func(hash bool, mask int, e emit, reported, subscribed ctnetlink.Event) {
		t.Helper()
		o := defaults
		o.HashEnable, o.EventMask, o.Emit = hash, mask, e
		if o.reported() != reported || o.subscribed() != subscribed {
			t.Errorf("hash %v, mask %d, emit %d: reports %d of %d, want %d of %d", hash, mask, e, o.reported(), o.subscribed(), reported, subscribed)
		}
	}
	f(true, 5, 0, 4, 5)
	f(false, 5, 0, 5, 5)
	f(false, 1, 0, 5, 1)
	f(true, 4, 7, 7, 7)
	f(false, 4, 1, 1, 5)
}

func TestSocketSizes(t *testing.T) {
	f := func(size, limit, wantSize, wantLimit int) {
		t.Helper()
		o := options{SocketSize: size, SocketMax: limit}
		if gotSize, gotLimit := o.socketSizes(); gotSize != wantSize || gotLimit != wantLimit {
			t.Errorf("%d, %d: %d up to %d, want %d up to %d", size, limit, gotSize, gotLimit, wantSize, wantLimit)
		}
	}
	f(0, 0, 32<<20, 128<<20)
	f(1000, 0, 1000, 0)
	f(1000, 2000, 1000, 2000)
	f(0, 2000, 2000, 2000)
	f(0, -1, 32<<20, -1) // never grows
}

// capturing makes a capture of the records, a second apart.
func capturing(t *testing.T, link layers.LinkType, records ...[]byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "events.pcap")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	w := pcapgo.NewWriter(file)
	if err := w.WriteFileHeader(65536, link); err != nil {
		t.Fatal(err)
	}
	for i, data := range records {
		info := gopacket.CaptureInfo{Timestamp: time.Unix(0, second(i)), CaptureLength: len(data), Length: len(data)}
		if err := w.WritePacket(info, data); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

// captured is a message as a record of a capture.
func captured(m nlsock.Message, flags uint16) []byte {
	data := append([]byte{0, 7, 3, 0x38, 13: 0, 15: 12}, nlsock.AppendMessage(nil, m.Type, 0, m.Body)...)
	data[netlinkHeader+6], data[netlinkHeader+7] = byte(m.Flags|flags), byte((m.Flags|flags)>>8)
	return data
}

// TestCapture: of all that passes on netlink, events are read, with the times of the
// capture.
func TestCapture(t *testing.T) {
	o := defaults
	route := captured(message(ctnetlink.New, connection(1)), 0)
	route[15] = 0 // another protocol
	o.Capture = capturing(t, linkNetlink,
		captured(message(ctnetlink.New, connection(1)), 0),
		captured(message(ctnetlink.New, connection(2)), 1),    // a request
		captured(message(ctnetlink.Update, connection(3)), 2), // an answer
		route, []byte{1},
		captured(message(ctnetlink.Destroy, connection(1)), 0),
		captured(message(ctnetlink.Destroy, connection(2)), 0))
	in := newInput(t, o)
	if err := in.Open(); err != nil {
		t.Fatal(err)
	}
	in.Dump() // there is nobody to ask
	err := in.Read(t.Context(), in.Batch)
	var got []string
	for _, r := range in.rows() {
		got = append(got, said(r))
	}
	if want := "4:001 90..95, 4:002 -..96"; strings.Join(got, ", ") != want || err != io.EOF {
		t.Errorf("%v, %v; want %s and the end", got, err, want)
	}
	if err := in.Close(); err != nil {
		t.Error(err)
	}
	var _ plugin.Dumper = in.source
}

func TestCaptureOfNoUse(t *testing.T) {
	f := func(path, want string) {
		t.Helper()
		o := defaults
		o.Capture = path
		if err := newInput(t, o).Open(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
	f(capturing(t, 1), "use a capture of an nlmon device")
	f("/nonexistent", "no such file")
	f(os.DevNull, "EOF")

	o := defaults
	o.Capture = capturing(t, linkNetlink, captured(message(ctnetlink.Destroy, connection(1)), 0), captured(message(ctnetlink.Destroy, connection(2)), 0))
	data, err := os.ReadFile(o.Capture)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(o.Capture, data[:len(data)-5], 0o600); err != nil {
		t.Fatal(err)
	}
	in := newInput(t, o)
	if err := in.Open(); err != nil {
		t.Fatal(err)
	}
	if err := in.Read(t.Context(), in.Batch); err != io.EOF || in.Batch.Len() != 1 {
		t.Errorf("%d records, %v; want the one before the damage", in.Batch.Len(), err)
	}
	in.Await(t, "the capture is damaged")
}

// TestCaptureFromAPipe: the daemon ends although whoever writes the capture does not.
func TestCaptureFromAPipe(t *testing.T) {
	data, err := os.ReadFile(capturing(t, linkNetlink, captured(message(ctnetlink.Destroy, connection(1)), 0)))
	if err != nil {
		t.Fatal(err)
	}
	o := defaults
	o.Capture = filepath.Join(t.TempDir(), "pipe")
	if err := unix.Mkfifo(o.Capture, 0o600); err != nil {
		t.Fatal(err)
	}
	w, err := os.OpenFile(o.Capture, os.O_RDWR, 0) // waits for nobody
	if err != nil {
		t.Fatal(err)
	}
	defer time.AfterFunc(20*time.Second, func() { w.Close() }).Stop() // lest the test hang
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	in := newInput(t, o)
	if err := in.Open(); err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	if err := in.Read(ctx, in.Batch); !errors.Is(err, context.Canceled) || in.Batch.Len() != 1 {
		t.Errorf("%d records, %v; want 1 and the end of the context", in.Batch.Len(), err)
	}
}
