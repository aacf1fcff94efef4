package config

import (
	"path"
	"slices"
	"strings"
)

// V1Option is an option of ulogd 1.x, and what stands for it here.
type V1Option struct {
	Name    string
	Flat    string // its name in files of before 1.10; empty if they have none
	Default string // empty if there is none, or it is 0
	Number  bool   // read as a decimal number; else it is text
	// Mandatory says that 1.24 has no default, although it does not complain: it
	// takes an empty text, or 0.
	Mandatory bool
	// To is the option here, of the plugin's last instance or of the section
	// that it says; empty if there is none.
	To  string
	Doc string // what is not the same, if anything
}

// V1Plugin is a plugin of ulogd 1.x, and the instances that do its work here.
type V1Plugin struct {
	Name      string // BASE for ulogd_BASE.so, and the name of its section
	Alias     string // an older name; empty if there is none
	Output    bool   // else it is an interpreter, which publishes keys
	Instances []Instance
	// Every tells that an output writes whatever keys there are, so that all
	// interpreters stand before it.
	Every   bool
	Fixed   []Setting // options here that 1.x did not have
	Options []V1Option
}

// Setting is a value of an instance's option.
type Setting struct{ Instance, Name, Value string }

// v1Source is the input of all stacks.
var v1Source = Instance{"log1", "ULOG"}

// V1Globals are the options of [global] in ulogd 1.x.
var V1Globals = []V1Option{
	{Name: "nlgroup", Flat: "nlgroup", Number: true, Default: "32", To: "[log1] nlgroup", Doc: "without ULOG in the kernel the number of the NFLOG group; outside 1 to 32 an error, where 1.24 received nothing"},
	{Name: "logfile", Flat: "logfile", Default: "/var/log/ulogd.log", To: "[global] logfile"},
	{Name: "loglevel", Flat: "loglevel", Number: true, Default: "5", To: "[global] loglevel"},
	{Name: "rmem", Flat: "rmem", Number: true, Default: "131071", To: "[log1] rmem", Doc: "with NFLOG a least size, as that takes 64 MiB by itself and grows to 128 MiB"},
	{Name: "bufsize", Flat: "bufsize", Number: true, Default: "150000", To: "[log1] bufsize"},
	{Name: "plugin", Flat: "plugin", To: "a stack for each output", Doc: "only the name of the file counts, and it need not exist; a name that is not in this table is reported and skipped"},
	{Name: "nflog_group", Number: true, To: "[log1] group", Doc: "new: the NFLOG group to listen to if the kernel has no ULOG, in place of nlgroup"},
}

// Options of 1.x that several plugins have.
var (
	v1Sync  = V1Option{Name: "sync", Number: true, To: "sync"}
	v1Table = V1Option{Name: "table", Mandatory: true, To: "table"}
	v1Port  = V1Option{Name: "port", Number: true, To: "port"}
)

// flat is o with the name that it has in files of before 1.10.
func (o V1Option) flat(name string) V1Option {
	o.Flat = name
	return o
}

// asV1 has an instance behave as in ulogd 1.x.
func asV1(instance string) Setting { return Setting{instance, "generation", "1"} }

// printed are the instances before an output of lines.
func printed(output Instance) []Instance {
	return []Instance{{"ip2str1", "IP2STR"}, {"print1", "PRINTPKT"}, output}
}

// V1Plugins are the plugins of ulogd 1.x.
var V1Plugins = []V1Plugin{
	{Name: "BASE", Instances: []Instance{{"base1", "BASE"}}, Fixed: []Setting{asV1("base1")}},
	{Name: "LOCAL", Alias: "LOCALTIME", Instances: []Instance{{"local1", "LOCAL"}}},
	{Name: "PWSNIFF", Instances: []Instance{{"pwsniff1", "PWSNIFF"}}, Fixed: []Setting{asV1("pwsniff1")}},
	{
		Name: "LOGEMU", Output: true, Instances: printed(Instance{"emu1", "LOGEMU"}), Fixed: []Setting{asV1("print1")},
		Options: []V1Option{
			{Name: "file", Flat: "syslogfile", Default: "/var/log/ulogd.syslogemu", To: "file"},
			v1Sync.flat("syslogsync"),
		},
	},
	{
		Name: "SYSLOG", Output: true, Instances: printed(Instance{"sys1", "SYSLOG"}), Fixed: []Setting{asV1("print1"), asV1("sys1")},
		Options: []V1Option{
			{Name: "facility", Default: "LOG_KERN", To: "facility", Doc: "an unknown one stops this output; 1.24 ended with code 2"},
			{Name: "level", Default: "LOG_NOTICE", To: "level", Doc: "the same"},
		},
	},
	{
		Name: "OPRINT", Output: true, Every: true, Instances: []Instance{{"op1", "OPRINT"}}, Fixed: []Setting{asV1("op1")},
		Options: []V1Option{{Name: "file", Flat: "dumpfile", Default: "/var/log/ulogd.pktlog", To: "file"}},
	},
	{
		Name: "PCAP", Output: true, Instances: []Instance{{"pcap1", "PCAP"}}, Fixed: []Setting{asV1("pcap1")},
		Options: []V1Option{
			{Name: "file", Flat: "pcapfile", Default: "/var/log/ulogd.pcap", To: "file"},
			v1Sync.flat("pcapsync"),
		},
	},
	{
		Name: "MYSQL", Output: true, Every: true, Instances: []Instance{{"mysql1", "MYSQL"}},
		Fixed: []Setting{{"mysql1", "procedure", "INSERT"}, asV1("mysql1")},
		Options: []V1Option{
			v1Table.flat("mysqltable"),
			{Name: "db", Flat: "mysqldb", Mandatory: true, To: "db"},
			{Name: "host", Flat: "mysqlhost", Mandatory: true, To: "host"},
			{Name: "user", Flat: "mysqluser", Mandatory: true, To: "user"},
			{Name: "pass", Flat: "mysqlpass", Mandatory: true, To: "pass"},
			v1Port,
			{Name: "reconnect", Number: true, To: "reconnect", Doc: "the longest pause between attempts; 0 no longer gives the database up"},
			{Name: "connect_timeout", Number: true, To: "connect_timeout"},
		},
	},
	{
		Name: "PGSQL", Output: true, Every: true, Instances: []Instance{{"pgsql1", "PGSQL"}},
		Fixed: []Setting{{"pgsql1", "procedure", "INSERT"}, asV1("pgsql1")},
		Options: []V1Option{
			v1Table.flat("pgsqltable"),
			{Name: "db", Flat: "pgsqldb", Mandatory: true, To: "db"},
			{Name: "user", Flat: "pgsqluser", Mandatory: true, To: "user"},
			{Name: "host", Flat: "pgsqlhost", To: "host"},
			{Name: "pass", Flat: "pgsqlpass", To: "pass"},
			{Name: "schema", Default: "public", To: "schema"},
			v1Port,
		},
	},
	{
		Name: "SQLITE3", Output: true, Every: true, Instances: []Instance{{"sqlite1", "SQLITE3"}}, Fixed: []Setting{asV1("sqlite1")},
		Options: []V1Option{
			v1Table,
			{Name: "db", Mandatory: true, To: "db"},
			{Name: "buffer", Number: true, Mandatory: true, To: "batch_rows", Doc: "0 is 1; rows wait no longer than a second, and survive a crash"},
		},
	},
}

// output is the instance whose options a plugin's section sets.
func (p *V1Plugin) output() string { return p.Instances[len(p.Instances)-1].Name }

// findV1Plugin is the plugin in a shared object's file of 1.x, such as
// ulogd_BASE.so; nil if there is none.
func findV1Plugin(file string) *V1Plugin {
	name, so := strings.CutSuffix(path.Base(file), ".so")
	name, ulogd := strings.CutPrefix(name, "ulogd_")
	i := slices.IndexFunc(V1Plugins, func(p V1Plugin) bool { return p.Name == name || p.Alias == name })
	if !so || !ulogd || name == "" || i < 0 {
		return nil
	}
	return &V1Plugins[i]
}

// fromFlat is the section and the option that a keyword of before 1.10 stands for.
func fromFlat(keyword string) (section, name string, ok bool) {
	named := func(o V1Option) bool { return o.Flat == keyword }
	if slices.ContainsFunc(V1Globals, named) && keyword != "" {
		return global, keyword, true
	}
	for _, p := range V1Plugins {
		if i := slices.IndexFunc(p.Options, named); i >= 0 && keyword != "" {
			return p.Name, p.Options[i].Name, true
		}
	}
	return "", "", false
}
