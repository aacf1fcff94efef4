package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"github.com/ulogd-go/ulogd/contrib/bench/generator"
	"github.com/ulogd-go/ulogd/contrib/lab"
)

// objects are accounting objects that are polled each second for a while, and the
// Graphite server that receives them. It counts what comes: how many polls there are
// is the logger's to decide.
type objects struct {
	listener net.Listener
	lines    atomic.Int64
	ended    chan struct{}
}

// polling is for how long objects are there.
const polling = 10 * time.Second

func (o *objects) listen(ns *lab.NS, _ string) error {
	err := ns.Do(func() (err error) { o.listener, err = net.Listen("tcp4", "127.0.0.1:2003"); return err })
	if err != nil {
		return err
	}
	o.ended = make(chan struct{})
	go func() {
		defer close(o.ended)
		conn, err := o.listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		for s := bufio.NewScanner(conn); s.Scan(); {
			o.lines.Add(1)
		}
	}()
	return nil
}

// count is called when the logger has ended, and with it the connection.
func (o *objects) count() (int, error) {
	select {
	case <-o.ended:
		return int(o.lines.Load() / 2), nil
	case <-time.After(patience):
		return 0, fmt.Errorf("the logger's connection has not ended")
	}
}

func (o *objects) Close() error {
	if o.listener == nil {
		return nil
	}
	err := o.listener.Close()
	<-o.ended
	return err
}

func (o *objects) prepare(*lab.NS) error { return nil }

func (o *objects) listening(context.Context, *lab.NS) error { return nil }

// offer makes objects, and takes them away again.
func (o *objects) offer(ctx context.Context, ns *lab.NS, count, _, _ int) (result generator.Result, err error) {
	name := func(i int) string { return fmt.Sprintf("object-%d", i) }
	start := time.Now()
	for ; result.Offered < count; result.Offered++ {
		if err := ns.Account(name(result.Offered), uint64(result.Offered), 1<<40); err != nil {
			return result, err
		}
	}
	err = sleep(ctx, polling)
	for i := range result.Offered {
		if err := ns.DeleteAccount(name(i)); err != nil {
			return result, err
		}
	}
	result.Elapsed = time.Since(start)
	return result, err
}

func (o *objects) matched() (int, error) { return o.count() }
