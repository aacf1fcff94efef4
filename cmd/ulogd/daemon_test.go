package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// program is the program as it is shipped, without cgo.
var program string

func TestMain(m *testing.M) {
	if text := os.Getenv(holdVar); text != "" {
		hold(text)
		return
	}
	os.Exit(runTests(m))
}

func runTests(m *testing.M) int {
	dir, err := os.MkdirTemp("", "ulogd-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	// Tests run the daemon as another user.
	if err := os.Chmod(dir, 0o755); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	program = filepath.Join(dir, "ulogd")
	build := exec.Command("go", "build", "-o", program, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// stage is a folder with what one daemon needs.
type stage struct {
	*testing.T
	dir string
}

// newStage makes a folder and writes the lines of [global] and of other sections
// to a configuration there. DIR stands for the folder, CASES for the recordings.
func newStage(t *testing.T, config string) *stage {
	t.Helper()
	s := &stage{t, t.TempDir()}
	if err := os.Chmod(s.dir, 0o777); err != nil {
		t.Fatal(err)
	}
	cases, err := filepath.Abs("../../plugins/all/testdata/cases")
	if err != nil {
		t.Fatal(err)
	}
	config = strings.NewReplacer("DIR", s.dir, "CASES", cases).Replace(config)
	write(t, s.path("ulogd.conf"), "[global]\n"+config+"\n")
	return s
}

func (s *stage) path(name string) string { return filepath.Join(s.dir, name) }

// command is the daemon with arguments behind the configuration file's.
func (s *stage) command(args ...string) *exec.Cmd {
	args = append([]string{"-c", s.path("ulogd.conf")}, args...)
	cmd := exec.Command(program, args...)
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), "STATE_DIRECTORY="+s.path("state"))
	return cmd
}

// result is what is left of a process.
type result struct {
	code           int
	stdout, stderr string
}

func finish(t *testing.T, cmd *exec.Cmd) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	// A daemon must not keep the caller's pipes open.
	cmd.WaitDelay = 10 * time.Second
	err := cmd.Run()
	if _, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok {
		t.Fatal(err)
	}
	return result{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// poll waits until ok.
func (s *stage) poll(what string, ok func() bool) {
	s.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.Fatalf("still not: %s; the log is\n%s", what, s.log())
		}
	}
}

func (s *stage) log() string {
	b, _ := os.ReadFile(s.path("log"))
	return string(b)
}

// logged waits for n lines with text.
func (s *stage) logged(text string, n int) {
	s.Helper()
	s.poll(fmt.Sprintf("%d lines with %q", n, text), func() bool { return strings.Count(s.log(), text) >= n })
}

// background starts the daemon with -d and returns its process id.
func (s *stage) background(args ...string) int {
	s.Helper()
	args = append([]string{"-d", "-p", s.path("pid")}, args...)
	if r := finish(s.T, s.command(args...)); r != (result{}) {
		s.Fatalf("%+v; the log is\n%s", r, s.log())
	}
	// The pid file is complete when the first process has ended.
	pid, err := strconv.Atoi(strings.TrimSpace(contents(s.T, s.path("pid"))))
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { syscall.Kill(pid, syscall.SIGKILL) })
	return pid
}

func (s *stage) signal(pid int, sig syscall.Signal) {
	s.Helper()
	if err := syscall.Kill(pid, sig); err != nil {
		s.Fatal(err)
	}
}

// gone waits until a process that is not our child has ended.
func (s *stage) gone(pid int) {
	s.Helper()
	s.poll("the end of the daemon", func() bool {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		return err != nil || bytes.Contains(stat, []byte(") Z ")) // nobody may have waited for it
	})
}

// foreground starts the daemon without -d.
func (s *stage) foreground(cmd *exec.Cmd) (wait func() result) {
	s.Helper()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Start(); err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { cmd.Process.Kill() })
	return func() result {
		s.Helper()
		timer := time.AfterFunc(20*time.Second, func() { cmd.Process.Kill() })
		defer timer.Stop()
		cmd.Wait()
		return result{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
	}
}

func requireRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() == 0 {
		return
	}
	if os.Getenv("CI") == "true" {
		t.Fatal("needs root, and in CI nothing is skipped")
	}
	t.Skip("SKIPPED: needs root to give up privileges")
}

// idle is a configuration that runs until it is told to end.
const idle = "logfile=DIR/log\nloglevel=1\nstack=\"\"\n"

func TestFatalErrors(t *testing.T) {
	f := func(config string, want result, args ...string) {
		t.Helper()
		for _, extra := range [][]string{nil, {"-d"}} {
			s := newStage(t, config)
			r := finish(t, s.command(append(extra, args...)...))
			r.stderr = strings.ReplaceAll(r.stderr, s.dir, "DIR")
			r.stderr = regexp.MustCompile(`(?m)^.{24} <\d> \S+ `).ReplaceAllString(r.stderr, "TIME ")
			if diff := cmp.Diff(want, r, cmp.AllowUnexported(result{})); diff != "" {
				t.Errorf("%q %v (-want +got)\n%s", config, extra, diff)
			}
			if _, err := os.Lstat(s.path("pid")); !os.IsNotExist(err) {
				t.Errorf("%q: the pid file stays behind: %v", config, err)
			}
		}
	}
	f("logfile=DIR/log", result{1, "", "Fatal error, check logfile \"DIR/log\" or use '-v' flag.\n"})
	f("logfile=DIR/missing/log\nstack=\"\"",
		result{2, "", "ERROR: can't open logfile 'DIR/missing/log': no such file or directory\n"}, "-p", "pid")
	f("", result{1, "", `TIME error registering configfile "/nonexistent": unable to read it: no such file or directory
Fatal error.
`}, "-c", "/nonexistent", "-p", "pid")
	f("stack=\"\"", result{1, "", `TIME cannot open DIR/missing/pid: 2 (no such file or directory)
Fatal error.
`}, "-p", "missing/pid")
}

func TestFatalErrorVerbose(t *testing.T) {
	s := newStage(t, "logfile=DIR/log")
	r := finish(t, s.command("-v"))
	if r.code != 1 || r.stderr != s.log()+"Fatal error.\n" || !strings.Contains(s.log(), "<8> ") {
		t.Errorf("%+v; the log is\n%s", r, s.log())
	}
}

func TestUnknownUser(t *testing.T) {
	s := newStage(t, idle)
	if r := finish(t, s.command("-u", "no-such-user")); r.code != 1 || r.stdout != "Unknown user no-such-user.\n" {
		t.Errorf("%+v", r)
	}
}

// The sources end, so the daemon does, and what it wrote is what ulogd wrote.
func TestForegroundReplay(t *testing.T) {
	s := newStage(t, replay+"logfile=stdout\nloglevel=3\n"+replaySections)
	cmd := s.command("-p", "pid")
	cmd.Env = append(os.Environ(), "TZ=UTC")
	r := finish(t, cmd)
	if r.code != 0 || r.stderr != "" {
		t.Errorf("%+v", r)
	}
	if !strings.Contains(r.stdout, "<3> daemon.go") || !strings.Contains(r.stdout, "initialization finished, entering main loop\n") {
		t.Errorf("the log is %s", r.stdout)
	}
	wantLogemu(s)
	if _, err := os.Lstat(s.path("pid")); !os.IsNotExist(err) {
		t.Errorf("the pid file stays behind: %v", err)
	}
}

const (
	replay         = "stack=r:REPLAY,base1:BASE,ifi1:IFINDEX,ip2str1:IP2STR,print1:PRINTPKT,emu1:LOGEMU\n"
	replaySections = "[r]\nfile=CASES/01-tcp4-syn/packets.pcap\n[emu1]\nfile=DIR/emu\n"
)

// wantLogemu compares the part of the lines that does not depend on this machine.
func wantLogemu(s *stage) {
	s.Helper()
	tail := func(text string) []string {
		return regexp.MustCompile(`SRC=.*`).FindAllString(text, -1)
	}
	want := tail(contents(s.T, "../../plugins/all/testdata/cases/01-tcp4-syn/logemu.log"))
	if diff := cmp.Diff(want, tail(contents(s.T, s.path("emu")))); diff != "" || len(want) == 0 {
		s.Errorf("%d lines (-want +got)\n%s", len(want), diff)
	}
}

func TestDaemon(t *testing.T) {
	s := newStage(t, replay+idle+replaySections)
	pid := s.background("-v", "-c", "ulogd.conf") // relative, although the daemon leaves the folder
	s.logged("initialization finished, entering main loop", 1)
	s.logged("suppressing verbose output (not compatible with daemon mode).", 1)
	if cwd, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", pid)); err != nil || cwd != "/" {
		t.Errorf("the folder is %q, %v", cwd, err)
	}
	for fd := range 3 {
		if to, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", pid, fd)); err != nil || to != os.DevNull {
			t.Errorf("descriptor %d is %q, %v", fd, to, err)
		}
	}
	if name := contents(t, fmt.Sprintf("/proc/%d/comm", pid)); name != "ulogd\n" {
		t.Errorf("the process is called %q", name)
	}
	if session, err := unix.Getsid(pid); err != nil || session != pid {
		t.Errorf("the session is %d, %v, want its own", session, err)
	}
	second := finish(t, s.command("-p", "pid"))
	if second.code != 1 || !strings.Contains(second.stderr, "<8> daemon.go:") ||
		!strings.Contains(second.stderr, fmt.Sprintf("another ulogd already running with pid %d\nFatal error.\n", pid)) {
		t.Errorf("a second daemon: %+v", second)
	}
	s.poll("the line", func() bool { _, err := os.Stat(s.path("emu")); return err == nil })
	s.signal(pid, unix.SIGTERM)
	s.gone(pid)
	s.logged("Terminal signal received, exiting", 1)
	wantLogemu(s)
	if _, err := os.Lstat(s.path("pid")); !os.IsNotExist(err) {
		t.Errorf("the pid file stays behind: %v", err)
	}
}

// Started through a link, the process has the name of the link.
func TestDaemonName(t *testing.T) {
	s := newStage(t, idle)
	if err := os.Symlink(program, s.path("ulogd2")); err != nil {
		t.Fatal(err)
	}
	cmd := s.command("-d", "-p", "pid")
	cmd.Path, cmd.Args[0] = s.path("ulogd2"), "./ulogd2"
	if r := finish(t, cmd); r != (result{}) {
		t.Fatalf("%+v", r)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(contents(t, s.path("pid"))))
	if err != nil {
		t.Fatal(err)
	}
	if name := contents(t, fmt.Sprintf("/proc/%d/comm", pid)); name != "ulogd2\n" {
		t.Errorf("the process is called %q", name)
	}
	s.signal(pid, unix.SIGINT)
	s.gone(pid)
}

// slowCapture writes a capture whose second packet comes an hour after the first.
func slowCapture(t *testing.T, path string) {
	t.Helper()
	// See the file format's description, draft-ietf-opsawg-pcap.
	b := []byte(contents(t, "../../plugins/all/testdata/cases/01-tcp4-syn/packets.pcap"))
	head, record := b[:24], b[24:]
	record = record[:16+binary.LittleEndian.Uint32(record[8:])]
	later := bytes.Clone(record)
	binary.LittleEndian.PutUint32(later, binary.LittleEndian.Uint32(later)+3600)
	write(t, path, string(slices.Concat(head, record, later)))
}

func TestSignals(t *testing.T) {
	s := newStage(t, replay+idle+"[r]\nfile=DIR/slow.pcap\nspeed=1\n[emu1]\nfile=DIR/emu\n")
	slowCapture(t, s.path("slow.pcap"))
	pid := s.background()
	s.poll("the line", func() bool { b, _ := os.ReadFile(s.path("emu")); return bytes.Contains(b, []byte("\n")) })
	const received = "signal received, calling pluginstances"
	for i, sig := range []syscall.Signal{unix.SIGUSR1, unix.SIGUSR2, unix.SIGALRM} {
		s.signal(pid, sig)
		s.logged(received, i+1)
	}
	s.poll("the counters", func() bool {
		return regexp.MustCompile(`<5> \S+ emu1: counters .*rows_written=1\b`).MatchString(s.log())
	})
	if err := os.Rename(s.path("log"), s.path("log.1")); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(s.path("emu"), s.path("emu.1")); err != nil {
		t.Fatal(err)
	}
	s.signal(pid, unix.SIGHUP)
	s.poll("new files", func() bool {
		_, err1 := os.Stat(s.path("log"))
		_, err2 := os.Stat(s.path("emu"))
		return err1 == nil && err2 == nil
	})
	if old := contents(t, s.path("log.1")); strings.Count(old, received) != 4 {
		t.Errorf("the old log is\n%s", old)
	}
	s.signal(pid, unix.SIGUSR2)
	s.logged(received, 1)
	s.signal(pid, unix.SIGINT)
	s.gone(pid)
}

func TestHangupWithoutLogfile(t *testing.T) {
	s := newStage(t, "logfile=DIR/sub/log\nloglevel=1\nstack=\"\"\n")
	if err := os.Mkdir(s.path("sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := s.command("-p", "pid")
	wait := s.foreground(cmd)
	s.poll("the start", func() bool {
		b, _ := os.ReadFile(s.path("sub/log"))
		return bytes.Contains(b, []byte("entering main loop"))
	})
	if err := os.RemoveAll(s.path("sub")); err != nil {
		t.Fatal(err)
	}
	s.signal(cmd.Process.Pid, unix.SIGHUP)
	want := result{0, "", "ERROR: can't open logfile '" + s.path("sub/log") + "': no such file or directory\n"}
	if diff := cmp.Diff(want, wait(), cmp.AllowUnexported(result{})); diff != "" {
		t.Error("(-want +got)\n" + diff)
	}
	if _, err := os.Lstat(s.path("pid")); !os.IsNotExist(err) {
		t.Errorf("the pid file stays behind: %v", err)
	}
}

// ulogd takes 0 for a level like any other, of which every message is.
func TestLoglevelZero(t *testing.T) {
	f := func(config string, want bool, args ...string) {
		t.Helper()
		s := newStage(t, replay+"logfile=DIR/log\n"+config+replaySections)
		if r := finish(t, s.command(args...)); r.code != 0 {
			t.Errorf("%+v", r)
		}
		if got := strings.Contains(s.log(), "<3> "); got != want {
			t.Errorf("%q %v: the log has information: %t, want %t\n%s", config, args, got, want, s.log())
		}
	}
	f("loglevel=0\n", true)
	f("loglevel=0\n", true, "-l", "0") // not given
	f("loglevel=0\n", false, "-l", "5")
	f("", false)
}

// In the background nobody sees standard error, so that the reason is in the old file.
func TestHangupWithoutLogfileInBackground(t *testing.T) {
	s := newStage(t, "logfile=DIR/sub/log\nstack=\"\"\n")
	if err := os.Mkdir(s.path("sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	pid := s.background()
	if err := os.Rename(s.path("sub"), s.path("away")); err != nil {
		t.Fatal(err)
	}
	s.signal(pid, unix.SIGHUP)
	s.gone(pid)
	want := "can't open logfile '" + s.path("sub/log") + "': no such file or directory"
	if log := contents(t, s.path("away/log")); !strings.Contains(log, "<7> ") || !strings.Contains(log, want) {
		t.Errorf("no %q in the log:\n%s", want, log)
	}
}

// The output's pipe has no reader, so that it can't deliver.
func TestSecondTerm(t *testing.T) {
	s := newStage(t, replay+idle+replaySections)
	if err := unix.Mkfifo(s.path("emu"), 0o666); err != nil {
		t.Fatal(err)
	}
	cmd := s.command("-p", "pid")
	wait := s.foreground(cmd)
	s.logged("entering main loop", 1)
	s.signal(cmd.Process.Pid, unix.SIGTERM)
	s.logged("Terminal signal received, exiting", 1)
	// The output has 5 s to deliver; the second signal counts long before.
	s.poll("the second signal to count", func() bool {
		_ = cmd.Process.Signal(unix.SIGTERM) // it may have ended
		return strings.Contains(s.log(), "second terminal signal received")
	})
	if r := wait(); r.code != 0 || r.stderr != "" {
		t.Errorf("%+v", r)
	}
	if _, err := os.Lstat(s.path("pid")); !os.IsNotExist(err) {
		t.Errorf("the pid file stays behind: %v", err)
	}
}

// A start that hangs, here because nobody reads the pipe that is to be the log, is
// given up some time after a signal to end.
func TestTermWhileStarting(t *testing.T) {
	s := newStage(t, "logfile=DIR/log\nstack=\"\"\n")
	if err := unix.Mkfifo(s.path("log"), 0o666); err != nil {
		t.Fatal(err)
	}
	cmd := s.command("-p", "pid")
	wait := s.foreground(cmd)
	s.poll("the pid", func() bool { b, _ := os.ReadFile(s.path("pid")); return len(b) > 0 })
	s.signal(cmd.Process.Pid, unix.SIGTERM)
	if r := wait(); r.code != 0 || !strings.Contains(r.stderr, "the start does not come to an end") {
		t.Errorf("%+v", r)
	}
	if _, err := os.Lstat(s.path("pid")); !os.IsNotExist(err) {
		t.Errorf("the pid file stays behind: %v", err)
	}
}

// Programs such as timeout(1) signal a process and then its whole group. What the
// outputs have is still delivered: here to a pipe whose reader comes late.
func TestTermTwiceAtOnce(t *testing.T) {
	s := newStage(t, replay+idle+replaySections)
	if err := unix.Mkfifo(s.path("emu"), 0o666); err != nil {
		t.Fatal(err)
	}
	cmd := s.command()
	wait := s.foreground(cmd)
	s.logged("entering main loop", 1)
	s.poll("a line that waits for a reader", func() bool {
		s.signal(cmd.Process.Pid, unix.SIGUSR1)
		return regexp.MustCompile(`emu1: packets .* waiting [1-9]`).MatchString(s.log())
	})
	s.signal(cmd.Process.Pid, unix.SIGTERM)
	s.signal(cmd.Process.Pid, unix.SIGINT) // as two of one kind may become one
	s.logged("Terminal signal received, exiting", 1)
	pipe, err := os.OpenFile(s.path("emu"), os.O_RDWR|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer pipe.Close()
	if r := wait(); r.code != 0 || r.stderr != "" {
		t.Errorf("%+v", r)
	}
	if err := pipe.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 4096)
	n, err := pipe.Read(b)
	if err != nil || !strings.HasSuffix(string(b[:n]), "\n") {
		t.Errorf("the pipe has %q, %v; the log is\n%s", b[:n], err, s.log())
	}
}

func TestPrivileges(t *testing.T) {
	requireRoot(t)
	nobody, err := lookupAccount("nobody")
	if err != nil {
		t.Fatal(err)
	}
	held, err := permitted()
	if err != nil {
		t.Fatal(err)
	}
	const netAdmin, dacOverride = 1 << unix.CAP_NET_ADMIN, 1 << unix.CAP_DAC_OVERRIDE
	f := func(uid, gid int, caps uint64, args ...string) {
		t.Helper()
		s := newStage(t, idle)
		pid := s.background(args...)
		tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
		if err != nil || len(tasks) < 2 {
			t.Fatalf("threads %v, %v", tasks, err)
		}
		caps &= held // a container's root may not have them
		four := func(id int) string { return strings.TrimSpace(strings.Repeat(fmt.Sprintf("%d\t", id), 4)) }
		want := map[string]string{
			"Uid": four(uid), "Gid": four(gid), "NoNewPrivs": "1",
			"CapPrm": fmt.Sprintf("%016x", caps), "CapEff": fmt.Sprintf("%016x", caps),
			"CapInh": fmt.Sprintf("%016x", 0), "CapAmb": fmt.Sprintf("%016x", 0),
		}
		if len(args) > 0 {
			want["Groups"] = strings.Trim(fmt.Sprint(nobody.groups), "[]")
		}
		for _, task := range tasks {
			if diff := cmp.Diff(want, status(t, task, want)); diff != "" {
				t.Errorf("%v (-want +got)\n%s", args, diff)
			}
		}
		if log := s.log(); strings.Contains(log, "Changing UID / GID") != (len(args) > 0) {
			t.Errorf("the log is\n%s", log)
		}
		// The log file is the user's, so that it can be opened again.
		info, err := os.Stat(s.path("log"))
		if err != nil || int(info.Sys().(*syscall.Stat_t).Uid) != uid {
			t.Errorf("the log file: %v, %v", info.Sys(), err)
		}
		s.signal(pid, unix.SIGTERM)
		s.gone(pid)
	}
	f(0, 0, netAdmin|dacOverride)
	f(nobody.uid, nobody.gid, netAdmin, "-u", "nobody")
}

// status is the fields of a thread's status file that want has.
func status(t *testing.T, path string, want map[string]string) map[string]string {
	t.Helper()
	got := map[string]string{}
	for line := range strings.Lines(contents(t, path)) {
		name, value, _ := strings.Cut(line, ":")
		if _, ok := want[name]; ok {
			got[name] = strings.TrimSpace(value)
		}
	}
	return got
}

// As another user -u of that user is no change, and -u of a third one fails.
func TestPrivilegesUnprivileged(t *testing.T) {
	requireRoot(t)
	nobody, err := lookupAccount("nobody")
	if err != nil {
		t.Fatal(err)
	}
	as := func(cmd *exec.Cmd) *exec.Cmd {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(nobody.uid), Gid: uint32(nobody.gid)}}
		return cmd
	}
	s := newStage(t, replay+"logfile=DIR/log\n"+replaySections)
	openTo(t, s.dir)
	if r := finish(t, as(s.command("-u", "nobody"))); r.code != 0 {
		t.Errorf("-u of the same user: %+v; the log is\n%s", r, s.log())
	}
	s.logged("Could not nice process: permission denied", 1)
	if r := finish(t, as(s.command("-u", "root"))); r.code != 1 {
		t.Errorf("-u of another user: %+v; the log is\n%s", r, s.log())
	}
	s.logged("change to user root: group 0: operation not permitted; start as root, or without -u", 1)
}

// openTo lets everybody pass the folders above dir that the test made.
func openTo(t *testing.T, dir string) {
	t.Helper()
	for dir = filepath.Dir(dir); dir != os.TempDir() && len(dir) > 1; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

func TestServiceManagerIsTold(t *testing.T) {
	s := newStage(t, idle)
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: s.path("notify"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	if err := socket.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	cmd := s.command()
	cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+s.path("notify"))
	wait := s.foreground(cmd)
	heard := func(want string) {
		t.Helper()
		b := make([]byte, 100)
		n, err := socket.Read(b)
		if err != nil || string(b[:n]) != want {
			t.Errorf("%q, %v, want %q", b[:n], err, want)
		}
	}
	heard("READY=1")
	s.signal(cmd.Process.Pid, unix.SIGTERM)
	heard("STOPPING=1")
	if r := wait(); r.code != 0 {
		t.Errorf("%+v", r)
	}
}

func TestCheck(t *testing.T) {
	f := func(config string, code int, stderr string) {
		t.Helper()
		s := newStage(t, config)
		r := finish(t, s.command("--check"))
		if r.code != code || !strings.Contains(r.stderr, stderr) {
			t.Errorf("%q: %+v, want %d and %q", config, r, code, stderr)
		}
		if files, err := os.ReadDir(s.dir); err != nil || len(files) != 1 {
			t.Errorf("%q: touched %v, %v", config, files, err)
		}
	}
	good := replay + "logfile=DIR/log\n" + replaySections
	f(good, 0, "")
	f("stack=a:FOO\n"+good, 1, "can't find requested plugin FOO")
	f("plugin=/usr/lib/ulogd/ulogd_output_FOO.so\n"+good, 0, "load_plugin: '/usr/lib/ulogd/ulogd_output_FOO.so': can't find requested plugin FOO; known are BASE")
	f(good+"fiel=x\n", 0, "did you mean file?")
	f("strict=1\n"+good+"fiel=x\n", 1, "did you mean file?")
	f("", 1, "not even a single working plugin stack")
}

// An answer that does not get out is an error.
func TestAnswerToFullDisk(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	s := newStage(t, replay+"logfile=DIR/log\n"+replaySections)
	for _, flag := range []string{"--check", "--plugins", "--info=NFLOG", "--convert", "--convert=conf", "--version", "--help"} {
		cmd := s.command(flag)
		var stderr strings.Builder
		cmd.Stdout, cmd.Stderr = full, &stderr
		err := cmd.Run()
		if code := cmd.ProcessState.ExitCode(); code != 1 || !strings.HasSuffix(stderr.String(), "write standard output: no space left on device; the answer is not complete\n") {
			t.Errorf("%s: %v, code %d, %q", flag, err, code, stderr.String())
		}
	}
}

// What --convert writes is as good as what it read, and converts to itself.
func TestConvert(t *testing.T) {
	s := newStage(t, replay+"logfile=DIR/log\n"+replaySections)
	first := finish(t, s.command("--convert"))
	if first.code != 0 || !strings.Contains(first.stdout, "[emu1]\nfile = \""+s.path("emu")+"\"\n") {
		t.Fatalf("%+v", first)
	}
	toml := s.path("ulogd.toml")
	write(t, toml, first.stdout)
	if second := finish(t, s.command("-c", toml, "--convert")); second != first {
		t.Errorf("%+v\nwant %+v", second, first)
	}
	if r := finish(t, s.command("-c", toml)); r.code != 0 {
		t.Errorf("%+v", r)
	}
	wantLogemu(s)
}

// first is a configuration of ulogd 1.x without its header.
const first = "nlgroup=7\nlogfile=DIR/log\nplugin=ulogd_BASE.so\nplugin=ulogd_LOGEMU.so\n[LOGEMU]\nfile=DIR/emu\nsyc=1"

// A configuration of ulogd 1.x is known for one, and converts to one of ulogd 2 that
// means the same.
func TestFirst(t *testing.T) {
	s := newStage(t, first)
	check := finish(t, s.command("--check"))
	if check.code != 0 || !strings.HasPrefix(check.stdout, "ulogd 1.x configuration\nstack ok: log1:") {
		t.Errorf("%+v", check)
	}
	for _, want := range []string{
		"ulogd.conf:8: [LOGEMU] \"syc\": unknown option, ignored as in 1.24; remove it, or use one of file, sync",
		"log1: the kernel has no ULOG, so it listens to NFLOG group 7 in place of ULOG group 7; rules feed it by `iptables -A INPUT -j NFLOG --nflog-group 7",
	} {
		if !strings.Contains(check.stderr, want) {
			t.Errorf("%s\nwant %s", check.stderr, want)
		}
	}
	_, stacks, _ := strings.Cut(check.stdout, "\n")
	for format, name := range map[string]string{"conf": "new.conf", "toml": "new.toml"} {
		r := finish(t, s.command("--convert="+format))
		write(t, s.path(name), r.stdout)
		again := finish(t, s.command("-c", s.path(name), "--check"))
		if r.code != 0 || again.code != 0 || again.stdout != stacks {
			t.Errorf("%s: %+v\n%+v, want %s", format, r, again, stacks)
		}
	}
	if r := finish(t, s.command("--convert=xml")); r.code != 1 || r.stderr != "--convert=xml: there are the formats toml and conf\n" {
		t.Errorf("%+v", r)
	}
}

// Every plugin can be asked what it is.
func TestInfoOfAll(t *testing.T) {
	list := finish(t, exec.Command(program, "--plugins"))
	if list.code != 0 || list.stdout == "" {
		t.Fatalf("%+v", list)
	}
	for line := range strings.Lines(list.stdout) {
		name := strings.Fields(line)[0]
		r := finish(t, exec.Command(program, "-i", name))
		if r.code != 0 || r.stderr != "" || !strings.HasPrefix(r.stdout, "Name: "+name+"\n") {
			t.Errorf("%s: %+v", name, r)
		}
	}
}
