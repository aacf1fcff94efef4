package main

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// read is what getopt makes of a command line: "long=value" each, and at the end
// the messages for a mistake.
func read(args ...string) []string {
	g := getopt{program: "ulogd", flags: flags, args: args}
	var got []string
	for {
		f, value, err := g.next()
		if u, ok := errors.AsType[*usageError](err); ok {
			return append(got, u.Error(), u.unknown())
		}
		if f == nil {
			return got
		}
		got = append(got, f.long+"="+value)
	}
}

// The messages are those that ulogd 2.0.8 printed for the same arguments.
func TestGetopt(t *testing.T) {
	f := func(line string, want ...string) {
		t.Helper()
		if diff := cmp.Diff(want, read(strings.Fields(line)...)); diff != "" {
			t.Errorf("%s (-want +got)\n%s", line, diff)
		}
	}
	// The forms in which units and scripts call ulogd.
	f("--daemon --uid ulog --pidfile /run/p", "daemon=", "uid=ulog", "pidfile=/run/p")
	f("-d -u ulog -p /run/p", "daemon=", "uid=ulog", "pidfile=/run/p")
	f("-c FILE --verbose --loglevel 3", "configfile=FILE", "verbose=", "loglevel=3")
	f("--config FILE", "configfile=FILE")
	// Combined and attached short options.
	f("-dvcFILE", "daemon=", "verbose=", "configfile=FILE")
	f("-dvc FILE", "daemon=", "verbose=", "configfile=FILE")
	f("-hfoo -d", "help=foo", "daemon=")
	f("-h foo", "help=")
	// Long options: values, abbreviations.
	f("--pidfile=/p --pidf=", "pidfile=/p", "pidfile=")
	f("--vers --verb", "version=", "verbose=")
	f("--i=x", "info=x")
	// What abbreviated an option of ulogd still does, next to ours.
	f("--c F --con F --p P", "configfile=F", "configfile=F", "pidfile=P")
	f("--ch --conv --pl", "check=", "convert=", "plugins=")
	// Other arguments are ignored, and -- ends the options.
	f("foo -d - bar -v", "daemon=", "verbose=")
	f("-d -- -v", "daemon=")
	// A value may look like an option.
	f("-c -d", "configfile=-d")
	// Mistakes.
	f("-x", "ulogd: invalid option -- 'x'", "Unknown option `-x'.")
	f("-dx", "daemon=", "ulogd: invalid option -- 'x'", "Unknown option `-x'.")
	f("--bogus", "ulogd: unrecognized option '--bogus'", "Unknown option character `\\x0'.")
	f("--x=3", "ulogd: unrecognized option '--x=3'", "Unknown option character `\\x0'.")
	f("--ver=3", "ulogd: option '--ver=3' is ambiguous; possibilities: '--version' '--verbose'", "Unknown option character `\\x0'.")
	f("-c", "ulogd: option requires an argument -- 'c'", "Unknown option `-c'.")
	f("--configf", "ulogd: option '--configfile' requires an argument", "Unknown option `-c'.")
	f("--help=x", "ulogd: option '--help' doesn't allow an argument", "Unknown option `-h'.")
	f("--daemon=5", "ulogd: option '--daemon' doesn't allow an argument", "Unknown option `-d'.")
	f("--check=5", "ulogd: option '--check' doesn't allow an argument", "Unknown option character `\\x0'.")
	f("-\xc3", "ulogd: invalid option -- '\xc3'", "Unknown option character `\\xc3'.")
}

func FuzzGetopt(f *testing.F) {
	for _, line := range []string{"-dvc\nFILE", "--ver=3", "-hfoo", "--\n-x", "-\x00", "--=", "-u"} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		args := strings.Split(line, "\n")
		// Every option is a letter or a word, so that there is an end.
		if got := read(args...); len(got) > len(line)+2 {
			t.Errorf("%d options in %q", len(got), line)
		}
	})
}
