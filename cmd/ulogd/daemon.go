package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	systemd "github.com/coreos/go-systemd/v22/daemon"

	"github.com/ulogd-go/ulogd/pkg/config"
	"github.com/ulogd-go/ulogd/pkg/fdstore"
	"github.com/ulogd-go/ulogd/pkg/logging"
	"github.com/ulogd-go/ulogd/pkg/outfile"
	"github.com/ulogd-go/ulogd/pkg/pipeline"
	"github.com/ulogd-go/ulogd/pkg/plugin"
	"github.com/ulogd-go/ulogd/pkg/stamp"
	"github.com/ulogd-go/ulogd/pkg/stats"
)

// daemon is the process around the stacks.
type daemon struct {
	opts           options
	registry       *plugin.Registry
	stdout, stderr io.Writer
	waiter         *waiter // nil in the foreground
	signals        signals
	journal        *journal
	log            *slog.Logger
	stats          *stats.Registry
	logfile        string // as configured, once it is open

	store    *fdstore.Store // nil if the service manager keeps no descriptors
	pidfile  *pidfile       // nil if there is none
	pipeline *pipeline.Pipeline
	ending   time.Time // when a signal to end came
}

func newDaemon(c *cli, o options, w *waiter) *daemon {
	zone, err := stamp.Local()
	if err != nil {
		zone = time.UTC // as the C library does
	}
	j := &journal{zone: zone, stderr: c.stderr, verbose: o.verbose}
	d := &daemon{
		opts: o, registry: c.registry, stdout: c.stdout, stderr: c.stderr, waiter: w,
		journal: j, log: slog.New(logging.NewHandler(j)), stats: new(stats.Registry),
	}
	if err != nil {
		d.log.Warn(fmt.Sprintf("%v; times are in UTC", err))
	}
	return d
}

// run is the program. The result is its exit code.
func run(args []string, stdout, stderr io.Writer) int {
	answer := &answer{to: stdout}
	c := &cli{answer, stderr, plugin.Default, lookupAccount}
	o, err := c.parse(args)
	switch {
	case errors.Is(err, errAnswered):
		return answer.code(0, stderr)
	case err != nil:
		return 1
	case o.convert != "":
		return answer.code(convert(o, c.registry, answer, stderr), stderr)
	case o.check:
		return answer.code(newDaemon(c, o, nil).check(), stderr)
	}
	c.stdout = stdout // of which the daemon's log is no answer
	var w *waiter
	if o.daemon {
		if w = findWaiter(); w == nil {
			return launch(args, stderr)
		}
	}
	d := newDaemon(c, o, w)
	d.store = fdstore.Open()
	d.signals = listen()
	defer d.signals.stop()
	return d.run()
}

// run starts the daemon and runs it until a signal or the end of all sources.
func (d *daemon) run() int {
	defer d.finish()
	if err := d.settle(); err != nil {
		return d.failed(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	work := make(chan error, 1)
	go func() { work <- d.start(ctx) }()
	// Signals that do not end us wait until there is something that they concern.
	err := d.watch(ctx, work, nil, stop, startTime)
	if err == nil {
		go func() { work <- d.pipeline.Run(ctx) }()
		err = d.watch(ctx, work, d.signals.harmless, stop, 0) // outputs have a time of their own
	}
	if err == nil || ctx.Err() != nil {
		return 0
	}
	return d.failed(err)
}

// repeatTime is how long after a signal to end another one is taken for the same:
// programs such as timeout(1) signal a process and then its whole group.
const repeatTime = time.Second

// startTime is how long after a signal to end the start may still take.
const startTime = 5 * time.Second

// watch handles signals, one after another, until work is done. A second signal to
// end does not wait for it, unless it comes within repeatTime; nor is it waited for
// longer than limit after the first, unless that is 0.
func (d *daemon) watch(ctx context.Context, work <-chan error, harmless <-chan os.Signal, stop func(), limit time.Duration) error {
	var late <-chan time.Time
	for {
		select {
		case err := <-work:
			return err
		case <-late:
			d.log.Error("the start does not come to an end, exiting at once; a file or a server that it opens does not answer")
			return ctx.Err()
		case s := <-harmless:
			if err := d.handle(s); err != nil {
				stop()
			}
		case <-d.signals.terminal:
			switch {
			case d.ending.IsZero():
				d.ending = time.Now()
				if limit > 0 {
					late = time.After(limit)
				}
				notice(d.log, "Terminal signal received, exiting")
				d.stopping()
				stop()
			case time.Since(d.ending) > repeatTime:
				d.log.Error("second terminal signal received, exiting at once: what the outputs have not delivered is lost")
				return ctx.Err()
			}
		}
	}
}

// failed reports why the daemon can't run, as ulogd does.
func (d *daemon) failed(err error) int {
	if e, ok := errors.AsType[*logfileError](err); ok {
		fmt.Fprintf(d.stderr, "ERROR: %v\n", e)
		return 2
	}
	d.log.Log(context.Background(), logging.Fatal, err.Error())
	d.openAnyhow()
	if d.logfile != "" && !d.opts.verbose {
		fmt.Fprintf(d.stderr, "Fatal error, check logfile %q or use '-v' flag.\n", d.logfile)
	} else {
		fmt.Fprintln(d.stderr, "Fatal error.")
	}
	return 1
}

// openAnyhow shows messages on standard error if the log was never opened.
func (d *daemon) openAnyhow() {
	if !d.journal.isOpen() {
		d.journal.open(stream{Writer: d.stderr}, d.threshold(config.Global{}))
	}
}

// finish leaves nothing behind.
func (d *daemon) finish() {
	if d.pidfile != nil {
		d.pidfile.remove(d.log)
	}
	d.openAnyhow()
}

// start does what follows settle, up to the main loop, in ulogd's order (reference page
// "ulogd2-core", section 1.3).
func (d *daemon) start(ctx context.Context) error {
	f, err := d.configure()
	if err != nil {
		return err
	}
	if err := d.openStacks(ctx, f); err != nil {
		return err
	}
	if err := raisePriority(); err != nil {
		d.log.Error(fmt.Sprintf("Could not nice process: %v", err))
	}
	if err := d.journal.give(d.opts.account); err != nil {
		d.log.Error(fmt.Sprintf("give the log file to user %s: %v", d.opts.account.name, err))
	}
	if err := dropPrivileges(d.opts.account, d.log); err != nil {
		return err
	}
	d.log.Info("initialization finished, entering main loop")
	return d.ready()
}

// settle claims the pid file, and a place from where no path is relative.
func (d *daemon) settle() (err error) {
	if d.opts.configfile, err = filepath.Abs(d.opts.configfile); err != nil {
		return err
	}
	if d.opts.pidfile != "" {
		path, err := filepath.Abs(d.opts.pidfile)
		if err != nil {
			return err
		}
		if d.pidfile, err = createPidfile(path, d.log); err != nil {
			return err
		}
	}
	if d.opts.daemon && d.opts.verbose {
		d.opts.verbose = false
		d.journal.quieten()
		d.log.Error("suppressing verbose output (not compatible with daemon mode).")
	}
	if d.waiter != nil {
		if err := os.Chdir("/"); err != nil {
			return err
		}
	}
	if d.pidfile != nil {
		return d.pidfile.write()
	}
	return nil
}

// configure reads the configuration and opens the log.
func (d *daemon) configure() (*config.File, error) {
	f, err := readConfig(d.opts.configfile)
	if err != nil {
		return nil, err
	}
	d.stepInto(f)
	to, err := d.destination(f.Global)
	if err != nil {
		return nil, err
	}
	d.journal.open(to, d.threshold(f.Global))
	d.logfile = f.Global.Logfile
	d.log.Info(fmt.Sprintf("ulogd Version %s (re-)starting", version))
	d.review(f)
	return f, nil
}

// stepInto has the log of a daemon of ulogd 1.x written into the directory that packages
// of ulogd 2 have put where its file was.
func (d *daemon) stepInto(f *config.File) {
	info, err := os.Stat(f.Global.Logfile)
	if f.Dialect == config.V2 || err != nil || !info.IsDir() {
		return
	}
	f.Global.Logfile = filepath.Join(f.Global.Logfile, "ulogd.log")
	d.log.Warn(fmt.Sprintf("%s: [global] logfile: is a directory, so the log is %s in it; 1.24 would not start; name a file", f.Name, f.Global.Logfile))
}

// destination is where the configuration wants messages to go: standard error if
// it does not say, or the system's log if nobody looks at that any more.
func (d *daemon) destination(g config.Global) (destination, error) {
	switch {
	case g.LogfileSet && g.Logfile == "stdout":
		return stream{d.stdout, true}, nil
	case g.LogfileSet && g.Logfile == "syslog", !g.LogfileSet && d.waiter != nil:
		return new(system), nil
	case !g.LogfileSet:
		return stream{d.stderr, false}, nil
	}
	return openLogfile(g.Logfile)
}

// threshold is the command line's, else the file's, else the default.
func (d *daemon) threshold(g config.Global) int {
	switch {
	case d.opts.loglevel != 0:
		return d.opts.loglevel
	case g.LoglevelSet:
		return g.Loglevel
	}
	return defaultLevel
}

// review logs what is worth knowing of a configuration that can be read, and suits
// it to the kernel.
func (d *daemon) review(f *config.File) {
	if f.Dialect != config.V2 {
		notice(d.log, fmt.Sprintf("%s: %v; stacks that do the same take its place", f.Name, f.Dialect))
	}
	for _, w := range f.Warnings {
		d.log.Warn(w.Error())
	}
	for _, r := range replaceULOG(f) {
		notice(d.log, r.String())
	}
	for _, p := range f.Plugins {
		if _, err := d.registry.Lookup(p.Plugin); err != nil {
			d.log.Error(fmt.Sprintf("%s:%d: load_plugin: '%s': %v; remove the line", f.Name, p.Line, p.Path, err))
		}
	}
}

func (d *daemon) build(f *config.File) (*pipeline.Pipeline, error) {
	host, err := os.Hostname()
	if err != nil {
		return nil, err
	}
	env := pipeline.Env{
		Log: d.log, Stats: d.stats, Now: time.Now, Zone: d.journal.zone, Hostname: host,
		State: stateDir(d.opts.configfile, os.Geteuid() == 0), Store: d.store,
	}
	if a := d.opts.account; a != nil {
		env.Owner = &outfile.Owner{UID: a.uid, GID: a.gid}
	}
	return pipeline.Build(f, d.registry, env)
}

func (d *daemon) openStacks(ctx context.Context, f *config.File) (err error) {
	if d.pipeline, err = d.build(f); err != nil {
		return err
	}
	return d.pipeline.Start(ctx)
}

// ready tells whoever started us. Nothing depends on the system's manager hearing it.
func (d *daemon) ready() error {
	if _, err := systemd.SdNotify(false, systemd.SdNotifyReady); err != nil {
		d.log.Warn(fmt.Sprintf("tell the service manager that we are ready: %v", err))
	}
	if d.waiter != nil {
		return d.waiter.release()
	}
	return nil
}

func (d *daemon) stopping() {
	if _, err := systemd.SdNotify(false, systemd.SdNotifyStopping); err != nil {
		d.log.Warn(fmt.Sprintf("tell the service manager that we are stopping: %v", err))
	}
}

// check reports what would run. It changes nothing.
func (d *daemon) check() int {
	d.journal.open(stream{Writer: d.stderr}, d.threshold(config.Global{}))
	f, err := readConfig(d.opts.configfile)
	if err != nil {
		d.log.Error(err.Error())
		return 1
	}
	d.review(f)
	p, err := d.build(f)
	if err != nil {
		d.log.Error(err.Error())
		return 1
	}
	if f.Dialect != config.V2 {
		fmt.Fprintln(d.stdout, f.Dialect)
	}
	p.Report(d.stdout)
	if p.Failed() > 0 {
		return 1
	}
	return 0
}
