// Package generator offers a load of IPv4 packets to the firewall rules of a
// network namespace: prebuilt packets through a raw socket over the loopback
// device, many per system call, from one thread on one CPU.
package generator

import (
	"context"
	"fmt"
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

// Run sends the load inside the namespace, whose rules see each packet at the
// OUTPUT and at the INPUT hook. The receiving end of the namespace answers
// unless a rule drops the packet, so a rule of the INPUT hook should.
func Run(ctx context.Context, ns *lab.NS, load Load) (Result, error) {
	var result Result
	err := ns.Do(func() error {
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
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
	if err != nil {
		return result, fmt.Errorf("open raw socket: %w", err)
	}
	defer unix.Close(fd)
	train := newTrain(Packets(load.Seed, poolSize))
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
