package mysql

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ulogd-go/ulogd/contrib/dbtest"
)

// encrypted tells whether the connection is.
func (s *subject) encrypted(t *testing.T) bool {
	t.Helper()
	rows, err := s.Conn.(*conn).query(t.Context(), "show status like 'Ssl_cipher'")
	if err != nil {
		t.Fatal(err)
	}
	return rows[0][1] != ""
}

// TestTLS: what sslmode stands for, and a user who needs a certificate.
func TestTLS(t *testing.T) {
	server := dbtest.Get(t, dbtest.MySQL)
	e := server.Encrypt(t)
	d := server.Database(t)
	d.Exec(t, "create table t (oob_mark bigint)")
	for _, user := range []string{d.User, e.Certified} {
		password := strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(d.Password)
		sql := fmt.Sprintf("create user %s@'127.%%' identified by '%s'", user, password)
		if user == e.Certified {
			sql += " require x509"
		}
		d.Exec(t, fmt.Sprintf("drop user if exists %s@'127.%%'", user), sql, fmt.Sprintf("grant all on %s.* to %s@'127.%%'", d.Name, user))
	}
	for _, tt := range []struct {
		name   string
		change func(*Config)
		tls    bool
		err    string
	}{
		{"disable", func(c *Config) { c.Login.SSLMode = "disable" }, false, ""},
		{"prefer", func(*Config) {}, true, ""},
		{"require", func(c *Config) { c.Login.SSLMode = "require" }, true, ""},
		{"verify-ca", func(c *Config) { c.Login.SSLMode, c.Login.SSLRootCert, c.Host = "verify-ca", e.CA, e.Unnamed }, true, ""},
		{"verify-ca of another", func(c *Config) { c.Login.SSLMode, c.Login.SSLRootCert = "verify-ca", e.OtherCA }, false, "unknown authority"},
		{"verify-full", func(c *Config) { c.Login.SSLMode, c.Login.SSLRootCert = "verify-full", e.CA }, true, ""},
		{"verify-full of another name", func(c *Config) { c.Login.SSLMode, c.Login.SSLRootCert, c.Host = "verify-full", e.CA, e.Unnamed }, false, e.Unnamed},
		{"no certificate", func(c *Config) { c.User = e.Certified }, false, "Access denied"},
		{"certificate", func(c *Config) { c.User, c.Login.SSLCert, c.Login.SSLKey = e.Certified, e.Cert, e.Key }, true, ""},
		{"no such file", func(c *Config) { c.Login.SSLMode, c.Login.SSLRootCert = "verify-full", "/nowhere/ca.pem" }, false, "/nowhere/ca.pem"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSubject(t, d, "t", "INSERT")
			s.config.Host = e.Host
			tt.change(&s.config)
			s.try(t, tt.tls, tt.err)
		})
	}
}

// try connects and writes, or wants an error with a text.
func (s *subject) try(t *testing.T, tls bool, want string) {
	t.Helper()
	err := s.Connect(t)
	if want != "" {
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), s.Password) {
			t.Errorf("error %v, want one with %q", err, want)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if got := s.encrypted(t); got != tls {
		t.Errorf("encrypted %t, want %t", got, tls)
	}
	s.Write(t, fieldsOf{"oob_mark": num(1)})
}

// TestWithoutTLS: prefer does without, and require does not. The password comes from
// a credential.
func TestWithoutTLS(t *testing.T) {
	d := dbtest.Get(t, dbtest.MySQL).Database(t)
	d.Exec(t, "create table t (oob_mark bigint)")
	// MySQL takes what is forwarded for its socket, and would ask for a password that the
	// client does not send by TCP, unless it has seen it before.
	newSubject(t, d, "t", "INSERT").MustConnect(t)
	port, dir := d.Forward(t), t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "secret"), []byte(d.Password+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("CREDENTIALS_DIRECTORY", dir)
	for mode, want := range map[string]string{"prefer": "", "require": "TLS"} {
		s := newSubject(t, d, "t", "INSERT")
		s.config.Host, s.config.Port, s.config.Login.SSLMode = "127.0.0.1", port, mode
		s.config.Pass, s.config.Login.PasswordFile = "", "secret"
		s.try(t, false, want)
	}
}
