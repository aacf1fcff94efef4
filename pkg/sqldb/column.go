package sqldb

import (
	"strings"

	"github.com/ulogd-go/ulogd/pkg/row"
)

// Class is what a column can hold, as far as values have to be made to fit.
type Class uint8

// The classes of columns.
const (
	Other   Class = iota // anything else: it gets text, and the server sees what it makes of that
	Integer              // Bits and Signed say how large
	Boolean
	Chars // text of up to Max characters in Charset
	Bytes // up to Max bytes
	Inet  // an IP address
	MAC   // six bytes of hardware address
	Time  // a point in time
)

// Column is a column of a table as the server describes it.
type Column struct {
	Name     string
	Class    Class
	Bits     int     // of an Integer: 8, 16, 24, 32 or 64
	Signed   bool    // an Integer has negative values
	Wrap     bool    // a Signed one takes unsigned numbers of its width in two's complement; else the largest is taken
	Max      int     // of Chars in characters, of Bytes in bytes; 0 is no limit
	Charset  Charset // of Chars
	Auto     bool    // the server numbers it
	Required bool    // it has to have a value, and has no default
	Empty    bool    // it is NULL in a row that was stored without it

	natural bool // an IPv4 address is the number that people expect
	address bool // an address is its text, not a number, as IP2STR would make it
	exact   bool // a number that does not fit is left out rather than changed
}

// HostColumn is the column for the host that has logged a row, in tables that have
// one. Its key is a constant of the daemon.
const HostColumn = "local_hostname"

// NewColumn is a column of that name and nothing known of it yet.
func NewColumn(name string) Column {
	key := row.Key(name)
	return Column{
		Name:    name,
		natural: key == "icmp.gateway",
		address: strings.HasSuffix(key, ".str"),
		exact:   strings.HasSuffix(key, ".sec") || strings.HasSuffix(key, ".usec") || strings.HasPrefix(key, "sum."),
	}
}

// Charset is what characters a column can hold.
type Charset uint8

// The sets of characters. A character outside is replaced by a question mark,
// since the server would refuse the row.
const (
	Unicode Charset = iota // all
	BMP                    // those of three bytes in UTF-8 at most: MySQL's utf8mb3 and ucs2
	Latin1                 // those of ISO 8859-1
	ASCII                  // what is in every set
)

// holds tells whether the set has the character.
func (c Charset) holds(r rune) bool {
	switch c {
	case BMP:
		return r <= 0xffff
	case Latin1:
		return r <= 0xff
	case ASCII:
		return r < 0x80
	}
	return true
}

// Names are the names of columns.
func Names(columns []Column) []string {
	names := make([]string, len(columns))
	for i, c := range columns {
		names[i] = c.Name
	}
	return names
}
