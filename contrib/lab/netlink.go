package lab

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// countMembers counts the sockets in a list of the kernel's that have joined a group
// of a netlink protocol. Each line has the address of the socket, the protocol, the port
// and the groups as a mask of 32 bits in hex.
func countMembers(path string, protocol, group int) (n int, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, fmt.Errorf("list netlink sockets: %w", err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 4 || fields[1] != strconv.Itoa(protocol) {
			continue
		}
		mask, err := strconv.ParseUint(fields[3], 16, 32)
		if err != nil {
			return 0, fmt.Errorf("list netlink sockets: %q: %w", lines.Text(), err)
		}
		if mask>>(group-1)&1 != 0 {
			n++
		}
	}
	return n, lines.Err()
}
