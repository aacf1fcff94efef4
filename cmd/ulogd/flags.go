package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/ulogd-go/ulogd/pkg/plugin"
)

// defaultConfig is where ulogd has its configuration.
const defaultConfig = "/etc/ulogd.conf"

// flags are those of ulogd (reference page "ulogd2-core", section 1.1), and ours.
var flags = []flag{
	{short: 'h', long: "help", arg: attached, doc: "print this text"},
	{short: 'V', long: "version", doc: "print the version"},
	{short: 'd', long: "daemon", doc: "run in the background; returns when the daemon is ready"},
	{short: 'v', long: "verbose", doc: "copy the log to standard error"},
	{short: 'l', long: "loglevel", arg: required, doc: "log from this level on: 1 debug, 3 info, 5 notice, 7 error, 8 fatal"},
	{short: 'c', long: "configfile", arg: required, doc: "configuration file (" + defaultConfig + "); TOML if its name ends in .toml"},
	{short: 'p', long: "pidfile", arg: required, doc: "write the process id to this file and keep it locked"},
	{short: 'u', long: "uid", arg: required, doc: "run as this user, by name, once everything is open"},
	{short: 'i', long: "info", arg: required, doc: "print options and keys of a plugin, by name or path"},
	{long: "check", ours: true, doc: "read the configuration, report what would run, and touch nothing"},
	{long: "convert", arg: optional, ours: true, doc: "print the configuration as TOML, or as ulogd.conf of ulogd 2 with --convert=conf"},
	{long: "plugins", ours: true, doc: "list the plugins"},
}

// options are what the command line says.
type options struct {
	configfile string
	pidfile    string   // "" for none
	account    *account // to run as; nil to stay who we are
	loglevel   int      // as ulogd counts; 0 if it is not given
	daemon     bool
	verbose    bool
	check      bool
	convert    string // to "toml" or "conf"; empty if it is not asked for
}

// cli is the terminal that started us.
type cli struct {
	stdout, stderr io.Writer
	registry       *plugin.Registry
	lookup         func(user string) (*account, error)
}

// errAnswered says that the command line asked for nothing but an answer, which
// was given.
var errAnswered = errors.New("answered")

// answer is standard output for what the command line asked for. Writing to it never
// fails: code tells whether all of it got out.
type answer struct {
	to  io.Writer
	err error
}

func (a *answer) Write(p []byte) (int, error) {
	if a.err == nil {
		_, a.err = a.to.Write(p)
	}
	return len(p), nil
}

// code is the exit code of an answer: that of what was asked, unless it did not get out.
func (a *answer) code(asked int, stderr io.Writer) int {
	if a.err == nil {
		return asked
	}
	fmt.Fprintf(stderr, "write standard output: %v; the answer is not complete\n", reason(a.err))
	return 1
}

// parse reads the command line. Options that only want an answer get it at once,
// before later ones are looked at. An error other than errAnswered has been
// reported.
func (c *cli) parse(args []string) (options, error) {
	o := options{configfile: defaultConfig}
	g := getopt{program: args[0], flags: flags, args: args[1:]}
	for {
		f, value, err := g.next()
		if err != nil {
			c.misused(err)
			return o, err
		}
		if f == nil {
			return o, nil
		}
		if err := c.apply(&o, f, value); err != nil {
			return o, err
		}
	}
}

// misused reports a mistake on the command line.
func (c *cli) misused(err error) {
	fmt.Fprintln(c.stderr, err)
	c.usage()
	if u, ok := errors.AsType[*usageError](err); ok {
		fmt.Fprintln(c.stderr, u.unknown())
	}
}

func (c *cli) apply(o *options, f *flag, value string) error {
	switch f.long {
	case "help":
		c.usage()
		return errAnswered
	case "version":
		c.version()
		return errAnswered
	case "info":
		c.info(value)
		return errAnswered
	case "plugins":
		c.plugins()
		return errAnswered
	case "uid":
		return c.setAccount(o, value)
	case "daemon":
		o.daemon = true
	case "verbose":
		o.verbose = true
	case "loglevel":
		o.loglevel = number(value)
	case "configfile":
		o.configfile = value
	case "pidfile":
		o.pidfile = value
	case "check":
		o.check = true
	case "convert":
		return c.setConvert(o, value)
	}
	return nil
}

func (c *cli) setConvert(o *options, format string) error {
	switch format {
	case "":
		o.convert = "toml"
	case "toml", "conf":
		o.convert = format
	default:
		err := fmt.Errorf("--convert=%s: there are the formats toml and conf", format)
		fmt.Fprintln(c.stderr, err)
		return err
	}
	return nil
}

// setAccount looks the user up at once; ulogd reports a failure on standard output.
func (c *cli) setAccount(o *options, name string) error {
	a, err := c.lookup(name)
	if err != nil {
		fmt.Fprintf(c.stdout, "Unknown user %s.\n", name)
		fmt.Fprintln(c.stderr, err)
		return err
	}
	o.account = a
	return nil
}

// number is what text begins with, as the C library's atoi has it, or 0.
func number(text string) int {
	var n int
	if _, err := fmt.Sscanf(strings.TrimSpace(text), "%d", &n); err != nil {
		return 0
	}
	return n
}

func (c *cli) version() {
	fmt.Fprintf(c.stdout, "ulogd Version %s\n", version)
	fmt.Fprint(c.stdout, `takes the place of ulogd 2: https://github.com/ulogd-go/ulogd
Copyright the authors, under the Apache License 2.0.
There is no warranty of any kind.
`)
}

func (c *cli) usage() {
	c.version()
	fmt.Fprintln(c.stdout, "\nParameters:")
	for _, f := range flags {
		short := ""
		if f.short != 0 {
			short = fmt.Sprintf("-%c ", f.short)
		}
		fmt.Fprintf(c.stdout, "\t%s--%s\t%s\n", short, f.long, f.doc)
	}
}

// plugins lists the plugins by kind.
func (c *cli) plugins() {
	for _, name := range c.registry.Names() {
		if s, err := c.registry.Lookup(name); err == nil {
			fmt.Fprintf(c.stdout, "%-12s%-8s%s\n", s.Name, kind(s.Info), s.Summary)
		}
	}
}

func kind(i plugin.Info) string {
	switch {
	case i.Takes == 0:
		return "input"
	case i.Gives == 0:
		return "output"
	}
	return "filter"
}
