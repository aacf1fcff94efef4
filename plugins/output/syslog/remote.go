package syslog

import (
	"bytes"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/ulogd-go/ulogd/pkg/event"
	"github.com/ulogd-go/ulogd/pkg/plugin"
	"github.com/ulogd-go/ulogd/pkg/stamp"
)

// remoteFormat is that of RFC 5424, section 6. On a stream each message stands
// behind its length (RFC 6587, section 3.4.1; RFC 5425, section 4.3).
type remoteFormat struct {
	now     func() time.Time
	clock   *stamp.Clock
	counted bool
	before  string // up to the time
	behind  string // from the time to the text
	message []byte // when its length has to be known first

	sec, usec event.Slot
}

func newRemote(priority int, counted bool, env *plugin.Env) *remoteFormat {
	return &remoteFormat{
		now: env.Now, clock: stamp.NewClock(env.Zone), counted: counted,
		before: "<" + strconv.Itoa(priority) + ">1 ",
		behind: " " + hostname(env.Hostname) + " ulogd " + strconv.Itoa(os.Getpid()) + " - - ",
	}
}

// hostname is a name as the header may hold it: printable and without spaces, 255
// characters at most, and "-" if there is none.
func hostname(name string) string {
	name = strings.Map(func(r rune) rune {
		if r <= ' ' || r >= 0x7f {
			return -1
		}
		return r
	}, name)
	if name == "" {
		return "-"
	}
	return name[:min(len(name), 255)]
}

func (f *remoteFormat) bind(b *event.Binder) {
	b.Optional(&f.sec, "oob.time.sec", event.U32)
	b.Optional(&f.usec, "oob.time.usec", event.U32)
}

func (f *remoteFormat) begin() {}

// append appends a message without the newline of the text.
func (f *remoteFormat) append(dst []byte, e event.Event, text []byte) []byte {
	text = bytes.TrimSuffix(text, []byte{'\n'})
	if !f.counted {
		return f.appendMessage(dst, e, text)
	}
	f.message = f.appendMessage(f.message[:0], e, text)
	dst = append(event.AppendUint(dst, uint64(len(f.message))), ' ')
	return append(dst, f.message...)
}

func (f *remoteFormat) appendMessage(dst []byte, e event.Event, text []byte) []byte {
	dst = f.appendTime(append(dst, f.before...), e)
	return append(append(dst, f.behind...), text...)
}

// appendTime appends the event's time, or that of the clock if it has none.
func (f *remoteFormat) appendTime(dst []byte, e event.Event) []byte {
	if e.Has(f.sec) {
		return f.clock.AppendRFC3339(dst, int64(e.Uint(f.sec)), uint32(e.Uint(f.usec)))
	}
	now := f.now()
	return f.clock.AppendRFC3339(dst, now.Unix(), uint32(now.Nanosecond()/1000))
}
