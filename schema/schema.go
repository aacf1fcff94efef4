// Package schema is the tables, views and routines that rows are stored in: those
// of both generations of ulogd for each engine, as ulogd-migrate makes them, and
// the tables that the daemon makes for itself in SQLite.
//
// See reference page "schemas".
package schema

import (
	"embed"
	"errors"
	"fmt"
	"path"
	"regexp"
	"strings"
	"text/template"
	"time"
)

// Engine is a kind of database.
type Engine string

// The engines.
const (
	MySQL    Engine = "mysql" // MariaDB, too
	Postgres Engine = "postgres"
	SQLite   Engine = "sqlite"
)

// Version is one of the schemas that ulogd has.
type Version string

// The schemas.
const (
	V1     Version = "v1"      // of ulogd 1: one table
	V2     Version = "v2"      // of ulogd 2: a table for each protocol
	V2Flat Version = "v2-flat" // of ulogd 2: one table for packets
)

// UnmarshalText accepts the name of a schema.
func (v *Version) UnmarshalText(text []byte) error {
	switch Version(text) {
	case V1, V2, V2Flat:
		*v = Version(text)
		return nil
	}
	return fmt.Errorf("unknown schema %q: use %s, %s or %s", text, V1, V2, V2Flat)
}

// MarshalText is the inverse of UnmarshalText.
func (v Version) MarshalText() ([]byte, error) { return []byte(v), nil }

// Options are what a schema can have beside what ulogd gives it.
type Options struct {
	Daily    bool // the table of packets has a partition for each day
	Host     bool // tables have a column local_hostname
	V1Views  bool // a view ulog_v1 shows packets of a version 2 as version 1 has them
	IPString bool // the addresses of version 1 are texts
	Now      time.Time
}

// Ahead is how many days have partitions beforehand.
const Ahead = 7

//go:embed protocols.sql mysql/*.sql postgres/*.sql sqlite/*.sql
var files embed.FS

// values are what the templates see.
type values struct {
	Options
	Engine  Engine
	Version Version
	Table   string // that has partitions
	Days    []Day
}

// Of is the values for the partitions of a table.
func (v values) Of(table string) values {
	v.Table = table
	return v
}

// Mark tells in a comment what was made, so that it can be known again.
func (v values) Mark() string { return Mark(v.Version, v.Options) }

// Mark is the comment on the first table of a schema that was made with options.
func Mark(v Version, o Options) string {
	mark := "ulogd schema " + string(v)
	for _, flag := range []struct {
		set  bool
		name string
	}{{o.Daily, "daily"}, {o.Host, "host"}, {o.V1Views, "v1-views"}, {o.IPString, "ip-string"}} {
		if flag.set {
			mark += " " + flag.name
		}
	}
	return mark
}

// Marked is the table that has the mark.
func Marked(e Engine, v Version) string {
	switch {
	case v == V1:
		return "ulog"
	case e != SQLite:
		return "_format"
	case v == V2:
		return "ulog_ct"
	}
	return "ulog2"
}

// Statements are what makes a schema, in order.
func Statements(e Engine, v Version, o Options) ([]Statement, error) {
	if err := check(e, v, o); err != nil {
		return nil, err
	}
	t, err := template.ParseFS(files, "protocols.sql", string(e)+"/*.sql")
	if err != nil {
		return nil, err
	}
	var b strings.Builder
	days := Days(o.Now, Ahead)
	if err := t.ExecuteTemplate(&b, string(v)+".sql", values{Options: o, Engine: e, Version: v, Days: days}); err != nil {
		return nil, err
	}
	return split(b.String()), nil
}

func check(e Engine, v Version, o Options) error {
	switch {
	case o.Daily && e == SQLite:
		return errors.New("SQLite has no partitions; leave the option partition out (retention deletes rows in small steps)")
	case o.V1Views && v == V1:
		return errors.New("views of version 1 are for schemas of version 2; leave the option out")
	case o.V1Views && e == SQLite:
		return errors.New("SQLite can't make numbers of addresses; leave the option for views of version 1 out")
	case o.IPString && v != V1:
		return errors.New("addresses as texts are an option of schema v1; version 2 has bytes in MySQL, inet in PostgreSQL and texts in SQLite")
	}
	return nil
}

// Statement is one statement of SQL, without a semicolon.
type Statement struct {
	SQL    string
	Object // that it makes; without a name if it makes none, or a partition
}

// Object is something in a database that has a name.
type Object struct{ Kind, Name string } // a kind as in "create table"

func (o Object) String() string { return o.Kind + " " + o.Name }

// Routine tells whether the object is a function or a procedure, whose body may
// have semicolons.
func (o Object) Routine() bool { return o.Kind == "function" || o.Kind == "procedure" }

var (
	blank  = regexp.MustCompile(`\n\s*\n`)
	create = regexp.MustCompile(`(?m)^create (?:unique |sql security invoker )?(table|view|index|sequence|function|procedure) (\w+)`)
)

// split takes text apart at its empty lines.
func split(text string) (list []Statement) {
	for _, s := range blank.Split(text, -1) {
		s = strings.TrimSuffix(strings.TrimSpace(s), ";")
		if s == "" {
			continue
		}
		out := Statement{SQL: s}
		if m := create.FindStringSubmatch(s); m != nil && !strings.Contains(s, " partition of ") {
			out.Object = Object{m[1], m[2]}
		}
		list = append(list, out)
	}
	return list
}

// Script is statements as the client of the engine takes them.
func Script(e Engine, list []Statement) string {
	var b strings.Builder
	for _, s := range list {
		if e == MySQL && s.Routine() {
			fmt.Fprintf(&b, "DELIMITER $$\n%s$$\nDELIMITER ;\n\n", s.SQL)
			continue
		}
		b.WriteString(s.SQL + ";\n\n")
	}
	return b.String()
}

// Contents is what the rows of a table are about.
type Contents string

// The contents of tables.
const (
	Packets Contents = "packet"
	First   Contents = "first" // packets, in the columns of ulogd 1
	Flows   Contents = "flow"
	Sums    Contents = "sum"
)

// Own is the statements that make a table of that name in an SQLite database, as
// the daemon does where there is none. They are empty for unknown contents.
func Own(c Contents, table string) string {
	text, err := files.ReadFile(path.Join("sqlite", "daemon-"+string(c)+".sql"))
	if err != nil {
		return ""
	}
	return strings.NewReplacer(
		`"ulog"`, QuoteSQLite(table),
		`"ulog_time"`, QuoteSQLite(table+"_time"),
	).Replace(string(text))
}

// QuoteSQLite is the identifier name as SQLite takes it, whatever is in it but
// NUL.
func QuoteSQLite(name string) string {
	return `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
}
