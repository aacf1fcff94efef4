package lab

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"time"
)

// Listener is a process that reads an NFLOG group, as the kernel shows it in
// /proc/net/netfilter/nfnetlink_log.
type Listener struct {
	Group        uint16
	PortID       uint32 // netlink port; usually the process id of the reader
	Queued       uint32 // packets gathered and not yet sent
	CopyMode     uint8  // 0 nothing, 1 meta data, 2 packet
	CopyRange    uint32 // bytes of each packet
	FlushTimeout uint32 // hundredths of a second
	Users        uint32
}

// Listeners lists who reads NFLOG groups of the namespace.
func (ns *NS) Listeners() (list []Listener, err error) {
	err = ns.Do(func() error {
		f, err := os.Open("/proc/thread-self/net/netfilter/nfnetlink_log")
		if err != nil {
			return fmt.Errorf("list NFLOG readers (is nfnetlink_log in the kernel?): %w", err)
		}
		defer f.Close()
		list, err = parseListeners(f)
		return err
	})
	return list, err
}

func parseListeners(r io.Reader) ([]Listener, error) {
	var list []Listener
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		var l Listener
		_, err := fmt.Sscan(lines.Text(), &l.Group, &l.PortID, &l.Queued, &l.CopyMode, &l.CopyRange, &l.FlushTimeout, &l.Users)
		if err != nil {
			return nil, fmt.Errorf("line %q of nfnetlink_log: %w", lines.Text(), err)
		}
		list = append(list, l)
	}
	return list, lines.Err()
}

// WaitListener waits until somebody reads the group, and tells who.
func (ns *NS) WaitListener(ctx context.Context, group uint16) (Listener, error) {
	for {
		list, err := ns.Listeners()
		if err != nil {
			return Listener{}, err
		}
		for _, l := range list {
			if l.Group == group {
				return l, nil
			}
		}
		select {
		case <-ctx.Done():
			return Listener{}, fmt.Errorf("nobody reads NFLOG group %d: %w", group, ctx.Err())
		case <-time.After(time.Millisecond):
		}
	}
}
