package torture

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ulogd-go/ulogd/contrib/dbtest"
	"github.com/ulogd-go/ulogd/contrib/lab"
)

// newTracker is a namespace in which each numbered packet is a connection, which
// ends when it is told to.
func newTracker(t *testing.T) *firewall {
	t.Helper()
	f := &firewall{ns: lab.Test(t)}
	for name, value := range map[string]string{"events": "1", "timestamp": "1", "udp_timeout": "3600"} {
		if err := f.ns.Sysctl("net.netfilter.nf_conntrack_"+name, value); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(f.ns.Track(0), f.ns.AddAddr("lo", "198.18.0.1/32")); err != nil {
		t.Fatal(err)
	}
	return f
}

// TestConnectionsDaemonKilled: the daemon that logs connections is killed at random
// moments, while they begin and end, and the service manager starts it again. Each
// record is there once: with the table one for each connection, else two.
func TestConnectionsDaemonKilled(t *testing.T) {
	for _, records := range []int{1, 2} {
		t.Run(fmt.Sprintf("records %d", records), func(t *testing.T) {
			rnd := random(t)
			fw := newTracker(t)
			server := dbtest.Get(t, dbtest.PostgreSQL)
			db := server.Database(t)
			db.LoadOriginal(t, "ulogd2")
			d := newDaemon(t, fw, newManager(t), fmt.Sprintf(`stack=ct1:NFCT,ip2str1:IP2STR,db1:PGSQL
[ct1]
hash_enable=%d
[db1]
host="%s"
db="%s"
user="%s"
password_file="DIR/password"
table="ulog2_ct"
procedure="INSERT_CT"
spool="DIR/spool"
reconnect=1
batch_time=50ms
`, 2-records, server.Socket, db.Name, db.User))
			if err := os.WriteFile(filepath.Join(d.dir, "password"), []byte(db.Password), 0o600); err != nil {
				t.Fatal(err)
			}
			d.start(t)
			stop := make(chan struct{})
			done := fw.flood(t, rand.New(rand.NewPCG(*seed, 2)), 3000, stop)
			for i := range times(5, 100) {
				time.Sleep(time.Duration(rnd.IntN(300)) * time.Millisecond) // the random moment
				if i%2 == 0 {
					end(t, fw)
				}
				d.kill(t)
				if i%3 == 0 {
					end(t, fw)
				}
				d.start(t)
			}
			close(stop)
			<-done
			end(t, fw)
			want := uint64(records) * uint64(fw.sent)
			var b books
			d.await(t, "settled", func() bool {
				b = d.status(t)
				return b.waiting == 0 && b.packets >= want
			})
			seen := map[uint32]int{}
			for _, r := range db.Query(t, "select host(orig_ip_saddr_str) from ulog2_ct") {
				seen[number(r[0])]++
			}
			wrong := 0
			for n := range fw.sent {
				if seen[n] != records {
					wrong++
				}
			}
			if wrong > 0 || b.packets != want || b.written != want {
				t.Errorf("of %d connections %d have not %d records; %d rows; the daemon says %+v", fw.sent, wrong, records, len(seen), b)
			}
			t.Logf("%d connections, %d records each", fw.sent, records)
		})
	}
}

// end ends all connections.
func end(t *testing.T, fw *firewall) {
	t.Helper()
	if err := fw.ns.FlushConnections(); err != nil {
		t.Fatal(err)
	}
}
