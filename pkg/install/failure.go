package install

import (
	"errors"
	"fmt"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/ulogd-go/ulogd/schema"
)

// failure is the error of a statement, with what to do about it.
func (in *installer) failure(s schema.Statement, err error) error {
	what := "fill a table"
	if s.Name != "" {
		what = "make " + s.String()
	}
	return fmt.Errorf("%s: %s: %w%s; nothing was made", in.db.Name, what, err, advice(err))
}

// advice is how the user gets the rights that are missing.
func advice(err error) string {
	var my *mysql.MySQLError
	var pg *pgconn.PgError
	switch {
	case errors.As(err, &my):
		switch my.Number {
		case 1044, 1142, 1143, 1227, 1370:
			return " (grant CREATE, DROP, ALTER, INDEX, REFERENCES, INSERT, CREATE VIEW, SHOW VIEW, CREATE ROUTINE, ALTER ROUTINE and EXECUTE on the database)"
		case 1418, 1419:
			return " (the server has a binary log; set log_bin_trust_function_creators=1, or use an account with SUPER)"
		}
	case errors.As(err, &pg) && pg.Code == "42501":
		return " (grant CREATE on the schema to this role, or use the database's owner)"
	}
	return ""
}
