package unixsock

import (
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ulogd-go/ulogd/pkg/plugintest"
)

// left is a socket file that nobody listens to any more.
func left(t *testing.T, path string) {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestListen(t *testing.T) {
	dir := t.TempDir()
	file, live, dead := filepath.Join(dir, "file"), filepath.Join(dir, "live"), filepath.Join(dir, "dead")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", live)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	left(t, dead)
	for path, want := range map[string]string{
		dead:                             "",
		filepath.Join(dir, "new"):        "",
		live:                             "another process listens to it",
		file:                             "there is a file, and no socket",
		filepath.Join(dir, "no", "sock"): "see to it that the directory exists",
		strings.Repeat("/x", 54):         "too long",
	} {
		r := plugintest.Bench{Plugin: "UNIXSOCK", Options: plugintest.Options{"socket_path": path}}.Source(t)
		err := r.Source.Open()
		if err == nil {
			write(t, dial(t, path), packet("E"))
			r.Events(t, 1)
			if err := r.Source.Close(); err != nil {
				t.Error(err)
			}
			if _, err := os.Lstat(path); err == nil {
				t.Errorf("%s is still there", path)
			}
		}
		if (err == nil) != (want == "") || err != nil && (!strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path)) {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
	if _, err := net.Dial("unix", live); err != nil {
		t.Errorf("the live socket does not work any more: %v", err)
	}
}

// TestReplacedSocket leaves a file alone that is not its own.
func TestReplacedSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sock")
	r := plugintest.Bench{Plugin: "UNIXSOCK", Options: plugintest.Options{"socket_path": path}}.Source(t)
	if err := r.Source.Open(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	left(t, path)
	if err := r.Source.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("the socket of another process is gone: %v", err)
	}
}

func TestModeAndOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: needs root to give files away; run the tests as root")
	}
	nobody, err := user.Lookup("nobody")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		opts plugintest.Options
		mode os.FileMode
		uid  string
		gid  string
	}{
		{nil, 0o600, "0", "0"},
		{plugintest.Options{"perms": "0660", "owner": "nobody"}, 0o660, nobody.Uid, "0"},
		{plugintest.Options{"perms": "438", "owner": "12", "group": "34"}, 0o666, "12", "34"},
		{plugintest.Options{"group": "daemon"}, 0o600, "0", "1"},
	} {
		_, path := start(t, tt.opts)
		info, err := os.Lstat(path)
		if err != nil {
			t.Fatal(err)
		}
		stat := info.Sys().(*syscall.Stat_t)
		uid, _ := userID(tt.uid)
		gid, _ := groupID(tt.gid)
		if info.Mode().Perm() != tt.mode || stat.Uid != uid || stat.Gid != gid {
			t.Errorf("%v: mode %o, owner %d, group %d", tt.opts, info.Mode().Perm(), stat.Uid, stat.Gid)
		}
	}
}

func TestUnknownNames(t *testing.T) {
	for option, want := range map[string]string{
		"owner": "Invalid owner specified for unix socket (nosuchname)", "group": "Invalid group specified for unix socket (nosuchname)",
		"allow": "there is no user nosuchname",
	} {
		_, _, err := plugintest.Bench{Plugin: "UNIXSOCK", Options: plugintest.Options{option: "nosuchname"}}.Open(t)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), option+` = "nosuchname"`) {
			t.Errorf("%s: %v, want %q", option, err, want)
		}
	}
}

func TestAllow(t *testing.T) {
	for _, tt := range []struct {
		allow    string
		uid, gid uint32
		want     bool
	}{
		{"", 5, 5, true},
		{"root", 0, 5, true},
		{"root", 5, 0, false},
		{"@root", 5, 0, true},
		{"root, 12,@34", 12, 1, true},
		{"root,12,@34", 1, 34, true},
		{"root,12,@34", 34, 12, false},
	} {
		var p peers
		if err := p.UnmarshalText([]byte(tt.allow)); err != nil {
			t.Fatal(err)
		}
		if got := p.allow(&unix.Ucred{Uid: tt.uid, Gid: tt.gid}); got != tt.want {
			t.Errorf("%q allows user %d of group %d: %v, want %v", tt.allow, tt.uid, tt.gid, got, tt.want)
		}
	}
}

// TestRefusedClient has a client of another user than the one that may connect.
func TestRefusedClient(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: needs root to start a client as another user; run the tests as root")
	}
	r, path := start(t, plugintest.Options{"allow": "root,@daemon"})
	c := dial(t, path)
	write(t, c, packet("E"))
	r.Events(t, 1)
	refused, _ := start(t, plugintest.Options{"allow": "12,@34"})
	c = dial(t, refused.Source.(*source).Path)
	closed(t, c)
	if n := refused.Count("clients_refused"); n != 1 || !strings.Contains(refused.Log(), "of user 0, group 0, is not among those of allow") {
		t.Errorf("%d refused\n%s", n, refused.Log())
	}
	if n := r.Count("clients_refused"); n != 0 {
		t.Errorf("%d refused of none", n)
	}
}
