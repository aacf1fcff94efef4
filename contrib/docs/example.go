package main

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/ulogd-go/ulogd/pkg/config"
	"github.com/ulogd-go/ulogd/pkg/option"
	"github.com/ulogd-go/ulogd/pkg/plugin"
)

const head = `# The configuration of ulogd in TOML. A ulogd.conf works as well, and
# "ulogd --convert -c ulogd.conf" prints it in this form.
#
# Here is a section for each plugin with all its options, each commented out
# with its default. This file is generated from the plugins by
# "go run ./contrib/docs".

`

// stackExample is a stack to show, with what it is for.
type stackExample struct{ purpose, stack string }

// The first is in force, the others are commented out.
var stackExamples = []stackExample{
	{"Lines as syslog would write them.",
		"log1:NFLOG,base1:BASE,ifi1:IFINDEX,ip2str1:IP2STR,print1:PRINTPKT,emu1:LOGEMU"},
	{"The same lines to syslog.",
		"log1:NFLOG,base1:BASE,ifi1:IFINDEX,ip2str1:IP2STR,print1:PRINTPKT,sys1:SYSLOG"},
	{"Only packets with a certain mark.",
		"log1:NFLOG,mark1:MARK,base1:BASE,ifi1:IFINDEX,ip2str1:IP2STR,print1:PRINTPKT,emu1:LOGEMU"},
	{"JSON objects, with hardware addresses.",
		"log1:NFLOG,base1:BASE,ifi1:IFINDEX,ip2str1:IP2STR,mac1:HWHDR,json1:JSON"},
	{"A capture for tcpdump and Wireshark.",
		"log1:NFLOG,base1:BASE,pcap1:PCAP"},
	{"Rows in a SQLite database.",
		"log1:NFLOG,base1:BASE,ifi1:IFINDEX,ip2str1:IP2STR,mac1:HWHDR,sqlite1:SQLITE3"},
	{"Rows in a PostgreSQL database, of the schema that ulogd ships.",
		"log1:NFLOG,base1:BASE,ifi1:IFINDEX,ip2str1:IP2STR,mac1:HWHDR,pgsql1:PGSQL"},
	{"The same in MySQL or MariaDB.",
		"log1:NFLOG,base1:BASE,ifi1:IFINDEX,ip2bin1:IP2BIN,mac1:HWHDR,mysql1:MYSQL"},
	{"The same in a database whose kind an option names.",
		"log1:NFLOG,base1:BASE,ifi1:IFINDEX,ip2str1:IP2STR,mac1:HWHDR,dbi1:DBI"},
	{"Every key on a line of its own, or all of them on one line.",
		"log1:NFLOG,base1:BASE,ifi1:IFINDEX,ip2str1:IP2STR,op1:OPRINT"},
	{"",
		"log1:NFLOG,base1:BASE,ifi1:IFINDEX,ip2str1:IP2STR,gp1:GPRINT"},
	{"What the kernel said, undecoded.",
		"log1:NFLOG,xml1:XML"},
	{"Connections when they have ended, as lines.",
		"ct1:NFCT,ip2str1:IP2STR,flow1:PRINTFLOW,emu1:LOGEMU"},
	{"Who had which public address and port, and when: see contrib/nat-log.",
		"ct1:NFCT,ip2str1:IP2STR,json1:JSON"},
	{"Connections for a flow collector, or in the format of net-acct.",
		"ct1:NFCT,ipfix1:IPFIX"},
	{"",
		"ct1:NFCT,ip2str1:IP2STR,nacct1:NACCT"},
	{"Packets from the ULOG target, which kernels had up to 3.16.",
		"ulog1:ULOG,base1:BASE,ip2str1:IP2STR,print1:PRINTPKT,emu1:LOGEMU"},
	{"Accounting objects, which rules count into.",
		"nfacct1:NFACCT,json1:JSON"},
	{"The same for a Graphite server.",
		"nfacct1:NFACCT,graphite1:GRAPHITE"},
	{"Packets that programs send through a Unix socket, as those of NuFW.",
		"unixsock1:UNIXSOCK,base1:BASE,ip2str1:IP2STR,print1:PRINTPKT,emu1:LOGEMU"},
	{"User names and passwords that are sent in the clear.",
		"log1:NFLOG,base1:BASE,ip2str1:IP2STR,pwsniff1:PWSNIFF,json1:JSON"},
	{"Every key, and the host that logged it: for logs that come together from many.",
		"log1:NFLOG,base1:BASE,ifi1:IFINDEX,ip2str1:IP2STR,local1:LOCAL,json1:JSON"},
	{"The packets of a capture file in place of the kernel's.",
		"replay1:REPLAY,base1:BASE,ifi1:IFINDEX,ip2str1:IP2STR,print1:PRINTPKT,emu1:LOGEMU"},
}

// instances are the names of instances that are not the plugin's own with a 1.
var instances = map[string]string{
	"NFLOG": "log1", "IFINDEX": "ifi1", "HWHDR": "mac1", "PRINTPKT": "print1", "PRINTFLOW": "flow1", "NFCT": "ct1",
	"LOGEMU": "emu1", "SYSLOG": "sys1", "OPRINT": "op1", "GPRINT": "gp1", "SQLITE3": "sqlite1",
}

func instance(plugin string) string {
	if name, ok := instances[plugin]; ok {
		return name
	}
	return strings.ToLower(plugin) + "1"
}

// example is the text of ulogd.toml.example.
func example(specs []plugin.Spec) ([]byte, error) {
	b := bytes.NewBufferString(head)
	if err := option.TOML(b, "global", scalars(config.GlobalFields())); err != nil {
		return nil, err
	}
	writeStacks(b)
	for _, s := range specs {
		fmt.Fprintf(b, "\n# %s %s.\n", s.Name, s.Summary)
		if len(s.Options) == 0 {
			b.WriteString("# It has no options.\n")
		}
		if err := option.TOML(b, instance(s.Name), s.Options); err != nil {
			return nil, err
		}
	}
	return b.Bytes(), nil
}

// scalars are the options of [global] but for the lists.
func scalars(fields []option.Field) []option.Field {
	return slices.DeleteFunc(fields, func(f option.Field) bool { return f.Name == "stack" || f.Name == "plugin" })
}

func writeStacks(b *bytes.Buffer) {
	b.WriteString("\n# instance:PLUGIN,instance:PLUGIN,... from a source to an output. The section\n" +
		"# of an instance holds its options. Lists of plugins as in a ulogd.conf are\n" +
		"# understood, and not needed.\nstack = [\n")
	for i, x := range stackExamples {
		if x.purpose != "" {
			fmt.Fprintf(b, "  # %s\n", x.purpose)
		}
		comment := "# "
		if i == 0 {
			comment = ""
		}
		fmt.Fprintf(b, "  %s%q,\n", comment, x.stack)
	}
	b.WriteString("]\n")
}
