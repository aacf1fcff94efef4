package row

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ulogd-go/ulogd/pkg/event"
	"github.com/ulogd-go/ulogd/pkg/queue"
)

// keys is a source with a value of each kind.
type keys struct {
	list  []event.Key
	slots []event.Slot
}

func newKeys() *keys {
	return &keys{list: []event.Key{
		{Name: "oob.prefix", Kind: event.String}, {Name: "oob.mark", Kind: event.U32}, {Name: "ip.saddr", Kind: event.Addr},
		{Name: "ip.daddr", Kind: event.Addr}, {Name: "ip.saddr.bin", Kind: event.Literal}, {Name: "tcp.syn", Kind: event.Bool},
		{Name: "raw.mac", Kind: event.Raw}, {Name: "n", Kind: event.I32}, {Name: "nothing", Kind: event.U8},
	}, slots: make([]event.Slot, 9)}
}

func (k *keys) Bind(b *event.Binder) {
	for i := range k.list {
		b.Out(&k.slots[i], k.list[i])
	}
}

// fill adds an event with all values but the last.
func (k *keys) fill(b *event.Batch) {
	e := b.Add()
	store := func(i int, kind event.Kind, bytes string) {
		off := len(b.Buf)
		b.Buf = append(b.Buf, bytes...)
		b.Store(e, k.slots[i], kind, off)
	}
	store(0, event.String, "drop")
	e.Set(k.slots[1], event.U32, 0xffffffff)
	e.Set(k.slots[2], event.IP4, 0x0a000001)
	store(3, event.IP6, "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02")
	store(4, event.Literal, "0x00000000000000000000ffff0a000001")
	e.Set(k.slots[5], event.Bool, 1)
	store(6, event.Raw, "\x00\x0c")
	minus := int64(-3)
	e.Set(k.slots[7], event.I32, uint64(minus))
}

// table is an output with some columns, or with all that it might have if they are nil.
type table struct {
	Encoder
	columns []string
	bound   int
}

func (o *table) Bind(b *event.Binder) {
	done := func() { o.bound++ }
	if o.columns == nil {
		o.BindAll(b, done)
	} else {
		o.Encoder.Bind(b, o.columns, done)
	}
}

func open(t testing.TB, o *table) *event.Batch {
	t.Helper()
	source := newKeys()
	tree := event.NewTree("source", source)
	if err := tree.Stack([]string{"table"}, []event.Bindable{o}); err != nil {
		t.Fatal(err)
	}
	b := event.NewBatch(tree.Layout())
	source.fill(b)
	return b
}

// show is the values of a row.
func show(t *testing.T, r []byte) (texts []string) {
	t.Helper()
	values, err := Decode(nil, r)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range values {
		switch {
		case v.Kind == Null:
			texts = append(texts, "-")
		case v.Kind <= IP4:
			texts = append(texts, fmt.Sprintf("%d:%d", v.Kind, int64(v.Num)))
		default:
			texts = append(texts, fmt.Sprintf("%d:%x", v.Kind, v.Bytes))
		}
	}
	return texts
}

func TestEncode(t *testing.T) {
	o := &table{columns: strings.Fields("_id oob_prefix unknown nothing oob_mark ip_saddr ip_daddr_str ip_saddr_bin tcp_syn raw_mac n local_hostname nothing")}
	o.Constants = map[string]string{"local.hostname": "fw1", "oob.prefix": "not used"}
	b := open(t, o)
	if diff := cmp.Diff([]string{"_id", "unknown"}, o.Without()); diff != "" || o.bound != 1 {
		t.Errorf("columns without a key, after %d calls (-want +got):\n%s", o.bound, diff)
	}
	want := strings.Fields("oob_prefix nothing oob_mark ip_saddr ip_daddr_str ip_saddr_bin tcp_syn raw_mac n local_hostname nothing")
	if diff := cmp.Diff(want, Columns(o.Layout())); diff != "" {
		t.Errorf("layout (-want +got):\n%s", diff)
	}
	var blk queue.Block
	o.Encode(&blk, b.Rows())
	want = []string{"6:64726f70", "-", "3:4294967295", "4:167772161", "5:20010db8000000000000000000000002",
		"8:00000000000000000000ffff0a000001", "1:1", "7:000c", "2:-3", "6:667731", "-"}
	if diff := cmp.Diff(want, show(t, blk.Row(0))); diff != "" {
		t.Errorf("row (-want +got):\n%s", diff)
	}
}

// Of a table that can't be looked at, each column that it might have is filled.
func TestBindAll(t *testing.T) {
	o := &table{}
	o.Constants = map[string]string{"local.hostname": "fw1"}
	b := open(t, o)
	want := strings.Fields("oob_prefix oob_mark ip_saddr ip_daddr ip_saddr_bin tcp_syn raw_mac n nothing ip_saddr_str ip_daddr_str ip_daddr_bin local_hostname")
	if diff := cmp.Diff(want, Columns(o.Layout())); diff != "" || o.bound != 1 {
		t.Errorf("layout, after %d calls (-want +got):\n%s", o.bound, diff)
	}
	var blk queue.Block
	o.Encode(&blk, b.Rows())
	addr4, addr6 := "4:167772161", "5:20010db8000000000000000000000002"
	want = []string{"6:64726f70", "3:4294967295", addr4, addr6, "8:00000000000000000000ffff0a000001", "1:1", "7:000c", "2:-3", "-",
		addr4, addr6, addr6, "6:667731"}
	if diff := cmp.Diff(want, show(t, blk.Row(0))); diff != "" {
		t.Errorf("row (-want +got):\n%s", diff)
	}
}

func TestNoColumns(t *testing.T) {
	o := &table{columns: []string{"id"}}
	b := open(t, o)
	var blk queue.Block
	o.Encode(&blk, b.Rows())
	if o.Layout() != "" || Columns(o.Layout()) != nil || blk.Rows() != 1 || len(blk.Data) != 0 {
		t.Errorf("layout %q, block %+v", o.Layout(), blk)
	}
}

func TestEncodeDoesNotAllocate(t *testing.T) {
	o := &table{columns: strings.Fields("oob_prefix nothing ip_saddr ip_daddr ip_saddr_bin raw_mac n")}
	b := open(t, o)
	var blk queue.Block
	if n := testing.AllocsPerRun(100, func() {
		blk.Reset()
		o.Encode(&blk, b.Rows())
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
