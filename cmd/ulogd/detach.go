package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Go programs can't fork, so that -d starts the program once more, in a session
// of its own. The first process waits until the second is ready or has failed:
// whoever starts us then knows.

// readyVar tells the second process where it reports that it is ready.
const readyVar = "ULOGD_READY_FD"

// readyFd is the descriptor that package exec gives to the first extra file.
const readyFd = 3

// launch starts the daemon in the background. The result is this process's exit code.
func launch(args []string, stderr io.Writer) int {
	signal.Ignore(harmless...) // in the daemon too, until it listens
	ready, err := spawn(args)
	if err != nil {
		fmt.Fprintf(stderr, "cannot start the daemon: %v\n", err)
		return 1
	}
	return ready
}

func spawn(args []string) (code int, err error) {
	path, err := self(args[0])
	if err != nil {
		return 0, err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return 0, err
	}
	defer r.Close()
	daemon := &exec.Cmd{
		Path:        path,
		Args:        args,
		Env:         append(os.Environ(), fmt.Sprintf("%s=%d", readyVar, readyFd)),
		Stderr:      os.Stderr, // until it is ready
		ExtraFiles:  []*os.File{w},
		SysProcAttr: &syscall.SysProcAttr{Setsid: true},
	}
	err = daemon.Start()
	w.Close()
	if err != nil {
		return 0, err
	}
	defer forward(daemon.Process)()
	if n, _ := r.Read(make([]byte, 1)); n == 1 {
		return 0, nil
	}
	return wait(daemon)
}

// wait is the exit code of a daemon that never became ready.
func wait(daemon *exec.Cmd) (int, error) {
	err := daemon.Wait()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.Exited() {
		return exit.ExitCode(), nil
	}
	return 0, err
}

// forward passes on what would end us.
func forward(daemon *os.Process) (stop func()) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, terminal...)
	go func() {
		for s := range signals {
			// It fails only if the daemon has ended, which is being waited for.
			_ = daemon.Signal(s)
		}
	}()
	return func() { signal.Stop(signals); close(signals) }
}

// self is the path of this program: the name under which it was started, because
// from that the kernel takes the name of the process.
func self(arg0 string) (string, error) {
	path, err := os.Executable()
	if err != nil {
		return "", err
	}
	named, err := exec.LookPath(arg0)
	if err != nil || !sameFile(named, path) {
		return path, nil
	}
	return filepath.Abs(named)
}

func sameFile(a, b string) bool {
	x, err := os.Stat(a)
	if err != nil {
		return false
	}
	y, err := os.Stat(b)
	return err == nil && os.SameFile(x, y)
}

// waiter is the process that waits until the daemon is ready.
type waiter struct{ pipe *os.File }

// findWaiter is nil in a process that -d did not start.
func findWaiter() *waiter {
	fd := os.Getenv(readyVar)
	os.Unsetenv(readyVar)
	if strings.TrimSpace(fd) != fmt.Sprint(readyFd) {
		return nil
	}
	unix.CloseOnExec(readyFd)
	return &waiter{os.NewFile(readyFd, "ready")}
}

// release cuts the ties to the terminal and lets the waiting process go.
func (w *waiter) release() error {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	if err := unix.Dup3(int(null.Fd()), 2, 0); err != nil {
		return err
	}
	if _, err := w.pipe.Write([]byte{1}); err != nil {
		return err
	}
	return w.pipe.Close()
}
