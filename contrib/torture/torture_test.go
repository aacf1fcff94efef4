// Package torture has the daemon and the database crash while numbered packets
// come, and counts what is in the table afterwards: each packet once. Its tests are
// short; with -long they are what "make torture" runs.
package torture

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ulogd-go/ulogd/contrib/dbtest"
)

var (
	long = flag.Bool("long", false, "crash as often as make torture does")
	seed = flag.Uint64("seed", 1, "of what is random")
)

func TestMain(m *testing.M) {
	flag.Parse()
	dbtest.Main(m)
}

// times is how often something is done.
func times(short, many int) int {
	if *long {
		return many
	}
	return short
}

func random(t *testing.T) *rand.Rand {
	t.Helper()
	t.Logf("seed %d", *seed)
	return rand.New(rand.NewPCG(*seed, 1))
}

// engines runs a test with each server.
func engines(t *testing.T, f func(t *testing.T, e dbtest.Engine)) {
	for _, e := range []dbtest.Engine{dbtest.PostgreSQL, dbtest.MySQL} {
		t.Run(string(e), func(t *testing.T) { f(t, e) })
	}
}

// setUp is a firewall, a database and a daemon between them.
func setUp(t *testing.T, e dbtest.Engine, m *manager, more string) (*firewall, *target, *daemon) {
	t.Helper()
	fw := newFirewall(t)
	db := newTarget(t, e, "")
	d := newDaemon(t, fw, m, db.config+more)
	if err := os.WriteFile(filepath.Join(d.dir, "password"), []byte(db.Password+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return fw, db, d
}

// TestDaemonKilled: the daemon is killed at random moments of a flood, and the
// service manager starts it again. Nothing is missing.
func TestDaemonKilled(t *testing.T) {
	engines(t, func(t *testing.T, e dbtest.Engine) {
		rnd := random(t)
		fw, db, d := setUp(t, e, newManager(t), "")
		d.start(t)
		stop := make(chan struct{})
		done := fw.flood(t, rand.New(rand.NewPCG(*seed, 2)), 5000, stop)
		for range times(5, 100) {
			time.Sleep(time.Duration(rnd.IntN(300)) * time.Millisecond) // the random moment
			d.kill(t)
			d.start(t)
		}
		close(stop)
		<-done
		if b := db.settle(t, d); b.lost+b.refused > 0 {
			t.Errorf("%+v: packets are missing, although the socket was kept", b)
		}
	})
}

// TestServerKilled: the server is killed at random moments, within COMMIT too.
func TestServerKilled(t *testing.T) {
	engines(t, func(t *testing.T, e dbtest.Engine) {
		rnd := random(t)
		fw, db, d := setUp(t, e, nil, "")
		d.start(t)
		stop := make(chan struct{})
		done := fw.flood(t, rand.New(rand.NewPCG(*seed, 2)), 5000, stop)
		for range times(2, 25) {
			time.Sleep(time.Duration(rnd.IntN(500)) * time.Millisecond) // the random moment
			db.Kill()
			if err := db.Start(); err != nil {
				t.Fatal(err)
			}
		}
		close(stop)
		<-done
		if b := db.settle(t, d); b.lost+b.refused > 0 {
			t.Errorf("%+v: packets are missing", b)
		}
	})
}

// TestConnectionCut: connections are cut before and after COMMIT. The daemon can't
// know which it was, and stores each row once.
func TestConnectionCut(t *testing.T) {
	engines(t, func(t *testing.T, e dbtest.Engine) {
		rnd := random(t)
		fw := newFirewall(t)
		var cuts [3]int
		cut := func(int) dbtest.Cut {
			c := dbtest.Cut(rnd.IntN(3))
			cuts[c]++
			return c
		}
		proxy := dbtest.NewProxy(t, dbtest.Get(t, e), cut)
		db := newTarget(t, e, proxy.Socket)
		d := newDaemon(t, fw, nil, db.config)
		if err := os.WriteFile(filepath.Join(d.dir, "password"), []byte(db.Password), 0o600); err != nil {
			t.Fatal(err)
		}
		d.start(t)
		for range times(12, 300) {
			fw.send(t, 20)
			sent := uint64(fw.sent)
			d.await(t, "stored", func() bool { b := d.status(t); return b.written == sent })
		}
		db.settle(t, d)
		t.Logf("%d commits came through, %d were cut before and %d after", cuts[dbtest.No], cuts[dbtest.Before], cuts[dbtest.After])
		if cuts[dbtest.Before] == 0 || cuts[dbtest.After] == 0 {
			t.Error("nothing was cut")
		}
	})
}

// TestNewColumn: a column that is added while the daemon runs is filled after
// SIGHUP, with the very next packet.
func TestNewColumn(t *testing.T) {
	engines(t, func(t *testing.T, e dbtest.Engine) {
		fw, db, d := setUp(t, e, nil, "")
		db.Exec(t, "create table flat (_id int, oob_prefix varchar(32))")
		d.edit(t, `table="ulog"`, `table="flat"`, "INSERT_PACKET_FULL", "INSERT")
		d.start(t)
		fw.send(t, 3)
		d.await(t, "stored", func() bool { return d.status(t).written == 3 })
		db.Exec(t, "alter table flat add column udp_dport int", "alter table flat add column raw_pktlen int", "alter table flat add column local_hostname varchar(255)")
		if err := d.cmd.Process.Signal(unix.SIGHUP); err != nil {
			t.Fatal(err)
		}
		d.await(t, "reopened", func() bool { return strings.Count(d.log(t), "table flat: rows are stored") == 2 })
		fw.send(t, 2)
		d.await(t, "stored", func() bool { return d.status(t).written == 5 })
		host, err := os.Hostname()
		if err != nil {
			t.Fatal(err)
		}
		got := fmt.Sprint(db.Query(t, "select udp_dport, raw_pktlen, local_hostname, count(*) from flat group by 1, 2, 3 order by 4"))
		if want := fmt.Sprintf("[[53 28 %s 2] [NULL NULL NULL 3]]", host); got != want {
			t.Errorf("rows %s, want %s", got, want)
		}
	})
}

// TestOtherColumns: rows wait for a table that has no column for them, and come into
// one that has. Those that wait when all columns become others are rejected, and hold up
// nobody.
func TestOtherColumns(t *testing.T) {
	engines(t, func(t *testing.T, e dbtest.Engine) {
		fw, db, d := setUp(t, e, nil, "")
		db.Exec(t, "create table flat (nonsense int)")
		d.edit(t, `table="ulog"`, `table="flat"`, "INSERT_PACKET_FULL", "INSERT", "batch_time=50ms", "batch_time=3s")
		d.start(t)
		fw.send(t, 3)
		d.await(t, "complaining", func() bool { return strings.Contains(d.log(t), "publishes the key of any column") })
		fw.send(t, 4)
		db.Exec(t, "alter table flat add column udp_dport int")
		d.await(t, "stored", func() bool { return d.status(t).written == 7 })
		fw.send(t, 5) // which wait for others
		d.await(t, "waiting", func() bool { return d.status(t).waiting == 5 })
		db.Exec(t, "alter table flat drop column udp_dport", "alter table flat add column udp_sport int")
		d.await(t, "rejected", func() bool { return d.status(t).rejected == 5 })
		fw.send(t, 6)
		d.await(t, "stored", func() bool { return d.status(t).written == 13 })
		if got, want := fmt.Sprint(db.Query(t, "select udp_sport, count(*) from flat group by 1 order by 2")), "[[1024 6] [NULL 7]]"; got != want {
			t.Errorf("rows %s, want %s", got, want)
		}
	})
}

// TestRowsRefused: rows that the server refuses are in the file of rejected rows
// once, although the daemon is killed in between.
func TestRowsRefused(t *testing.T) {
	engines(t, func(t *testing.T, e dbtest.Engine) {
		rnd := random(t)
		fw, db, d := setUp(t, e, newManager(t), "")
		check := "alter table ulog2 add constraint c check (ip_saddr_str - inet '10.0.0.0' <> 7 and (ip_saddr_str - inet '10.0.0.0') % 1000 <> 500)"
		if e == dbtest.MySQL {
			check = "alter table ulog2 add constraint c check (ip_saddr <> x'00000000000000000000ffff0a000007' and substr(ip_saddr, 16) <> x'f4')"
		}
		db.Exec(t, check)
		d.start(t)
		stop := make(chan struct{})
		done := fw.flood(t, rand.New(rand.NewPCG(*seed, 2)), 3000, stop)
		for range times(3, 30) {
			time.Sleep(time.Duration(rnd.IntN(300)) * time.Millisecond) // the random moment
			d.kill(t)
			d.start(t)
		}
		close(stop)
		<-done
		if b := db.settle(t, d); b.rejected == 0 || b.lost+b.refused > 0 {
			t.Errorf("%+v: want rejected rows, and none missing", b)
		}
	})
}

// TestCorruptSpool: bytes of the spool are changed while the server and the daemon
// are down. What can be read arrives once, the rest is counted.
func TestCorruptSpool(t *testing.T) {
	rnd := random(t)
	for range times(2, 20) {
		fw, db, d := setUp(t, dbtest.PostgreSQL, newManager(t), "")
		d.start(t)
		fw.send(t, 100)
		db.settle(t, d)
		db.Stop()
		for range 20 {
			fw.send(t, 100)
		}
		d.await(t, "waiting on disk", func() bool { return d.status(t).packets == 2100 })
		d.kill(t)
		segments, err := filepath.Glob(filepath.Join(d.spool(), "*.seg"))
		if err != nil || len(segments) == 0 {
			t.Fatal(segments, err)
		}
		for range 3 {
			flip(t, rnd, segments[rnd.IntN(len(segments))])
		}
		if err := db.Start(); err != nil {
			t.Fatal(err)
		}
		d.start(t)
		fw.send(t, 100)
		if b := db.settle(t, d); b.lost > 1500 {
			t.Errorf("%+v: three bytes have cost too much", b)
		}
		d.kill(t)
	}
}

// flip changes a byte behind the first row's record.
func flip(t *testing.T, rnd *rand.Rand, path string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	at := 2000 + rnd.Int64N(info.Size()-2000)
	var b [1]byte
	if _, err := f.ReadAt(b[:], at); err != nil {
		t.Fatal(err)
	}
	b[0] ^= byte(1 + rnd.IntN(255))
	if _, err := f.WriteAt(b[:], at); err != nil {
		t.Fatal(err)
	}
}

// TestFullDisk: the spool's disk fills while the server is away. What finds no
// room is refused and counted; there is room again when the server is back.
func TestFullDisk(t *testing.T) {
	fw, db, d := setUp(t, dbtest.PostgreSQL, nil, "queue_memory=256KiB\n")
	if err := os.Mkdir(filepath.Join(d.dir, "spool"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("torture", filepath.Join(d.dir, "spool"), "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("NOT TESTED: mount a small disk: %v (needs root)", err)
	}
	t.Cleanup(func() {
		if d.cmd != nil {
			d.kill(t)
		}
		if err := unix.Unmount(filepath.Join(d.dir, "spool"), 0); err != nil {
			t.Error(err)
		}
	})
	d.start(t)
	db.Stop()
	for range 150 {
		fw.send(t, 100)
		time.Sleep(2 * time.Millisecond) // a rate at which the socket does not overrun
	}
	d.await(t, "full", func() bool { b := d.status(t); return b.refused > 0 && b.packets == uint64(fw.sent) })
	if err := db.Start(); err != nil {
		t.Fatal(err)
	}
	d.await(t, "empty", func() bool { return d.status(t).waiting == 0 })
	fw.send(t, 100)
	if b := db.settle(t, d); b.lost > 0 {
		t.Errorf("%+v: packets are lost, not refused", b)
	}
}

// TestOutage: the server is away for a while at 5,000 packets a second. Memory
// stays bounded, another stack goes on, and afterwards all is there.
func TestOutage(t *testing.T) {
	engines(t, func(t *testing.T, e dbtest.Engine) {
		fw, db, d := setUp(t, e, nil, "")
		other := "stack=log1:NFLOG,base1:BASE,ifi1:IFINDEX,ip2str1:IP2STR,print1:PRINTPKT,emu1:LOGEMU\n"
		text, err := os.ReadFile(d.conf)
		if err != nil {
			t.Fatal(err)
		}
		text = []byte(strings.Replace(string(text), "[log1]", other+"[log1]", 1) + "[emu1]\nfile=\"" + d.dir + "/emu.log\"\n")
		if err := os.WriteFile(d.conf, text, 0o600); err != nil {
			t.Fatal(err)
		}
		d.start(t)
		fw.send(t, 10)
		db.settle(t, d)
		db.Stop()
		stop := make(chan struct{})
		done := fw.flood(t, rand.New(rand.NewPCG(*seed, 2)), 5000, stop)
		peak := 0
		for end := time.Now().Add(time.Duration(times(3, 600)) * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
			peak = max(peak, resident(t, d.cmd.Process.Pid))
		}
		close(stop)
		<-done
		d.await(t, "logged", func() bool { return lines(t, d.dir+"/emu.log") == int(fw.sent) })
		backlog := d.status(t).waiting
		if err := db.Start(); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		d.await(t, "caught up", func() bool { return d.status(t).waiting == 0 })
		t.Logf("%d rows waited; %.0f a second afterwards; %d MiB of memory at most", backlog, float64(backlog)/time.Since(start).Seconds(), peak>>20)
		if peak > 150<<20 {
			t.Errorf("%d MiB of memory", peak>>20)
		}
		if b := db.settle(t, d); b.lost+b.refused > 0 {
			t.Errorf("%+v: packets are missing", b)
		}
	})
}

func lines(t *testing.T, path string) int {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(string(b), "\n")
}

// resident is a process's memory in bytes.
func resident(t *testing.T, pid int) int {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		t.Fatal(err)
	}
	var size, pages int
	if _, err := fmt.Sscan(string(b), &size, &pages); err != nil {
		t.Fatal(err)
	}
	return pages * os.Getpagesize()
}

// TestStartWithoutServer: the daemon starts before the server, and later without the
// right password and without the table. Rows wait for each.
func TestStartWithoutServer(t *testing.T) {
	engines(t, func(t *testing.T, e dbtest.Engine) {
		fw, db, d := setUp(t, e, nil, "")
		if err := os.WriteFile(filepath.Join(d.dir, "password"), []byte("hunter2"), 0o600); err != nil {
			t.Fatal(err)
		}
		away := [2]string{"alter view ulog rename to away", "alter view away rename to ulog"}
		if e == dbtest.MySQL {
			away = [2]string{"rename table ulog to away", "rename table away to ulog"}
		}
		db.Exec(t, away[0])
		db.Stop()
		d.start(t)
		fw.send(t, 500)
		d.await(t, "waiting", func() bool { return d.status(t).waiting == 500 })
		if err := db.Start(); err != nil {
			t.Fatal(err)
		}
		d.end(t, unix.SIGTERM)
		d.start(t)
		fw.send(t, 500)
		d.await(t, "waiting", func() bool { return d.status(t).waiting == 1000 })
		if log := d.log(t); strings.Contains(log, "hunter2") || strings.Contains(log, "wrong on purpose") {
			t.Errorf("the password is in the log:\n%s", log)
		}
		if err := os.WriteFile(filepath.Join(d.dir, "password"), []byte(db.Password), 0o600); err != nil {
			t.Fatal(err)
		}
		d.await(t, "looking for the table", func() bool { return strings.Contains(d.log(t), "no table or view ulog") })
		db.Exec(t, away[1])
		if b := db.settle(t, d); b.written != 1000 {
			t.Errorf("%+v", b)
		}
	})
}
