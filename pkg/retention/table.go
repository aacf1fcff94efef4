package retention

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// table is a table with times in it.
type table struct {
	name       string
	old        []string // conditions of old rows, with %d for the limit
	children   []child  // what belongs to its rows
	macs       bool     // its rows refer to table mac
	partitions []partition
}

// child is a table whose rows belong to those of another, by the number.
type child struct{ name, column string }

// id is the column with the number that children refer to.
const id = "_id"

// kept are the tables of ulogd's schemas.
var kept = []string{"ulog2", "ulog2_ct", "nfacct", "ulog", "ulog_ct", "ulog_pkt"}

// behind is the table behind each view of ulogd's schemas that rows are stored by.
var behind = map[string]string{"ulog": "ulog2", "ulog_host": "ulog2", "conntrack": "ulog2_ct"}

// children are those of table ulog2, if they are there.
var children = []child{
	{"tcp", "_tcp_id"}, {"udp", "_udp_id"}, {"sctp", "_sctp_id"}, {"icmp", "_icmp_id"}, {"icmpv6", "_icmpv6_id"}, {"hwhdr", "_hw_id"},
	{"nufw", "_nufw_id"}, {"state_t", "_state_id"},
}

// find describes tables of those names; without names those of ulogd's schemas
// that are there.
func (r *run) find(ctx context.Context, names []string) (list []*table, err error) {
	relations, err := r.relations(ctx, r.conn)
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		for _, name := range kept {
			if relations[name].columns != nil && !relations[name].view {
				names = append(names, name)
			}
		}
		if len(names) == 0 {
			return nil, fmt.Errorf("there is no table of ulogd's schemas (%s); say which one", strings.Join(kept, ", "))
		}
	}
	for _, name := range names {
		t, err := r.describe(ctx, relations, name)
		if err != nil {
			return nil, err
		}
		list = append(list, t)
	}
	return list, nil
}

// relation is a table or a view of the database.
type relation struct {
	view    bool
	columns []string
}

func (r relation) has(columns ...string) bool {
	for _, c := range columns {
		if !slices.Contains(r.columns, c) {
			return false
		}
	}
	return len(r.columns) > 0
}

func (r *run) describe(ctx context.Context, relations map[string]relation, name string) (*table, error) {
	name = r.known(relations, name)
	rel := relations[name]
	if rel.view {
		base := behind[strings.ToLower(name)]
		if relations[base].columns == nil || relations[base].view {
			return nil, fmt.Errorf("%s is a view, from which nothing can be removed; say which table is behind it", name)
		}
		name, rel = base, relations[base]
	}
	t := &table{name: name}
	switch {
	case rel.columns == nil:
		return nil, fmt.Errorf("there is no table %s", name)
	case rel.has("oob_time_sec"):
		t.old = []string{"oob_time_sec < %d"}
	case rel.has("flow_start_sec", "flow_end_sec"):
		t.old = []string{"flow_end_sec > 0 and flow_end_sec < %d", "(flow_end_sec is null or flow_end_sec = 0) and flow_start_sec > 0 and flow_start_sec < %d"}
	default:
		return nil, fmt.Errorf("table %s has no time: neither a column oob_time_sec nor flow_start_sec and flow_end_sec", name)
	}
	if name == "ulog2" && rel.has(id) {
		if err := r.belongings(ctx, relations, t); err != nil {
			return nil, err
		}
		t.macs = rel.has("mac_id") && relations["mac"].has("_mac_id") && !relations["mac"].view
	}
	var err error
	t.partitions, err = r.partitions(ctx, r.conn, name)
	return t, err
}

// known is the name of a relation as the database has it: names that are not quoted
// have small letters in PostgreSQL, and one with a schema before it is looked for
// where that is in the search path.
func (r *run) known(relations map[string]relation, name string) string {
	bare := name[strings.LastIndexByte(name, '.')+1:]
	for _, n := range []string{name, strings.ToLower(name), bare, strings.ToLower(bare)} {
		if relations[n].columns != nil {
			return n
		}
	}
	return name
}

// belongings finds the children of table ulog2, and such as the administrator has
// registered, as far as they have rows.
func (r *run) belongings(ctx context.Context, relations map[string]relation, t *table) error {
	all := slices.Clone(children)
	if relations["_extensions"].has("table_name", "join_name") {
		rows, err := r.conn.QueryContext(ctx, "select table_name, join_name from _extensions")
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var c child
			if err := rows.Scan(&c.name, &c.column); err != nil {
				return err
			}
			if !slices.Contains(all, c) {
				all = append(all, c)
			}
		}
		if err := rows.Err(); err != nil {
			return err
		}
	}
	for _, c := range all {
		if !relations[c.name].has(c.column) || relations[c.name].view {
			continue
		}
		some, err := r.strings(ctx, "select 1 from "+r.quote(c.name)+" limit 1")
		if err != nil {
			return err
		}
		if len(some) > 0 {
			t.children = append(t.children, c)
		}
	}
	return nil
}
