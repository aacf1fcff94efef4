// Command demo shows ulogd at work: a bridge with two guests in a network
// namespace of its own, firewall rules that log what the guests send, and what
// ulogd makes of it, as log lines and as rows of a database. It needs root or
// user namespaces; without either it replays a capture. It ends by itself and
// leaves nothing behind.
//
//	go run ./contrib/demo -ulogd bin/ulogd
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"time"

	"github.com/ulogd-go/ulogd/contrib/lab"
	"golang.org/x/sys/unix"
)

func main() {
	d := demo{out: os.Stdout}
	flag.StringVar(&d.ulogd, "ulogd", "bin/ulogd", "the daemon to show")
	flag.StringVar(&d.capture, "capture", "contrib/demo/bridge.pcap", "what to replay where namespaces can't be had")
	flag.DurationVar(&d.duration, "duration", 6*time.Second, "how long to send packets")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM)
	defer stop()
	err := d.run(ctx)
	if ctx.Err() != nil {
		os.Exit(130) // interrupted, and cleaned up
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

type demo struct {
	ulogd, capture string
	duration       time.Duration
	out            io.Writer
	dir            string // for all files
}

func (d *demo) run(ctx context.Context) (err error) {
	if d.ulogd, err = filepath.Abs(d.ulogd); err != nil {
		return err
	}
	if _, err := os.Stat(d.ulogd); err != nil {
		return fmt.Errorf("no ulogd to show: %w (build it with make build, or name it with -ulogd)", err)
	}
	n, refused := enter()
	if refused == nil {
		defer n.close()
	}
	if d.dir, err = os.MkdirTemp("", "ulogd-demo-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(d.dir)) }()
	if refused != nil {
		return d.replay(ctx, refused)
	}
	return d.live(ctx, n)
}

// enter makes the network, in a user namespace if this is no root.
func enter() (*network, error) {
	if !lab.Privileged() {
		if err := lab.Reexec(); err != nil {
			return nil, err
		}
	}
	return newNetwork()
}

// live logs real packets until the time is over.
func (d *demo) live(ctx context.Context, n *network) error {
	fmt.Fprintf(d.out, "The bridge br0 joins two guests, %s at port vnet0 and %s at port vnet1 (%s).\n", guestAddrs[0], guestAddrs[1], who())
	fmt.Fprintf(d.out, "The firewall logs what they send each other (FORWARD), and drops TCP and UDP to the host (DROP).\n")
	fmt.Fprintf(d.out, "Below are the LOGEMU lines and SQLite rows as ulogd writes them, for %v.\n\n", d.duration)
	p, err := d.start(liveInput, n.host.Start)
	if err != nil {
		return err
	}
	defer p.kill()
	ctx, cancel := p.alive(ctx)
	defer cancel()
	if err := n.wait(ctx); err != nil {
		return err
	}
	v := newView(d.out, d.dir)
	defer v.close()
	if err := d.traffic(ctx, n, v); err != nil {
		return err
	}
	if err := p.stop(); err != nil {
		return err
	}
	return v.finish()
}

func who() string {
	if lab.InUserNamespace() {
		return "without root, in a user namespace"
	}
	return "in a network namespace of its own"
}

// traffic sends packets, and meanwhile shows what comes of them.
func (d *demo) traffic(ctx context.Context, n *network, v *view) error {
	timed, cancel := context.WithTimeout(ctx, d.duration)
	defer cancel()
	sent := make(chan error, 1)
	go func() { sent <- n.send(timed) }()
	for {
		v.show()
		select {
		case err := <-sent:
			return errors.Join(err, context.Cause(ctx))
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// replay plays the capture to ulogd, which ends at its end.
func (d *demo) replay(ctx context.Context, refused error) error {
	fmt.Fprintf(d.out, "No namespace can be had here: %v.\n", refused)
	fmt.Fprintf(d.out, "So ulogd replays %s, packets that crossed a bridge elsewhere; no privilege is needed.\n", d.capture)
	fmt.Fprintf(d.out, "Below are its LOGEMU lines and SQLite rows.\n\n")
	capture, err := filepath.Abs(d.capture)
	if err != nil {
		return err
	}
	p, err := d.start(replayInput(capture), (*exec.Cmd).Start)
	if err != nil {
		return err
	}
	defer p.kill()
	if err := p.wait(ctx); err != nil {
		return err
	}
	v := newView(d.out, d.dir)
	defer v.close()
	return v.finish()
}
