package main

import (
	"context"
	"database/sql"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/ulogd-go/ulogd/contrib/bench/generator"
	"github.com/ulogd-go/ulogd/contrib/lab"
)

// TestMain lets the test binary be the logger that only counts.
func TestMain(m *testing.M) {
	if len(os.Args) == 4 && os.Args[1] == loopCommand {
		main()
		return
	}
	os.Exit(m.Run())
}

func TestCount(t *testing.T) {
	f := func(name string, count func(string) (int, error), content string, want int, wantErr string) {
		t.Helper()
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "out"), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := count(dir)
		if got != want || (err == nil) != (wantErr == "") || err != nil && !strings.Contains(err.Error(), wantErr) {
			t.Errorf("%s: counted %d, %v, want %d and an error with %q", name, got, err, want, wantErr)
		}
	}
	header := strings.Repeat("h", 24)
	record := "sec.usec\x03\x00\x00\x00\x03\x00\x00\x00abc"
	f("no lines", countLines, "", 0, "")
	f("lines", countLines, "one\ntwo\n", 2, "")
	f("no header", countRecords, "", 0, "without a header")
	f("no records", countRecords, header, 0, "")
	f("records", countRecords, header+record+record, 2, "")
	f("cut record", countRecords, header+record+record[:17], 1, "record 1")
	f("cut record header", countRecords, header+record+record[:9], 1, "record 1")
}

// TestCountRecords has two messages of IPFIX: one with two templates, of which one has a
// field of a vendor, and one with records alone.
func TestCountRecords(t *testing.T) {
	header := make([]byte, 16)
	first := slices.Concat(header,
		[]byte{0, 2, 0, 28, 1, 0, 0, 2, 0, 8, 0, 4, 0, 7, 0, 2, 1, 1, 0, 1, 0x80, 4, 0, 3, 0, 0, 0x53, 0x7d},
		[]byte{1, 0, 0, 16}, make([]byte, 12), []byte{1, 1, 0, 7, 1, 2, 3})
	second := slices.Concat(header, []byte{1, 1, 0, 10}, make([]byte, 6), []byte{9, 9, 0, 8}, make([]byte, 4), []byte{1, 0, 0, 200})
	var known templates
	if n := known.records(first); n != 3 {
		t.Errorf("%d records in the first message, want 3", n)
	}
	if n := known.records(second); n != 2 {
		t.Errorf("%d records in the second message, want 2: of what is not known or cut, none", n)
	}
	if n := known.records(nil); n != 0 {
		t.Errorf("%d records in nothing", n)
	}
}

func TestCountRows(t *testing.T) {
	dir := t.TempDir()
	if err := createTable(dir); err != nil {
		t.Fatal(err)
	}
	err := withDB(dir, func(db *sql.DB) error {
		_, err := db.Exec("INSERT INTO ulog_pkt (oob_prefix) VALUES ('a'), ('b'), ('c')")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if n, err := countRows(dir); n != 3 || err != nil {
		t.Errorf("counted %d rows, %v, want 3", n, err)
	}
}

func TestParse(t *testing.T) {
	f := func(rates, outputs string, count int, wantErr string) {
		t.Helper()
		b := &bench{count: count}
		err := b.parse(rates, outputs)
		if err == nil || !strings.Contains(err.Error(), wantErr) {
			t.Errorf("parse(%q, %q) with %d packets = %v, want an error with %q", rates, outputs, count, err, wantErr)
		}
	}
	f("50000,fast", "", 1, `"fast" is no number`)
	f("-1", "", 1, `"-1" is no number`)
	f("0", "", 0, "0 packets are too few")
	f("0", "XML", 1, `unknown output "XML"`)
	list, err := chosen("json,PCAP")
	if err != nil || len(list) != 2 || list[0].name != "JSON" || list[1].name != "PCAP" {
		t.Errorf("chosen(json,PCAP) = %v, %v", list, err)
	}
}

func TestFiles(t *testing.T) {
	dir := t.TempDir()
	s := section{}
	s.add(ours, "/proc/self/exe", outputs[3], 0, "")
	s.add(original, "/does/not/exist", outputs[3], 0, "install it")
	if diff := cmp.Diff([]string{"ulogd: /does/not/exist install it"}, s.missing); diff != "" || len(s.subjects) != 1 {
		t.Fatalf("%d subjects, missing (-want +got):\n%s", len(s.subjects), diff)
	}
	argv, err := s.subjects[0].files(dir)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"/proc/self/exe", "-c", dir + "/ulogd.conf"}, argv); diff != "" {
		t.Errorf("command (-want +got):\n%s", diff)
	}
	got, err := os.ReadFile(dir + "/ulogd.conf")
	want := `[global]
logfile="` + dir + `/ulogd.log"
loglevel=3
stack=log1:NFLOG,base1:BASE,out1:SQLITE3
[log1]
group=1
[out1]
db="` + dir + `/out"
table="ulog_pkt"
`
	if diff := cmp.Diff(want, string(got)); diff != "" || err != nil {
		t.Errorf("%v, ulogd.conf (-want +got):\n%s", err, diff)
	}
	if n, err := countRows(dir); n != 0 || err != nil {
		t.Errorf("the table has %d rows, %v, want an empty one", n, err)
	}
}

func TestCPUTime(t *testing.T) {
	p, err := start([]string{"/proc/self/exe", "-test.run=^$"}, nil, t.TempDir(), (*exec.Cmd).Start)
	if err != nil {
		t.Fatal(err)
	}
	<-p.ended
	if _, err := cpuTime(p.pid()); err == nil {
		t.Error("a process that is gone has a CPU time")
	}
	before, err := cpuTime(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(10 * time.Second); ; {
		now, err := cpuTime(os.Getpid())
		if err != nil {
			t.Fatal(err)
		}
		if now-before > 5*time.Millisecond {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("spinning for 10 s took %v of CPU time", now-before)
		}
	}
}

func TestAliveNamesTheCause(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/ulogd.log", []byte("no such plugin\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := start([]string{"/proc/self/exe", "-test.run=^$"}, nil, dir, (*exec.Cmd).Start)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := p.alive(t.Context())
	defer cancel()
	<-ctx.Done()
	if err := context.Cause(ctx); !strings.Contains(err.Error(), "ended early") || !strings.Contains(err.Error(), "no such plugin") {
		t.Errorf("cause %v, want that it ended early and the last line of its log", err)
	}
}

func TestReport(t *testing.T) {
	out := new(strings.Builder)
	r := newReport(out)
	run := generator.Result{Offered: 1000, Elapsed: 10 * time.Millisecond}
	ourRow := measurement{subject: subject{logger: ours}, offered: run, hits: 1000, logged: 1000, cpu: time.Millisecond,
		behind: 30 * time.Millisecond, maxRSS: 20 << 20, idleRSS: 10 << 20, listening: 12 * time.Millisecond}
	row := ourRow
	row.subject.logger, row.logged, row.cpu = original, 500, 2*time.Millisecond
	r.section(section{title: "LOGEMU", about: "stack", subjects: make([]subject, 2), missing: []string{"x: not found"}})
	r.row("LOGEMU", ourRow)
	r.row("LOGEMU", row)
	r.ratios()
	want := `
LOGEMU (stack)
  left out: x: not found
  logger            rate offered/s   matched    logged      lost  lost % CPU µs/pkt behind ms   max RSS  idle RSS  start ms
  ours               max    100000      1000      1000         0    0.00      1.000        30    20.0MB    10.0MB      12.0
  ulogd              max    100000      1000       500       500   50.00      4.000        30    20.0MB    10.0MB      12.0

CPU per packet logged, ours : ulogd
  LOGEMU             max    0.250  (1.000 : 4.000 µs; lost 0 of 1000 : 500 of 1000)
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("report (-want +got):\n%s", diff)
	}
}

// TestKernelMeasure has the two built-in loggers count a load that they can
// easily follow.
func TestKernelMeasure(t *testing.T) {
	lab.Test(t)
	b := &bench{count: 4000, dir: t.TempDir()}
	if err := b.parse("20000", ""); err != nil {
		t.Fatal(err)
	}
	var cpu time.Duration
	for _, s := range loops().subjects {
		m, err := b.measure(t.Context(), s, b.rates[0])
		if err != nil {
			t.Fatal(err)
		}
		if m.hits != b.count || m.offered.Offered != b.count || m.logged == 0 || m.logged > b.count {
			t.Errorf("%s: offered %d, matched %d, counted %d of %d packets", s.logger, m.offered.Offered, m.hits, m.logged, b.count)
		}
		if m.maxRSS < m.idleRSS || m.idleRSS < 1<<20 || m.listening <= 0 {
			t.Errorf("%s: memory %d and %d, listening after %v", s.logger, m.maxRSS, m.idleRSS, m.listening)
		}
		cpu += m.cpu
	}
	if cpu <= 0 || cpu > time.Second {
		t.Errorf("the loggers used %v of CPU time, want some and less than a second", cpu)
	}
	if left, err := os.ReadDir(b.dir); len(left) != 0 || err != nil {
		t.Errorf("%d files were left behind, %v", len(left), err)
	}
}

// TestKernelReceivers has what outputs send to count a few records.
func TestKernelReceivers(t *testing.T) {
	ns := lab.Test(t)
	send := func(network, address, text string) {
		t.Helper()
		err := ns.Do(func() error {
			conn, err := net.Dial(network, address)
			if err != nil {
				return err
			}
			defer conn.Close()
			_, err = conn.Write([]byte(text))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	f := func(r receiver, network, address, text string, want int) {
		t.Helper()
		if err := r.listen(ns, t.TempDir()); err != nil {
			t.Fatal(err)
		}
		send(network, address, text)
		if n, err := r.count(); n != want || err != nil {
			t.Errorf("%d records, %v; want %d", n, err, want)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
	message := string(slices.Concat(make([]byte, 16), []byte{0, 2, 0, 12, 1, 0, 0, 1, 0, 8, 0, 4}, []byte{1, 0, 0, 12}, make([]byte, 8)))
	f(collector(nil), "udp", "127.0.0.1:4739", message, 2)
	f(new(objects), "tcp", "127.0.0.1:2003", "a.pkts 1 1\na.bytes 1 1\nb.pkts 1 1\nb.bytes 1 1\n", 2)
}

func TestKernelMeasureReportsFailure(t *testing.T) {
	lab.Test(t)
	b := &bench{count: 10, dir: t.TempDir()}
	if err := b.parse("0", ""); err != nil {
		t.Fatal(err)
	}
	_, err := b.measure(t.Context(), subject{logger: "x", load: nflogInput.load, command: []string{"/proc/self/exe", "-test.run=^$"}}, 0)
	if err == nil || !strings.Contains(err.Error(), "ended early") {
		t.Errorf("a logger that ends at once gave %v", err)
	}
}
