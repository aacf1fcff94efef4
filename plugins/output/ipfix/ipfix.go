// Package ipfix is the output IPFIX, which sends flows to a collector (RFC 7011).
// See reference page "ulogd2-outputs", section 13.
package ipfix

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/ulogd-go/ulogd/pkg/outsock"
	"github.com/ulogd-go/ulogd/pkg/plugin"
	"github.com/ulogd-go/ulogd/pkg/queue"
)

func init() {
	plugin.Default.Register(plugin.NewOutput(plugin.Info{
		Name: "IPFIX", Summary: "sends flows to an IPFIX collector",
		Takes: plugin.Flow,
	}, options{
		Port: 4739, Proto: "tcp", MTU: 512, SendTemplate: once,
		TemplateRefresh: 10 * time.Minute, Fields: fieldsAll, Options: queue.Defaults,
	}, open))
}

type options struct {
	OID             uint32        `toml:"oid" needed:"true" doc:"number of the observation domain, which is not 0; the collector tells exporters apart by it"`
	Host            string        `toml:"host" needed:"true" doc:"name or address of the collector"`
	Port            uint16        `toml:"port" doc:"port of the collector"`
	Proto           string        `toml:"proto" doc:"tcp or udp"`
	MTU             int           `toml:"mtu" doc:"the longest message to send, in bytes; a datagram is longer by the headers of IP and UDP"`
	SendTemplate    string        `toml:"send_template" doc:"when the templates are sent, which say what records hold: once on each connection (by udp again and again, see template_refresh), always in each message, or never"`
	TemplateRefresh time.Duration `toml:"template_refresh" extra:"true" doc:"by udp, after how long the templates are sent again with send_template=once, so that a collector that was restarted, or missed them, gets them; 0 for never"`
	Fields          fields        `toml:"fields" extra:"true" doc:"all, or only those that ulogd sends"`
	Biflow          bool          `toml:"biflow" extra:"true" doc:"count the packets and bytes of each direction (RFC 5103), in place of one sum for both"`
	outsock.TLS
	queue.Options
}

// When templates are sent. Any other text means: in each message.
const (
	once  = "once"
	never = "never"
)

// fields is which elements are sent, as configured.
type fields string

const (
	fieldsAll   fields = "all"
	fieldsUlogd fields = "ulogd"
)

// UnmarshalText accepts the name of a choice.
func (f *fields) UnmarshalText(text []byte) error {
	switch fields(text) {
	case fieldsAll, fieldsUlogd:
		*f = fields(text)
		return nil
	}
	return fmt.Errorf("unknown choice %q; use %s or %s", text, fieldsAll, fieldsUlogd)
}

// MarshalText is the inverse of UnmarshalText.
func (f fields) MarshalText() ([]byte, error) { return []byte(f), nil }

// exporter is the plugin: flows become records on the pipeline's goroutine, and
// records become messages when they are sent.
type exporter struct {
	outsock.Conn
	keys
	v4, v6 *template
	packer
	done int // rows of the present block that were sent on earlier connections
}

func open(o options, env *plugin.Env) (plugin.Output, error) {
	x := &exporter{
		Conn: outsock.Conn{
			Network: o.Proto, Address: net.JoinHostPort(o.Host, strconv.Itoa(int(o.Port))), TLS: o.TLS, QueueOptions: o.Options,
		},
		packer: packer{mtu: o.MTU, oid: o.OID, now: env.Now, always: o.SendTemplate != once && o.SendTemplate != never},
	}
	x.v4, x.v6 = newTemplates(&x.keys, o)
	if o.SendTemplate != never {
		x.templates = []*template{x.v4, x.v6}
	}
	if o.Proto == "udp" && o.SendTemplate == once {
		x.refresh = o.TemplateRefresh
	}
	// A message is due when it is full, or after a second, as in ulogd 2.0.9.
	x.Batching = queue.Batching{Rows: max(1, (o.MTU-headerLen-setHeaderLen)/x.v4.size), Age: time.Second}
	return x, o.check(x)
}

// check tells whether the options fit together.
func (o options) check(x *exporter) error {
	limit := maxMessage
	switch o.Proto {
	case "tcp":
	case "udp":
		limit = maxDatagram
	default:
		return fmt.Errorf("unknown proto %q; use tcp or udp", o.Proto)
	}
	least := max(x.least(x.v4), x.least(x.v6))
	if o.MTU < least || o.MTU > limit {
		return fmt.Errorf("mtu = %d: a message has to have room for a record and can't have more than %d bytes; use %d to %[2]d", o.MTU, limit, least)
	}
	return x.Conn.Check()
}

// Connect connects to the collector, which then knows no template.
func (x *exporter) Connect(ctx context.Context) error {
	if err := x.Conn.Connect(ctx); err != nil {
		return err
	}
	// The messages of one TCP connection are counted from its beginning. Those by
	// UDP go on, so that the collector sees what it has missed (RFC 7011, section 3.1).
	x.begin(x.Network == "tcp")
	return nil
}

// Reopen connects anew on SIGHUP.
func (x *exporter) Reopen(ctx context.Context) error { return x.Connect(ctx) }
