package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ulogd-go/ulogd/contrib/bench/generator"
	"github.com/ulogd-go/ulogd/contrib/lab"
)

// load is what a logger is given. Each run has its own.
type load interface {
	// prepare makes in the namespace what has something to log.
	prepare(ns *lab.NS) error
	// listening waits until the logger listens.
	listening(ctx context.Context, ns *lab.NS) error
	// offer offers it, at a rate per second, or as fast as possible if that is 0.
	offer(ctx context.Context, ns *lab.NS, count, rate, cpu int) (generator.Result, error)
	// matched is how many records there have to be.
	matched() (int, error)
}

// packets are packets that a rule logs.
type packets struct{ counter *lab.Counter }

func (p *packets) prepare(ns *lab.NS) (err error) {
	p.counter, err = ns.Log(lab.Rule{Family: "ip", Hook: "input", Prefix: "bench: ", Groups: []uint16{group}, Verdict: "drop"})
	return err
}

func (p *packets) listening(ctx context.Context, ns *lab.NS) error {
	_, err := ns.WaitListener(ctx, group)
	return err
}

func (p *packets) offer(ctx context.Context, ns *lab.NS, count, rate, cpu int) (generator.Result, error) {
	return generator.Run(ctx, ns, generator.Load{Count: count, Rate: rate, CPU: cpu, Seed: 1})
}

func (p *packets) matched() (int, error) {
	n, err := p.counter.Packets()
	return int(n), err
}

// connections are connections of TCP that are refused: the kernel tells of the
// beginning and of the end of each, one right after the other.
type connections struct{ offered int }

func (c *connections) prepare(ns *lab.NS) error {
	err := ns.Track(1)
	for _, name := range []string{"events", "acct", "timestamp"} {
		err = errors.Join(err, ns.Sysctl("net.netfilter.nf_conntrack_"+name, "1"))
	}
	return err
}

func (c *connections) listening(ctx context.Context, ns *lab.NS) error {
	const destroyGroup = 3 // NFNLGRP_CONNTRACK_DESTROY
	for {
		n, err := ns.Members(unix.NETLINK_NETFILTER, destroyGroup)
		if n > 0 || err != nil {
			return err
		}
		if err := sleep(ctx, time.Millisecond); err != nil {
			return fmt.Errorf("nobody listens for connections: %w", err)
		}
	}
}

func (c *connections) offer(ctx context.Context, ns *lab.NS, count, rate, cpu int) (result generator.Result, err error) {
	err = ns.Do(func() error {
		return lab.Pinned(cpu, func() error {
			start := time.Now()
			for ; result.Offered < count; result.Offered++ {
				if rate > 0 {
					if err := sleep(ctx, time.Until(start.Add(time.Duration(result.Offered)*time.Second/time.Duration(rate)))); err != nil {
						return err
					}
				}
				if err := refused(result.Offered); err != nil {
					return err
				}
			}
			result.Elapsed = time.Since(start)
			return ctx.Err()
		})
	})
	c.offered = result.Offered
	return result, err
}

// refused asks for a connection where nobody listens, at one of many addresses.
func refused(i int) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	err = unix.Connect(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, byte(i >> 12), 1 + byte(i>>4)%250}, Port: 1})
	if !errors.Is(err, unix.ECONNREFUSED) {
		return fmt.Errorf("connection %d: want it to be refused: %w", i, err)
	}
	return nil
}

func (c *connections) matched() (int, error) { return c.offered, nil }
