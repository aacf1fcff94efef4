package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// process is a running logger.
type process struct {
	cmd    *exec.Cmd
	dir    string
	output bytes.Buffer  // stdout and stderr; read it after ended
	ended  chan struct{} // closed when the process is gone
}

// start runs a command by way of f, which decides where.
func start(argv, env []string, dir string, f func(*exec.Cmd) error) (*process, error) {
	p := &process{cmd: exec.Command(argv[0], argv[1:]...), dir: dir, ended: make(chan struct{})}
	p.cmd.Env = append(append(os.Environ(), "STATE_DIRECTORY="+dir), env...)
	p.cmd.Stdout, p.cmd.Stderr = &p.output, &p.output
	if err := f(p.cmd); err != nil {
		return nil, fmt.Errorf("start %s: %w", argv[0], err)
	}
	go func() {
		p.cmd.Wait() // the exit status is in cmd.ProcessState
		close(p.ended)
	}()
	return p, nil
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// alive returns a context that ends with ctx or with the process, so that
// nobody waits for a dead one; its cause tells why.
func (p *process) alive(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		select {
		case <-p.ended:
			cancel(p.died())
		case <-ctx.Done():
		}
	}()
	return ctx, func() { cancel(nil) }
}

// died tells why the process ended: the last it wrote, to its terminal or to
// its log.
func (p *process) died() error {
	text := p.output.String()
	if log, err := os.ReadFile(filepath.Join(p.dir, "ulogd.log")); err == nil {
		text += string(log)
	}
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return fmt.Errorf("%s ended early (%v): %s", p.cmd.Path, p.cmd.ProcessState, strings.Join(lines[max(0, len(lines)-5):], "; "))
}

// stop asks the process to end, and after a minute makes it.
func (p *process) stop() error {
	select {
	case <-p.ended:
		return p.died()
	default:
	}
	if err := p.cmd.Process.Signal(unix.SIGTERM); err != nil {
		return fmt.Errorf("stop %s: %w", p.cmd.Path, err)
	}
	select {
	case <-p.ended:
		return nil
	case <-time.After(patience):
		p.kill()
		return fmt.Errorf("%s did not end within %v of SIGTERM", p.cmd.Path, patience)
	}
}

func (p *process) kill() {
	p.cmd.Process.Kill() // an error means that it has ended
	<-p.ended
}

// usage is what a process has taken so far.
type usage struct {
	at      time.Time
	cpu     time.Duration // user and system, of all threads and of children
	written int64         // bytes in its directory
}

func (p *process) usage() (usage, error) {
	cpu, err := cpuTime(p.pid())
	if err != nil {
		return usage{}, err
	}
	written, err := size(p.dir)
	return usage{at: time.Now(), cpu: cpu, written: written}, err
}

// cpuTime is the CPU clock of a process and its children, in nanoseconds
// where /proc/PID/stat counts hundredths of a second. The number of the clock
// is made as in the kernel's MAKE_PROCESS_CPUCLOCK(pid, CPUCLOCK_SCHED).
func cpuTime(pid int) (time.Duration, error) {
	var ts unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|2), &ts); err != nil {
		return 0, fmt.Errorf("read the CPU clock of process %d: %w", pid, err)
	}
	sum := time.Duration(ts.Nano())
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if errors.Is(err, fs.ErrNotExist) { // a kernel without CONFIG_PROC_CHILDREN
		return sum, nil
	}
	for _, text := range strings.Fields(string(children)) {
		child, err := strconv.Atoi(text)
		if err != nil {
			return sum, err
		}
		more, err := cpuTime(child)
		if err != nil {
			return sum, err
		}
		sum += more
	}
	return sum, err
}

// memory is a line of /proc/PID/status, such as VmRSS or VmHWM, in bytes.
func (p *process) memory(line string) (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.pid()))
	if err != nil {
		return 0, err
	}
	_, after, _ := strings.Cut(string(text), line+":")
	fields := strings.Fields(after)
	if len(fields) < 2 || fields[1] != "kB" {
		return 0, fmt.Errorf("process %d has no %s", p.pid(), line)
	}
	kB, err := strconv.ParseInt(fields[0], 10, 64)
	return kB << 10, err
}

// size is how many bytes the files of a directory hold. A file that vanishes
// meanwhile, such as a journal, holds none.
func size(dir string) (sum int64, err error) {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		if info, err := e.Info(); err == nil {
			sum += info.Size()
		}
	}
	return sum, err
}
