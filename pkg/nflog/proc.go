package nflog

import (
	"bufio"
	"fmt"
	"io"
)

// ProcFile is where the kernel lists the groups in use, below the directory of a
// process or thread in its network namespace.
const ProcFile = "net/netfilter/nfnetlink_log"

// Bound is a line of the kernel's list of groups (nfnetlink_log.c, seq_show).
type Bound struct {
	Group     uint16
	PortID    uint32 // of the netlink socket, usually the number of a process
	Queued    int    // packets in the datagram that is being filled
	CopyMode  int
	CopyRange uint32
	Timeout   uint32 // in 1/100 s
	Users     int
}

// ParseProc reads the kernel's list.
func ParseProc(r io.Reader) ([]Bound, error) {
	var list []Bound
	s := bufio.NewScanner(r)
	for s.Scan() {
		var b Bound
		if _, err := fmt.Sscan(s.Text(), &b.Group, &b.PortID, &b.Queued, &b.CopyMode, &b.CopyRange, &b.Timeout, &b.Users); err != nil {
			return list, fmt.Errorf("nfnetlink_log: line %q: %w", s.Text(), err)
		}
		list = append(list, b)
	}
	if err := s.Err(); err != nil {
		return list, fmt.Errorf("nfnetlink_log: %w", err)
	}
	return list, nil
}
