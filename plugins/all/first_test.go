package all

import (
	"flag"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ulogd-go/ulogd/pkg/config"
	"github.com/ulogd-go/ulogd/pkg/option"
)

var updateFirst = flag.Bool("update-first", false, "write testdata/first from the rules of firstrules_test.go")

// firstConfig is a configuration of ulogd 1.x. The stacks behind are those of ulogd 2,
// with its slips mended, for packets that 1.x never saw.
const firstConfig = `[global]
nlgroup=1
plugin="/usr/lib/ulogd/ulogd_BASE.so"
plugin="/usr/lib/ulogd/ulogd_LOCAL.so"
plugin="/usr/lib/ulogd/ulogd_OPRINT.so"
plugin="/usr/lib/ulogd/ulogd_LOGEMU.so"
[LOGEMU]
file=DIR/logemu.log
[OPRINT]
file=DIR/oprint.log
`

const mendedConfig = `[global]
stack=log1:NFLOG,base1:BASE,ifi1:IFINDEX,ip2str1:IP2STR,print1:PRINTPKT,emu1:LOGEMU
stack=log1:NFLOG,base1:BASE,ifi1:IFINDEX,op1:OPRINT
[base1]
compat=0
[print1]
compat=0
[emu1]
file=DIR/logemu.log
[op1]
file=DIR/oprint.log
`

// TestGoldenFirst replays the packets of each recording through the stacks of a
// configuration of ulogd 1.x. There is no recording of 1.x itself, so testdata/first was
// made by the rules of the reference. Lines of these packets were checked against the
// page by hand, from their bytes: 02 both, 07 the fourth (MTU), 08 the first (gateway), 09
// the third (parameter), 12 the first two (SPI), 14 the second to the sixth (fragments,
// CE), 32 the second and the eighth (cut).
func TestGoldenFirst(t *testing.T) {
	dirs, err := filepath.Glob("testdata/cases/*")
	if err != nil || len(dirs) < 39 {
		t.Fatalf("%d recordings, %v; want at least 39", len(dirs), err)
	}
	for _, dir := range dirs {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			t.Parallel()
			goldenFirst(t, dir)
		})
	}
}

func goldenFirst(t *testing.T, dir string) {
	rec := readRecording(t, dir)
	ours := runOver(t, dir, rec, firstConfig)
	mended := runOver(t, dir, rec, mendedConfig)
	if diff := cmp.Diff(maskAll(ours), maskAll(runConverted(t, dir, rec))); diff != "" {
		t.Errorf("the converted configuration writes something else (-original +converted):\n%s", diff)
	}
	var logemu, oprint strings.Builder
	for i, l := range loggedIn(t, dir+"/packets.pcap") {
		if l.isIPv4() {
			logemu.WriteString(firstLogemu(t, rec, l))
			oprint.WriteString(firstOprint(rec, l))
			continue
		}
		logemu.WriteString(headOfFirst(strings.SplitAfter(mended["logemu.log"], "\n")[i]))
		oprint.WriteString(orderOfFirst(rec, l, strings.SplitAfter(mended["oprint.log"], boundary)[i+1]))
	}
	for name, rules := range map[string]string{"logemu.log": logemu.String(), "oprint.log": oprint.String()} {
		golden := filepath.Join("testdata/first", rec.Name, name)
		rules = maskFirst(rec, rules)
		if *updateFirst {
			if err := os.MkdirAll(filepath.Dir(golden), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(golden, []byte(rules), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want := string(readFile(t, golden))
		if diff := cmp.Diff(strings.SplitAfter(want, "\n"), strings.SplitAfter(rules, "\n")); diff != "" {
			t.Errorf("%s: the rules of this test are not those that made it (-golden +rules):\n%s", name, diff)
		}
		if diff := cmp.Diff(strings.SplitAfter(want, "\n"), strings.SplitAfter(maskFirst(rec, ours[name]), "\n")); diff != "" {
			t.Errorf("%s (-golden +ours):\n%s", name, diff)
		}
	}
}

// maskAll blanks what no two runs have in common.
func maskAll(written map[string]string) map[string]string {
	masked := map[string]string{}
	for name, text := range written {
		masked[name] = clock.ReplaceAllString(maskFirst(recording{}, text), "(clock)")
	}
	return masked
}

// runConverted runs firstConfig as --convert and --convert=conf write it, each time for
// one of the outputs.
func runConverted(t *testing.T, dir string, rec recording) map[string]string {
	t.Helper()
	written := map[string]string{}
	for name, write := range map[string]func(*config.File, io.Writer, func(string) []option.Field) error{
		"logemu.log": (*config.File).WriteConf,
		"oprint.log": (*config.File).WriteTOML,
	} {
		out := t.TempDir()
		var b strings.Builder
		if err := write(parseFirst(t, "ulogd.conf", strings.ReplaceAll(firstConfig, "DIR", out)), &b, func(string) []option.Field { return nil }); err != nil {
			t.Fatal(err)
		}
		file := map[string]string{"logemu.log": "ulogd.conf", "oprint.log": "ulogd.toml"}[name]
		written[name] = runFile(t, dir, rec, parseFirst(t, file, b.String()), out)[name]
	}
	return written
}

// parseFirst reads a configuration as a kernel without ULOG needs it.
func parseFirst(t *testing.T, name, text string) *config.File {
	t.Helper()
	f, err := config.Parse(name, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range f.Warnings {
		t.Error(w)
	}
	f.ReplaceULOG()
	return f
}

// runOver runs a configuration with a recording in the place of its source.
func runOver(t *testing.T, dir string, rec recording, text string) map[string]string {
	t.Helper()
	out := t.TempDir()
	return runFile(t, dir, rec, parseFirst(t, "ulogd.conf", strings.ReplaceAll(text, "DIR", out)), out)
}

// runFile runs a configuration that writes into out.
func runFile(t *testing.T, dir string, rec recording, f *config.File, out string) map[string]string {
	t.Helper()
	replay(t, f, dir, rec)
	run(t, f, rec)
	written := map[string]string{}
	for _, name := range []string{"logemu.log", "oprint.log"} {
		written[name] = string(readFile(t, filepath.Join(out, name)))
	}
	return written
}

// replay puts a capture in the place of log1.
func replay(t *testing.T, f *config.File, dir string, rec recording) {
	t.Helper()
	for _, s := range f.Stacks {
		s.Instances[0].Plugin = "REPLAY"
	}
	var names []string
	for index, name := range rec.Interfaces {
		names = append(names, index+"="+name)
	}
	f.Sections["log1"] = option.Section{Name: "log1", Entries: []option.Entry{
		{Name: "file", Value: dir + "/packets.pcap"},
		{Name: "interfaces", Value: strings.Join(names, ",")},
	}}
}

const boundary = "===>PACKET BOUNDARY\n"

// maskFirst blanks the clock's times.
func maskFirst(rec recording, text string) string {
	text = regexp.MustCompile(`local\.time=\d+`).ReplaceAllString(text, "local.time=(clock)")
	if rec.Name == "28-uid-gid" {
		text = clock.ReplaceAllString(text, "(clock)")
	}
	return text
}

var (
	tail     = regexp.MustCompile(`(UID=\d+ )?(GID=\d+ )?MARK=0x[0-9a-f]+ \n$`)
	noPrefix = regexp.MustCompile(`^(.{15} \S+)  IN=`)
)

// headOfFirst is a line of ulogd 2 with what stands before and behind a packet in
// ulogd 1.x.
func headOfFirst(line string) string {
	return noPrefix.ReplaceAllString(tail.ReplaceAllString(line, "\n"), "$1 IN=")
}

// orderOfFirst is a record of ulogd 2 with IPv6's keys before those of ulogd 1.x.
func orderOfFirst(rec recording, l logged, record string) string {
	values := map[string]string{}
	for line := range strings.Lines(strings.TrimSuffix(record, boundary)) {
		name, value, _ := strings.Cut(line, "=")
		values[name] = value
	}
	values["raw.pkt"], values["oob.prefix"] = "\n", l.prefix()+"\n"
	if len(l.attrs[16]) > 0 {
		values["raw.mac"] = l.mac() + "\n"
	}
	host, _, _ := strings.Cut(rec.Hostname, ".")
	text := boundary + "local.hostname=" + host + "\nlocal.time=(clock)\n"
	for _, name := range strings.Fields(`icmpv6.csum icmpv6.echoseq icmpv6.echoid icmpv6.code icmpv6.type
		ip6.fragid ip6.fragoff ip6.nexthdr ip6.hoplimit ip6.flowlabel ip6.priority ip6.payloadlen
		ahesp.spi udp.csum udp.len udp.dport udp.sport
		icmp.csum icmp.fragmtu icmp.gateway icmp.echoseq icmp.echoid icmp.code icmp.type
		tcp.csum tcp.res2 tcp.res1 tcp.fin tcp.syn tcp.rst tcp.psh tcp.ack tcp.urgp tcp.urg tcp.window tcp.reserved tcp.offset tcp.ackseq tcp.seq tcp.dport tcp.sport
		ip.fragoff ip.id ip.csum ip.ihl ip.totlen ip.ttl ip.tos ip.protocol ip.daddr ip.saddr
		oob.out oob.in oob.mark oob.time.usec oob.time.sec oob.prefix raw.pktlen raw.pkt raw.mac`) {
		if v, ok := values[name]; ok {
			text += name + "=" + v
		}
	}
	return text
}
