// Package generator offers a load of IPv4 packets to the firewall rules of a
// network namespace: prebuilt packets that arrive on the loopback device, many
// per system call, from one thread on one CPU.
//
// A packet socket sends them, because it is the cheapest: it takes the kernel
// two thirds of the time of a raw IP socket, for which it looks up and
// allocates a route each time. The packets pass the PREROUTING and INPUT hooks
// like any that a network card received, but no OUTPUT hook.
package generator

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/ulogd-go/ulogd/contrib/lab"
	"golang.org/x/sys/unix"
)

// Load says what to offer.
type Load struct {
	Count int    // packets
	Rate  int    // packets per second, 0 is as fast as the kernel takes them
	CPU   int    // that sends, counted from 0
	Seed  uint64 // the same seed gives the same packets
}

// Result is what was offered.
type Result struct {
	Offered int
	Elapsed time.Duration
}

// PerSecond is the rate that was reached.
func (r Result) PerSecond() float64 { return float64(r.Offered) / r.Elapsed.Seconds() }

// maxBatch bounds a burst: small against any socket buffer, and large enough
// that the system call is no longer what costs.
const maxBatch = 32

// Run sends the load inside the namespace and gives its loopback device the
// addresses that the packets go to. The namespace answers them unless a rule
// drops them, so the one that logs should.
func Run(ctx context.Context, ns *lab.NS, load Load) (Result, error) {
	var result Result
	err := ns.AddAddr("lo", local.String())
	if err != nil && !errors.Is(err, os.ErrExist) {
		return result, err
	}
	err = ns.Do(func() error {
		return lab.Pinned(load.CPU, func() (err error) {
			result, err = run(ctx, load)
			return err
		})
	})
	if err != nil {
		return result, fmt.Errorf("offer packets: %w", err)
	}
	return result, nil
}

func run(ctx context.Context, load Load) (result Result, err error) {
	fd, err := open()
	if err != nil {
		return result, err
	}
	defer unix.Close(fd)
	train := newTrain(Frames(load.Seed, poolSize))
	start := time.Now()
	for result.Offered < load.Count {
		if err := ctx.Err(); err != nil {
			return result, err
		}
		n := due(load, result.Offered, time.Since(start))
		sent, err := train.send(fd, n)
		result.Offered += sent
		if err != nil {
			return result, err
		}
	}
	result.Elapsed = time.Since(start)
	return result, nil
}

// open makes a socket that hands frames to the loopback device at once, past
// its queue.
func open() (int, error) {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("open packet socket: %w", err)
	}
	lo, err := net.InterfaceByName("lo")
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrLinklayer{Ifindex: lo.Index})
	}
	if err == nil {
		err = unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_QDISC_BYPASS, 1)
	}
	if err != nil {
		return -1, errors.Join(fmt.Errorf("bind packet socket to lo: %w", err), unix.Close(fd))
	}
	return fd, nil
}

// due is how many packets are to be sent now. At a given rate the thread spins
// until the next one is due: sleeping would end in bursts.
func due(load Load, offered int, elapsed time.Duration) int {
	n := min(load.Count-offered, maxBatch)
	if load.Rate == 0 {
		return n
	}
	behind := int(elapsed.Seconds()*float64(load.Rate)) - offered
	return min(n, max(behind, 0))
}
