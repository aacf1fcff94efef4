package fdstore

import (
	"bytes"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// manager is a service manager's socket.
func manager(t *testing.T) *net.UnixConn {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	t.Setenv("NOTIFY_SOCKET", path)
	t.Setenv("FDSTORE", "8")
	return conn
}

// receive is a message with its descriptors.
func receive(t *testing.T, conn *net.UnixConn) (string, []int) {
	t.Helper()
	b, oob := make([]byte, 4096), make([]byte, 4096)
	n, oobn, _, _, err := conn.ReadMsgUnix(b, oob)
	if err != nil {
		t.Fatal(err)
	}
	var fds []int
	messages, err := unix.ParseSocketControlMessage(oob[:oobn])
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range messages {
		more, err := unix.ParseUnixRights(&m)
		if err != nil {
			t.Fatal(err)
		}
		fds = append(fds, more...)
	}
	return string(b[:n]), fds
}

func TestKeep(t *testing.T) {
	conn := manager(t)
	s := Open()
	p, err := NewPage("p")
	if err != nil {
		t.Fatal(err)
	}
	p.Store([]byte("one"))
	p.Store([]byte("two"))
	if err := s.Keep("a", int(p.File.Fd())); err != nil {
		t.Fatal(err)
	}
	if text, _ := receive(t, conn); text != "FDSTOREREMOVE=1\nFDNAME=a" {
		t.Errorf("first %q", text)
	}
	text, fds := receive(t, conn)
	if text != "FDSTORE=1\nFDPOLL=0\nFDNAME=a" || len(fds) != 1 {
		t.Fatalf("%q with %d descriptors", text, len(fds))
	}
	p.Store([]byte("three"))
	next, content, err := OpenPage(os.NewFile(uintptr(fds[0]), "p"))
	if err != nil || string(content) != "three" {
		t.Errorf("the page has %q, %v", content, err)
	}
	// A slot that is only half written does not count.
	next.Bytes[slotSize*(next.seq%2)+slotHead] ^= 1
	if _, content, err = OpenPage(p.File); err != nil || string(content) != "two" {
		t.Errorf("the page has %q, %v; want the older content", content, err)
	}
}

func TestTakeAndPrune(t *testing.T) {
	conn := manager(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	s := &Store{addr: os.Getenv("NOTIFY_SOCKET"), left: map[string][]*os.File{"a": {r}, "b": {w}}}
	if files := s.Take("a"); len(files) != 1 || files[0] != r || len(s.Take("a")) != 0 {
		t.Errorf("took %v", files)
	}
	if err := s.Prune(); err != nil {
		t.Fatal(err)
	}
	if text, _ := receive(t, conn); text != "FDSTOREREMOVE=1\nFDNAME=b" {
		t.Errorf("pruned by %q", text)
	}
	if _, err := w.Write([]byte{1}); err == nil {
		t.Error("the descriptor is still open")
	}
}

func TestNoManager(t *testing.T) {
	manager(t)
	for _, unset := range []string{"FDSTORE", "NOTIFY_SOCKET"} {
		t.Run(unset, func(t *testing.T) {
			t.Setenv(unset, "")
			t.Setenv("LISTEN_PID", strconv.Itoa(os.Getpid()+1))
			s := Open()
			if s != nil || s.Keep("a", 0) != nil || s.Take("a") != nil || s.Prune() != nil {
				t.Error("there is a store")
			}
			if _, set := os.LookupEnv("LISTEN_PID"); set {
				t.Error("LISTEN_PID is left for children")
			}
		})
	}
}

func TestName(t *testing.T) {
	if got := Name("nflog /run/netns/a:b ü 5"); got != "nflog_/run/netns/a_b___5" {
		t.Errorf("%q", got)
	}
	if n := len(Name(strings.Repeat("x", 300))); n != 255 {
		t.Errorf("%d characters", n)
	}
	if !bytes.Equal([]byte(Name("a")), []byte("a")) {
		t.Error("a")
	}
}

// TestFull: a manager throws away what is too much, without an answer.
func TestFull(t *testing.T) {
	manager(t)
	t.Setenv("FDSTORE", "3")
	s := Open()
	s.left["old"], s.held["old"] = nil, 1 // of an earlier process
	if err := s.Keep("a", 0, 1); err != nil {
		t.Error(err)
	}
	if err := s.Keep("a", 0, 1); err != nil {
		t.Errorf("in place of those that it had: %v", err)
	}
	if err := s.Keep("b", 0); err == nil || !strings.Contains(err.Error(), "FileDescriptorStoreMax=3") {
		t.Errorf("a fourth descriptor: %v", err)
	}
	if err := s.Prune(); err != nil {
		t.Error(err)
	}
	if err := s.Keep("b", 0); err != nil {
		t.Errorf("in place of one that nobody took: %v", err)
	}
	if err := s.Remove("a"); err != nil {
		t.Error(err)
	}
	if err := s.Keep("c", 0, 1); err != nil {
		t.Errorf("in place of those that were removed: %v", err)
	}
}
