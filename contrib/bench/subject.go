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
	rates        []int    // packets or connections per second, 0 is as fast as possible
	missing      []string // loggers that could not be found, and how to get them
}

// subject is one logger with one configuration. In command and config, {dir}
// stands for the directory of the run.
type subject struct {
	logger  string
	command []string
	env     []string // more of the environment
	config  string   // becomes {dir}/ulogd.conf
	load    func() load
	receive func(load) receiver                     // what it sends to, nil if it writes into its directory
	packets int                                     // the most it is given, 0 is no limit
	prepare func(dir string) error                  // before the start, if not nil
	logged  func(dir string) (packets int, e error) // after the end
}

// output is one way of writing what an input gives, the same for both daemons.
type output struct {
	name    string
	input   input
	stack   string // after the input
	section string // its options
	slow    int    // the most packets that the original is given, 0 is no limit
	prepare func(dir string) error
	receive func(load) receiver
	logged  func(dir string) (int, error)
}

// input is what is before the outputs.
type input struct {
	stack   string // its instance
	section string // with its options
	load    func() load
	most    int   // packets or connections that a logger is given, 0 is no limit
	rates   []int // per second, if not those of the command line
}

var (
	nflogInput = input{
		stack: "log1:NFLOG", section: fmt.Sprintf("[log1]\ngroup=%d\n", group),
		load: func() load { return new(packets) },
	}
	// With the default buffer the original loses most of a burst.
	nfctInput = input{
		stack: "ct1:NFCT", section: "[ct1]\nnetlink_socket_buffer_size=67108864\nnetlink_socket_buffer_maxsize=67108865\n",
		load: func() load { return new(connections) }, most: 50000, rates: []int{5000, 0},
	}
	nfacctInput = input{
		stack: "acct1:NFACCT", section: "[acct1]\npollinterval=1\nzerocounter=0\ntimestamp=1\n",
		load: func() load { return new(objects) }, most: 2000, rates: []int{0},
	}
)

var outputs = []output{
	{
		name: "LOGEMU", input: nflogInput, stack: "base1:BASE,ifi1:IFINDEX,ip2str1:IP2STR,print1:PRINTPKT,out1:LOGEMU",
		section: "file=\"{dir}/out\"\nsync=1\n", logged: countLines,
	}, {
		name: "JSON", input: nflogInput, stack: "base1:BASE,ifi1:IFINDEX,ip2str1:IP2STR,mac2str1:HWHDR,out1:JSON",
		section: "file=\"{dir}/out\"\nsync=1\n", logged: countLines,
	}, {
		name: "PCAP", input: nflogInput, stack: "base1:BASE,out1:PCAP",
		section: "file=\"{dir}/out\"\nsync=1\n", logged: countRecords,
	}, {
		name: "SQLITE3", input: nflogInput, stack: "base1:BASE,out1:SQLITE3", slow: 20000,
		section: "db=\"{dir}/out\"\ntable=\"ulog_pkt\"\n", prepare: createTable, logged: countRows,
	}, {
		name: "SYSLOG", input: nflogInput, stack: "base1:BASE,ifi1:IFINDEX,ip2str1:IP2STR,print1:PRINTPKT,out1:SYSLOG",
		section: "facility=LOG_LOCAL2\n", receive: syslogDaemon,
	}, {
		name: "FLOWS", input: nfctInput, stack: "ip2str1:IP2STR,print1:PRINTFLOW,out1:LOGEMU",
		section: "file=\"{dir}/out\"\nsync=1\n", logged: countLines,
	}, {
		name: "IPFIX", input: nfctInput, stack: "out1:IPFIX",
		section: "oid=7\nhost=\"127.0.0.1\"\nproto=\"udp\"\n", receive: collector,
	}, {
		name: "GRAPHITE", input: nfacctInput, stack: "out1:GRAPHITE",
		section: "host=\"127.0.0.1\"\nport=\"2003\"\nprefix=\"bench\"\n", receive: func(l load) receiver { return l.(receiver) },
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
			return nil, fmt.Errorf("-outputs: unknown output %q: use LOGEMU, JSON, PCAP, SQLITE3, SYSLOG, FLOWS, IPFIX or GRAPHITE", name)
		}
		list = append(list, outputs[i])
	}
	return list, nil
}

// sections lists what there is to measure on this machine.
func (b *bench) sections() []section {
	list := []section{loops()}
	list[0].rates = b.rates
	for _, o := range b.outputs {
		s := section{title: o.name, about: o.input.stack + "," + o.stack, rates: b.rates}
		if len(b.rates) > 1 && o.input.rates != nil {
			s.rates = o.input.rates
		}
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
	if o.input.most > 0 {
		packets = o.input.most
	}
	s.subjects = append(s.subjects, subject{
		logger: logger, load: o.input.load, command: []string{path, "-c", "{dir}/ulogd.conf"}, config: o.config(),
		packets: packets, prepare: o.prepare, receive: o.receive, logged: o.logged,
	})
}

func (o output) config() string {
	return fmt.Sprintf("[global]\nlogfile=\"{dir}/ulogd.log\"\nloglevel=3\nstack=%s,%s\n%s[out1]\n%s",
		o.input.stack, o.stack, o.input.section, o.section)
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
