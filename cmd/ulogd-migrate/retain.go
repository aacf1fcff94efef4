package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/ulogd-go/ulogd/pkg/dsn"
	"github.com/ulogd-go/ulogd/pkg/retention"
)

// runRetain removes old rows, once.
func runRetain(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	f := newFlagSet("retain", dsn.Forms, stderr)
	var age retention.Age
	var tables []string
	f.Func("retention", "how `old` rows may get: 90d, 12w, 36h", func(s string) error { return age.UnmarshalText([]byte(s)) })
	f.Func("table", "a `table`, or several by several options, in place of all of ulogd's schemas", func(s string) error {
		tables = append(tables, s)
		return nil
	})
	name, err := f.parse(args)
	switch {
	case err != nil:
		return err
	case name == "":
		return f.complain("no DSN:", "say which database:", dsn.Forms)
	case age == 0:
		return f.complain("no --retention: say how old rows may get, as 90d")
	}
	db, err := dsn.Open(name, dsn.Options{PasswordFile: *f.passwordFile})
	if err != nil {
		return err
	}
	defer db.Close()
	report, err := retention.New(db.Engine, db.DB, tables...).Run(ctx, time.Now(), age)
	if err != nil {
		return fmt.Errorf("%s: %w (so far: %s)", db.Name, err, report)
	}
	fmt.Fprintf(stdout, "%s: %s\n", db.Name, report)
	return nil
}
