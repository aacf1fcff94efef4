package main

import "testing"

func TestStateDir(t *testing.T) {
	tests := []struct {
		env, configfile string
		root            bool
		want            string
	}{
		{"", "/etc/ulogd.conf", true, "/var/lib/ulogd/ulogd.conf"},
		{"", "/etc/ulogd.conf", false, ""},
		{"/var/lib/fw", "/etc/ulogd/fw.toml", false, "/var/lib/fw/fw.toml"},
		{"/var/lib/fw:/var/lib/other", "/etc/ulogd.conf", true, "/var/lib/fw/ulogd.conf"},
	}
	for _, tt := range tests {
		t.Setenv("STATE_DIRECTORY", tt.env)
		if got := stateDir(tt.configfile, tt.root); got != tt.want {
			t.Errorf("%q, %s, root %v: %q, want %q", tt.env, tt.configfile, tt.root, got, tt.want)
		}
	}
}
