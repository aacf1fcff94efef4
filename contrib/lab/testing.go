package lab

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// Test makes a namespace for a test and closes it at the end. Where namespaces
// can't be made the test is skipped, or fails if the environment says CI=true.
func Test(t testing.TB) *NS {
	t.Helper()
	if !Privileged() {
		if os.Getenv("CI") == "true" {
			t.Fatal("CI=true but this process may not make network namespaces: run the tests as root")
		}
		t.Skip("SKIPPED: needs root to make network namespaces; run the tests as root")
	}
	ns, err := New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := ns.Close(); err != nil {
			t.Error(err)
		}
	})
	return ns
}

// Privileged tells whether this process has the capabilities that New needs.
func Privileged() bool {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var sets [2]unix.CapUserData
	if err := unix.Capget(&header, &sets[0]); err != nil {
		return false
	}
	const need = 1<<unix.CAP_SYS_ADMIN | 1<<unix.CAP_NET_ADMIN
	return sets[0].Effective&need == need
}
