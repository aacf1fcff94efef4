package unixsock

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/ulogd-go/ulogd/pkg/plugin"
	"github.com/ulogd-go/ulogd/pkg/plugintest"
)

// start is a source that listens.
func start(t *testing.T, opts plugintest.Options) (r *plugintest.Reading, path string) {
	t.Helper()
	if opts == nil {
		opts = plugintest.Options{}
	}
	path = filepath.Join(t.TempDir(), "sock")
	opts["socket_path"] = path
	r = plugintest.Bench{Plugin: "UNIXSOCK", Options: opts}.Source(t)
	r.Start(t)
	return r, path
}

func dial(t *testing.T, path string) *net.UnixConn {
	t.Helper()
	c, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: path})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func write(t *testing.T, c *net.UnixConn, pieces ...[]byte) {
	t.Helper()
	for _, p := range pieces {
		if _, err := c.Write(p); err != nil {
			t.Fatal(err)
		}
	}
}

// closed waits until the other side has closed the connection.
func closed(t *testing.T, c *net.UnixConn) {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) && !errors.Is(err, unix.ECONNRESET) {
		t.Fatalf("%v, want the end of the connection", err)
	}
}

func payloads(events []plugintest.Event) (list []string) {
	for _, e := range events {
		list = append(list, string(e["raw.pkt"].([]byte)))
	}
	return list
}

func same(t *testing.T, what string, want, got []string) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got)\n%s", what, diff)
	}
}

// TestPieces sends packets in all ways in which a stream may be cut.
func TestPieces(t *testing.T) {
	r, path := start(t, nil)
	c := dial(t, path)
	one, two := packet("E1", option(nil, 1, "p")...), packet("`2")
	stream := slices.Concat(one, two, one)
	for cut := range stream {
		write(t, c, stream[:cut], stream[cut:])
		same(t, fmt.Sprintf("cut at %d", cut), []string{"E1", "`2", "E1"}, payloads(r.Events(t, 3)))
	}
	events := append(r.Events(t, 0), func() []plugintest.Event { write(t, c, one); return r.Events(t, 1) }()...)
	want := []plugintest.Event{{"raw.pkt": []byte("E1"), "raw.pktlen": uint32(2), "raw.pktcount": uint32(1), "oob.prefix": "p", "oob.family": uint8(2)}}
	if diff := cmp.Diff(want, events); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// TestManyClients has clients send at once, each its packets in order.
func TestManyClients(t *testing.T) {
	const clients, packets = 10, 2000
	r, path := start(t, nil)
	var senders sync.WaitGroup
	for i := range clients {
		c := dial(t, path)
		senders.Go(func() {
			defer c.Close()
			for n := range packets {
				if _, err := c.Write(packet(fmt.Sprintf("E %d %d", i, n))); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	next := make([]int, clients)
	for _, text := range payloads(r.Events(t, clients*packets)) {
		var i, n int
		if _, err := fmt.Sscanf(text, "E %d %d", &i, &n); err != nil || n != next[i] {
			t.Fatalf("%q, %v; want number %d of client %d", text, err, next[i], i)
		}
		next[i]++
	}
	senders.Wait()
	if a, b, c := r.Count("packets"), r.Count("clients"), r.Count("clients_cut"); a != clients*packets || b != clients || c != 0 {
		t.Errorf("%d packets of %d clients, of which %d were cut off", a, b, c)
	}
}

// TestBadClients has clients that send nonsense. Each is cut off, what it sent before
// counts, and the others go on.
func TestBadClients(t *testing.T) {
	r, path := start(t, nil)
	good := dial(t, path)
	for i, bad := range [][]byte{
		[]byte("GET / HTTP/1.0\r\n\r\n"),
		{0x41, 0xc9, 0x0f, 0xd4, 0, 7, 0, 0},
		packet("E2345678", 0, 0, 0, 1, 255, 255, 255, 255),
	} {
		c := dial(t, path)
		write(t, c, append(packet("Ebefore"), bad...))
		write(t, good, packet("Egood"))
		got := payloads(r.Events(t, 2))
		slices.Sort(got)
		same(t, fmt.Sprint("client ", i), []string{"Ebefore", "Egood"}, got)
		closed(t, c)
	}
	c := dial(t, path)
	write(t, c, packet("E")[:9])
	c.Close()
	plugintest.Await(t, "four clients are cut off", func() bool { return r.Count("clients_cut") == 4 })
	write(t, good, packet("Egood"))
	same(t, "afterwards", []string{"Egood"}, payloads(r.Events(t, 1)))
	if want := "ulogd2: invalid packet marked received (read 47455420, expected 41c90fd4), closing socket of process " + strconv.Itoa(os.Getpid()); !strings.Contains(r.Log(), want) {
		t.Errorf("the log is\n%s", r.Log())
	}
}

// TestUnknownOptions are skipped and counted.
func TestUnknownOptions(t *testing.T) {
	r, path := start(t, nil)
	write(t, dial(t, path), packet("E", option(option(nil, 99, "x"), 98, "")...))
	r.Events(t, 1)
	if !strings.Contains(r.Log(), "ulogd2: skipped 2 options whose number is not known") {
		t.Errorf("the log is\n%s", r.Log())
	}
}

// TestSmallBuffer: the longest packet passes whatever bufsize says.
func TestSmallBuffer(t *testing.T) {
	r, path := start(t, plugintest.Options{"bufsize": "100"})
	long := strings.Repeat("E", 0xffff-16)
	write(t, dial(t, path), packet("E1"), packet(long), packet("E2"))
	same(t, "payloads", []string{"E1", long, "E2"}, payloads(r.Events(t, 3)))
}

// TestNothingIsLostAtTheEnd ends a source that has not read its packets yet.
func TestNothingIsLostAtTheEnd(t *testing.T) {
	r, path := start(t, nil)
	const packets = 50
	for i := range 3 {
		c := dial(t, path)
		for n := range packets {
			write(t, c, packet(fmt.Sprintf("E %d %d", i, n)))
		}
	}
	plugintest.Await(t, "all clients are let in", func() bool { return r.Count("clients") == 3 })
	if got := len(r.Rest(t)); got != 3*packets {
		t.Errorf("%d packets of %d", got, 3*packets)
	}
	if _, err := net.Dial("unix", path); err == nil {
		t.Error("the socket still takes clients")
	}
}

// TestNothingIsLostOfWhoIsNotLetInYet: what a client has sent before the end counts, though
// it was not let in by then.
func TestNothingIsLostOfWhoIsNotLetInYet(t *testing.T) {
	for range 20 {
		r, path := start(t, nil)
		for range 3 {
			c := dial(t, path)
			write(t, c, packet("E"))
			c.Close()
		}
		if got := len(r.Rest(t)); got != 3 {
			t.Errorf("%d packets of 3", got)
		}
	}
}

func TestCloseWithoutRead(t *testing.T) {
	r := plugintest.Bench{Plugin: "UNIXSOCK", Options: plugintest.Options{"socket_path": filepath.Join(t.TempDir(), "sock")}}.Source(t)
	if err := r.Source.Open(); err != nil {
		t.Fatal(err)
	}
	c := dial(t, r.Source.(*source).Path)
	write(t, c, packet("E"), packet("E")[:5])
	plugintest.Await(t, "the client is let in", func() bool { return r.Count("clients") == 1 })
	if err := r.Source.Close(); err != nil {
		t.Fatal(err)
	}
	closed(t, c)
}

func TestWake(t *testing.T) {
	r, path := start(t, nil)
	r.Source.(plugin.Waker).Wake()
	if events, err := r.Read(); len(events) != 0 || err != nil {
		t.Errorf("%v, %v; want nothing", events, err)
	}
	write(t, dial(t, path), packet("E"))
	r.Events(t, 1)
}

func TestReadDoesNotAllocate(t *testing.T) {
	r, path := start(t, nil)
	c := dial(t, path)
	batch := slices.Repeat(packet("E2345678", option(option(nil, 1, "FW: \x00"), 4, u32(7))...), enough)
	if n := r.Allocs(t, func() { write(t, c, batch) }); n >= 1 { // an average: other goroutines may allocate now and then
		t.Errorf("%v allocations for a batch", n)
	}
}
