package lab

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"syscall"
	"testing"
)

// TestMain lets the test binary play the programs that the tests start.
func TestMain(m *testing.M) {
	switch os.Getenv("LAB_TEST") {
	case "links":
		links()
	case "reexec":
		reexec()
	default:
		os.Exit(m.Run())
	}
}

func links() {
	all, err := net.Interfaces()
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	for _, ifi := range all {
		fmt.Println(ifi.Name)
	}
}

// reexec ends with a code of its own, so that the test sees it come through.
func reexec() {
	if err := Reexec(); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	ns, err := New()
	if err != nil {
		fmt.Println(err)
		os.Exit(2)
	}
	defer ns.Close()
	if _, err := ns.Log(Rule{Family: "inet", Hook: "input", Groups: []uint16{1}}); err != nil {
		fmt.Println(err)
		os.Exit(3)
	}
	fmt.Print("user namespace: ", InUserNamespace())
	os.Exit(7)
}

func TestKernelReexec(t *testing.T) {
	Test(t)
	f := func(name string, uid uint32, want string) {
		t.Run(name, func(t *testing.T) {
			cmd := exec.Command("/proc/self/exe")
			cmd.Env = append(os.Environ(), "LAB_TEST=reexec")
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
			out, err := cmd.Output()
			if code := cmd.ProcessState.ExitCode(); code != 7 || string(out) != want {
				t.Errorf("exit code %d, %v, output %q, want 7 and %q", code, err, out, want)
			}
		})
	}
	f("root", 0, "user namespace: false")
	f("plain user", 65534, "user namespace: true")
}
