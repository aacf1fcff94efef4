package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ulogd-go/ulogd/contrib/lab"
)

// build makes the daemon, and points temporary files to a folder of the test.
func build(t *testing.T) (ulogd, tmp string) {
	t.Helper()
	ulogd = filepath.Join(t.TempDir(), "ulogd")
	if out, err := exec.Command("go", "build", "-o", ulogd, "../../cmd/ulogd").CombinedOutput(); err != nil {
		t.Fatalf("build the daemon: %v\n%s", err, out)
	}
	tmp = t.TempDir()
	t.Setenv("TMPDIR", tmp)
	return ulogd, tmp
}

func wantAll(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("the output lacks %q:\n%s", part, text)
		}
	}
}

func wantEmpty(t *testing.T, dir string) {
	t.Helper()
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// namespaces counts the descriptors that hold a network namespace.
func namespaces(t *testing.T) (n int) {
	t.Helper()
	links, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, link := range links {
		if to, err := os.Readlink(link); err == nil && strings.HasPrefix(to, "net:[") {
			n++
		}
	}
	return n
}

func TestKernelLive(t *testing.T) {
	lab.Test(t)
	out := new(strings.Builder)
	ulogd, tmp := build(t)
	before := namespaces(t)
	d := demo{ulogd: ulogd, duration: 2 * time.Second, out: out}
	if err := d.run(t.Context()); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	wantAll(t, out.String(),
		"FORWARD  IN=br0 OUT=br0 PHYSIN=vnet0 PHYSOUT=vnet1 MAC=02:00:00:00:00:12:02:00:00:00:00:11:08:00 SRC=192.0.2.11 DST=192.0.2.12 ",
		"PROTO=ICMP TYPE=8", "PROTO=ICMP TYPE=0", "DPT=25 ", "DPT=53 LEN=13", "DROP  IN=br0 OUT= PHYSIN=vnet0 ", "DPT=22 ",
		`oob_prefix="DROP " oob_in=br0 oob_physin=vnet0 oob_physout= ip_saddr_str=192.0.2.11 ip_daddr_str=192.0.2.1 ip_protocol=6 dport=22`)
	wantEmpty(t, tmp)
	if after := namespaces(t); after != before {
		t.Errorf("%d namespaces are held, %d were before", after, before)
	}
}

func TestReplay(t *testing.T) {
	out := new(strings.Builder)
	ulogd, tmp := build(t)
	d := demo{ulogd: ulogd, capture: "bridge.pcap", out: out, dir: t.TempDir()}
	if err := d.replay(t.Context(), errors.New("not today")); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	wantAll(t, out.String(), "No namespace can be had here: not today.", "replays bridge.pcap",
		"IN=br0 OUT=br0 PHYSIN=vnet0 PHYSOUT=vnet1 MAC=02:00:00:00:00:0d:02:00:00:00:be:ef:08:00 SRC=192.0.2.2 DST=192.0.2.3 ",
		`oob_prefix="brnf6: " oob_in=br0 oob_physin=vnet0 oob_physout=vnet1 ip_saddr_str=2001:db8::2`, "\n3 lines, 3 rows.\n")
	wantEmpty(t, tmp)
}

func TestErrors(t *testing.T) {
	dir := t.TempDir()
	d := demo{ulogd: filepath.Join(dir, "none"), out: new(strings.Builder)}
	if err := d.run(t.Context()); err == nil || !strings.Contains(err.Error(), "make build") {
		t.Errorf("a missing daemon gave %v, want how to get one", err)
	}
	d = demo{ulogd: "/bin/false", dir: dir, out: new(strings.Builder)}
	if err := d.replay(t.Context(), errors.New("x")); err == nil || !strings.Contains(err.Error(), "/bin/false failed (exit status 1)") {
		t.Errorf("a daemon that fails gave %v, want its exit status", err)
	}
	p, err := (&demo{ulogd: "/bin/false", dir: dir}).start(liveInput, (*exec.Cmd).Start)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := p.alive(t.Context())
	defer cancel()
	<-ctx.Done()
	if err := context.Cause(ctx); !strings.Contains(err.Error(), "ended early") {
		t.Errorf("a daemon that ended gave %v", err)
	}
}

func TestNothingLoggedIsAnError(t *testing.T) {
	dir := t.TempDir()
	v := newView(new(strings.Builder), dir)
	defer v.close()
	if err := v.finish(); err == nil {
		t.Error("no log at all was accepted")
	}
}
