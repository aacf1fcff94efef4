package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/ulogd-go/ulogd/pkg/dsn"
	"github.com/ulogd-go/ulogd/pkg/install"
	"github.com/ulogd-go/ulogd/schema"
)

// runInit makes a schema.
func runInit(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	f := newFlagSet("init", dsn.Forms, stderr)
	var version schema.Version
	o := schema.Options{Now: time.Now()}
	f.TextVar(&version, "schema", schema.Version(""), "which `schema`: v1 (of ulogd 1), v2 (relational) or v2-flat")
	partition := f.String("partition", "", "`daily` for a partition of each day, which retention drops as a whole")
	f.BoolVar(&o.Host, "host", false, "add a column local_hostname, for rows of several hosts")
	f.BoolVar(&o.V1Views, "v1-views", false, "add a view ulog_v1, which shows packets as schema v1 has them")
	f.BoolVar(&o.IPString, "ip-string", false, "addresses of schema v1 are texts, in PostgreSQL inet")
	script := f.Bool("print", false, "write the SQL in place of running it")
	name, err := f.parse(args)
	switch {
	case err != nil:
		return err
	case name == "":
		return f.complain("no DSN:", "say which database:", dsn.Forms)
	case version == "":
		return f.complain("no --schema:", "say v1, v2 or v2-flat")
	case *partition != "" && *partition != "daily":
		return f.complain("--partition can be daily only")
	}
	o.Daily = *partition == "daily"
	db, err := dsn.Open(name, dsn.Options{PasswordFile: *f.passwordFile, Create: true})
	if err != nil {
		return err
	}
	defer db.Close()
	if *script {
		list, err := schema.Statements(db.Engine, version, o)
		if err != nil {
			return err
		}
		_, err = io.WriteString(stdout, schema.Script(db.Engine, list))
		return err
	}
	made, err := install.Run(ctx, db, version, o)
	if err != nil {
		return err
	}
	if made {
		fmt.Fprintf(stdout, "%s: schema %s made\n", db.Name, version)
	} else {
		fmt.Fprintf(stdout, "%s: schema %s is there already\n", db.Name, version)
	}
	return nil
}
