// Command bench measures loggers side by side: for each of them and each rate,
// a namespace with one log rule, the logger on one CPU and the load on
// another. It prints what the rule matched, what the logger wrote, and what
// that cost. It never fails because something was slow.
//
//	go run ./contrib/bench -ulogd bin/ulogd
//
// As root it forces socket buffers as the loggers ask for; a plain user gets
// the same in a user namespace, with the buffers that the system allows.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/ulogd-go/ulogd/contrib/lab"
	"golang.org/x/sys/unix"
)

func main() {
	if len(os.Args) == 4 && os.Args[1] == loopCommand {
		fail(loop(os.Args[2], os.Args[3]))
		return
	}
	b := flags()
	fail(lab.Reexec())
	fail(b.run())
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// bench is what is to be measured, and how.
type bench struct {
	ours, original string // paths of the daemons
	count          int    // packets of a run
	rates          []int  // packets per second, 0 is as fast as possible
	outputs        []output
	sender, logger int    // CPUs
	dir            string // for everything that loggers write
}

func flags() *bench {
	b := new(bench)
	rates := flag.String("rates", "50000,150000,0", "packets per second to offer, 0 is as fast as possible")
	outputs := flag.String("outputs", "", "only these outputs, for example LOGEMU,JSON (default all)")
	quick := flag.Bool("quick", false, "a fifth of the packets, and only as fast as possible")
	flag.StringVar(&b.ours, "ulogd", "bin/ulogd", "our ulogd")
	flag.StringVar(&b.original, "original", "/usr/sbin/ulogd", "the ulogd to compare with")
	flag.IntVar(&b.count, "count", 500000, "packets to offer in each run")
	flag.IntVar(&b.sender, "sender", 0, "the CPU that sends")
	flag.IntVar(&b.logger, "logger", 1, "the CPU that logs")
	flag.Parse()
	if *quick {
		b.count, *rates = b.count/5, "0"
	}
	fail(b.parse(*rates, *outputs))
	return b
}

func (b *bench) parse(rates, outputs string) (err error) {
	for _, text := range strings.Split(rates, ",") {
		rate, err := strconv.Atoi(text)
		if err != nil || rate < 0 {
			return fmt.Errorf("-rates: %q is no number of packets per second", text)
		}
		b.rates = append(b.rates, rate)
	}
	if b.count < 1 {
		return fmt.Errorf("-count: %d packets are too few to measure", b.count)
	}
	if b.outputs, err = chosen(outputs); err != nil {
		return err
	}
	if b.ours, err = filepath.Abs(b.ours); err != nil {
		return err
	}
	return b.checkCPUs()
}

// checkCPUs refuses CPUs that this process may not use. On a machine with a
// single one, sender and logger share it.
func (b *bench) checkCPUs() error {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return fmt.Errorf("read the usable CPUs: %w", err)
	}
	if set.Count() == 1 {
		b.logger = b.sender
	}
	for _, cpu := range []int{b.sender, b.logger} {
		if !set.IsSet(cpu) {
			return fmt.Errorf("CPU %d can't be used here: choose others with -sender and -logger", cpu)
		}
	}
	return nil
}

func (b *bench) run() error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM)
	defer stop()
	remove, err := b.makeDir()
	if err != nil {
		return err
	}
	return errors.Join(b.measureAll(ctx), remove())
}

// makeDir makes the place for the loggers' files, in memory if that is allowed.
// The mount is in the private mount namespace that lab.Reexec made.
func (b *bench) makeDir() (remove func() error, err error) {
	b.dir, err = os.MkdirTemp("", "ulogd-bench-")
	if err != nil {
		return nil, err
	}
	where := "in memory (tmpfs)"
	mountErr := unix.Mount("bench", b.dir, "tmpfs", 0, "")
	if mountErr != nil {
		where = fmt.Sprintf("in %s (no tmpfs: %v)", b.dir, mountErr)
	}
	fmt.Printf("%d packets a run, 40 %% TCP, 40 %% UDP, 20 %% ICMP of 40 to 120 bytes; sender on CPU %d, logger on CPU %d; files %s\n",
		b.count, b.sender, b.logger, where)
	return func() error {
		if mountErr == nil {
			if err := unix.Unmount(b.dir, unix.MNT_DETACH); err != nil {
				return fmt.Errorf("unmount %s: %w", b.dir, err)
			}
		}
		return os.RemoveAll(b.dir)
	}, nil
}

// measureAll runs everything one after another. A logger that fails is
// reported and left behind; the others go on.
func (b *bench) measureAll(ctx context.Context) error {
	var failed error
	report := newReport(os.Stdout)
	for _, s := range b.sections() {
		report.section(s)
		for _, subject := range s.subjects {
			for _, rate := range s.rates {
				m, err := b.measure(ctx, subject, rate)
				if ctx.Err() != nil {
					return errors.Join(failed, ctx.Err())
				}
				if err != nil {
					failed = errors.Join(failed, fmt.Errorf("%s %s: %w", subject.logger, s.title, err))
					report.failed(subject, rate, err)
					break
				}
				report.row(s.title, m)
			}
		}
	}
	report.ratios()
	return failed
}
