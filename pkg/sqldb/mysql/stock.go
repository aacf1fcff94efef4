package mysql

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/go-sql-driver/mysql"

	"github.com/ulogd-go/ulogd/pkg/sqldb"
)

// known is what a routine does, if that can be told.
type known int

const (
	unknown known = iota
	packets       // what INSERT_PACKET_FULL of the relational schema does
	flows         // a row of table ulog2_ct with the arguments
)

// stockRoutine is a routine of ulogd's schemas, with those that it calls.
type stockRoutine struct {
	does    known
	calls   []string
	columns []string // that the view has to have
	bodies  []string // fingerprints of all bodies together
}

// stockRoutines are known by what they are, not by their names alone: a routine
// that an administrator has changed is called.
//
// See reference page "schemas", sections 2.4 and 2.5.
var stockRoutines = map[string]stockRoutine{
	"insert_packet_full": {
		does: packets,
		calls: []string{"insert_ip_packet_full", "packet_add_tcp_full", "packet_add_udp", "packet_add_sctp", "packet_add_icmp", "packet_add_icmpv6",
			"packet_add_hardware_header", "insert_or_select_mac"},
		columns: sqldb.WithForm(sqldb.PacketColumns, "bin"),
		bodies:  []string{packetBodies, ourPacketBodies},
	},
	"insert_ct": {
		does:    flows,
		columns: sqldb.WithForm(sqldb.FlowColumns, "bin"),
		bodies:  []string{flowBodies},
	},
}

// Fingerprints of the routines as ulogd 2.0.2 to 2.0.9 ship them, and of ours in
// package schema. What differs between ulogd's are types of parameters, not bodies.
const (
	packetBodies    = "6bb18f595cc03c479f4195cc7792c8e0"
	ourPacketBodies = "eb989a9a3f87af41dbfb382afbab7ef0"
	flowBodies      = "10fe70236f57d1b24b9765b3702c7415" // ours is the same
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
		c.unread = fmt.Sprintf("the body of %s can't be read, so it can't be known for ulogd's; rows are much faster if it is (grant the right to read it: SHOW CREATE ROUTINE, in MySQL SHOW_ROUTINE, in old versions SELECT on mysql.proc; or say direct=yes)", s.Text)
	}
	if !c.config.Direct.Stock(print, r.bodies) {
		return unknown, nil
	}
	if lacks, err := c.lacks(ctx, r.does); err != nil || lacks != "" {
		c.unread = fmt.Sprintf("%s has rights that user %s has not (%s), so it is called for each row; rows are much faster with the right to write the tables themselves", s.Text, c.config.User, lacks)
		return unknown, err
	}
	return r.does, nil
}

// lacks says what the user may not do of that which a routine does with the rights of
// its owner. Nothing is inserted.
func (c *conn) lacks(ctx context.Context, does known) (string, error) {
	tables := []string{flowTable}
	tries := []string{}
	if does == packets {
		tables = baseTables
		tries = append(tries, "select 1 from mac where 1 = 0 lock in share mode")
	}
	for _, name := range tables {
		r, err := c.relation(ctx, name)
		if err != nil {
			return "", err
		}
		if len(r.columns) == 0 {
			return "table " + name + " is not there, or can't be seen", nil
		}
		tries = append(tries, fmt.Sprintf("insert into %s (%s) select null from dual where 1 = 0", quoteName(name), quoteName(r.columns[0].Name)))
	}
	for _, sql := range tries {
		_, err := c.query(ctx, sql)
		var my *mysql.MySQLError
		if errors.As(err, &my) && (my.Number == 1142 || my.Number == 1143) { // ER_TABLEACCESS_DENIED_ERROR, ER_COLUMNACCESS_DENIED_ERROR
			return my.Message, nil
		}
		if err != nil {
			return "", err
		}
	}
	return "", nil
}

// fingerprint is one of the bodies of routines, however they are laid out. It is
// empty if a body can't be read.
func (c *conn) fingerprint(ctx context.Context, names []string) (string, error) {
	hash := sha256.New()
	for _, name := range names {
		rows, err := c.query(ctx, "select routine_definition from information_schema.routines where routine_schema = database() and lower(routine_name) = "+quoteText(name))
		if err != nil {
			return "", err
		}
		if len(rows) != 1 || rows[0][0] == "" {
			return "", nil
		}
		fmt.Fprintf(hash, "%s\n%s\n", name, normal(rows[0][0]))
	}
	return hex.EncodeToString(hash.Sum(nil)[:16]), nil
}

var (
	comments = regexp.MustCompile(`(?s)-- [^\n]*|#[^\n]*|/\*.*?\*/`)
	spaces   = regexp.MustCompile(`\s+`)
	tight    = regexp.MustCompile(`\s*([(),;:=])\s*`)
)

// normal is a routine's text without what means nothing.
func normal(body string) string {
	body = spaces.ReplaceAllString(comments.ReplaceAllString(body, " "), " ")
	return strings.ToLower(strings.TrimSpace(tight.ReplaceAllString(body, "$1")))
}
