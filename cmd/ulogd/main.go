// Command ulogd logs packets, flows and counters that the kernel's netfilter
// reports, as stacks of plugins say. It takes the place of the ulogd 2.x that is
// written in C: same flags, files, signals and exit codes.
package main

import (
	"os"

	_ "github.com/ulogd-go/ulogd/plugins/all"
)

// version is what scripts read from the first line of -V.
const version = "2.1.0"

func main() { os.Exit(run(os.Args, os.Stdout, os.Stderr)) }
