// Package replay is the input REPLAY, which reads packets from a capture file.
package replay

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"github.com/ulogd-go/ulogd/pkg/event"
	"github.com/ulogd-go/ulogd/pkg/link"
	"github.com/ulogd-go/ulogd/pkg/nflog"
	"github.com/ulogd-go/ulogd/pkg/plugin"
	"github.com/ulogd-go/ulogd/pkg/stats"
)

func init() {
	plugin.Default.Register(plugin.NewSource(plugin.Info{
		Name: "REPLAY", Summary: "reads packets from a capture file, and ends",
		Gives: plugin.Raw,
	}, options{Repeat: 1}, open))
}

type options struct {
	File       string     `toml:"file" mandatory:"true" extra:"true" doc:"path of the capture, pcap (perhaps compressed with gzip) or pcapng; - is standard input. Link type NFLOG gives what the kernel gave; RAW, IPV4, IPV6 and EN10MB give packets as if they had been logged"`
	Speed      float64    `toml:"speed" extra:"true" doc:"how fast: 1 is by the times of the capture, 2 twice as fast, 0 as fast as possible"`
	Repeat     int        `toml:"repeat" extra:"true" doc:"how often the file is played; 0 is for ever"`
	Label      int        `toml:"numeric_label" extra:"true" doc:"value of raw.label, cut to 8 bits"`
	Interfaces interfaces `toml:"interfaces" extra:"true" doc:"names of the interfaces on the machine that captured, as 10=br0,11=vnet0; without it IFINDEX takes the names on this machine"`
}

// interfaces are names by index.
type interfaces map[uint32]string

// UnmarshalText reads a list such as 10=br0,11=vnet0.
func (i *interfaces) UnmarshalText(text []byte) error {
	*i = make(interfaces)
	for _, item := range strings.FieldsFunc(string(text), func(r rune) bool { return r == ',' || r == ' ' }) {
		index, name, _ := strings.Cut(item, "=")
		n, err := strconv.ParseUint(index, 10, 32)
		if err != nil || name == "" {
			return fmt.Errorf("%q is no INDEX=NAME such as 10=br0", item)
		}
		(*i)[uint32(n)] = name
	}
	return nil
}

// MarshalText is empty: there are no names by default.
func (i interfaces) MarshalText() ([]byte, error) { return nil, nil }

// capture is a reader of packets; those of pcapgo are.
type capture interface {
	ZeroCopyReadPacketData() ([]byte, gopacket.CaptureInfo, error)
	LinkType() layers.LinkType
}

type source struct {
	options
	nflog.Decoder
	env   *plugin.Env
	links *link.Table // nil unless somebody asks for names

	file     *os.File
	buffer   *bufio.Reader // of the file
	capture  capture
	stop     func() bool // ends the watch over the context
	played   int
	began    time.Time // when the first packet was played, by our clock
	first    time.Time // and by the capture's
	message  []byte    // of a packet that was not captured as one
	packets  *stats.Counter
	unusable *stats.Counter
}

func open(o options, env *plugin.Env) (plugin.Source, error) {
	if !(o.Speed >= 0) || o.Repeat < 0 { // NaN compares with nothing
		return nil, fmt.Errorf("speed = %v, repeat = %d: both have to be numbers, and not negative", o.Speed, o.Repeat)
	}
	return &source{
		options:  o,
		Decoder:  nflog.Decoder{Label: uint8(o.Label)},
		env:      env,
		packets:  env.Stats.Counter("packets", "packets read"),
		unusable: env.Stats.Counter("messages_malformed", "records of the capture that are no packets, or of another link type than its first interface"),
	}, nil
}

// Links is the table of the interfaces that the capture's indexes mean.
func (s *source) Links() *link.Table {
	if s.links == nil {
		s.links = link.NewTable(s.Interfaces)
	}
	return s.links
}

// Open opens the capture.
func (s *source) Open() (err error) {
	if s.links != nil && len(s.Interfaces) == 0 {
		if err := s.links.Open(0); err != nil {
			return err
		}
	}
	if s.file, err = openFile(s.File); err == nil {
		err = s.start()
	}
	if err != nil {
		_ = s.Close()
	}
	return err
}

// openFile opens the standard input anew, because a pipe that Go has opened can
// be waited for with a deadline, which a daemon needs to end.
func openFile(name string) (*os.File, error) {
	if name != "-" {
		return os.Open(name)
	}
	if f, err := os.Open("/dev/stdin"); err == nil {
		return f, nil
	}
	return os.Stdin, nil
}

// bufferSize is how much is read from the file at once.
const bufferSize = 64 << 10

// start reads the head of the file.
func (s *source) start() (err error) {
	s.buffer = bufio.NewReaderSize(s.file, bufferSize)
	if s.capture, err = newCapture(s.buffer); err != nil {
		return fmt.Errorf("file = %q: %w", s.File, err)
	}
	if !supported(s.capture.LinkType()) {
		return fmt.Errorf("file = %q: link type %v (%d); use a capture of type NFLOG, RAW, IPV4, IPV6 or EN10MB",
			s.File, s.capture.LinkType(), s.capture.LinkType())
	}
	s.first = time.Time{}
	return nil
}

// enough events for a batch.
const enough = 128

// Read adds the next packets, as many as are there without waiting for a pipe.
// With a speed each is a batch of its own.
func (s *source) Read(ctx context.Context, b *event.Batch) error {
	if s.stop == nil {
		// Only pipes have deadlines, and only they keep a reader waiting.
		s.stop = context.AfterFunc(ctx, func() { _ = s.file.SetReadDeadline(time.Unix(1, 0)) })
	}
	for b.Len() < enough && (b.Len() == 0 || s.buffer.Buffered() > 0) {
		if err := ctx.Err(); err != nil {
			return err
		}
		data, info, err := s.capture.ZeroCopyReadPacketData()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if errors.Is(err, pcapgo.ErrNgLinkTypeMismatch) {
			s.unusable.Add(1)
			continue
		}
		if err != nil {
			if err := s.again(err, info); err != nil {
				return err
			}
			continue
		}
		if err := s.pace(ctx, info.Timestamp); err != nil {
			return err
		}
		s.add(b, data, info.Timestamp)
		if s.Speed > 0 && b.Len() > 0 {
			return nil
		}
	}
	return nil
}

// again begins the file anew at its end, as often as is asked for. The end of
// the file behind the header of a record is damage too.
func (s *source) again(err error, info gopacket.CaptureInfo) error {
	if !errors.Is(err, io.EOF) || info.CaptureLength > 0 {
		s.env.Log.Error(fmt.Sprintf("file = %q: the capture is damaged: %v; what follows is not read", s.File, err))
	}
	s.played++
	if s.Repeat > 0 && s.played >= s.Repeat || s.File == "-" || s.packets.Value() == 0 {
		return io.EOF
	}
	if _, err := s.file.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("file = %q: repeat: %w", s.File, err)
	}
	return s.start()
}

// pace waits until it is time for a packet.
func (s *source) pace(ctx context.Context, t time.Time) error {
	if s.Speed == 0 {
		return nil
	}
	if s.first.IsZero() {
		s.first, s.began = t, time.Now()
		return nil
	}
	due := s.began.Add(time.Duration(float64(t.Sub(s.first)) / s.Speed))
	timer := time.NewTimer(time.Until(due))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// add adds a packet to the batch. The time of the record stands in for one
// that the message lacks.
func (s *source) add(b *event.Batch, data []byte, t time.Time) {
	if t.IsZero() { // the simple packets of pcapng have none
		t = s.env.Now()
	}
	if s.capture.LinkType() != linkNFLOG {
		s.message = appendMessage(s.message[:0], data, s.capture.LinkType(), t)
		data = s.message
	}
	off := len(b.Buf)
	b.Buf = append(b.Buf, data...)
	b.Now = t
	if len(data) == 0 || s.Decode(b, off, len(b.Buf)) != nil {
		b.Buf = b.Buf[:off]
		s.unusable.Add(1)
		return
	}
	s.packets.Add(1)
}

// Close closes the file.
func (s *source) Close() error {
	if s.stop != nil {
		s.stop()
	}
	if s.links != nil {
		_ = s.links.Close()
	}
	if s.file == nil {
		return nil
	}
	return s.file.Close()
}
