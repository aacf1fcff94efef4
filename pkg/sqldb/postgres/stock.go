package postgres

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"strings"

	"github.com/ulogd-go/ulogd/pkg/sqldb"
)

// known is what a routine does, if that can be told.
type known int

const (
	unknown known = iota
	packets       // what INSERT_PACKET_FULL of the relational schema does
	plain         // a row of the table with the arguments
)

// stockRoutine is a routine of ulogd's schemas, with those that it calls.
type stockRoutine struct {
	does    known
	calls   []string
	columns []string // that the table has to have
	bodies  []string // fingerprints of all bodies together
}

// stockRoutines are known by what they are, not by their names alone: a routine
// that an administrator has changed is called.
//
// See reference page "schemas", sections 2.4 and 2.5.
var stockRoutines = map[string]stockRoutine{
	"insert_packet_full": {
		does: packets,
		calls: []string{"insert_ip_packet_full", "insert_tcp_full", "insert_udp", "insert_sctp", "insert_icmp", "insert_icmpv6",
			"insert_hardware_header", "insert_or_select_mac"},
		columns: sqldb.WithForm(sqldb.PacketColumns, "str"),
		bodies:  []string{packetBodies, ourPacketBodies},
	},
	"insert_ct": {
		does:    plain,
		columns: append(sqldb.WithForm(sqldb.FlowColumns, "str"), "ct_event"),
		bodies:  []string{flowBodies, ourFlowBodies, ourHostFlowBodies},
	},
	"insert_nfacct": {
		does:    plain,
		columns: sqldb.SumColumns,
		bodies:  []string{sumBodies, ourHostSumBodies},
	},
}

// Fingerprints of the routines as ulogd 2.0.2 to 2.0.9 ship them, and of ours in
// package schema, without and with a column for the host.
const (
	packetBodies      = "bfe692dc1f2c6e23562289876e46948e"
	ourPacketBodies   = "ea92eaa6c09c4a782a57a339738a2c3b"
	flowBodies        = "7e8bc93bdbd632f16e641c528be9c3b6"
	ourFlowBodies     = "db27f5688468cf7c130816a64e649f09"
	ourHostFlowBodies = "b4a26929e56fc1dbca2741f0d16a02d9"
	sumBodies         = "e498268cf96ea59f401ad612434540c5" // ours is the same
	ourHostSumBodies  = "79eb9769e46acdc9b731f2819e32f4f4"
)

// stock tells what a routine does, and in unread why that can't be told.
func (c *conn) stock(ctx context.Context, s sqldb.Statement) (known, error) {
	r, ok := stockRoutines[strings.ToLower(s.Text)]
	if !ok || s.Mode != sqldb.Select || !c.table.begins(r.columns) {
		return unknown, nil
	}
	print, err := c.fingerprint(ctx, append([]string{strings.ToLower(s.Text)}, r.calls...))
	if err != nil {
		return unknown, err
	}
	if c.unread = ""; print == "" {
		c.unread = fmt.Sprintf("there are several functions %s, or of those that it calls, so it can't be known for ulogd's; rows are much faster if it is (drop the others, or say direct=yes)", s.Text)
	}
	if !c.config.Direct.Stock(print, r.bodies) {
		return unknown, nil
	}
	if copies, err := c.mayCopy(ctx, s.Text, r.does); err != nil || !copies {
		return unknown, err
	}
	return r.does, nil
}

// mayCopy tells whether a known routine can be replaced by COPY into its tables, and
// in unread why not.
func (c *conn) mayCopy(ctx context.Context, routine string, does known) (bool, error) {
	tables := []relation{c.table}
	if does == packets {
		tables = nil
		for _, name := range baseTables {
			r, err := c.relation(ctx, c.table.schema, name)
			if err != nil {
				return false, err
			}
			tables = append(tables, r)
		}
	}
	for _, r := range tables {
		if len(r.columns) > 0 && !r.copies() {
			c.unread = fmt.Sprintf("table %s has rules or policies, or is no plain table, so function %s is called for each row; rows are much faster without", r.name, routine)
			return false, nil
		}
	}
	if c.config.Direct == sqldb.DirectYes {
		return true, nil
	}
	rows, err := c.query(ctx, "select prosecdef from pg_proc where proname = $1 and pg_function_is_visible(oid)", strings.ToLower(routine))
	if err != nil {
		return false, err
	}
	if rows[0][0] == "t" {
		c.unread = fmt.Sprintf("function %s has the rights of its owner (SECURITY DEFINER), so it is called for each row; rows are much faster if the daemon's user may write the tables itself (grant that and say direct=yes)", routine)
		return false, nil
	}
	return true, nil
}

// fingerprint is one of the bodies of routines, however they are laid out. Each
// name must be that of one routine.
func (c *conn) fingerprint(ctx context.Context, names []string) (string, error) {
	hash := sha256.New()
	for _, name := range names {
		rows, err := c.query(ctx, "select prosrc from pg_proc where proname = $1 and pg_function_is_visible(oid)", name)
		if err != nil {
			return "", err
		}
		if len(rows) != 1 {
			return "", nil
		}
		fmt.Fprintf(hash, "%s\n%s\n", name, normal(rows[0][0]))
	}
	return hex.EncodeToString(hash.Sum(nil)[:16]), nil
}

var (
	comments = regexp.MustCompile(`(?s)--[^\n]*|/\*.*?\*/`)
	spaces   = regexp.MustCompile(`\s+`)
	tight    = regexp.MustCompile(`\s*([(),;:=])\s*`)
)

// normal is a routine's text without what means nothing.
func normal(body string) string {
	body = spaces.ReplaceAllString(comments.ReplaceAllString(body, " "), " ")
	return strings.ToLower(strings.TrimSpace(tight.ReplaceAllString(body, "$1")))
}
