package sqldb

import (
	"log/slog"
	"strings"

	"github.com/ulogd-go/ulogd/pkg/plugin"
)

// Constants are the values of keys for which no plugin is needed: the name of this
// host, of which ulogd 1.x takes what is before the first dot.
func Constants(g plugin.Generation, env *plugin.Env) map[string]string {
	host := env.Hostname
	if g == plugin.First {
		host, _, _ = strings.Cut(host, ".")
	}
	return map[string]string{"local.hostname": host}
}

// Surprise is the level at which it is said that a column has no key. In ulogd 1.x that
// is as it should be, and not said at all.
func Surprise(g plugin.Generation) slog.Level {
	if g == plugin.First {
		return slog.LevelInfo
	}
	return slog.LevelWarn
}
