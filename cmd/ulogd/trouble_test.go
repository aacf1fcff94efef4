package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ulogd-go/ulogd/contrib/lab"
)

// Files that are made while the daemon is root belong to the user it becomes, so
// that it can open them again after a rotation.
func TestFilesBelongToTheUser(t *testing.T) {
	requireRoot(t)
	nobody, err := lookupAccount("nobody")
	if err != nil {
		t.Fatal(err)
	}
	s := newStage(t, "logfile=DIR/log\n"+
		"stack=r:REPLAY,base1:BASE,ifi1:IFINDEX,ip2str1:IP2STR,print1:PRINTPKT,emu1:LOGEMU\n"+
		"stack=r:REPLAY,xml1:XML\n"+
		"stack=r:REPLAY,base1:BASE,ip2str1:IP2STR,db1:SQLITE3\n"+
		"[r]\nfile=CASES/01-tcp4-syn/packets.pcap\nspeed=1\nrepeat=0\n"+
		"[emu1]\nfile=DIR/emu\n[xml1]\ndirectory=DIR\n[db1]\ndb=DIR/db\ntable=ulog\n")
	openTo(t, s.dir)
	pid := s.background("-u", "nobody")
	for _, name := range []string{"emu", "db"} {
		var st unix.Stat_t
		s.poll("a file "+name, func() bool { return unix.Stat(s.path(name), &st) == nil })
		if int(st.Uid) != nobody.uid || int(st.Gid) != nobody.gid {
			t.Errorf("%s belongs to %d:%d, want %d:%d", name, st.Uid, st.Gid, nobody.uid, nobody.gid)
		}
	}
	if err := os.Rename(s.path("emu"), s.path("emu.1")); err != nil {
		t.Fatal(err)
	}
	s.signal(pid, unix.SIGHUP)
	s.poll("the file of after the rotation", func() bool { _, err := os.Stat(s.path("emu")); return err == nil })
	s.signal(pid, unix.SIGTERM)
	s.gone(pid)
	if strings.Contains(s.log(), "<7>") && !strings.Contains(s.log(), "nice") {
		t.Errorf("the log is\n%s", s.log())
	}
}

// A stack whose file can't be written is left out, and the others go on.
func TestAnUnwritableFileCostsItsStackOnly(t *testing.T) {
	s := newStage(t, replay+"stack=r:REPLAY,base1:BASE,gp1:GPRINT\nlogfile=DIR/log\n"+replaySections+"[gp1]\nfile=DIR/missing/gp\n")
	if r := finish(t, s.command()); r.code != 0 {
		t.Errorf("%+v; the log is\n%s", r, s.log())
	}
	wantLogemu(s)
	want := "error starting `gp1': open " + s.path("missing/gp") + ": no such file or directory; see to it that the directory exists"
	if !strings.Contains(s.log(), want) {
		t.Errorf("no %q in the log:\n%s", want, s.log())
	}
}

// On a full disk rows wait, as many as there is memory for; the rest is counted,
// the other stacks go on, and the daemon still ends when it is told to.
func TestAFullDiskIsSurvived(t *testing.T) {
	s := newStage(t, replay+"stack=r:REPLAY,base1:BASE,op1:OPRINT\nlogfile=DIR/log\n"+
		"[r]\nfile=CASES/30-prefix-bytes/packets.pcap\nrepeat=2000\n[emu1]\nfile=DIR/emu\n"+
		"[op1]\nfile=/dev/full\nqueue_memory=64k\n")
	cmd := s.command()
	wait := s.foreground(cmd)
	s.logged("op1: write /dev/full: no space left on device; trying again until it works", 1)
	s.logged("op1: the queue is full, refused ", 1)
	s.poll("all lines of the other stack", func() bool {
		b, _ := os.ReadFile(s.path("emu"))
		return bytes.Count(b, []byte(" MARK=0x0 \n")) == 9*2000
	})
	if err := cmd.Process.Signal(unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if r := wait(); r.code != 0 {
		t.Errorf("%+v; the log is\n%s", r, s.log())
	}
	s.logged("op1: the daemon ends with ", 1)
}

// Without the capability the daemon says which one it lacks and how to get it.
func TestWithoutPrivilege(t *testing.T) {
	requireRoot(t)
	nobody, err := lookupAccount("nobody")
	if err != nil {
		t.Fatal(err)
	}
	ns := lab.Test(t)
	s := newStage(t, "logfile=DIR/log\nstack=log1:NFLOG,base1:BASE,op1:OPRINT\n[log1]\ngroup=7\n[op1]\nfile=DIR/op\n")
	openTo(t, s.dir)
	cmd := s.command()
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(nobody.uid), Gid: uint32(nobody.gid)}}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := ns.Start(cmd); err != nil {
		t.Fatal(err)
	}
	if _, ok := cmd.Wait().(*exec.ExitError); !ok || cmd.ProcessState.ExitCode() != 1 {
		t.Errorf("it ended with %v, want exit code 1", cmd.ProcessState)
	}
	for _, want := range []string{"unable to bind to log group 7", "CAP_NET_ADMIN is missing", "setcap cap_net_admin+ep"} {
		if !strings.Contains(s.log(), want) {
			t.Errorf("no %q in the log:\n%s", want, s.log())
		}
	}
}

// Two daemons can't have one group; the second says who has it.
func TestAGroupInUse(t *testing.T) {
	ns := lab.Test(t)
	config := "logfile=DIR/log\nstack=log1:NFLOG,base1:BASE,op1:OPRINT\n[log1]\ngroup=7\n[op1]\nfile=DIR/op\n"
	first, second := newStage(t, config), newStage(t, config)
	a, b := first.command(), second.command()
	for _, cmd := range []*exec.Cmd{a, b} {
		if err := ns.Start(cmd); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
		if _, err := ns.WaitListener(t.Context(), 7); err != nil {
			t.Fatal(err)
		}
	}
	second.logged(fmt.Sprintf("the group is in use by port id %d (ulogd); stop that, or choose another group", a.Process.Pid), 1)
}
