package main

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ulogd-go/ulogd/pkg/event"
	"github.com/ulogd-go/ulogd/pkg/plugin"
)

// command is a cli with three plugins, one user, and its output.
type command struct {
	cli
	stdout, stderr bytes.Buffer
}

func newCommand() *command {
	c := new(command)
	c.cli = cli{stdout: &c.stdout, stderr: &c.stderr, registry: testPlugins(), lookup: lookupTest}
	return c
}

func lookupTest(name string) (*account, error) {
	if name != "ulog" {
		return nil, errors.New("no such user")
	}
	return &account{name: name, uid: 103, gid: 106, groups: []int{106, 4}}, nil
}

// Plugins that only declare keys.
type (
	fakeSource struct {
		plugin.Source
		keys
	}
	fakeFilter struct{ keys }
	fakeOutput struct {
		plugin.Output
		keys
	}
	keys func(*event.Binder)
)

func (f fakeSource) Bind(b *event.Binder) { f.keys(b) }
func (f fakeFilter) Bind(b *event.Binder) { f.keys(b) }

func (fakeFilter) Filter(*event.Rows) {}

func (f fakeOutput) Bind(b *event.Binder) { f.keys(b) }

func testPlugins() *plugin.Registry {
	var slot event.Slot
	type options struct {
		DB   string `toml:"db" mandatory:"true" doc:"path"`
		File string `toml:"file" doc:"path"`
		Sync bool   `toml:"sync" doc:"whether to sync"`
	}
	r := new(plugin.Registry)
	r.Register(plugin.NewSource(plugin.Info{Name: "SRC", Summary: "reads", Gives: plugin.Raw}, plugin.NoOptions{},
		func(plugin.NoOptions, *plugin.Env) (plugin.Source, error) {
			return fakeSource{keys: func(b *event.Binder) {
				b.Out(&slot, event.Key{Name: "raw.mac", Kind: event.Raw})
				b.Out(&slot, event.Key{Name: "oob.in", Kind: event.String})
			}}, nil
		}))
	r.Register(plugin.NewFilter(plugin.Info{Name: "FLT", Summary: "sieves", Takes: plugin.Raw, Gives: plugin.Packet}, plugin.NoOptions{},
		func(plugin.NoOptions, *plugin.Env) (plugin.Filter, error) {
			return fakeFilter{keys: func(b *event.Binder) {
				b.In(&slot, "oob.protocol", event.U16)
				b.Optional(&slot, "oob.mark", event.U32)
			}}, nil
		}))
	r.Register(plugin.NewOutput(plugin.Info{Name: "OUT", Summary: "writes", Takes: plugin.Packet}, options{File: "/var/log/x"},
		func(options, *plugin.Env) (plugin.Output, error) {
			return fakeOutput{keys: func(b *event.Binder) { b.All(new([]event.Bound), func(event.Key) bool { return true }) }}, nil
		}))
	return r
}

const banner = `ulogd Version 2.1.0
takes the place of ulogd 2: https://github.com/ulogd-go/ulogd
Copyright the authors, under the Apache License 2.0.
There is no warranty of any kind.
`

func usageText() string {
	c := newCommand()
	c.usage()
	return c.stdout.String()
}

func TestParseAnswers(t *testing.T) {
	f := func(line, stdout, stderr string) {
		t.Helper()
		c := newCommand()
		_, err := c.parse(strings.Fields("ulogd " + line))
		if !errors.Is(err, errAnswered) {
			t.Errorf("%s: %v, want that it was answered", line, err)
		}
		if diff := cmp.Diff([]string{stdout, stderr}, []string{c.stdout.String(), c.stderr.String()}); diff != "" {
			t.Errorf("%s (-want +got)\n%s", line, diff)
		}
	}
	f("-V", banner, "")
	f("-h", usageText(), "")
	f("-hfoo", usageText(), "")
	// They act when they are met.
	f("-d -V -x --bogus", banner, "")
	f("--plugins", "FLT         filter  sieves\nOUT         output  writes\nSRC         input   reads\n", "")
	f("-i SRC", `Name: SRC
Input keys:
	Input plugin, No keys
Output keys:
	Key: raw.mac (raw data)
	Key: oob.in (string)
`, "")
	f("-i /usr/lib/ulogd/ulogd_raw2packet_FLT.so", `Name: FLT
Input keys:
	Key: oob.protocol (unsigned int 16)
	Key: oob.mark (unsigned int 32, optional)
Output keys:
	No statically defined keys
`, "")
	f("-i OUT", `Name: OUT
Config options:
	Var: db (String, Default: , Mandatory)
	Var: file (String, Default: /var/log/x)
	Var: sync (Integer, Default: 0)
Input keys:
	No statically defined keys
Output keys:
	Output plugin, No keys
`, "")
	f("-i /x/ulogd_output_DBI.so", "",
		"/x/ulogd_output_DBI.so: can't find requested plugin DBI; known are FLT, OUT, SRC\n")
}

func TestParseMistakes(t *testing.T) {
	f := func(line, stdout, stderr string) {
		t.Helper()
		c := newCommand()
		_, err := c.parse(strings.Fields("ulogd " + line))
		if err == nil || errors.Is(err, errAnswered) {
			t.Errorf("%s: %v, want a failure", line, err)
		}
		if diff := cmp.Diff([]string{stdout, stderr}, []string{c.stdout.String(), c.stderr.String()}); diff != "" {
			t.Errorf("%s (-want +got)\n%s", line, diff)
		}
	}
	f("-x", usageText(), "ulogd: invalid option -- 'x'\nUnknown option `-x'.\n")
	f("--bogus -V", usageText(), "ulogd: unrecognized option '--bogus'\nUnknown option character `\\x0'.\n")
	f("-c", usageText(), "ulogd: option requires an argument -- 'c'\nUnknown option `-c'.\n")
	// The user is looked up at once, and a number is a name.
	f("-u nosuch -V", "Unknown user nosuch.\n", "no such user\n")
	f("-u 103 -V", "Unknown user 103.\n", "no such user\n")
}

func TestParseOptions(t *testing.T) {
	f := func(line string, want options) {
		t.Helper()
		c := newCommand()
		got, err := c.parse(strings.Fields("ulogd " + line))
		if err != nil {
			t.Errorf("%s: %v", line, err)
		}
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(options{}, account{})); diff != "" {
			t.Errorf("%s (-want +got)\n%s", line, diff)
		}
	}
	f("", options{configfile: "/etc/ulogd.conf"})
	f("-dvc F -pP ignored", options{configfile: "F", pidfile: "P", daemon: true, verbose: true})
	f("-u ulog", options{configfile: "/etc/ulogd.conf", account: &account{"ulog", 103, 106, []int{106, 4}}})
	f("--check --convert", options{configfile: "/etc/ulogd.conf", check: true, convert: "toml"})
	f("--convert=conf", options{configfile: "/etc/ulogd.conf", convert: "conf"})
	// A level that is no number is not given.
	f("-l 3", options{configfile: "/etc/ulogd.conf", loglevel: 3})
	f("-l 7x", options{configfile: "/etc/ulogd.conf", loglevel: 7})
	f("-l debug", options{configfile: "/etc/ulogd.conf"})
	f("-l 0", options{configfile: "/etc/ulogd.conf"})
}
