package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const group = 1

// config is that of the daemon. The first line of its input section says where
// packets come from, {dir} stands for the directory of the demonstration.
const config = `[global]
logfile="{dir}/ulogd.log"
stack={input},base1:BASE,ifi1:IFINDEX,ip2str1:IP2STR,print1:PRINTPKT,emu1:LOGEMU
stack={input},base1:BASE,ifi1:IFINDEX,ip2str1:IP2STR,mac2str1:HWHDR,db1:SQLITE3
{section}
[print1]
physdev=1
[emu1]
file="{dir}/firewall.log"
sync=1
[db1]
db="{dir}/firewall.sqlite3"
table="packets"
`

// input is where the daemon gets packets from.
type input struct{ instance, section string }

var liveInput = input{instance: "log1:NFLOG", section: fmt.Sprintf("[log1]\ngroup=%d", group)}

func replayInput(capture string) input {
	return input{
		instance: "replay1:REPLAY",
		section:  fmt.Sprintf("[replay1]\nfile=\"%s\"\ninterfaces=\"10=br0,11=vnet0,12=vnet1\"", capture),
	}
}

// daemon is a running ulogd.
type daemon struct {
	cmd    *exec.Cmd
	log    string
	output bytes.Buffer  // stdout and stderr; read it after ended
	ended  chan struct{} // closed when the process is gone
}

// start writes the configuration and starts the daemon by way of f, which
// decides where.
func (d *demo) start(in input, f func(*exec.Cmd) error) (*daemon, error) {
	text := strings.NewReplacer("{dir}", d.dir, "{input}", in.instance, "{section}", in.section).Replace(config)
	path := filepath.Join(d.dir, "ulogd.conf")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return nil, err
	}
	p := &daemon{cmd: exec.Command(d.ulogd, "-c", path), log: filepath.Join(d.dir, "ulogd.log"), ended: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), "STATE_DIRECTORY="+d.dir) // rows of another demonstration are not this one's
	p.cmd.Stdout, p.cmd.Stderr = &p.output, &p.output
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: unix.SIGTERM}
	if err := f(p.cmd); err != nil {
		return nil, fmt.Errorf("start %s: %w", d.ulogd, err)
	}
	go func() {
		p.cmd.Wait() // the exit status is in cmd.ProcessState
		close(p.ended)
	}()
	return p, nil
}

// alive returns a context that ends with ctx or with the daemon; its cause
// tells why.
func (p *daemon) alive(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		select {
		case <-p.ended:
			cancel(p.failure("ended early"))
		case <-ctx.Done():
		}
	}()
	return ctx, func() { cancel(nil) }
}

// wait returns when the daemon has ended by itself.
func (p *daemon) wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-p.ended:
	}
	if !p.cmd.ProcessState.Success() {
		return p.failure("failed")
	}
	return nil
}

// stop asks the daemon to deliver what it has and to end.
func (p *daemon) stop() error {
	if err := p.cmd.Process.Signal(unix.SIGTERM); err != nil {
		return fmt.Errorf("stop ulogd: %w", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return p.wait(ctx)
}

func (p *daemon) kill() {
	p.cmd.Process.Kill() // an error means that it has ended
	<-p.ended
}

// failure is an error with the last that the daemon said.
func (p *daemon) failure(what string) error {
	text := p.output.String()
	if log, err := os.ReadFile(p.log); err == nil {
		text += string(log)
	}
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return fmt.Errorf("%s %s (%v): %s", p.cmd.Path, what, p.cmd.ProcessState, strings.Join(lines[max(0, len(lines)-5):], "; "))
}
