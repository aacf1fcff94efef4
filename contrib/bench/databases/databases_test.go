// Package databases measures how fast a flood of packets gets into databases of
// ulogd's own schemas and into SQLite files: by Debian's ulogd, by ours, and by the
// database's own bulk load of the rows that ours has stored. It is a benchmark: run
// it as root with
//
//	go test ./contrib/bench/databases -run '^$' -bench . -benchtime 1x
package databases

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ulogd-go/ulogd/contrib/bench/generator"
	"github.com/ulogd-go/ulogd/contrib/dbtest"
	"github.com/ulogd-go/ulogd/contrib/lab"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

// original is the ulogd to compare with, which gets fewer packets: it is slow.
const original = "/usr/sbin/ulogd"

// packets of a run.
const (
	packets        = 200000
	packetsForSlow = 20000
)

// target is where rows go.
type target interface {
	// start starts a logger.
	start(b *testing.B, ns *lab.NS, program string) *exec.Cmd
	// stored is how many rows there are, as far as that can be had at once: to
	// count them would take longer than to store them.
	stored(b *testing.B, program string) int
	count(b *testing.B) int
	// bulk is how long the database itself takes to load these rows into a new
	// table.
	bulk(b *testing.B) time.Duration
}

func BenchmarkDatabases(b *testing.B) {
	ours := build(b)
	targets := map[string]func(b *testing.B) target{}
	for _, layout := range []string{"ulogd2", "ulogd2-flat"} {
		for _, e := range []dbtest.Engine{dbtest.PostgreSQL, dbtest.MySQL} {
			targets[string(e)+"/"+layout] = func(b *testing.B) target { return newServer(b, e, layout) }
		}
	}
	for name, table := range sqliteTables {
		targets["sqlite/"+name] = func(b *testing.B) target { return newFile(b, table) }
	}
	for _, name := range slices.Sorted(maps.Keys(targets)) {
		b.Run(name+"/ulogd", func(b *testing.B) {
			for b.Loop() {
				flood(b, targets[name](b), original, packetsForSlow)
			}
		})
		b.Run(name+"/ours", func(b *testing.B) {
			for b.Loop() {
				to := targets[name](b)
				flood(b, to, ours, packets)
				b.ReportMetric(float64(to.count(b))/to.bulk(b).Seconds(), "bulk_rows/s")
			}
		})
	}
}

func build(b *testing.B) string {
	b.Helper()
	path := filepath.Join(b.TempDir(), "ulogd")
	cmd := exec.Command("go", "build", "-o", path, "../../../cmd/ulogd")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	return path
}

// flood offers packets as fast as they can be sent, and waits until no more rows
// come.
func flood(b *testing.B, to target, program string, count int) {
	b.Helper()
	ns := lab.Test(b)
	hits, err := ns.Log(lab.Rule{Family: "ip", Hook: "input", Prefix: "bench: ", Groups: []uint16{1}, Verdict: "drop"})
	if err != nil {
		b.Fatal(err)
	}
	cmd := to.start(b, ns, program)
	if _, err := ns.WaitListener(b.Context(), 1); err != nil {
		b.Fatal(err)
	}
	begin := time.Now()
	offered, err := generator.Run(context.Background(), ns, generator.Load{Count: count, Seed: 1})
	if err != nil {
		b.Fatal(err)
	}
	matched, err := hits.Packets()
	if err != nil {
		b.Fatal(err)
	}
	rows, last := 0, time.Now()
	for rows < int(matched) && time.Since(last) < 4*time.Second {
		if n := to.stored(b, program); n != rows {
			rows, last = n, time.Now()
		}
		time.Sleep(5 * time.Millisecond) // polls
	}
	if rows = to.count(b); rows > int(matched) {
		b.Fatalf("%d rows of %d packets", rows, matched)
	}
	if rows < int(matched) && program != original {
		b.Logf("%d of %d rows; the logger says:\n%s", rows, matched, said(b, cmd))
	}
	b.ReportMetric(float64(rows)/last.Sub(begin).Seconds(), "rows/s")
	b.ReportMetric(offered.PerSecond(), "offered/s") // rows can't come faster
	b.ReportMetric(100*(1-float64(rows)/float64(matched)), "%lost")
	b.ReportMetric(float64(peak(b, cmd.Process.Pid)>>20), "MiB")
	if err := cmd.Process.Kill(); err != nil {
		b.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
}

// run starts a logger whose output has these options. The plugins are those that
// ulogd has to load.
func run(b *testing.B, ns *lab.NS, program, stack, options string, env []string, plugins ...string) *exec.Cmd {
	b.Helper()
	dir := b.TempDir()
	load, buffer := "", ""
	if program == original {
		// With its default it loses 95 % of the flood, which says nothing of rows.
		buffer = "netlink_socket_buffer_size=67108864\nnetlink_socket_buffer_maxsize=67108865\n"
		for _, so := range append([]string{"inppkt_NFLOG", "raw2packet_BASE", "filter_IFINDEX", "filter_IP2STR", "filter_IP2BIN", "filter_HWHDR"}, plugins...) {
			load += fmt.Sprintf("plugin=\"/usr/lib/x86_64-linux-gnu/ulogd/ulogd_%s.so\"\n", so)
		}
	}
	conf := filepath.Join(dir, "ulogd.conf")
	text := fmt.Sprintf("[global]\nlogfile=\"%s/log\"\n%sstack=%s\n[log1]\ngroup=1\n%s[db1]\n%s", dir, load, stack, buffer, options)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command(program, "-c", conf)
	cmd.Env = append(append(os.Environ(), "STATE_DIRECTORY="+dir+"/state"), env...)
	if err := ns.Start(cmd); err != nil {
		b.Fatal(err)
	}
	return cmd
}

// said is the end of what a logger has logged, with what it has counted.
func said(b *testing.B, cmd *exec.Cmd) string {
	b.Helper()
	if err := cmd.Process.Signal(unix.SIGUSR1); err != nil {
		b.Fatal(err)
	}
	time.Sleep(100 * time.Millisecond) // it is written at once; this is for a person to read
	log, err := os.ReadFile(filepath.Join(filepath.Dir(cmd.Args[2]), "log"))
	if err != nil {
		b.Fatal(err)
	}
	return string(log[max(0, len(log)-4000):])
}

// peak is the largest memory that a process had, in bytes.
func peak(b *testing.B, pid int) (kib int) {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		b.Fatal(err)
	}
	for _, line := range strings.Split(string(text), "\n") {
		if after, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			_, _ = fmt.Sscan(after, &kib)
		}
	}
	return kib << 10
}
