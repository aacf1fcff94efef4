package main

import (
	"bufio"
	"bytes"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	_ "modernc.org/sqlite" // registers the driver "sqlite"
)

// countLines counts packets of an output that writes one line for each.
func countLines(dir string) (int, error) {
	f, err := os.Open(filepath.Join(dir, "out"))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	lines, buf := 0, make([]byte, 1<<20)
	for {
		n, err := f.Read(buf)
		lines += bytes.Count(buf[:n], []byte{'\n'})
		if err == io.EOF {
			return lines, nil
		}
		if err != nil {
			return lines, err
		}
	}
}

// countRecords counts the packets of a capture file (pcap-savefile(5)).
func countRecords(dir string) (int, error) {
	f, err := os.Open(filepath.Join(dir, "out"))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	r := bufio.NewReaderSize(f, 1<<20)
	if _, err := r.Discard(24); err != nil {
		return 0, fmt.Errorf("capture file without a header: %w", err)
	}
	var header [16]byte
	for n := 0; ; n++ {
		if _, err := io.ReadFull(r, header[:]); err == io.EOF {
			return n, nil
		} else if err != nil {
			return n, fmt.Errorf("record %d of the capture file: %w", n, err)
		}
		if _, err := r.Discard(int(binary.NativeEndian.Uint32(header[8:]))); err != nil {
			return n, fmt.Errorf("record %d of the capture file: %w", n, err)
		}
	}
}

// createTable makes a table with the columns that ulogd's own ulog_pkt has.
func createTable(dir string) error {
	return withDB(dir, func(db *sql.DB) error {
		_, err := db.Exec(`CREATE TABLE ulog_pkt (
			raw_pktlen INT UNSIGNED, raw_pktcount INT UNSIGNED, oob_prefix VARCHAR(64),
			oob_time_sec INT UNSIGNED, oob_time_usec INT UNSIGNED, oob_mark INT UNSIGNED,
			oob_hook TINYINT UNSIGNED, oob_uid INT UNSIGNED, oob_gid INT UNSIGNED)`)
		return err
	})
}

func countRows(dir string) (n int, err error) {
	err = withDB(dir, func(db *sql.DB) error {
		return db.QueryRow("SELECT count(*) FROM ulog_pkt").Scan(&n)
	})
	return n, err
}

func withDB(dir string, f func(*sql.DB) error) error {
	db, err := sql.Open("sqlite", filepath.Join(dir, "out"))
	if err != nil {
		return err
	}
	return errors.Join(f(db), db.Close())
}
