// Package schema is the tables that the daemon can make for itself.
package schema

import (
	"embed"
	"strings"
)

// Contents is what the rows of a table are about.
type Contents string

// The contents of tables.
const (
	Packets Contents = "packet"
	Flows   Contents = "flow"
	Sums    Contents = "sum"
)

//go:embed sqlite/*.sql
var files embed.FS

// SQLite is the statements that make a table of that name in an SQLite database.
// They are empty for unknown contents.
func SQLite(c Contents, table string) string {
	text, err := files.ReadFile("sqlite/v2-" + string(c) + ".sql")
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
