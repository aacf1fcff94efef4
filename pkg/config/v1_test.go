package config

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const v1Head = "[global]\nnlgroup=1\nplugin=\"/usr/lib/ulogd/ulogd_BASE.so\"\nplugin=\"/usr/lib/ulogd/ulogd_LOGEMU.so\"\n"

// optionOf is the value of an option of an instance, and whether it has one.
func optionOf(f *File, instance, name string) (value string, ok bool) {
	for _, e := range f.Sections[instance].Entries {
		if e.Name == name {
			return e.Value, true
		}
	}
	return "", false
}

// TestV1Words has the rows of reference page "ulogd1", section 2.4, where the section
// is S here. What a warning has to say stands behind.
func TestV1Words(t *testing.T) {
	long := strings.Repeat("x", 225)
	const def = "/var/log/ulogd.syslogemu"
	tests := []struct{ text, file, sync, warning string }{
		{"[S]/file=\"A B\"/sync=1/", "A B", "1", ""},
		{"[S]/  file = \"A\"   /\tsync\t=\t3/", "A", "3", ""},
		{"[S]/file A/sync 4/", "A", "4", ""},
		{"[S]/file=A # c/sync=5#x/", "A", "5", `[S] sync = "5#x": read as the decimal number 5, as 1.24 did`},
		{"[S]/file=A#b/", "A#b", "", ""},
		{"[S]/  # file=Z/file=A/", "A", "", `[S] "#": unknown option, ignored as in 1.24; a comment needs its # in the first column`},
		{"[S]/sync=1/file=A", "A", "1", "the last line has no newline, and its value is taken; 1.24 would take the option's name for it"},
		{"[S]/sync=1/file=\"A\"", "A", "1", ""},
		{"[S]/file/sync/", "file", "0", "[S] file: no value, so that the option's name is taken for it, as 1.24 did"},
		{"[S]/file=/sync=/", "file", "0", "[S] sync: no value"},
		{"[S]/file=\"\"/sync=\"\"/", "", "0", `[S] sync = ""`},
		{"[S]/file=\"A/sync=1/", "file", "1", "[S] file: the quote is not closed"},
		{"[S]/sync=\"1\"/file=x/", "x", "1", ""},
		{"[S]/sync=0x10/", def, "0", "read as the decimal number 0"},
		{"[S]/sync=010/", def, "10", "read as the decimal number 10"},
		{"[S]/sync=-1/", def, "-1", ""},
		{"[S]/file=a/sync=1/file=b/sync=2/", "a", "1", "[S] file: repeated, so that line 6 counts and the rest of the section is not read, as in 1.24"},
		{"[S]/file=a/file=b/sync=2/", "a", "", "[S] file: repeated"},
		{"[ S ]/file=a/", "a", "", ""},
		{"  [S]/file=a/", "a", "", ""},
		{"S/file=a/", "a", "", "S: a section header without brackets, taken for one as 1.24 did; write [S]"},
		{"S foo/file=a/", "a", "", "S: a section header without brackets"},
		{"[s]/file=a/", def, "", ""},
		{"[S]/file=a/[T]/file=b/[S]/sync=9/", "a", "", "[S] repeated, ignored as 1.24 did because the section on line 5 counts"},
		{"[S]/file=a/T/sync=1/", "a", "1", `[S] "T": unknown option, ignored as in 1.24; remove it, or use one of file, sync`},
		{"[S]/file=a/ [T]/sync=1/", "a", "", ""},
		{"[S]/file=a=b/", "a", "", `[S] file: what follows the value is ignored`},
		{"[S]/file=\"a=b\"/", "a=b", "", ""},
		{"[S]/file=" + long[1:] + "/", long[1:], "", ""},
		{"[S]/file=" + long + "/", long, "", "[S] file: the value has 225 bytes and is taken whole; 1.24 would ignore more than 224 and use its default"},
		{"[S]/file=a" + strings.Repeat(" ", 250) + "/", "a", "", "[S] file: the line has 256 bytes and is read whole; 1.24 would take what is behind 254 for another line"},
		{"\ufeff[S]/file=a/", def, "", `[global] "\ufeff[LOGEMU]": unknown option`},
		{"[S]/file=a\r/sync=1\r/", "a", "1", "the line ends as in DOS"},
		{"[S]/file=\"a\"\r/", "a", "", ""},
	}
	for _, tt := range tests {
		text := v1Head + strings.NewReplacer("/", "\n", "S", "LOGEMU").Replace(tt.text)
		warning := strings.ReplaceAll(tt.warning, "S]", "LOGEMU]")
		if strings.HasPrefix(warning, "S:") {
			warning = strings.Replace(strings.Replace(warning, "S:", "LOGEMU:", 1), "[S]", "[LOGEMU]", 1)
		}
		f := parse(t, text)
		if file, _ := optionOf(f, "emu1", "file"); file != tt.file {
			t.Errorf("%q: file %q, want %q", tt.text, file, tt.file)
		}
		if sync, _ := optionOf(f, "emu1", "sync"); sync != tt.sync {
			t.Errorf("%q: sync %q, want %q", tt.text, sync, tt.sync)
		}
		list := messages(f.Warnings)
		found := slices.ContainsFunc(list, func(w string) bool { return strings.Contains(w, warning) })
		if warning == "" && len(list) > 0 || !found && warning != "" {
			t.Errorf("%q: warnings %q, want %q", tt.text, list, warning)
		}
	}
}

// TestV1Stacks has the stacks of configurations from the field.
func TestV1Stacks(t *testing.T) {
	tests := map[string]struct {
		stacks   []string
		sections map[string][]string
		level    int
	}{
		"16-v1-stock-logemu": {
			stacks: []string{"log1:ULOG,base1:BASE,ip2str1:IP2STR,print1:PRINTPKT,emu1:LOGEMU"},
			sections: map[string][]string{
				"log1":  {"nlgroup=1", "rmem=131071", "bufsize=150000"},
				"base1": {"generation=1"}, "print1": {"generation=1"},
				"emu1": {"file=/var/log/ulogd.syslogemu", "sync=1"},
			},
			level: 5,
		},
		"17-v1-mysql-local-pwsniff": {
			stacks: []string{"log1:ULOG,base1:BASE,local1:LOCAL,pwsniff1:PWSNIFF,mysql1:MYSQL"},
			sections: map[string][]string{
				"log1": {"nlgroup=3", "rmem=131071", "bufsize=150000"}, "pwsniff1": {"generation=1"},
				"mysql1": {"procedure=INSERT", "generation=1", "table=packet_filter", "pass=example", "user=logview", "db=fwlog",
					"host=127.0.0.1", "port=3307", "reconnect=30", "connect_timeout=5"},
			},
			level: 5,
		},
		"18-v1-many-outputs-loose-syntax": {
			stacks: []string{
				"log1:ULOG,base1:BASE,ip2str1:IP2STR,print1:PRINTPKT,emu1:LOGEMU",
				"log1:ULOG,base1:BASE,sqlite1:SQLITE3",
				"log1:ULOG,base1:BASE,pcap1:PCAP",
				"log1:ULOG,base1:BASE,ip2str1:IP2STR,print1:PRINTPKT,sys1:SYSLOG",
				"log1:ULOG,base1:BASE,op1:OPRINT",
			},
			sections: map[string][]string{
				"log1":    {"nlgroup=32", "rmem=131071", "bufsize=150000"},
				"emu1":    {"file=/var/log/ulogd.syslogemu"},
				"sys1":    {"generation=1", "facility=LOG_LOCAL3", "level=LOG_WARNING"},
				"op1":     {"generation=1", "file=/var/log/ulog/pktlog.log"},
				"sqlite1": {"generation=1", "table=ulog", "db=/var/log/ulog/pkts.db", "batch_rows=1"},
				"pcap1":   {"generation=1", "sync=1", "file=/var/log/ulog/pkts.pcap"},
			},
			level: 7,
		},
		"19-v0-flat-keywords": {
			stacks:   []string{"log1:ULOG,base1:BASE,op1:OPRINT"},
			sections: map[string][]string{"log1": {"nlgroup=1", "rmem=131071", "bufsize=150000"}, "op1": {"generation=1", "file=/var/log/ulogd.pktlog"}, "mysql1": nil},
			level:    5,
		},
	}
	for name, tt := range tests {
		f, err := Parse("u.conf", read(t, "testdata/"+name+".conf"))
		if err != nil {
			t.Fatal(err)
		}
		var stacks []string
		for _, s := range f.Stacks {
			stacks = append(stacks, s.Text)
		}
		if diff := cmp.Diff(tt.stacks, stacks); diff != "" {
			t.Errorf("%s: stacks (-want +got):\n%s", name, diff)
		}
		for section, want := range tt.sections {
			if diff := cmp.Diff(want, values(f.Section(section))); diff != "" {
				t.Errorf("%s: [%s] (-want +got):\n%s", name, section, diff)
			}
		}
		if f.Global.Loglevel != tt.level || !f.Global.LogfileSet {
			t.Errorf("%s: %+v, want level %d and a log file", name, f.Global, tt.level)
		}
	}
}

// TestV1Mistakes has a case for each mistake of a file: where it is, what it is, what
// to do, and what 1.24 would have done.
func TestV1Mistakes(t *testing.T) {
	const base = "plugin=ulogd_BASE.so\n"
	warn := func(text, want string) {
		t.Helper()
		f := parse(t, text)
		list := messages(f.Warnings)
		for _, s := range f.Stacks {
			list = append(list, errorText(s.Err))
		}
		if !slices.ContainsFunc(list, func(w string) bool { return strings.HasPrefix(w, want) }) {
			t.Errorf("%q: %q, want %q", text, list, want)
		}
	}
	fail := func(text, want string) {
		t.Helper()
		if _, err := Parse("u.conf", []byte(text)); !strings.HasPrefix(errorText(err), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	warn("[global]\nnlgroup=1\nplugin=/x/ulogd_SENSOR.so\n", "u.conf:3: load_plugins: '/x/ulogd_SENSOR.so': there is no such plugin of ulogd 1.x, skipped as in 1.24; remove the line")
	warn("[global]\nnlgroup=1\nplugin=ulogd_output_LOGEMU.so\n", "u.conf:3: load_plugins: 'ulogd_output_LOGEMU.so': there is no such plugin of ulogd 1.x, skipped as in 1.24; plugins of ulogd 2 need a stack")
	warn("[global]\n"+base+base, "u.conf:3: plugin BASE is loaded by line 2 already, which counts, as in 1.24; remove one")
	warn("[global]\n"+base, "u.conf:1: no output plugin is loaded, so that there is nothing to do; 1.24 would run and write nothing; add a line")
	warn("plugin ulogd_BASE.so\n", "u.conf: no output plugin is loaded")
	warn("[global]\nplugin=ulogd_OPRINT.so\n", "u.conf:2: OPRINT has nothing to write, since BASE is not loaded; 1.24 would run and log that it lacks interpreters or keys; add the line plugin = ulogd_BASE.so")
	warn("[global]\nplugin=ulogd_PCAP.so\n"+base, "u.conf:2: PCAP is loaded before BASE, which does not matter; 1.24 would log \"can't resolve all keyhash id's\" and go without it")
	warn("[global]\nnlgroup=1\nfacility=LOG_KERN\n", `u.conf:3: [global] "facility": unknown option, ignored as in 1.24; remove it, or use one of nlgroup, logfile, loglevel, rmem, bufsize, plugin, nflog_group`)
	warn("[global]\nnlgroup=1\n  ; note\n", `u.conf:3: [global] ";": unknown option, ignored as in 1.24; a comment needs its # in the first column`)
	warn("[global]\n"+base+"plugin=ulogd_MYSQL.so\n[MYSQL]\ndb=d\ntable=t\nuser=u\npass=secret\n", "u.conf:4: [MYSQL] host: missing; 1.24 would take an empty text for it without a word; add it")
	warn("[global]\n"+base+"plugin=ulogd_SQLITE3.so\n[SQLITE3]\ndb=d\ntable=t\n", "u.conf:4: [SQLITE3] buffer: missing; 1.24 would take 0 for it")

	fail("[global]\n"+base+"loglevel=3\nloglevel=5\n", `u.conf:4: option "loglevel" occurred more than once, on line 3 before; 1.24 would not start either; remove one of the two lines`)
	fail("[global]\nnlgroup=0\n", "u.conf:2: [global] nlgroup = 0: there are the groups 1 to 32; 1.24 would run and receive nothing; use the number that the rules have")
	fail("[global]\nnlgroup=33\n", "u.conf:2: [global] nlgroup = 33: there are the groups 1 to 32")
	fail("[global]\nnlgroup=x\n", "u.conf:2: [global] nlgroup = 0:")
	fail("nlgroup=1\nplugin=ulogd_BASE.so\n", "u.conf: no [global] section")
	fail("[LOGEMU]\nfile=x\n", "u.conf: no [global] section")
}

// TestDialects has the cases of reference page "ulogd1", section 8.
func TestDialects(t *testing.T) {
	f := func(src string, want Dialect) {
		t.Helper()
		if got := dialectOf(src); got != want {
			t.Errorf("%q: %v, want %v", src, got, want)
		}
	}
	f("nlgroup 1\n", Flat)
	f("# x\nsyslogfile\t/var/log/x\n", Flat)
	f("plugin /usr/lib/ulogd/ulogd_BASE.so\n", Flat)
	f("nlgroup=1\n", V2)
	f("#nlgroup 1\n", V2)
	f("nlgroup 1\n[x]\n", V2)
	f("[global]\nstack=a:A\nnlgroup=1\nplugin=ulogd_BASE.so\n", V2)
	f("[global]\nplugin=/usr/lib/ulogd/ulogd_BASE.so\n", V1)
	f("[global]\nplugin=\"/a b/ulogd_LOCALTIME.so\"\n", V1)
	f("[global]\nnlgroup=2\n", V1)
	f("global\nnlgroup 2\n[x]\n", V1)
	f("[global]\nplugin=ulogd_output_LOGEMU.so\n[logemu]\n", V2)
	f("[global]\nplugin=ulogd_SENSOR.so\n", V2)
	f("[global]\nlogfile=x\n[y]\nnlgroup=2\n", V2)
	f("", V2)
}

// TestV1NeverTellsSecrets: no message has a password in it.
func TestV1NeverTellsSecrets(t *testing.T) {
	f := parse(t, "[global]\nplugin=ulogd_BASE.so\nplugin=ulogd_MYSQL.so\n[MYSQL]\npaswd=secret\npass=secret\nhost=h secret\npass=secret\n")
	for _, w := range messages(f.Warnings) {
		if strings.Contains(w, "secret") {
			t.Error(w)
		}
	}
	if len(f.Warnings) < 4 {
		t.Errorf("%d warnings, want them all: %q", len(f.Warnings), messages(f.Warnings))
	}
}
