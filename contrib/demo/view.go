package main

import (
	"bytes"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	_ "modernc.org/sqlite" // registers the driver "sqlite"
)

// view shows the log and the table as they grow.
type view struct {
	out   io.Writer
	log   string
	db    *sql.DB
	read  int64 // bytes of the log that were shown
	lines int
	row   int64 // the last one shown
	rows  int
	err   error // of opening the database
}

func newView(out io.Writer, dir string) *view {
	v := &view{out: out, log: filepath.Join(dir, "firewall.log")}
	v.db, v.err = sql.Open("sqlite", "file:"+filepath.Join(dir, "firewall.sqlite3")+"?mode=ro&_pragma=busy_timeout(1000)")
	return v
}

func (v *view) close() {
	if v.db != nil {
		v.db.Close()
	}
}

// show prints what is new. What can't be read yet, since the daemon has only
// just started, will be there next time.
func (v *view) show() error {
	return errors.Join(v.showLines(), v.showRows())
}

// finish prints the rest and the sum. Nothing logged is an error.
func (v *view) finish() error {
	if err := v.show(); err != nil {
		return err
	}
	fmt.Fprintf(v.out, "\n%d lines, %d rows.\n", v.lines, v.rows)
	if v.lines == 0 || v.lines != v.rows {
		return fmt.Errorf("ulogd wrote %d lines and %d rows, which should be the same and not none", v.lines, v.rows)
	}
	return nil
}

// showLines prints whole lines only; the beginning of one waits for its end.
func (v *view) showLines() error {
	f, err := os.Open(v.log)
	if err != nil {
		return err
	}
	defer f.Close()
	text, err := io.ReadAll(io.NewSectionReader(f, v.read, 1<<30))
	if err != nil {
		return err
	}
	text = text[:bytes.LastIndexByte(text, '\n')+1]
	v.read += int64(len(text))
	for line := range bytes.Lines(text) {
		fmt.Fprintf(v.out, "LOGEMU  %s", line)
		v.lines++
	}
	return nil
}

const query = `SELECT _id, coalesce(oob_prefix, ''), coalesce(oob_in, ''), coalesce(oob_physin, ''), coalesce(oob_physout, ''),
	coalesce(ip_saddr_str, ''), coalesce(ip_daddr_str, ''), coalesce(ip_protocol, ''), coalesce(tcp_dport, udp_dport, '')
	FROM packets WHERE _id > ? ORDER BY _id`

func (v *view) showRows() error {
	if v.err != nil {
		return v.err
	}
	rows, err := v.db.Query(query, v.row)
	if err != nil {
		return fmt.Errorf("read the table: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var prefix, in, physIn, physOut, src, dst, proto, port string
		if err := rows.Scan(&v.row, &prefix, &in, &physIn, &physOut, &src, &dst, &proto, &port); err != nil {
			return fmt.Errorf("read a row: %w", err)
		}
		fmt.Fprintf(v.out, "SQLITE3 _id=%d oob_prefix=%q oob_in=%s oob_physin=%s oob_physout=%s ip_saddr_str=%s ip_daddr_str=%s ip_protocol=%s dport=%s\n",
			v.row, prefix, in, physIn, physOut, src, dst, proto, port)
		v.rows++
	}
	return rows.Err()
}
