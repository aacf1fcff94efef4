package sqldb

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/ulogd-go/ulogd/pkg/option"
	"github.com/ulogd-go/ulogd/pkg/plugin"
	"github.com/ulogd-go/ulogd/pkg/queue"
	"github.com/ulogd-go/ulogd/pkg/retention"
)

// Options are what ulogd's outputs to database servers have in common, in its
// order. Plugins embed them.
type Options struct {
	Table          string `toml:"table" mandatory:"true" doc:"table or view whose columns choose the keys"`
	Reconnect      int    `toml:"reconnect" doc:"most seconds to wait before the database is tried again; 0 stands for 10"`
	ConnectTimeout int    `toml:"connect_timeout" doc:"seconds that connecting may take; 0 stands for 10"`
	Procedure      string `toml:"procedure" mandatory:"true" doc:"how rows are stored: INSERT, the beginning of an INSERT statement, the name of a function, or CALL and the name of a procedure"`
	BacklogMemcap  int    `toml:"backlog_memcap" doc:"bytes of rows that may wait in memory; if not 0, it stands for queue_memory"`
	BacklogOneshot int    `toml:"backlog_oneshot_requests" doc:"rows of a transaction at least, if more than batch_rows"`
	RingBufferSize int    `toml:"ring_buffer_size" doc:"number of rows for which there has to be room in memory; if not 0, queue_memory is at least 512 bytes for each"`
}

// Extra are the options of such outputs that ulogd does not have.
type Extra struct {
	BatchRows  int               `toml:"batch_rows" extra:"true" doc:"number of rows at which a transaction is due"`
	BatchTime  time.Duration     `toml:"batch_time" extra:"true" doc:"how long a row may wait for others to share its transaction"`
	Ledger     string            `toml:"ledger" extra:"true" doc:"table, made if it is not there, that says how far each logger has come, so that each row is stored exactly once; none does without, and a row may be stored twice after a failure"`
	Generation plugin.Generation `toml:"generation" extra:"true" doc:"1 stores values as ulogd 1.x does: IPv4 addresses as the numbers that people expect, and nothing said of columns without a key"`
	Direct     Direct            `toml:"direct" extra:"true" doc:"whether to write the base tables in place of calling a procedure of ulogd's own schemas: auto if its body is the one that was shipped, yes even if the body can't be read, no never"`
	Retention  retention.Age     `toml:"retention" extra:"true" doc:"how old rows may get, such as 90d: older ones are removed, by whole partitions where the table has one for each day; off keeps all, and changes no table"`
	queue.Options
}

// Direct says when base tables are written in place of a call.
type Direct string

// The choices.
const (
	DirectAuto Direct = "auto"
	DirectYes  Direct = "yes"
	DirectNo   Direct = "no"
)

// UnmarshalText accepts a choice.
func (d *Direct) UnmarshalText(text []byte) error {
	switch Direct(text) {
	case DirectAuto, DirectYes, DirectNo:
		*d = Direct(text)
		return nil
	}
	return fmt.Errorf("unknown choice %q: use %q, %q or %q", text, DirectAuto, DirectYes, DirectNo)
}

// MarshalText is the inverse of UnmarshalText.
func (d Direct) MarshalText() ([]byte, error) { return []byte(d), nil }

// Stock decides, of a routine with that fingerprint, which is empty if the body
// can't be read.
func (d Direct) Stock(fingerprint string, known []string) bool {
	if fingerprint == "" {
		return d == DirectYes
	}
	return d != DirectNo && slices.Contains(known, fingerprint)
}

// Defaults of ulogd.
var Defaults = Options{Reconnect: 2, BacklogOneshot: 10}

// ExtraDefaults are the defaults of what ulogd does not have.
var ExtraDefaults = Extra{BatchRows: 10000, BatchTime: time.Second, Ledger: "ulogd_ledger", Generation: plugin.Second, Direct: DirectAuto, Options: durable(queue.Defaults)}

// durable is a queue of which nothing is lost.
func durable(o queue.Options) queue.Options {
	o.Spool = "auto"
	return o
}

// None is the word for no ledger.
const None = "none"

// Check is an error if the options make no sense.
func Check(o Options, x Extra) error {
	switch {
	case x.BatchRows < 1:
		return fmt.Errorf("batch_rows = %d: a transaction needs a row; use 1 or more", x.BatchRows)
	case o.Reconnect < 0 || o.ConnectTimeout < 0 || o.BacklogMemcap < 0 || o.RingBufferSize < 0:
		return errors.New("reconnect, connect_timeout, backlog_memcap and ring_buffer_size can't be negative; use 0 for their defaults")
	case x.Ledger == "":
		return errors.New("ledger: no name; give the name of a table, or none")
	case strings.ContainsRune(o.Table+o.Procedure+x.Ledger, 0):
		return errors.New("table, procedure and ledger can't contain a NUL byte; remove it")
	}
	return nil
}

// rowRoom is what a row takes in memory at most, as a rule.
const rowRoom = 512

// blockBytes is the size at which a block is due, whatever its number of rows.
const blockBytes = 4 << 20

// Delivery is the queue that the options ask for. ulogd's own options for a
// backlog and a ring say how much has to fit into memory.
func Delivery(o Options, x Extra) (queue.Options, queue.Batching) {
	q := x.Options
	if o.BacklogMemcap > 0 {
		q.Memory = option.Size(o.BacklogMemcap)
	}
	q.Memory = max(q.Memory, option.Size(o.RingBufferSize)*rowRoom)
	return q, queue.Batching{
		Rows:    max(x.BatchRows, o.BacklogOneshot),
		Bytes:   blockBytes,
		Age:     x.BatchTime,
		MaxWait: time.Duration(o.Reconnect) * time.Second,
	}
}

// Timeout is how long connecting may take.
func (o Options) Timeout() time.Duration {
	if o.ConnectTimeout > 0 {
		return time.Duration(o.ConnectTimeout) * time.Second
	}
	return 10 * time.Second
}

// Login is how the daemon proves to a server who it is, and the server to the
// daemon. ulogd has no such options.
type Login struct {
	PasswordFile string `toml:"password_file" extra:"true" doc:"file with the password, in place of pass: a path, or the name of a credential that the service manager passes"`
	SSLMode      string `toml:"sslmode" extra:"true" doc:"encryption: disable, prefer (if the server can), require, verify-ca (and its certificate is of sslrootcert), verify-full (and names the host)"`
	SSLRootCert  string `toml:"sslrootcert" extra:"true" doc:"file with the certificates of authorities that the server's has to come from; the system's if empty"`
	SSLCert      string `toml:"sslcert" extra:"true" doc:"file with the daemon's own certificate"`
	SSLKey       string `toml:"sslkey" extra:"true" doc:"file with the key of that certificate"`
}

// LoginDefaults is encryption where the server has it.
var LoginDefaults = Login{SSLMode: "prefer"}

// Check is an error if the options make no sense.
func (l Login) Check() error {
	switch l.SSLMode {
	case "disable", "prefer", "require", "verify-ca", "verify-full":
	default:
		return fmt.Errorf("sslmode = %q: use disable, prefer, require, verify-ca or verify-full", l.SSLMode)
	}
	if (l.SSLCert == "") != (l.SSLKey == "") {
		return errors.New("sslcert and sslkey go together; give both or none")
	}
	return nil
}

// Password is the one in the file, or pass if there is no file. The file is read
// anew for each connection; its last newline does not count.
func (l Login) Password(pass string) (string, error) {
	if l.PasswordFile == "" {
		return pass, nil
	}
	path := l.PasswordFile
	if dir := os.Getenv("CREDENTIALS_DIRECTORY"); dir != "" && !strings.Contains(path, "/") {
		path = filepath.Join(dir, path)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("password_file: %w", err)
	}
	return strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r"), nil
}
