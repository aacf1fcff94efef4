package lab

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// inside marks the environment of the process that Reexec starts.
const inside = "ULOGD_LAB_INSIDE"

// Reexec starts the program again where it may make network namespaces and
// mounts: in a mount namespace of its own, and for a caller without the
// capabilities in user and network namespaces too, as their root. Call it first thing in
// main. In the new process it returns nil. In the old one it passes signals on,
// waits and exits with the code of the new one; it returns only if the kernel
// refuses, with the reason.
func Reexec() error {
	if os.Getenv(inside) != "" {
		return nil
	}
	// The thread must outlive the child, which is told of the thread's death.
	runtime.LockOSThread()
	cmd := again()
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start again in namespaces of its own: %w (does this system allow user namespaces?)", err)
	}
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, unix.SIGINT, unix.SIGTERM, unix.SIGHUP)
	go func() {
		for s := range signals {
			cmd.Process.Signal(s) // an error means that it has just ended
		}
	}()
	err := cmd.Wait()
	if cmd.ProcessState == nil {
		return fmt.Errorf("wait for the process in namespaces of its own: %w", err)
	}
	os.Exit(exitCode(cmd.ProcessState))
	return nil
}

// again is the program with its arguments. Unshareflags, unlike Cloneflags,
// also makes the new mounts private. A user namespace needs a network
// namespace with it: its root could leave the one of the machine, but never
// return to it.
func again() *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Env = append(os.Environ(), inside+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: unix.CLONE_NEWNS, Pdeathsig: unix.SIGTERM}
	if !Privileged() {
		cmd.SysProcAttr.Cloneflags = unix.CLONE_NEWUSER | unix.CLONE_NEWNET
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
	return cmd
}

// exitCode is the code of a shell: 128 and the signal, if one ended the process.
func exitCode(state *os.ProcessState) int {
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal())
	}
	return state.ExitCode()
}

// InUserNamespace tells whether this process is root only in a user namespace:
// whether user ids differ from those of the machine.
func InUserNamespace() bool {
	text, err := os.ReadFile("/proc/self/uid_map")
	if err != nil {
		return false
	}
	return strings.Join(strings.Fields(string(text)), " ") != "0 0 4294967295"
}
