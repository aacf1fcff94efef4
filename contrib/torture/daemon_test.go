package torture

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// manager is a service manager as far as it keeps descriptors: those of a process
// that has ended are passed to the next.
type manager struct {
	path string
	conn *net.UnixConn

	mu    sync.Mutex
	names []string
	files []*os.File
	ready chan struct{}
}

func newManager(t *testing.T) *manager {
	t.Helper()
	m := &manager{path: filepath.Join(t.TempDir(), "notify"), ready: make(chan struct{}, 1)}
	var err error
	if m.conn, err = net.ListenUnixgram("unixgram", &net.UnixAddr{Name: m.path, Net: "unixgram"}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.conn.Close() })
	go m.listen()
	return m
}

func (m *manager) listen() {
	b, oob := make([]byte, 4096), make([]byte, 4096)
	for {
		n, oobn, _, _, err := m.conn.ReadMsgUnix(b, oob)
		if err != nil {
			return
		}
		m.message(string(b[:n]), oob[:oobn])
	}
}

func (m *manager) message(text string, oob []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var name string
	for _, line := range strings.Split(text, "\n") {
		if after, ok := strings.CutPrefix(line, "FDNAME="); ok {
			name = after
		}
	}
	switch {
	case strings.Contains(text, "READY=1"):
		select {
		case m.ready <- struct{}{}:
		default:
		}
	case strings.Contains(text, "FDSTOREREMOVE=1"):
		m.remove(name)
	case strings.Contains(text, "FDSTORE=1"):
		messages, _ := unix.ParseSocketControlMessage(oob)
		for _, c := range messages {
			fds, _ := unix.ParseUnixRights(&c)
			for _, fd := range fds {
				unix.CloseOnExec(fd)
				m.names, m.files = append(m.names, name), append(m.files, os.NewFile(uintptr(fd), name))
			}
		}
	}
}

func (m *manager) remove(name string) {
	for i := 0; i < len(m.names); {
		if m.names[i] != name {
			i++
			continue
		}
		m.files[i].Close()
		m.names = append(m.names[:i], m.names[i+1:]...)
		m.files = append(m.files[:i], m.files[i+1:]...)
	}
}

// daemon is ulogd with a configuration, in one process after the other.
type daemon struct {
	dir     string // of everything
	conf    string
	fw      *firewall
	manager *manager // nil for a plain process

	cmd *exec.Cmd
}

// spool is the directory of the spool of output db1.
func (d *daemon) spool() string { return filepath.Join(d.dir, "spool", "db1") }

// program is built once.
var program struct {
	once sync.Once
	path string
	err  error
}

func build(t *testing.T) string {
	t.Helper()
	program.once.Do(func() {
		dir, err := os.MkdirTemp("", "torture-")
		if err != nil {
			program.err = err
			return
		}
		program.path = filepath.Join(dir, "ulogd")
		cmd := exec.Command("go", "build", "-o", program.path, "../../cmd/ulogd")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			program.err = fmt.Errorf("build: %w\n%s", err, out)
		}
	})
	if program.err != nil {
		t.Fatal(program.err)
	}
	return program.path
}

// newDaemon configures a daemon. In config DIR stands for its directory.
func newDaemon(t *testing.T, fw *firewall, m *manager, config string) *daemon {
	t.Helper()
	d := &daemon{dir: t.TempDir(), fw: fw, manager: m}
	d.conf = filepath.Join(d.dir, "ulogd.conf")
	config = "[global]\nlogfile=\"DIR/log\"\nloglevel=3\n" + config
	if err := os.WriteFile(d.conf, []byte(strings.ReplaceAll(config, "DIR", d.dir)), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if d.cmd != nil {
			d.kill(t)
		}
		if t.Failed() {
			t.Logf("log:\n%s", tail(d.log(t)))
		}
	})
	return d
}

// edit replaces texts of the configuration, each by the one behind it in pairs.
func (d *daemon) edit(t *testing.T, pairs ...string) {
	t.Helper()
	text, err := os.ReadFile(d.conf)
	if err == nil {
		err = os.WriteFile(d.conf, []byte(strings.NewReplacer(pairs...).Replace(string(text))), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func tail(s string) string { return s[max(0, len(s)-6000):] }

// start starts a process, and waits until it is ready.
func (d *daemon) start(t *testing.T) {
	t.Helper()
	// The shell is there for its process number, which is the daemon's.
	d.cmd = exec.Command("sh", "-c", `LISTEN_PID=$$ exec "$0" -c "$1"`, build(t), d.conf)
	d.cmd.Env = append(os.Environ(), "STATE_DIRECTORY="+d.dir)
	listening := len(d.log(t))
	if m := d.manager; m != nil {
		m.mu.Lock()
		d.cmd.Env = append(d.cmd.Env, "NOTIFY_SOCKET="+m.path, "FDSTORE=64", fmt.Sprintf("LISTEN_FDS=%d", len(m.files)), "LISTEN_FDNAMES="+strings.Join(m.names, ":"))
		d.cmd.ExtraFiles = m.files
		m.mu.Unlock()
		select {
		case <-m.ready: // of the process before
		default:
		}
	}
	if err := d.fw.ns.Start(d.cmd); err != nil {
		t.Fatal(err)
	}
	d.await(t, "ready", func() bool { return strings.Contains(d.log(t)[listening:], "entering main loop") })
}

// kill ends the process without a word.
func (d *daemon) kill(t *testing.T) {
	t.Helper()
	d.end(t, unix.SIGKILL)
}

func (d *daemon) end(t *testing.T, sig syscall.Signal) {
	t.Helper()
	if err := d.cmd.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
	_ = d.cmd.Wait() // its status is that of the signal
	d.cmd = nil
}

func (d *daemon) log(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(d.dir, "log"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return string(b)
}

// patience is how long anything may take.
func patience() time.Duration { return time.Duration(times(90, 900)) * time.Second }

// await polls until something is true.
func (d *daemon) await(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience()); !is(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not %s in time; log:\n%s", what, tail(d.log(t)))
		}
	}
}

// books are what the daemon says became of the packets.
type books struct{ packets, written, rejected, waiting, filtered, refused, lost uint64 }

var equation = regexp.MustCompile(`db1: packets (\d+) = written (\d+) \+ rejected (\d+) \+ waiting (\d+) \+ filtered (\d+) \+ refused (\d+) \+ lost (\d+)`)

// status asks the daemon.
func (d *daemon) status(t *testing.T) (b books) {
	t.Helper()
	before := len(equation.FindAllString(d.log(t), -1))
	if err := d.cmd.Process.Signal(unix.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	var all [][]string
	d.await(t, "answered", func() bool {
		all = equation.FindAllStringSubmatch(d.log(t), -1)
		return len(all) > before
	})
	for i, to := range []*uint64{&b.packets, &b.written, &b.rejected, &b.waiting, &b.filtered, &b.refused, &b.lost} {
		n, err := strconv.ParseUint(all[len(all)-1][1+i], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		*to = n
	}
	return b
}

// rejects are the numbers of the packets in the file of rejected rows.
func (d *daemon) rejects(t *testing.T, number func(values map[string]any) uint32) (list []uint32) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(d.spool(), "rejects.jsonl"))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range bytes.Split(bytes.TrimSpace(b), []byte("\n")) {
		var r struct{ Values map[string]any }
		if err := json.Unmarshal(line, &r); err != nil {
			continue // cut by a kill; it is there again
		}
		list = append(list, number(r.Values))
	}
	return list
}
