// Command generate shows how many packets per second one CPU can offer to a
// log rule in a namespace of its own, with nobody reading the group: the load
// that contrib/bench puts on the loggers.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"

	"github.com/ulogd-go/ulogd/contrib/bench/generator"
	"github.com/ulogd-go/ulogd/contrib/lab"
)

func main() {
	var load generator.Load
	flag.IntVar(&load.Count, "count", 1000000, "packets to offer")
	flag.IntVar(&load.Rate, "rate", 0, "packets per second, 0 is as fast as possible")
	flag.IntVar(&load.CPU, "cpu", 0, "the CPU that sends")
	flag.Uint64Var(&load.Seed, "seed", 1, "which packets")
	flag.Parse()
	if err := run(load); err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

func run(load generator.Load) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if !lab.Privileged() {
		if err := lab.Reexec(); err != nil {
			return err
		}
	}
	ns, err := lab.New()
	if err != nil {
		return err
	}
	defer ns.Close()
	counter, err := ns.Log(lab.Rule{Family: "ip", Hook: "input", Prefix: "bench: ", Groups: []uint16{1}, Verdict: "drop"})
	if err != nil {
		return err
	}
	result, err := generator.Run(ctx, ns, load)
	if err != nil {
		return err
	}
	hits, err := counter.Packets()
	if err != nil {
		return err
	}
	fmt.Printf("offered %d packets in %.3f s: %.0f packets/s; the rule matched %d\n",
		result.Offered, result.Elapsed.Seconds(), result.PerSecond(), hits)
	return nil
}
