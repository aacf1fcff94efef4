// Package json is the output JSON, which writes every key of an event into one
// object a line.
package json

import (
	"context"
	"fmt"
	"net"
	"strings"

	"github.com/ulogd-go/ulogd/pkg/outsock"
	"github.com/ulogd-go/ulogd/pkg/plugin"
	"github.com/ulogd-go/ulogd/pkg/queue"
	"github.com/ulogd-go/ulogd/pkg/stamp"
)

func init() {
	plugin.Default.Register(plugin.NewOutput(plugin.Info{
		Name: "JSON", Summary: "writes JSON objects to a file or a socket",
		Takes: plugin.Packet | plugin.Flow | plugin.Sum,
	}, options{
		FileOptions: plugin.FileOptions{File: "/var/log/ulogd.json"},
		Timestamp:   true, Device: "Netfilter", Mode: "file", Host: "127.0.0.1", Port: "12345",
		Options: queue.Defaults,
	}, open))
}

type options struct {
	plugin.FileOptions
	Timestamp    bool   `toml:"timestamp" doc:"add the time as text"`
	EventV1      bool   `toml:"eventv1" doc:"the layout of Logstash: begin with @version, and call the time @timestamp"`
	Device       string `toml:"device" doc:"value of the key dvc"`
	BooleanLabel bool   `toml:"boolean_label" doc:"write raw.label as action, which is allowed or blocked"`
	Mode         string `toml:"mode" doc:"where to: file, tcp, udp or unix; the socket of unix is named by file"`
	Host         string `toml:"host" doc:"address of the receiver, for tcp and udp"`
	Port         string `toml:"port" doc:"port of the receiver, as a number or the name of a service"`
	Extra        bool   `toml:"extra" extra:"true" doc:"also write the keys that ulogd does not have, such as oob.physin"`
	outsock.TLS
	queue.Options
}

// output is the plugin with its delivering half: a file or a socket.
type output struct {
	encoder
	delivery
}

// delivery is what plugin.File and outsock.Conn have in common.
type delivery interface {
	Queue() (queue.Options, queue.Batching)
	Connect(context.Context) error
	Write(context.Context, *queue.Block) error
	Reopen(context.Context) error
	Close() error
}

func open(o options, env *plugin.Env) (plugin.Output, error) {
	d, err := deliver(o, env)
	if err != nil {
		return nil, err
	}
	return &output{encoder{options: o, now: env.Now, clock: stamp.NewClock(env.Zone)}, d}, nil
}

func deliver(o options, env *plugin.Env) (delivery, error) {
	mode := strings.ToLower(o.Mode)
	address := net.JoinHostPort(o.Host, o.Port)
	switch mode {
	case "tcp", "udp":
	case "unix":
		address = o.File
	case "file":
		return &plugin.File{FileOptions: o.FileOptions, QueueOptions: o.Options, Files: env.Files}, o.TLS.Check(mode)
	default:
		return nil, fmt.Errorf("unknown mode %q; use file, tcp, udp or unix", o.Mode)
	}
	conn := &outsock.Conn{Network: mode, Address: address, TLS: o.TLS, QueueOptions: o.Options}
	return conn, conn.Check()
}
