// Command ulogd-migrate makes the databases that ulogd stores rows in, and keeps
// them small.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

// command is a subcommand. Its run gets the arguments behind its name.
type command struct {
	name, summary string
	run           func(ctx context.Context, args []string, stdout, stderr io.Writer) error
}

var commands = []command{
	{"init", "make tables, views and routines in a database", runInit},
	{"retain", "remove old rows from a database", runRetain},
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// errUsage is of a command line that was complained about already.
var errUsage = errors.New("usage")

// run is the exit status: 0, 1 after an error, 2 for a command line that can't be
// understood.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	if len(args) == 0 {
		usage(stderr)
		return 2
	}
	for _, c := range commands {
		if c.name != args[0] {
			continue
		}
		switch err := c.run(ctx, args[1:], stdout, stderr); {
		case err == nil || errors.Is(err, flag.ErrHelp):
			return 0
		case errors.Is(err, errUsage):
			return 2
		default:
			fmt.Fprintf(stderr, "ulogd-migrate %s: %v\n", c.name, err)
			return 1
		}
	}
	switch args[0] {
	case "-h", "--help", "help":
		usage(stdout)
		return 0
	}
	fmt.Fprintf(stderr, "ulogd-migrate: unknown command %q\n", args[0])
	usage(stderr)
	return 2
}

func usage(w io.Writer) {
	fmt.Fprint(w, "usage: ulogd-migrate COMMAND [options] DSN\n\n")
	for _, c := range commands {
		fmt.Fprintf(w, "  %-8s %s\n", c.name, c.summary)
	}
	fmt.Fprint(w, "\nulogd-migrate COMMAND -h tells the options of a command.\n")
}

// flagSet is the options of a command whose last argument is a data source name.
type flagSet struct {
	*flag.FlagSet
	passwordFile *string
}

func newFlagSet(name, forms string, stderr io.Writer) flagSet {
	f := flag.NewFlagSet(name, flag.ContinueOnError)
	f.SetOutput(stderr)
	f.Usage = func() {
		fmt.Fprintf(stderr, "usage: ulogd-migrate %s [options] DSN\n\nDSN is %s.\n\n", name, forms)
		f.PrintDefaults()
	}
	return flagSet{f, f.String("password-file", "", "`file` with the password, in place of one in the DSN or the environment")}
}

// parse is the data source name, which may come before the options, too.
func (f flagSet) parse(args []string) (dsn string, err error) {
	for {
		if err := f.Parse(args); err != nil {
			if errors.Is(err, flag.ErrHelp) {
				return "", err
			}
			return "", errUsage
		}
		args = f.Args()
		if len(args) == 0 {
			return dsn, nil
		}
		if dsn != "" {
			fmt.Fprintf(f.Output(), "ulogd-migrate %s: more than one DSN\n", f.Name())
			return "", errUsage
		}
		dsn, args = args[0], args[1:]
	}
}

// complain is errUsage with a reason.
func (f flagSet) complain(reasons ...string) error {
	fmt.Fprintf(f.Output(), "ulogd-migrate %s: %s (-h tells the options)\n", f.Name(), strings.Join(reasons, " "))
	return errUsage
}
