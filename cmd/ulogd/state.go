package main

import (
	"os"
	"path/filepath"
	"strings"
)

// defaultState is where a daemon of the system keeps what outlives it (FHS 3.0,
// section 5.8).
const defaultState = "/var/lib/ulogd"

// stateDir is the directory for what outlives the daemon: in the one that the
// service manager gives (StateDirectory= in systemd.exec(5)), or in the system's. It is
// named after the configuration, so that several daemons have one each. It is
// empty for a plain user, who has none.
func stateDir(configfile string, root bool) string {
	base, _, _ := strings.Cut(os.Getenv("STATE_DIRECTORY"), ":")
	if base == "" && root {
		base = defaultState
	}
	if base == "" {
		return ""
	}
	return filepath.Join(base, filepath.Base(configfile))
}
