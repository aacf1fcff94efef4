package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"time"

	"github.com/ulogd-go/ulogd/contrib/bench/generator"
	"github.com/ulogd-go/ulogd/contrib/lab"
)

const (
	warmUp   = 300 * time.Millisecond  // after the bind, until a logger has settled
	baseline = 500 * time.Millisecond  // over which its idle CPU time is taken
	poll     = 20 * time.Millisecond   // between two looks at a logger
	quiet    = 1200 * time.Millisecond // without any growth is idle; the kernel holds packets back for 1 s at most
	patience = time.Minute             // for what never becomes idle
)

// measurement is the result of one run.
type measurement struct {
	subject   subject
	rate      int // asked for, 0 is as fast as possible
	offered   generator.Result
	hits      int // packets or connections that there were to log
	logged    int
	cpu       time.Duration // to log them
	behind    time.Duration // how long the logger was busy when no more was offered
	maxRSS    int64         // bytes
	idleRSS   int64
	listening time.Duration // from the start until the group was bound
}

func (m measurement) lost() int { return m.hits - m.logged }

// perPacket is the CPU time per packet logged, in microseconds.
func (m measurement) perPacket() float64 {
	return float64(m.cpu.Nanoseconds()) / 1000 / float64(max(m.logged, 1))
}

// measure does one run, in a namespace and a directory of its own. It stays on
// the sender's CPU, so that looking at the logger does not disturb it.
func (b *bench) measure(ctx context.Context, s subject, rate int) (m measurement, err error) {
	dir, err := os.MkdirTemp(b.dir, "run-")
	if err != nil {
		return m, err
	}
	defer os.RemoveAll(dir)
	ns, err := lab.New()
	if err != nil {
		return m, err
	}
	defer ns.Close()
	err = lab.Pinned(b.sender, func() error {
		m, err = b.runIn(ctx, ns, dir, s, rate)
		return err
	})
	return m, err
}

func (b *bench) runIn(ctx context.Context, ns *lab.NS, dir string, s subject, rate int) (m measurement, err error) {
	m = measurement{subject: s, rate: rate}
	l := s.load()
	if err := l.prepare(ns); err != nil {
		return m, err
	}
	argv, err := s.files(dir)
	if err != nil {
		return m, err
	}
	logged := func() (int, error) { return s.logged(dir) }
	if s.receive != nil {
		r := s.receive(l)
		defer r.Close()
		if err := r.listen(ns, dir); err != nil {
			return m, err
		}
		logged = r.count
	}
	began := time.Now()
	p, err := start(argv, s.env, dir, func(cmd *exec.Cmd) error {
		return lab.Pinned(b.logger, func() error { return ns.Start(cmd) })
	})
	if err != nil {
		return m, err
	}
	defer p.kill()
	alive, cancel := p.alive(ctx)
	defer cancel()
	if err := b.observe(alive, ns, l, p, &m, began); err != nil {
		if cause := context.Cause(alive); cause != nil {
			return m, cause
		}
		return m, err
	}
	if err := p.stop(); err != nil {
		return m, err
	}
	return m, m.count(l, logged)
}

// observe watches the logger from its start until it has nothing left to do.
func (b *bench) observe(ctx context.Context, ns *lab.NS, l load, p *process, m *measurement, began time.Time) error {
	if err := l.listening(ctx, ns); err != nil {
		return err
	}
	m.listening = time.Since(began)
	idle, before, err := p.idle(ctx)
	if err != nil {
		return err
	}
	if m.idleRSS, err = p.memory("VmRSS"); err != nil {
		return err
	}
	m.offered, err = l.offer(ctx, ns, b.packets(m.subject), m.rate, b.sender)
	if err != nil {
		return err
	}
	after, behind, err := p.settle(ctx)
	if err != nil {
		return err
	}
	m.behind = behind
	m.cpu = max(0, after.cpu-before.cpu-time.Duration(idle*float64(after.at.Sub(before.at))))
	m.maxRSS, err = p.memory("VmHWM")
	return err
}

func (b *bench) packets(s subject) int {
	if s.packets > 0 {
		return min(b.count, s.packets)
	}
	return b.count
}

// idle takes the share of a CPU that the logger uses without any packet.
func (p *process) idle(ctx context.Context) (share float64, now usage, err error) {
	if err := sleep(ctx, warmUp); err != nil {
		return 0, now, err
	}
	first, err := p.usage()
	if err != nil {
		return 0, now, err
	}
	if err := sleep(ctx, baseline); err != nil {
		return 0, now, err
	}
	now, err = p.usage()
	return float64(now.cpu-first.cpu) / float64(now.at.Sub(first.at)), now, err
}

// settle waits until the logger writes nothing more and uses next to no CPU
// time, and returns what it had used at that point, and how long that took.
func (p *process) settle(ctx context.Context) (last usage, took time.Duration, err error) {
	last, err = p.usage()
	began, busy := last.at, last.at
	for end := busy.Add(patience); err == nil && last.at.Sub(busy) < quiet && last.at.Before(end); {
		if err := sleep(ctx, poll); err != nil {
			return last, 0, err
		}
		var now usage
		now, err = p.usage()
		if now.written != last.written || now.cpu-last.cpu > poll/20 {
			busy = now.at
		}
		last = now
	}
	return last, busy.Sub(began), err
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// count compares what there was to log with what was written, after the end of
// the logger.
func (m *measurement) count(l load, logged func() (int, error)) (err error) {
	if m.hits, err = l.matched(); err != nil {
		return err
	}
	if m.logged, err = logged(); err != nil {
		return fmt.Errorf("count what was logged: %w", err)
	}
	if m.logged > m.hits {
		return errors.New("more was logged than there was to log")
	}
	return nil
}
