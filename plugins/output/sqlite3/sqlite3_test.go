package sqlite3

import (
	"bytes"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ulogd-go/ulogd/pkg/event"
	"github.com/ulogd-go/ulogd/pkg/plugin"
	"github.com/ulogd-go/ulogd/pkg/plugintest"
	"github.com/ulogd-go/ulogd/pkg/queue"
	"github.com/ulogd-go/ulogd/pkg/sqldb/sqlite"
)

// Tables as ulogd's own schema has them (reference page "ulogd2-outputs",
// section 14.7).
const (
	packetTable = `create table ulog_pkt (raw_pktlen int unsigned, raw_pktcount int unsigned, oob_prefix varchar(64),
		oob_time_sec int unsigned, oob_time_usec int unsigned, oob_mark int unsigned, oob_hook tinyint unsigned,
		oob_uid int unsigned, oob_gid int unsigned)`
	flowTable = `create table ulog_ct (flow_start_sec int unsigned, flow_start_usec int unsigned, flow_end_sec int unsigned,
		flow_end_usec int unsigned, orig_ip_saddr int unsigned, orig_ip_daddr int unsigned, orig_l4_sport smallint unsigned,
		orig_l4_dport smallint unsigned, orig_ip_protocol tinyint unsigned, icmp_type tinyint unsigned, icmp_code tinyint unsigned,
		orig_raw_pktlen int unsigned, orig_raw_pktcount int unsigned, reply_raw_pktlen int unsigned, reply_raw_pktcount int unsigned,
		ct_mark int unsigned)`
)

// newDB is the path of a new database on which statements were run.
func newDB(t testing.TB, statements ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "test.db")
	run(t, path, statements...)
	return path
}

// run runs statements on a database.
func run(t testing.TB, path string, statements ...string) {
	t.Helper()
	db := openDB(t, path)
	defer db.Close()
	for _, s := range statements {
		if _, err := db.Exec(s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

func openDB(t testing.TB, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	return db
}

// read is the result of a query, each value as SQLite's function quote shows it.
func read(t testing.TB, path, table, columns string) (rows []string) {
	t.Helper()
	db := openDB(t, path)
	defer db.Close()
	quoted := "quote(" + strings.ReplaceAll(columns, ",", ")||' '||quote(") + ")"
	result, err := db.Query(fmt.Sprintf("select %s from %s order by rowid", quoted, table))
	if err != nil {
		t.Fatal(err)
	}
	defer result.Close()
	for result.Next() {
		var s string
		if err := result.Scan(&s); err != nil {
			t.Fatal(err)
		}
		rows = append(rows, s)
	}
	if err := result.Err(); err != nil {
		t.Fatal(err)
	}
	return rows
}

// start is an instance that writes to a table and that has encoded events.
func start(t testing.TB, path, table string, sort plugin.Type, events ...plugintest.Event) (*sqlite.Output, *queue.Block, *bytes.Buffer) {
	t.Helper()
	return startWith(t, plugintest.Options{"db": path, "table": table, "busy_timeout": "10ms"}, sort, events...)
}

func startWith(t testing.TB, opts plugintest.Options, sort plugin.Type, events ...plugintest.Event) (*sqlite.Output, *queue.Block, *bytes.Buffer) {
	t.Helper()
	log := new(bytes.Buffer)
	run := plugintest.Bench{
		Plugin:  "SQLITE3",
		Options: opts,
		Env: func(env *plugin.Env) {
			env.Input = sort
			env.Log = slog.New(slog.NewTextHandler(log, nil))
		},
	}.Start(t, events...)
	o := run.Output(t).(*sqlite.Output)
	t.Cleanup(func() {
		if err := o.Close(); err != nil {
			t.Error(err)
		}
	})
	return o, run.Encode(t), log
}

// deliver connects and writes a block.
func deliver(t testing.TB, o *sqlite.Output, blk *queue.Block) {
	t.Helper()
	connect(t, o)
	write(t, o, blk)
}

func connect(t testing.TB, o *sqlite.Output) {
	t.Helper()
	if err := o.Connect(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func write(t testing.TB, o *sqlite.Output, blk *queue.Block) {
	t.Helper()
	if err := o.Write(t.Context(), blk); err != nil {
		t.Fatal(err)
	}
}

func diff(t *testing.T, want, got []string) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
}

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

func TestOriginalPacketTable(t *testing.T) {
	path := newDB(t, packetTable)
	o, blk, log := start(t, path, "ulog_pkt", plugin.Raw,
		plugintest.Event{
			"raw.pktlen": uint32(60), "raw.pktcount": uint32(1), "oob.prefix": "it's ", "oob.time.sec": uint32(1795422920),
			"oob.time.usec": uint32(501127), "oob.mark": uint32(0xfffffff0), "oob.hook": uint8(1), "oob.uid": uint32(1000),
			"oob.gid": uint32(4294967295),
		},
		plugintest.Event{"raw.pktlen": uint32(28), "oob.prefix": ""},
	)
	deliver(t, o, blk)
	diff(t, []string{
		"60 1 'it''s ' 1795422920 501127 4294967280 1 1000 4294967295",
		"28 NULL '' NULL NULL NULL NULL NULL NULL",
	}, read(t, path, "ulog_pkt", "raw_pktlen,raw_pktcount,oob_prefix,oob_time_sec,oob_time_usec,oob_mark,oob_hook,oob_uid,oob_gid"))
	if log.Len() > 0 {
		t.Errorf("log: %s", log)
	}
}

// TestOriginalFlowTable has the addresses of the recording of ulogd 2.0.8 that
// reference page "schemas", section 2.7, quotes.
func TestOriginalFlowTable(t *testing.T) {
	path := newDB(t, flowTable)
	o, blk, _ := start(t, path, "ulog_ct", plugin.Flow,
		plugintest.Event{
			"orig.ip.saddr": addr("10.77.1.2"), "orig.ip.daddr": addr("192.168.1.254"), "orig.l4.sport": uint16(65535),
			"orig.raw.pktlen": uint64(1) << 40, "flow.start.sec": uint32(1795422920), "ct.mark": uint32(1 << 31),
		},
		plugintest.Event{"orig.ip.saddr": addr("fd77:1::2")},
	)
	deliver(t, o, blk)
	diff(t, []string{
		"33639690 4261521600 65535 1099511627776 1795422920 2147483648",
		"'fd77:1::2' NULL NULL NULL NULL NULL",
	}, read(t, path, "ulog_ct", "orig_ip_saddr,orig_ip_daddr,orig_l4_sport,orig_raw_pktlen,flow_start_sec,ct_mark"))
}

func TestKinds(t *testing.T) {
	tests := []struct {
		name  string
		typ   string // of the column
		key   string
		value any
		want  string
	}{
		{"bool", "int", "a", true, "1"},
		{"u8", "int", "a", uint8(255), "255"},
		{"u16", "int", "a", uint16(65535), "65535"},
		{"u32 is unsigned", "int", "a", uint32(0xfffffff0), "4294967280"},
		{"u64 is signed, SQLite has no other", "int", "a", ^uint64(0), "-1"},
		{"i8", "int", "a", int8(-1), "-1"},
		{"i16", "int", "a", int16(-2), "-2"},
		{"i32", "int", "a", int32(-3), "-3"},
		{"i64", "int", "a", int64(-1 << 63), "-9223372036854775808"},
		{"IPv4 in a column without a type", "", "a", addr("192.0.2.1"), "16908480"},
		{"IPv4 by IP2HBIN, which has swapped it", "int unsigned", "ip.hsaddr", addr("1.0.0.127"), "2130706433"},
		{"IPv4 as text", "varchar(40)", "a", addr("192.0.2.1"), "'192.0.2.1'"},
		{"gateway", "int unsigned", "icmp.gateway", addr("192.0.2.254"), "3221226238"},
		{"gateway as text", "TEXT", "icmp.gateway", addr("192.0.2.254"), "'192.0.2.254'"},
		{"IPv6 as text", "text", "a", addr("2001:db8::1"), "'2001:db8::1'"},
		{"IPv6 of the longest form", "text", "a", addr("1111:2222:3333:4444:5555:6666:255.255.255.255"), "'1111:2222:3333:4444:5555:6666:ffff:ffff'"},
		{"IPv6 in a column for numbers", "integer", "a", addr("2001:db8::1"), "'2001:db8::1'"},
		{"column for an address as text", "text", "ip.saddr", addr("192.0.2.1"), "'192.0.2.1'"},
		{"string", "text", "a", "żółć", "'żółć'"},
		{"empty string", "text", "a", "", "''"},
		{"string of digits in a column for numbers", "int", "a", "42", "42"},
		{"raw", "blob", "a", []byte{0, 1, 255}, "X'0001FF'"},
		{"raw without bytes", "blob", "a", []byte{}, "X''"},
		{"raw as text", "varchar(80)", "a", []byte{0, 1, 255}, "'00:01:ff'"},
		{"raw without bytes as text", "text", "a", []byte{}, "''"},
		{"address of IP2BIN", "blob", "a", plugintest.Literal("0x00000000000000000000ffffc0000202"), "X'00000000000000000000FFFFC0000202'"},
		{"address of IP2BIN as text", "text", "a", plugintest.Literal("0x00000000000000000000ffffc0000202"), "'0x00000000000000000000ffffc0000202'"},
		{"other literal", "blob", "a", plugintest.Literal("0x01"), "'0x01'"},
		{"literal that is no number", "blob", "a", plugintest.Literal("0x0000000000000000000000000000000g"), "'0x0000000000000000000000000000000g'"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			column := strings.ReplaceAll(tt.key, ".", "_")
			path := newDB(t, fmt.Sprintf("create table t (%s %s)", column, tt.typ))
			o, blk, _ := start(t, path, "t", plugin.Raw, plugintest.Event{tt.key: tt.value}, plugintest.Event{})
			deliver(t, o, blk)
			diff(t, []string{tt.want, "NULL"}, read(t, path, "t", column))
		})
	}
}

// TestBytesOfStrings: NUL and invalid UTF-8 are stored as they are.
func TestBytesOfStrings(t *testing.T) {
	path := newDB(t, "create table t (oob_prefix text)")
	o, blk, _ := start(t, path, "t", plugin.Raw, plugintest.Event{"oob.prefix": "a\x00\xff\xfeb"})
	deliver(t, o, blk)
	diff(t, []string{"X'6100FFFE62'"}, read(t, path, "t", "cast(oob_prefix as blob)"))
}

// TestAddressWithoutIP2STR: a column for the text of an address is filled from
// the address if nobody publishes the text, and only then.
func TestAddressWithoutIP2STR(t *testing.T) {
	path := newDB(t, "create table t (ip_saddr_str text, ip_daddr_str text)")
	o, blk, log := start(t, path, "t", plugin.Raw, plugintest.Event{
		"ip.saddr": addr("192.0.2.1"), "ip.daddr": addr("192.0.2.2"), "ip.daddr.str": "text",
	})
	deliver(t, o, blk)
	diff(t, []string{"'192.0.2.1' 'text'"}, read(t, path, "t", "ip_saddr_str,ip_daddr_str"))
	if log.Len() > 0 {
		t.Errorf("log: %s", log)
	}
}

// TestColumnsWithoutKey: one warning names them, and they stay NULL. The number
// of the row is SQLite's, and what SQLite computes is left alone.
func TestColumnsWithoutKey(t *testing.T) {
	path := newDB(t, `create table t (id integer primary key autoincrement, oob_mark int, "sen""sor" text default 'fw',
		Oob_Prefix text, double int generated always as (oob_mark * 2) stored)`)
	o, blk, log := start(t, path, "t", plugin.Raw, plugintest.Event{"oob.mark": uint32(7), "oob.prefix": "x"})
	deliver(t, o, blk)
	diff(t, []string{"1 7 'fw' NULL 14"}, read(t, path, "t", `id,oob_mark,"sen""sor",Oob_Prefix,double`))
	if n := strings.Count(log.String(), "level=WARN"); n != 1 {
		t.Errorf("%d warnings, want 1:\n%s", n, log)
	}
	for _, want := range []string{`sen\"sor`, "Oob_Prefix (key Oob.Prefix)"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("log %q lacks %q", log, want)
		}
	}
	if strings.Contains(log.String(), "id (key") {
		t.Errorf("log %q complains of the row's number", log)
	}
}

func TestOddNames(t *testing.T) {
	path := newDB(t, `create table "select ""x"" from" ("group" int, "a.b" int, `+strings.Repeat("a_", 20)+` int)`)
	o, blk, _ := start(t, path, `select "x" from`, plugin.Raw,
		plugintest.Event{"group": uint8(1), "a.b": uint8(2), strings.Repeat("a.", 15) + "a": uint8(3)})
	deliver(t, o, blk)
	diff(t, []string{"1 2 3"}, read(t, path, `"select ""x"" from"`, `"group","a.b",`+strings.Repeat("a_", 20)))
}

// TestView: a trigger may take the rows of a view apart.
func TestView(t *testing.T) {
	path := newDB(t, "create table t (mark int)", "create view v as select mark as oob_mark from t",
		"create trigger i instead of insert on v begin insert into t values (new.oob_mark + 1); end")
	o, blk, _ := start(t, path, "v", plugin.Raw, plugintest.Event{"oob.mark": uint32(1)})
	deliver(t, o, blk)
	diff(t, []string{"2"}, read(t, path, "t", "mark"))
}

func TestFreshFile(t *testing.T) {
	tests := []struct {
		name    string
		sort    plugin.Type
		event   plugintest.Event
		columns string
		want    string
	}{
		{"packets", plugin.Raw, plugintest.Event{
			"oob.prefix": "p", "ip.saddr": addr("192.0.2.1"), "ip.daddr.str": "2001:db8::1", "oob.physin": "eth1",
			"icmp.gateway": addr("192.0.2.254"), "tcp.seq": uint32(0xffffffff),
		}, "_id,oob_prefix,ip_saddr_str,ip_daddr_str,oob_physin,icmp_gateway,tcp_seq,udp_sport",
			"1 'p' '192.0.2.1' '2001:db8::1' 'eth1' '192.0.2.254' 4294967295 NULL"},
		{"flows", plugin.Flow, plugintest.Event{"orig.ip.saddr": addr("192.0.2.1"), "ct.event": uint32(4)},
			"_ct_id,orig_ip_saddr_str,ct_event", "1 '192.0.2.1' 4"},
		{"sums", plugin.Sum, plugintest.Event{"sum.name": "in", "sum.bytes": uint64(1) << 40},
			"_id,sum_name,sum_bytes", "1 'in' 1099511627776"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "a?b%20 #.db")
			o, blk, log := start(t, path, `my "log"`, tt.sort, tt.event)
			if _, err := os.Stat(path); !os.IsNotExist(err) {
				t.Fatalf("Bind has made the file, %v", err)
			}
			deliver(t, o, blk)
			copied := filepath.Join(t.TempDir(), "copy.db")
			if err := o.Close(); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(path, copied); err != nil {
				t.Fatal(err)
			}
			diff(t, []string{tt.want}, read(t, copied, `"my ""log"""`, tt.columns))
			diff(t, []string{"'wal'"}, read(t, copied, "pragma_journal_mode", "journal_mode"))
			if strings.Contains(log.String(), "WARN") {
				t.Errorf("log: %s", log)
			}
		})
	}
}

// TestExistingFile: a file that has other tables gets ours, and keeps its journal.
func TestExistingFile(t *testing.T) {
	path := newDB(t, "create table other (a)")
	o, blk, log := start(t, path, "mainlog", plugin.Raw, plugintest.Event{"oob.mark": uint32(7)})
	deliver(t, o, blk)
	diff(t, []string{"7"}, read(t, path, "mainlog", "oob_mark"))
	diff(t, []string{"'delete'"}, read(t, path, "pragma_journal_mode", "journal_mode"))
	if !strings.Contains(log.String(), "has no table mainlog, making it") {
		t.Errorf("the new table is not mentioned: %s", log)
	}
}

// TestBindTouchesNothing looks at databases with both sorts of journal.
func TestBindTouchesNothing(t *testing.T) {
	for _, mode := range []string{"delete", "wal"} {
		path := newDB(t, "pragma journal_mode="+mode, packetTable)
		before := listing(t, path)
		start(t, path, "ulog_pkt", plugin.Raw)
		diff(t, before, listing(t, path))
	}
}

// TestHotJournal starts after a writer that was killed in the middle of a transaction.
func TestHotJournal(t *testing.T) {
	path := newDB(t, "create table t (oob_prefix text)", "insert into t values ('committed')")
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=cache_size(1)&_pragma=cache_spill(1)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }() // its files are of no interest any more
	for range 1000 {
		if _, err := tx.Exec("insert into t values (?)", strings.Repeat("lost", 200)); err != nil {
			t.Fatal(err)
		}
	}
	killed := filepath.Join(t.TempDir(), "killed.db") // has what the disk had at that moment
	for _, suffix := range []string{"", "-journal"} {
		data, err := os.ReadFile(path + suffix)
		if err == nil {
			err = os.WriteFile(killed+suffix, data, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	o, blk, _ := start(t, killed, "t", plugin.Raw, plugintest.Event{"oob.prefix": "new"})
	deliver(t, o, blk)
	diff(t, []string{"'committed'", "'new'"}, read(t, killed, "t", "oob_prefix"))
}

// listing is the files beside path, with their sizes and times.
func listing(t *testing.T, path string) (files []string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, fmt.Sprint(e.Name(), info.Size(), info.ModTime()))
	}
	return files
}

// TestConnectRefuses: these keep the stack from starting, and the error says
// what to do.
func TestConnectRefuses(t *testing.T) {
	dir := t.TempDir()
	text := filepath.Join(dir, "text")
	if err := os.WriteFile(text, []byte(strings.Repeat("no database\n", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, path, want string
	}{
		{"directory missing", filepath.Join(dir, "no/such/log.db"), "see to it that the directory exists"},
		{"directory is a file", filepath.Join(text, "log.db"), "not a directory"},
		{"file is a directory", dir, "no regular file"},
		{"no database", text, "not a database"},
		{"no key", newDB(t, "create table t (a int, b int)"), "name the columns after keys"},
		{"needs a value", newDB(t, "create table t (oob_mark int, sensor text not null)"), "column sensor is NOT NULL"},
		{"view", newDB(t, "create view t as select 1 as oob_mark"), "cannot modify t because it is a view"},
	}
	if os.Geteuid() != 0 {
		path := newDB(t, "create table t (oob_mark int)")
		if err := os.Chmod(path, 0o400); err != nil {
			t.Fatal(err)
		}
		tests = append(tests, struct{ name, path, want string }{"file not writable", path, "let the daemon read and write the file"})
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o, _, _ := start(t, tt.path, "t", plugin.Raw, plugintest.Event{"oob.mark": uint32(1)})
			err := o.Connect(t.Context())
			if err == nil || errors.Is(err, plugin.ErrNotConnected) {
				t.Fatalf("error %v, want one that stops the stack", err)
			}
			for _, want := range []string{tt.want, tt.path} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q lacks %q", err, want)
				}
			}
		})
	}
}

func TestOptions(t *testing.T) {
	for _, opts := range []plugintest.Options{
		{"db": "x"}, {"table": "x"},
		{"db": "x", "table": "y", "batch_rows": "0"},
		{"db": "x", "table": "a\x00b"},
	} {
		if _, _, err := (plugintest.Bench{Plugin: "SQLITE3", Options: opts}).Open(t); err == nil {
			t.Errorf("%q are accepted", opts)
		}
	}
	opts := plugintest.Options{"db": filepath.Join(t.TempDir(), "x"), "table": "t", "batch_rows": "10", "batch_time": "250ms", "queue_memory": "1MiB"}
	got, batching := plugintest.Bench{Plugin: "SQLITE3", Options: opts}.Start(t).Output(t).Queue()
	if want := (queue.Batching{Rows: 10, Bytes: blockBytes, Age: 250 * time.Millisecond}); batching != want {
		t.Errorf("%+v, want %+v", batching, want)
	}
	if want := queue.Defaults; got.Memory != 1<<20 || got.OnFull != want.OnFull {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// TestDescribe: the plugin can be asked for its keys without a database.
func TestDescribe(t *testing.T) {
	spec, err := plugin.Default.Lookup("SQLITE3")
	if err != nil {
		t.Fatal(err)
	}
	x, err := spec.Describe()
	if err != nil {
		t.Fatal(err)
	}
	var b event.Binder
	x.Bind(&b)
	if len(b.Inputs()) != 0 {
		t.Errorf("inputs %v without a table", b.Inputs())
	}
}

func TestEncodeDoesNotAllocate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	plugintest.Allocs(t, "SQLITE3", plugintest.Options{"db": path, "table": "t"}, packetKeys, packet(0), packet(1))
	path = newDB(t, "create table t (ip_saddr int, icmp_gateway int, raw_mac text, raw_pkt blob, ip_saddr_bin blob)")
	plugintest.Allocs(t, "SQLITE3", plugintest.Options{"db": path, "table": "t"}, []event.Key{
		{Name: "ip.saddr", Kind: event.Addr}, {Name: "icmp.gateway", Kind: event.Addr}, {Name: "raw.mac", Kind: event.Raw},
		{Name: "raw.pkt", Kind: event.Raw}, {Name: "ip.saddr.bin", Kind: event.Literal},
	}, plugintest.Event{
		"ip.saddr": addr("192.0.2.1"), "icmp.gateway": addr("192.0.2.1"), "raw.mac": []byte{1, 2}, "raw.pkt": []byte{1},
		"ip.saddr.bin": plugintest.Literal("0x00000000000000000000ffffc0000202"),
	}, plugintest.Event{"ip.saddr": addr("::1")})
}

// packetKeys are the keys of a usual stack that our table has columns for, and
// some more that it has not.
var packetKeys = []event.Key{
	{Name: "oob.time.sec", Kind: event.U32}, {Name: "oob.time.usec", Kind: event.U32}, {Name: "oob.hook", Kind: event.U8},
	{Name: "oob.prefix", Kind: event.String}, {Name: "oob.mark", Kind: event.U32}, {Name: "oob.in", Kind: event.String},
	{Name: "oob.out", Kind: event.String}, {Name: "oob.family", Kind: event.U8}, {Name: "ip.saddr.str", Kind: event.String},
	{Name: "ip.daddr", Kind: event.Addr}, {Name: "ip.protocol", Kind: event.U8}, {Name: "ip.ttl", Kind: event.U8},
	{Name: "ip.totlen", Kind: event.U16}, {Name: "ip.id", Kind: event.U16}, {Name: "tcp.sport", Kind: event.U16},
	{Name: "tcp.dport", Kind: event.U16}, {Name: "tcp.seq", Kind: event.U32}, {Name: "tcp.window", Kind: event.U16},
	{Name: "tcp.syn", Kind: event.Bool}, {Name: "mac.saddr.str", Kind: event.String}, {Name: "raw.pktlen", Kind: event.U32},
}

// packet is a TCP packet whose values depend on i.
func packet(i int) plugintest.Event {
	from := netip.AddrFrom4([4]byte{192, 0, 2, byte(i)})
	return plugintest.Event{
		"oob.time.sec": uint32(1795422920 + i/1000), "oob.time.usec": uint32(i % 1000), "oob.hook": 1, "oob.prefix": "fw-in tcp: ",
		"oob.mark": 0, "oob.in": "eth0", "oob.out": "", "oob.family": 2, "ip.saddr.str": from.String(), "ip.daddr": from,
		"ip.protocol": 6, "ip.ttl": 64, "ip.totlen": 60, "ip.id": uint16(i * 7), "tcp.sport": uint16(1024 + i), "tcp.dport": 443,
		"tcp.seq": uint32(i * 1234567), "tcp.window": 64240, "tcp.syn": i%2 == 0, "mac.saddr.str": "02:00:00:00:be:ef", "raw.pktlen": 60,
	}
}

func packets(n int) []plugintest.Event {
	events := make([]plugintest.Event, n)
	for i := range events {
		events[i] = packet(i)
	}
	return events
}

// BenchmarkWrite measures whole transactions of 5,000 rows.
func BenchmarkWrite(b *testing.B) {
	events := packets(5000)
	twenty := make([]string, 0, len(packetKeys))
	for _, k := range packetKeys {
		if k.Name != "raw.pktlen" {
			twenty = append(twenty, strings.ReplaceAll(k.Name, ".", "_")+" int")
		}
	}
	table := "create table t (" + strings.Join(twenty, ",") + ")"
	for name, path := range map[string]string{
		"20columns": newDB(b, table), "20columnsWAL": newDB(b, "pragma journal_mode=wal", table),
		"original": newDB(b, strings.Replace(packetTable, "ulog_pkt", "t", 1)), "ours": filepath.Join(b.TempDir(), "ours.db"),
	} {
		b.Run(name, func(b *testing.B) {
			o, blk, _ := start(b, path, "t", plugin.Raw, slices.Clone(events)...)
			connect(b, o)
			b.ReportAllocs()
			for b.Loop() {
				write(b, o, blk)
			}
			b.ReportMetric(float64(b.N*blk.Rows())/b.Elapsed().Seconds(), "rows/s")
			b.ReportMetric(float64(len(blk.Data))/float64(blk.Rows()), "bytes/row")
		})
	}
}

// BenchmarkEncode measures the work on the pipeline's goroutine.
func BenchmarkEncode(b *testing.B) {
	const n = 100
	run := plugintest.Bench{
		Plugin: "SQLITE3", Keys: packetKeys,
		Options: plugintest.Options{"db": filepath.Join(b.TempDir(), "ours.db"), "table": "t"},
	}.Start(b, packets(n)...)
	b.ReportAllocs()
	for b.Loop() {
		run.Encode(b)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/row")
}
