package nfct

import (
	"testing"
	"time"

	"github.com/ulogd-go/ulogd/pkg/ctnetlink"
	"github.com/ulogd-go/ulogd/pkg/nlsock"
)

// FuzzDatagram: no datagram does harm, with the table or without, as an event or as a part of
// a dump's answer. The table never holds more than it may.
func FuzzDatagram(f *testing.F) {
	for _, what := range []ctnetlink.Event{ctnetlink.New, ctnetlink.Update, ctnetlink.Destroy} {
		m := message(what, connection(1))
		f.Add(nlsock.AppendMessage(nil, m.Type, 0, m.Body), what == ctnetlink.Update)
		f.Add(nlsock.AppendMessage(nlsock.AppendMessage(nil, m.Type, 0, m.Body), nlsock.TypeDone, 0, make([]byte, 4)), true)
	}
	f.Fuzz(func(t *testing.T, datagram []byte, answer bool) {
		for _, hash := range []bool{true, false} {
			o := defaults
			o.HashEnable, o.Emit = hash, 7
			in := newInput(t, o)
			if hash {
				in.table = newTable(1, 2)
			}
			in.received = time.Unix(0, second(0))
			in.now = second(0)
			in.dump.number = 1
			for rest, ok := datagram, true; ok; {
				var m nlsock.Message
				if m, rest, ok = nlsock.NextMessage(rest); !ok {
					break
				}
				if done, _ := m.End(); answer && !done {
					in.answer(in.Batch, m)
				} else {
					in.event(in.Batch, m)
				}
			}
			for _, r := range in.rows() {
				if r["ct.event"] == "" {
					t.Errorf("a record without an event: %v", r)
				}
			}
			if hash {
				in.dump.state, in.dump.cursor, in.dump.number = sweeping, 1, 2
				in.Batch.Reset()
				for in.dump.state == sweeping {
					in.sweep(in.Batch)
				}
				if in.table.n != 0 || in.table.used > 2 {
					t.Errorf("%d connections are left, %d entries were used", in.table.n, in.table.used)
				}
			}
		}
	})
}
