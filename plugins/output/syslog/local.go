package syslog

import (
	"os"
	"strconv"
	"time"

	"github.com/ulogd-go/ulogd/pkg/event"
	"github.com/ulogd-go/ulogd/pkg/plugin"
	"github.com/ulogd-go/ulogd/pkg/stamp"
)

// localFormat is that of the C library: RFC 3164 without a host. The text keeps
// its newline.
type localFormat struct {
	now      func() time.Time
	clock    *stamp.Clock
	priority string // "<29>"
	behind   string // what stands between the process id and the text
	head     []byte // what the messages of a batch begin with
}

func newLocal(priority int, g plugin.Generation, env *plugin.Env) *localFormat {
	f := &localFormat{now: env.Now, clock: stamp.NewClock(env.Zone), priority: "<" + strconv.Itoa(priority) + ">", behind: "]: "}
	if g == plugin.First {
		f.behind += " "
	}
	return f
}

func (f *localFormat) bind(*event.Binder) {}

func (f *localFormat) begin() {
	f.head = append(f.head[:0], f.priority...)
	f.head = f.clock.AppendSyslog(f.head, f.now().Unix())
	f.head = append(f.head, " ulogd["...)
	f.head = strconv.AppendInt(f.head, int64(os.Getpid()), 10)
	f.head = append(f.head, f.behind...)
}

func (f *localFormat) append(dst []byte, _ event.Event, text []byte) []byte {
	return append(append(dst, f.head...), text...)
}
