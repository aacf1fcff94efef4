// Package syslog is the output SYSLOG, which sends lines to a syslog daemon, of this
// machine or of another. See reference page "ulogd2-outputs", section 4.
package syslog

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"syscall"

	"github.com/ulogd-go/ulogd/pkg/event"
	"github.com/ulogd-go/ulogd/pkg/outsock"
	"github.com/ulogd-go/ulogd/pkg/plugin"
	"github.com/ulogd-go/ulogd/pkg/queue"
)

func init() {
	plugin.Default.Register(plugin.NewOutput(plugin.Info{
		Name: "SYSLOG", Summary: "sends lines to a syslog daemon, local or remote",
		Takes: plugin.Packet | plugin.Flow,
	}, options{
		Facility: "LOG_KERN", Level: "LOG_NOTICE", Socket: "/dev/log", Mode: local, Generation: plugin.Second, Options: queue.Defaults,
	}, open))
}

type options struct {
	Facility facility `toml:"facility" doc:"LOG_DAEMON, LOG_KERN, LOG_LOCAL0 to LOG_LOCAL7 or LOG_USER; the system lets only the kernel use LOG_KERN, so it stands for LOG_DAEMON"`
	Level    level    `toml:"level" doc:"LOG_EMERG, LOG_ALERT, LOG_CRIT, LOG_ERR, LOG_WARNING, LOG_NOTICE, LOG_INFO or LOG_DEBUG"`
	Socket   string   `toml:"socket" extra:"true" doc:"path of the socket on which the syslog daemon of this machine listens"`
	Mode     mode     `toml:"mode" extra:"true" doc:"where to: local for socket, in the C library's format; or udp or tcp to the syslog daemon of host, in the format of RFC 5424"`
	Host     string   `toml:"host" extra:"true" doc:"name or address of the machine whose syslog daemon receives the lines, for udp and tcp"`
	Port     string   `toml:"port" extra:"true" doc:"its port, as a number or the name of a service; empty for 514, or 6514 with tls"`
	outsock.TLS

	Generation plugin.Generation `toml:"generation" extra:"true" doc:"1 puts a blank before each text and leaves LOG_KERN what it is, as ulogd 1.x does; for mode local"`
	queue.Options
}

// formatter makes a message of a text. Its methods are called on the pipeline's
// goroutine.
type formatter interface {
	// begin is called before the messages of a batch.
	begin()
	append(dst []byte, e event.Event, text []byte) []byte
	bind(*event.Binder)
}

type syslog struct {
	outsock.Conn
	formatter
	hint  string      // what to do when nobody listens
	ended queue.Block // the present block with zero bytes
	print event.Slot
}

func open(o options, env *plugin.Env) (plugin.Output, error) {
	facility := o.Facility.number()
	if o.Generation == plugin.First && o.Facility == kern {
		facility = 0
	}
	priority := 8*facility + slices.Index(levels, o.Level)
	conn := outsock.Conn{Network: string(o.Mode), TLS: o.TLS, QueueOptions: o.Options}
	if o.Mode == local {
		conn.Network, conn.Address = datagram, o.Socket
		hint := "start a syslog daemon, or set socket to the path on which it listens"
		return &syslog{Conn: conn, formatter: newLocal(priority, o.Generation, env), hint: hint}, o.check(&conn)
	}
	conn.Address = net.JoinHostPort(o.Host, o.port())
	hint := "see that the syslog daemon of host takes messages by " + string(o.Mode)
	return &syslog{Conn: conn, formatter: newRemote(priority, o.Mode == tcp, env), hint: hint}, o.check(&conn)
}

// check tells whether the options fit together.
func (o options) check(conn *outsock.Conn) error {
	switch {
	case o.Mode == local && o.Host != "":
		return fmt.Errorf("host is set, but mode is %s; set mode to udp or tcp", o.Mode)
	case o.Mode != local && o.Host == "":
		return fmt.Errorf("mode = %q needs a host", o.Mode)
	}
	return conn.Check()
}

// port is the port of the remote daemon (RFC 5426, section 3.3; RFC 5425, section
// 4.1; TCP without TLS has none of its own, and uses that of UDP).
func (o options) port() string {
	switch {
	case o.Port != "":
		return o.Port
	case o.On:
		return "6514"
	}
	return "514"
}

func (s *syslog) Bind(b *event.Binder) {
	b.In(&s.print, "print", event.String)
	s.bind(b)
}

// Encode makes a message of each text.
func (s *syslog) Encode(blk *queue.Block, rows *event.Rows) {
	s.begin()
	for e := range rows.All() {
		if text := e[s.print]; text.K == event.String {
			blk.Data = s.append(blk.Data, e, rows.Bytes(text))
			blk.End()
		}
	}
}

// Connect connects to the daemon, or says what to do about it. A socket of this
// machine may be of either type; only there the kernel says that the type is wrong.
func (s *syslog) Connect(ctx context.Context) error {
	err := s.Conn.Connect(ctx)
	if errors.Is(err, syscall.EPROTOTYPE) {
		if s.Network == datagram {
			s.Network = stream
		} else {
			s.Network = datagram
		}
		err = s.Conn.Connect(ctx)
	}
	if err != nil {
		return fmt.Errorf("%w; %s", err, s.hint)
	}
	return nil
}

// The types of a socket of this machine.
const (
	datagram = "unixgram"
	stream   = "unix"
)

// Write sends a block. On a stream of this machine a zero byte ends each message, as the
// C library has it.
func (s *syslog) Write(ctx context.Context, blk *queue.Block) error {
	if s.Network != stream {
		return s.Conn.Write(ctx, blk)
	}
	s.ended.Reset()
	for i := range blk.Rows() {
		s.ended.Data = append(append(s.ended.Data, blk.Row(i)...), 0)
		s.ended.End()
	}
	return s.Conn.Write(ctx, &s.ended)
}
