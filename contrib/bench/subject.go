package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

const (
	group = 1 // the NFLOG group of every run

	ours     = "ours"
	original = "ulogd"
)

// section is a set of subjects that are compared with each other.
type section struct {
	title, about string
	subjects     []subject
	missing      []string // loggers that could not be found, and how to get them
}

// subject is one logger with one configuration. In command and config, {dir}
// stands for the directory of the run.
type subject struct {
	logger  string
	command []string
	env     []string                                // more of the environment
	config  string                                  // becomes {dir}/ulogd.conf
	packets int                                     // the most it is given, 0 is no limit
	prepare func(dir string) error                  // before the start, if not nil
	logged  func(dir string) (packets int, e error) // after the end
}

// output is one way of writing packets, the same for both daemons.
type output struct {
	name    string
	stack   string // after log1:NFLOG
	section string // its options
	slow    int    // the most packets that the original is given, 0 is no limit
	prepare func(dir string) error
	logged  func(dir string) (int, error)
}

var outputs = []output{
	{
		name: "LOGEMU", stack: "base1:BASE,ifi1:IFINDEX,ip2str1:IP2STR,print1:PRINTPKT,out1:LOGEMU",
		section: "file=\"{dir}/out\"\nsync=1\n", logged: countLines,
	}, {
		name: "JSON", stack: "base1:BASE,ifi1:IFINDEX,ip2str1:IP2STR,mac2str1:HWHDR,out1:JSON",
		section: "file=\"{dir}/out\"\nsync=1\n", logged: countLines,
	}, {
		name: "PCAP", stack: "base1:BASE,out1:PCAP",
		section: "file=\"{dir}/out\"\nsync=1\n", logged: countRecords,
	}, {
		name: "SQLITE3", stack: "base1:BASE,out1:SQLITE3", slow: 20000,
		section: "db=\"{dir}/out\"\ntable=\"ulog_pkt\"\n", prepare: createTable, logged: countRows,
	},
}

// chosen are the outputs of a list of names, or all.
func chosen(names string) ([]output, error) {
	if names == "" {
		return outputs, nil
	}
	var list []output
	for _, name := range strings.Split(names, ",") {
		i := slices.IndexFunc(outputs, func(o output) bool { return strings.EqualFold(o.name, name) })
		if i < 0 {
			return nil, fmt.Errorf("-outputs: unknown output %q: use LOGEMU, JSON, PCAP or SQLITE3", name)
		}
		list = append(list, outputs[i])
	}
	return list, nil
}

// sections lists what there is to measure on this machine.
func (b *bench) sections() []section {
	list := []section{loops()}
	for _, o := range b.outputs {
		s := section{title: o.name, about: "log1:NFLOG," + o.stack}
		s.add(ours, b.ours, o, 0, "not found: make build")
		s.add(original, b.original, o, o.slow, "not found: install ulogd2, ulogd2-json, ulogd2-pcap and ulogd2-sqlite3 to compare")
		list = append(list, s)
	}
	return list
}

func (s *section) add(logger, path string, o output, packets int, otherwise string) {
	if _, err := os.Stat(path); err != nil {
		s.missing = append(s.missing, fmt.Sprintf("%s: %s %s", logger, path, otherwise))
		return
	}
	s.subjects = append(s.subjects, subject{
		logger: logger, command: []string{path, "-c", "{dir}/ulogd.conf"}, config: o.config(),
		packets: packets, prepare: o.prepare, logged: o.logged,
	})
}

func (o output) config() string {
	return fmt.Sprintf("[global]\nlogfile=\"{dir}/ulogd.log\"\nloglevel=3\nstack=log1:NFLOG,%s\n[log1]\ngroup=%d\n[out1]\n%s",
		o.stack, group, o.section)
}

// files writes what the subject needs into its directory and returns its
// command line.
func (s subject) files(dir string) (argv []string, err error) {
	for _, arg := range s.command {
		argv = append(argv, strings.ReplaceAll(arg, "{dir}", dir))
	}
	config := strings.ReplaceAll(s.config, "{dir}", dir)
	if err := os.WriteFile(filepath.Join(dir, "ulogd.conf"), []byte(config), 0o600); err != nil {
		return nil, err
	}
	if s.prepare != nil {
		return argv, s.prepare(dir)
	}
	return argv, nil
}
