// Package syslog is the output SYSLOG, which sends lines to the syslog daemon of
// this machine. See reference page "ulogd2-outputs", section 4.
package syslog

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ulogd-go/ulogd/pkg/event"
	"github.com/ulogd-go/ulogd/pkg/outsock"
	"github.com/ulogd-go/ulogd/pkg/plugin"
	"github.com/ulogd-go/ulogd/pkg/queue"
	"github.com/ulogd-go/ulogd/pkg/stamp"
)

func init() {
	plugin.Default.Register(plugin.NewOutput(plugin.Info{
		Name: "SYSLOG", Summary: "sends lines to the local syslog daemon",
		Takes: plugin.Packet | plugin.Flow,
	}, options{Facility: "LOG_KERN", Level: "LOG_NOTICE", Socket: "/dev/log", Generation: plugin.Second, Options: queue.Defaults}, open))
}

type options struct {
	Facility facility `toml:"facility" doc:"LOG_DAEMON, LOG_KERN, LOG_LOCAL0 to LOG_LOCAL7 or LOG_USER; the system lets only the kernel use LOG_KERN, so it stands for LOG_DAEMON"`
	Level    level    `toml:"level" doc:"LOG_EMERG, LOG_ALERT, LOG_CRIT, LOG_ERR, LOG_WARNING, LOG_NOTICE, LOG_INFO or LOG_DEBUG"`
	Socket   string   `toml:"socket" extra:"true" doc:"path of the socket on which the syslog daemon listens"`

	Generation plugin.Generation `toml:"generation" extra:"true" doc:"1 puts a blank before each text and leaves LOG_KERN what it is, as ulogd 1.x does"`
	queue.Options
}

// facility is a facility as configured, one of facilities.
type facility string

// level is a severity as configured, one of levels.
type level string

var facilities = []struct {
	name   facility
	number int // RFC 5424, section 6.2.1
}{
	{"LOG_DAEMON", daemon},
	{kern, daemon}, // number 0, which the C library takes for "not given"
	{"LOG_LOCAL0", 16},
	{"LOG_LOCAL1", 17},
	{"LOG_LOCAL2", 18},
	{"LOG_LOCAL3", 19},
	{"LOG_LOCAL4", 20},
	{"LOG_LOCAL5", 21},
	{"LOG_LOCAL6", 22},
	{"LOG_LOCAL7", 23},
	{"LOG_USER", 1},
}

const (
	daemon = 3
	kern   = "LOG_KERN"
)

// levels are in the order of their numbers, from 0 on.
var levels = []level{
	"LOG_EMERG", "LOG_ALERT", "LOG_CRIT", "LOG_ERR", "LOG_WARNING", "LOG_NOTICE", "LOG_INFO", "LOG_DEBUG",
}

// number is -1 if there is no such facility.
func (f facility) number() int {
	for _, x := range facilities {
		if x.name == f {
			return x.number
		}
	}
	return -1
}

// UnmarshalText accepts the name of a facility, in capitals.
func (f *facility) UnmarshalText(text []byte) error {
	if facility(text).number() < 0 {
		names := make([]string, len(facilities))
		for i, x := range facilities {
			names[i] = string(x.name)
		}
		return fmt.Errorf("unknown facility %q; use one of %s", text, strings.Join(names, ", "))
	}
	*f = facility(text)
	return nil
}

// MarshalText is the inverse of UnmarshalText.
func (f facility) MarshalText() ([]byte, error) { return []byte(f), nil }

// UnmarshalText accepts the name of a level, in capitals.
func (l *level) UnmarshalText(text []byte) error {
	if !slices.Contains(levels, level(text)) {
		names := make([]string, len(levels))
		for i, x := range levels {
			names[i] = string(x)
		}
		return fmt.Errorf("unknown level %q; use one of %s", text, strings.Join(names, ", "))
	}
	*l = level(text)
	return nil
}

// MarshalText is the inverse of UnmarshalText.
func (l level) MarshalText() ([]byte, error) { return []byte(l), nil }

type syslog struct {
	outsock.Conn
	queue queue.Options
	now   func() time.Time
	clock *stamp.Clock

	priority string // "<29>"
	begin    string // what stands before a text
	head     []byte // what the lines of one Encode begin with
	print    event.Slot
}

func open(o options, env *plugin.Env) (plugin.Output, error) {
	facility, begin := o.Facility.number(), "]: "
	if o.Generation == plugin.First {
		begin += " "
		if o.Facility == kern {
			facility = 0
		}
	}
	priority := 8*facility + slices.Index(levels, o.Level)
	return &syslog{
		begin:    begin,
		Conn:     outsock.Conn{Network: "unixgram", Address: o.Socket},
		queue:    o.Options,
		now:      env.Now,
		clock:    stamp.NewClock(env.Zone),
		priority: "<" + strconv.Itoa(priority) + ">",
	}, nil
}

func (s *syslog) Bind(b *event.Binder) { b.In(&s.print, "print", event.String) }

// Queue says that each batch is sent at once, so that the lines stand in the log
// among those of other programs where they belong.
func (s *syslog) Queue() (queue.Options, queue.Batching) { return s.queue, queue.Batching{} }

// Encode makes a datagram of each text, in the form of RFC 3164 without a host,
// as the C library does. The text keeps its newline.
func (s *syslog) Encode(blk *queue.Block, rows *event.Rows) {
	s.head = append(s.head[:0], s.priority...)
	s.head = s.clock.AppendSyslog(s.head, s.now().Unix())
	s.head = append(s.head, " ulogd["...)
	s.head = strconv.AppendInt(s.head, int64(os.Getpid()), 10)
	s.head = append(s.head, s.begin...)
	for e := range rows.All() {
		if text := e[s.print]; text.K == event.String {
			blk.Data = append(append(blk.Data, s.head...), rows.Bytes(text)...)
			blk.End()
		}
	}
}

// Connect connects to the daemon's socket, or says what to do about it.
func (s *syslog) Connect(ctx context.Context) error {
	if err := s.Conn.Connect(ctx); err != nil {
		return fmt.Errorf("%w; start a syslog daemon, or set socket to the path on which it listens", err)
	}
	return nil
}
