package logging

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// Tally logs how often something happened, at most once in an interval, and
// never forgets the rest. It may be used concurrently.
type Tally struct {
	log      *slog.Logger
	level    slog.Level
	format   string // with one %d, for the number
	interval time.Duration

	mu      sync.Mutex
	pending uint64
	timer   *time.Timer // runs while the interval after a line has not passed
}

// NewTally makes a tally whose lines have the given level and format, with one
// %d for the number, and appear at most once a second.
func NewTally(log *slog.Logger, level slog.Level, format string) *Tally {
	return &Tally{log: log, level: level, format: format, interval: time.Second}
}

// Add counts n more. The first of them is logged at once.
func (t *Tally) Add(n uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.pending += n
	if t.timer == nil {
		t.flush()
		t.timer = time.AfterFunc(t.interval, t.tick)
	}
}

// tick logs what came since the last line, and ends the interval if that is nothing.
func (t *Tally) tick() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.pending == 0 {
		t.timer = nil
		return
	}
	t.flush()
	t.timer.Reset(t.interval)
}

// Flush logs what has not been logged yet.
func (t *Tally) Flush() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.pending > 0 {
		t.flush()
	}
}

func (t *Tally) flush() {
	t.log.Log(context.Background(), t.level, fmt.Sprintf(t.format, t.pending))
	t.pending = 0
}
