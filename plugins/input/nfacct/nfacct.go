// Package nfacct is the input NFACCT, which reads the kernel's accounting objects at
// an interval.
package nfacct

import (
	"context"
	"fmt"
	"time"

	"github.com/ulogd-go/ulogd/pkg/event"
	"github.com/ulogd-go/ulogd/pkg/nlsock"
	"github.com/ulogd-go/ulogd/pkg/plugin"
	"github.com/ulogd-go/ulogd/pkg/stats"
)

func init() {
	plugin.Default.Register(plugin.NewSource(plugin.Info{
		Name: "NFACCT", Summary: "reads the kernel's accounting objects at an interval",
		Gives: plugin.Sum,
	}, options{Zero: true}, open))
}

type options struct {
	Poll  int    `toml:"pollinterval" doc:"seconds between two polls, at least 1"`
	Zero  bool   `toml:"zerocounter" doc:"set the counters to 0 as they are read, so that each event has what came since the last"`
	Stamp bool   `toml:"timestamp" doc:"publish the time of the poll as oob.time.sec and oob.time.usec"`
	NetNS string `toml:"network_namespace_path" doc:"path of the network namespace whose objects are read, such as /run/netns/x"`
	Last  bool   `toml:"poll_at_end" extra:"true" doc:"poll once more when the daemon ends"`
}

// Validate refuses an interval that is none.
func (o options) Validate() error {
	if o.Poll < 1 {
		return fmt.Errorf("pollinterval = %d: you have to set it, to the seconds between two polls", o.Poll)
	}
	return nil
}

// source is the input. All but Wake and Dump is called on the pipeline's goroutine.
type source struct {
	options
	keys
	env   *plugin.Env
	sock  *nlsock.Socket
	clock *time.Ticker
	wake  chan struct{}
	dump  chan struct{}

	names   [][]byte // requests for the objects of a poll whose counters are to be set to 0
	failing string   // how the last poll failed, if it did

	polls, failed, objects, malformed *stats.Counter
}

func open(o options, env *plugin.Env) (plugin.Source, error) {
	return &source{
		options:   o,
		env:       env,
		wake:      make(chan struct{}, 1),
		dump:      make(chan struct{}, 1),
		polls:     env.Stats.Counter("polls", "times that the objects were read"),
		failed:    env.Stats.Counter("polls_failed", "polls that the kernel did not answer, or not in full"),
		objects:   env.Stats.Counter("objects", "objects read"),
		malformed: env.Stats.Counter("messages_malformed", "messages dropped because their lengths are wrong"),
	}, nil
}

// keys are what the source publishes, in ulogd's order.
type keys struct {
	name, packets, bytes, sum, sec, usec event.Slot
}

// Bind declares the keys.
func (k *keys) Bind(b *event.Binder) {
	b.Out(&k.name, event.Key{Name: "sum.name", Kind: event.String, Doc: "name of the object, which may hold any bytes but zero"})
	b.Out(&k.packets, event.Key{Name: "sum.pkts", Kind: event.U64, Doc: "packets"})
	b.Out(&k.bytes, event.Key{Name: "sum.bytes", Kind: event.U64, Doc: "bytes"})
	b.Out(&k.sum, event.Key{Name: "sum", Kind: event.Raw, Doc: "the kernel's whole message from its family header on"})
	b.Out(&k.sec, event.Key{Name: "oob.time.sec", Kind: event.U32, Doc: "time of the poll, in seconds since 1970, with timestamp"})
	b.Out(&k.usec, event.Key{Name: "oob.time.usec", Kind: event.U32, Doc: "microseconds of that time"})
}

// receiveBuffer has room for the answers to a chunk of requests many times over.
const receiveBuffer = 1 << 20

// Open makes the socket, and starts the clock.
func (s *source) Open() (err error) {
	if s.sock, err = dial(s.NetNS); err != nil {
		return err
	}
	s.clock = time.NewTicker(time.Duration(s.Poll) * time.Second)
	return nil
}

// Read waits until it is time for a poll, or a poll is asked for.
func (s *source) Read(ctx context.Context, b *event.Batch) error {
	select {
	case <-ctx.Done():
		if s.Last {
			s.poll(b)
		}
		return ctx.Err()
	case <-s.wake:
		return nil
	case <-s.dump:
	case <-s.clock.C:
	}
	s.poll(b)
	return nil
}

// Wake makes a Read that waits return.
func (s *source) Wake() { note(s.wake) }

// Dump asks for a poll at once, beside those of the clock.
func (s *source) Dump() { note(s.dump) }

func note(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default: // it is noted already
	}
}

// Close gives the socket up.
func (s *source) Close() error {
	s.clock.Stop()
	return s.sock.Close()
}
