// Package event is the representation of what passes through a stack: an event
// is a row of small tagged values, one per key, in a reusable batch.
//
// Keys are named only at start. A plugin declares the keys that it reads and
// writes to a Binder, and receives slots; from then on a key is an index into
// the row. Strings and raw bytes are offsets into the batch's own buffer, so
// nothing in a batch points anywhere and nothing is allocated per event.
package event

// Kind is the type of a value. The zero Kind means that there is no value.
type Kind uint8

// The kinds of values. The numbers are ours and are never written anywhere.
const (
	None    Kind = iota
	Bool         // 0 or 1; but tcp.res1 and tcp.res2 hold small numbers, as in ulogd
	U8           // unsigned, in host order
	U16          //
	U32          //
	U64          //
	I8           // signed, two's complement in all 64 bits of Value.V
	I16          //
	I32          //
	I64          //
	IP4          // IPv4 address: Value.V holds it as a number, 10.0.0.1 = 0x0a000001
	IP6          // IPv6 address: Value.V refers to 16 bytes
	String       // Value.V refers to bytes, in no particular character set
	Raw          // Value.V refers to bytes
	Literal      // Value.V refers to text that enters an SQL statement without quotes
)

// Addr declares a key that holds an IP address: each of its values is IP4 or IP6.
const Addr = IP4

// String is the name of the type as `ulogd -i` prints it.
func (k Kind) String() string {
	switch k {
	case Bool:
		return "boolean"
	case U8:
		return "unsigned int 8"
	case U16:
		return "unsigned int 16"
	case U32:
		return "unsigned int 32"
	case U64:
		return "unsigned int 64"
	case I8:
		return "int 8"
	case I16:
		return "int 16"
	case I32:
		return "int 32"
	case I64:
		return "int 64"
	case IP4, IP6:
		return "IP addr"
	case String:
		return "string"
	case Raw:
		return "raw data"
	}
	return "Unknown type"
}

// Value is one slot of one event: 16 bytes without a pointer. V is the number,
// the IPv4 address, or, for the kinds that refer to bytes, their place in the
// batch's buffer as made by Ref.
type Value struct {
	V uint64
	K Kind
}

// Ref is the V of a value that refers to n bytes at offset off of a batch's buffer.
func Ref(off, n int) uint64 { return uint64(off)<<32 | uint64(uint32(n)) }

func (v Value) span() (off, end int) {
	off = int(v.V >> 32)
	return off, off + int(uint32(v.V))
}

// Slot is the place of a key in an event.
type Slot uint16

const (
	// Absent is what an optional key that nobody publishes is read from. It
	// never holds a value.
	Absent Slot = iota
	// Unused is what a key that nobody reads is written to.
	Unused
	firstSlot
)

// Event is one row of a Batch. It is valid until the next Add or Reset.
type Event []Value

// Has tells whether s holds a value.
func (e Event) Has(s Slot) bool { return e[s].K != None }

// Uint is the number in s, and 0 if s holds none.
func (e Event) Uint(s Slot) uint64 { return e[s].V }

// Set puts a value into s.
func (e Event) Set(s Slot, k Kind, v uint64) { e[s] = Value{v, k} }
