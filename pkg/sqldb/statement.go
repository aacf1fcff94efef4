package sqldb

import "strings"

// Mode is how rows are stored.
type Mode uint8

// The modes.
const (
	Insert   Mode = iota // into the table
	InsertAs             // by a statement that the user began
	Call                 // by a stored procedure
	Select               // by a stored function
)

// Statement is what the option procedure says.
type Statement struct {
	Mode Mode
	Text string // of InsertAs the beginning, of Call and Select the name
}

// ParseStatement reads the option procedure, whatever the case of its keywords:
// "INSERT", "INSERT IGNORE INTO t", "CALL p", or the name of a function. What begins
// with CALL is a procedure even without the blank, as in ulogd.
//
// See reference page "ulogd2-outputs", section 14.3.
func ParseStatement(procedure string) Statement {
	upper := strings.ToUpper(procedure)
	switch {
	case upper == "INSERT":
		return Statement{Mode: Insert}
	case strings.HasPrefix(upper, "INSERT "):
		return Statement{InsertAs, procedure}
	case strings.HasPrefix(upper, "CALL "):
		return Statement{Call, strings.TrimSpace(procedure[len("CALL "):])}
	case strings.HasPrefix(upper, "CALL"):
		return Statement{Call, procedure}
	}
	return Statement{Select, procedure}
}
