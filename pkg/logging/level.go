// Package logging writes the daemon's own messages as ulogd does.
package logging

import "log/slog"

// Levels that package slog does not have.
const (
	Notice = slog.Level(2)  // ulogd's 5, the default threshold
	Fatal  = slog.Level(12) // ulogd's 8
)
