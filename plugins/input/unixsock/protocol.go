package unixsock

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/ulogd-go/ulogd/pkg/event"
)

// A packet on the stream, all numbers big-endian (reference page "ulogd2-core",
// section 6.3):
//
//	 0  magic
//	 4  total size: of what follows the magic
//	 6  version and flags, which mean nothing
//	10  length of the payload
//	12  payload, from the network header on, and zero bytes up to a multiple of 8
//	    options: number, length, value, and zero bytes up to a multiple of 8
const (
	magic     = 0x41c90fd4
	magicLen  = 4
	headerLen = 12
	optionLen = 8

	// maxPacket is the size of the longest packet, the magic included.
	maxPacket = magicLen + 0xffff
)

// Options.
const (
	optPrefix   = 1
	optIn       = 2
	optOut      = 3
	optSeconds  = 4 // 32 bits in host order
	optUser     = 200
	optUserID   = 201 // 32 bits in host order
	optOSName   = 202
	optOSRel    = 203
	optOSVers   = 204
	optAppName  = 205
	optNewState = 206 // 8 bits
)

// packetLen is the size of the packet that begins with stream, and 0 if not enough
// of it is there to tell. The error says that it is no packet.
func packetLen(stream []byte) (int, error) {
	if len(stream) < magicLen {
		return 0, nil
	}
	if got := binary.BigEndian.Uint32(stream); got != magic {
		return 0, fmt.Errorf("ulogd2: invalid packet marked received (read %x, expected %x)", got, magic)
	}
	if len(stream) < magicLen+2 {
		return 0, nil
	}
	n := magicLen + int(binary.BigEndian.Uint16(stream[magicLen:]))
	if n < headerLen {
		return 0, fmt.Errorf("a packet of %d bytes, which is less than its header has", n)
	}
	return n, nil
}

// wholePackets is the size of the packets that stream begins with, but for the last
// if that is not complete. The error says what is wrong with what is behind them.
func wholePackets(stream []byte) (size int, err error) {
	for {
		n, err := packetLen(stream[size:])
		if err != nil || n == 0 || n > len(stream)-size {
			return size, err
		}
		size += n
	}
}

// errOption says that an option reaches beyond its packet, or has no room for its value.
var errOption = errors.New("an option whose length is wrong")

// align8 rounds up to the boundary at which options begin.
func align8(n int) int { return (n + 7) &^ 7 }

// decode adds the packet that lies in b's buffer from off to before end, as
// packetLen has found it. With an error no event is added. The result is how many of
// its options are not known.
func (k *keys) decode(b *event.Batch, off, end int) (unknown int, err error) {
	length := int(binary.BigEndian.Uint16(b.Buf[off+10:]))
	payload := off + headerLen
	if length > end-payload {
		return 0, fmt.Errorf("a payload of %d bytes in a packet with room for %d", length, end-payload)
	}
	e := b.Add()
	e.Set(k.pkt, event.Raw, event.Ref(payload, length))
	e.Set(k.pktLen, event.U32, uint64(length))
	e.Set(k.pktCount, event.U32, 1)
	e.Set(k.family, event.U8, family(b.Buf[payload:payload+length]))
	for pos := payload + align8(length); end-pos >= optionLen; {
		number, n := binary.BigEndian.Uint32(b.Buf[pos:]), binary.BigEndian.Uint32(b.Buf[pos+4:])
		pos += optionLen
		if uint64(n) > uint64(end-pos) {
			b.Drop()
			return 0, errOption
		}
		known, ok := k.option(b, e, number, pos, int(n))
		if !ok {
			b.Drop()
			return 0, errOption
		}
		if !known {
			unknown++
		}
		pos += align8(int(n))
	}
	return unknown, nil
}

// family is the protocol family of a packet by its version; 0 if it is neither.
func family(packet []byte) uint64 {
	if len(packet) == 0 {
		return 0
	}
	switch packet[0] >> 4 {
	case 4:
		return 2
	case 6:
		return 10
	}
	return 0
}

// option sets the key of an option whose value has n bytes at off. It reports whether
// the option is known, and whether its value is long enough.
func (k *keys) option(b *event.Batch, e event.Event, number uint32, off, n int) (known, ok bool) {
	value := b.Buf[off : off+n]
	switch number {
	case optPrefix:
		setText(e, k.prefix, value, off)
	case optIn:
		setText(e, k.in, value, off)
	case optOut:
		setText(e, k.out, value, off)
	case optUser:
		setText(e, k.user, value, off)
	case optOSName:
		setText(e, k.osName, value, off)
	case optOSRel:
		setText(e, k.osRel, value, off)
	case optOSVers:
		setText(e, k.osVers, value, off)
	case optAppName:
		setText(e, k.app, value, off)
	case optSeconds:
		return true, setNumber(e, k.sec, value)
	case optUserID:
		return true, setNumber(e, k.userID, value)
	case optNewState:
		if n < 1 {
			return true, false
		}
		e.Set(k.label, event.U8, uint64(value[0]))
	default:
		return false, true
	}
	return true, true
}

// setText sets a text, which ends with a zero byte or the value.
func setText(e event.Event, s event.Slot, value []byte, off int) {
	n := len(value)
	for i, c := range value {
		if c == 0 {
			n = i
			break
		}
	}
	e.Set(s, event.String, event.Ref(off, n))
}

func setNumber(e event.Event, s event.Slot, value []byte) bool {
	if len(value) < 4 {
		return false
	}
	e.Set(s, event.U32, uint64(binary.NativeEndian.Uint32(value)))
	return true
}
