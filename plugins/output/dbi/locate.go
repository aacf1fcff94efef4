package dbi

import (
	"os"
	"path/filepath"
)

// folders are those below which builds of libdbi look for SQLite databases,
// whatever the path: Debian's first.
var folders = []string{"/usr/var/lib/libdbi/sqlite3", "/var/lib/libdbi/sqlite3", "/usr/local/var/lib/libdbi/sqlite3"}

// locate is the path of the database that libdbi would have opened, if there is
// one, and else db itself.
func locate(db string) string {
	for _, folder := range folders {
		path := filepath.Join(folder, db)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			return path
		}
	}
	return db
}
