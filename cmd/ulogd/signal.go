package main

import (
	"fmt"
	"log/slog"
	"os"
	"os/signal"

	"golang.org/x/sys/unix"

	"github.com/ulogd-go/ulogd/pkg/stats"
)

// Signals that end the daemon, and those that do not, ever.
var (
	terminal = []os.Signal{unix.SIGTERM, unix.SIGINT}
	harmless = []os.Signal{unix.SIGHUP, unix.SIGUSR1, unix.SIGUSR2, unix.SIGALRM}
)

// signals delivers signals from the moment it is made.
type signals struct{ terminal, harmless chan os.Signal }

func listen() signals {
	s := signals{make(chan os.Signal, 4), make(chan os.Signal, 64)}
	signal.Notify(s.terminal, terminal...)
	signal.Notify(s.harmless, harmless...)
	// A log reader that goes away must not take us with it.
	signal.Ignore(unix.SIGPIPE)
	return s
}

// stop lets signals have their usual effect again.
func (s signals) stop() {
	signal.Stop(s.terminal)
	signal.Stop(s.harmless)
}

// handle does what a signal asks for. An error ends the daemon.
func (d *daemon) handle(s os.Signal) error {
	notice(d.log, "signal received, calling pluginstances")
	switch s {
	case unix.SIGHUP:
		if err := d.journal.reopen(); err != nil {
			d.log.Error(fmt.Sprintf("%v; the daemon ends, as it has no log", err)) // in the old file
			fmt.Fprintf(d.stderr, "ERROR: %v\n", err)
			return err
		}
		d.pipeline.Reopen()
	case unix.SIGUSR1:
		logCounters(d.log, d.stats)
		for _, line := range d.pipeline.Status() {
			notice(d.log, line)
		}
	case unix.SIGUSR2:
		d.pipeline.Dump()
	}
	return nil
}

// logCounters logs what all instances have counted, a line each.
func logCounters(log *slog.Logger, r *stats.Registry) {
	for _, set := range r.Sets() {
		var args []any
		for _, c := range set.Counters() {
			args = append(args, c.Name, c.Value())
		}
		if len(args) > 0 {
			notice(log.With("instance", set.Instance).With(args...), "counters")
		}
	}
}
