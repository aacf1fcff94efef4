package config

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestReplaceULOG: NFLOG takes the place of ULOG in both generations, in the stacks and
// in what is written of them.
func TestReplaceULOG(t *testing.T) {
	f := func(src, stack string, section []string, said string) {
		t.Helper()
		c := parse(t, src)
		done := c.ReplaceULOG()
		if len(done) != 1 || !strings.HasPrefix(done[0].String(), said) || !strings.Contains(done[0].String(), "iptables ") || !strings.Contains(done[0].String(), "nft ") {
			t.Errorf("%q: %v, want %q and both rules", src, done, said)
		}
		if got := c.Stacks[0].Text; got != stack || stackText(c.Stacks[0].Instances) != stack {
			t.Errorf("%q: stack %s, want %s", src, got, stack)
		}
		if diff := cmp.Diff(section, values(c.Section("log1"))); diff != "" {
			t.Errorf("%q: (-want +got):\n%s", src, diff)
		}
		var b strings.Builder
		if err := c.WriteConf(&b, noFields); err != nil || !strings.Contains(b.String(), "\nstack=\""+stack+"\"\n") || !strings.Contains(b.String(), "\n[log1]\n") {
			t.Errorf("%q: %v, written as\n%s", src, err, b.String())
		}
	}
	const v1 = "[global]\nplugin=ulogd_BASE.so\nplugin=ulogd_OPRINT.so\n"
	const stack = "log1:NFLOG,ifi1:IFINDEX,base1:BASE,op1:OPRINT"
	f(v1, stack, []string{"group=32", "bufsize=150000"}, "log1: the kernel has no ULOG, so it listens to NFLOG group 32 in place of ULOG group 32; rules feed it by ")
	f(v1+"nlgroup=5\nrmem=131071\nbufsize=9000\n", stack, []string{"group=5", "bufsize=9000"}, "log1: the kernel has no ULOG, so it listens to NFLOG group 5 ")
	f(v1+"nlgroup=5\nnflog_group=500\nrmem=99000000\n", stack, []string{"group=500", "netlink_socket_buffer_size=99000000", "netlink_socket_buffer_maxsize=99000000", "bufsize=150000"},
		"log1: the kernel has no ULOG, so it listens to NFLOG group 500 in place of ULOG group 5;")
	f("[global]\nstack=log1:ULOG,base1:BASE,op1:OPRINT\n[log1]\nnlgroup=0x2\nnumeric_label=1\n", stack, []string{"group=2", "numeric_label=1"}, "log1: ")
	f("[global]\nstack=log1:ULOG,x:IFINDEX,op1:OPRINT\n[log1]\n", "log1:NFLOG,x:IFINDEX,op1:OPRINT", []string{"group=32"}, "log1: ")

	if done := parse(t, "[global]\nstack=log1:NFLOG,op1:OPRINT\nstack=\n").ReplaceULOG(); done != nil {
		t.Errorf("%v without an input ULOG", done)
	}
	for _, n := range []string{"0", "33", "-1"} {
		c := parse(t, "[global]\nstack=log1:ULOG,op1:OPRINT\n[log1]\nnlgroup="+n+"\n")
		if done := c.ReplaceULOG(); done != nil || c.Stacks[0].Instances[0].Plugin != "ULOG" {
			t.Errorf("nlgroup=%s: %v; want it left to ULOG, which refuses it", n, done)
		}
	}
	two := parse(t, "[global]\nstack=log1:ULOG,op1:OPRINT\nstack=log1:ULOG,x:X\n")
	if done := two.ReplaceULOG(); len(done) != 1 || two.Stacks[1].Text != "log1:NFLOG,ifi1:IFINDEX,x:X" {
		t.Errorf("%v, %+v", done, two.Stacks)
	}
}
