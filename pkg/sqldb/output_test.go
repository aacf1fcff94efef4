package sqldb

import (
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ulogd-go/ulogd/pkg/queue"
	"github.com/ulogd-go/ulogd/pkg/row"
)

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestAppendJSON(t *testing.T) {
	blk := &queue.Block{Layout: "oob_prefix\x00oob_mark\x00ip_saddr\x00raw_mac\x00x\x00n"}
	blk.Data = row.AppendBytes(blk.Data, row.Text, []byte("a\"b"))
	blk.Data = row.AppendNum(blk.Data, row.Uint, 1<<63)
	blk.Data = row.AppendNum(blk.Data, row.IP4, 0x0a000001)
	blk.Data = row.AppendBytes(blk.Data, row.Raw, []byte{0, 1, 2})
	blk.Data = row.AppendNulls(blk.Data, 1)
	blk.Data = row.AppendNum(blk.Data, row.Int, 1<<64-1)
	blk.End()
	want := `{"oob_prefix":"a\"b","oob_mark":9223372036854775808,"ip_saddr":"10.0.0.1","raw_mac":"AAEC","n":-1}`
	if diff := cmp.Diff(want, string(AppendJSON(nil, blk, 0))); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	blk.Data[0] = 0xff // no row any more
	if got := string(AppendJSON(nil, blk, 0)); got != "{}" {
		t.Errorf("a malformed row: %s", got)
	}
}
