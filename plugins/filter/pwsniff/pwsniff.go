// Package pwsniff is the filter PWSNIFF, which finds user names and passwords that
// are sent in the clear.
package pwsniff

import (
	"bytes"
	"encoding/binary"

	"github.com/ulogd-go/ulogd/pkg/event"
	"github.com/ulogd-go/ulogd/pkg/packet"
	"github.com/ulogd-go/ulogd/pkg/plugin"
)

func init() {
	plugin.Default.Register(plugin.NewFilter(plugin.Info{
		Name: "PWSNIFF", Summary: "passes only packets to FTP and POP3 servers, and finds user names and passwords in them",
		Takes: plugin.Packet, Gives: plugin.Packet,
	}, options{Generation: plugin.Second}, open))
}

type options struct {
	Generation plugin.Generation `toml:"generation" extra:"true" doc:"1 passes all packets, as ulogd 1.x does"`
}

type pwsniff struct {
	options
	pkt, user, pass event.Slot
}

func open(o options, _ *plugin.Env) (plugin.Filter, error) { return &pwsniff{options: o}, nil }

// Bind declares the keys.
func (f *pwsniff) Bind(b *event.Binder) {
	b.In(&f.pkt, "raw.pkt", event.None)
	b.Out(&f.user, event.Key{Name: "pwsniff.user", Kind: event.String, Doc: "what follows the last USER"})
	b.Out(&f.pass, event.Key{Name: "pwsniff.pass", Kind: event.String, Doc: "what follows the last PASS"})
}

func (f *pwsniff) Filter(rows *event.Rows) {
	rows.Keep(func(e event.Event) bool { return f.search(rows.Batch, e) || f.Generation == plugin.First })
}

// search sets the keys of a packet. It reports false for one that is not to a server of
// FTP or POP3.
func (f *pwsniff) search(b *event.Batch, e event.Event) bool {
	raw := e[f.pkt]
	if raw.K != event.Raw {
		return false
	}
	data, off, ok := command(b.Bytes(raw))
	if !ok {
		return false
	}
	off += int(raw.V >> 32)
	set(e, f.user, data, off, "user ")
	set(e, f.pass, data, off, "pass ")
	return true
}

// Sizes of headers without options (RFC 791, RFC 9293), and ports.
const (
	ipLen  = 20
	tcpLen = 20

	portFTP  = 21
	portPOP3 = 110
)

// command is what follows the TCP header of a packet, up to the length that its IP
// header says, and where that is in the packet. It reports false if the packet is not
// of IPv4 and TCP, is not to one of the two ports, or has no TCP header: then it is short,
// or a later fragment. TCP options are no text, and are not told apart, as in ulogd.
func command(pkt []byte) (data []byte, off int, ok bool) {
	if len(pkt) < ipLen || pkt[0]>>4 != 4 || pkt[9] != packet.ProtoTCP || binary.BigEndian.Uint16(pkt[6:])&0x1fff != 0 {
		return nil, 0, false
	}
	tcp := int(pkt[0]&15) * 4
	if total := int(binary.BigEndian.Uint16(pkt[2:])); total < len(pkt) {
		pkt = pkt[:total]
	}
	if tcp < ipLen || len(pkt) < tcp+tcpLen {
		return nil, 0, false
	}
	if port := binary.BigEndian.Uint16(pkt[tcp+2:]); port != portFTP && port != portPOP3 {
		return nil, 0, false
	}
	return pkt[tcp+tcpLen:], tcp + tcpLen, true
}

// set sets the word that follows the last keyword in data, which begins at off in the
// batch's buffer, if there is one and something ends it.
func set(e event.Event, s event.Slot, data []byte, off int, keyword string) {
	at := lastFold(data, keyword)
	if at < 0 {
		return
	}
	at += len(keyword)
	if n := bytes.IndexAny(data[at:], " \r\n"); n > 0 {
		e.Set(s, event.String, event.Ref(off+at, n))
	}
}

// lastFold is where the last keyword, which is in lower case, begins in data, in
// whatever case that is; -1 if it is not there.
func lastFold(data []byte, keyword string) int {
	for at := len(data) - len(keyword); at >= 0; at-- {
		if equalFold(data[at:at+len(keyword)], keyword) {
			return at
		}
	}
	return -1
}

func equalFold(data []byte, keyword string) bool {
	for i, c := range data {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != keyword[i] {
			return false
		}
	}
	return true
}
