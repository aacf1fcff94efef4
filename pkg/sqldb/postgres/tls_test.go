package postgres

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ulogd-go/ulogd/contrib/dbtest"
)

// encrypted tells whether the connection is.
func (s *subject) encrypted(t *testing.T) bool {
	t.Helper()
	rows, err := s.Conn.(*conn).query(t.Context(), "select ssl from pg_stat_ssl where pid = pg_backend_pid()")
	if err != nil {
		t.Fatal(err)
	}
	return rows[0][0] == "t"
}

// TestTLS: what sslmode stands for, and a user who needs a certificate.
func TestTLS(t *testing.T) {
	server := dbtest.Get(t, dbtest.PostgreSQL)
	e := server.Encrypt(t)
	d := server.Database(t)
	d.Exec(t, "create table t (oob_mark bigint)")
	if _, err := d.DB.Exec("create role " + e.Certified + " login; grant " + d.User + " to " + e.Certified); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		change func(*Config)
		tls    bool
		err    string
	}{
		{"disable", func(c *Config) { c.Login.SSLMode = "disable" }, false, ""},
		{"prefer", func(*Config) {}, true, ""},
		{"prefer without TLS", func(c *Config) { c.Host, c.Port = "127.0.0.1", server.Forward(t) }, false, ""},
		{"require", func(c *Config) { c.Login.SSLMode = "require" }, true, ""},
		{"require without TLS", func(c *Config) { c.Login.SSLMode, c.Host, c.Port = "require", "127.0.0.1", server.Forward(t) }, false, "refused TLS"},
		{"verify-ca", func(c *Config) { c.Login.SSLMode, c.Login.SSLRootCert, c.Host = "verify-ca", e.CA, e.Unnamed }, true, ""},
		{"verify-ca of another", func(c *Config) { c.Login.SSLMode, c.Login.SSLRootCert = "verify-ca", e.OtherCA }, false, "unknown authority"},
		{"verify-full", func(c *Config) { c.Login.SSLMode, c.Login.SSLRootCert = "verify-full", e.CA }, true, ""},
		{"verify-full of another name", func(c *Config) { c.Login.SSLMode, c.Login.SSLRootCert, c.Host = "verify-full", e.CA, e.Unnamed }, false, e.Unnamed},
		{"no certificate", func(c *Config) { c.User = e.Certified }, false, "certificate"},
		{"certificate", func(c *Config) { c.User, c.Login.SSLCert, c.Login.SSLKey = e.Certified, e.Cert, e.Key }, true, ""},
		{"no such file", func(c *Config) { c.Login.SSLMode, c.Login.SSLRootCert = "verify-full", "/nowhere/ca.pem" }, false, "/nowhere/ca.pem"},
		{"connstring", func(c *Config) {
			c.ConnString = fmt.Sprintf("host=%s dbname=%s user=%s sslmode=verify-full sslrootcert=%s", e.Host, d.Name, d.User, e.CA)
		}, true, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSubject(t, d, "t", "INSERT")
			s.config.Host = e.Host
			tt.change(&s.config)
			err := s.Connect(t)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) || strings.Contains(err.Error(), d.Password) {
					t.Errorf("error %v, want one with %q", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := s.encrypted(t); got != tt.tls {
				t.Errorf("encrypted %t, want %t", got, tt.tls)
			}
			s.Write(t, fieldsOf{"oob_mark": num(1)})
		})
	}
}

// TestConnString: both of libpq's forms, passwords from a credential and from libpq's
// own file, and no password in an error.
func TestConnString(t *testing.T) {
	d := dbtest.Get(t, dbtest.PostgreSQL).Database(t)
	d.Exec(t, "create table t (oob_mark bigint)")
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	t.Setenv("CREDENTIALS_DIRECTORY", dir)
	file("secret", d.Password+"\n")
	t.Setenv("PGPASSFILE", file("pgpass", "*:*:*:"+d.User+":"+strings.NewReplacer(`\`, `\\`, ":", `\:`).Replace(d.Password)+"\n"))
	quoted := strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(d.Password)
	query := url.Values{"host": {d.Socket}, "user": {d.User}, "password": {d.Password}}
	for name, change := range map[string]func(*Config){
		"settings": func(c *Config) {
			c.ConnString = fmt.Sprintf("host='%s' dbname = %s user=%s password='%s'", d.Socket, d.Name, d.User, quoted)
		},
		"URI": func(c *Config) {
			c.ConnString = "postgresql:///" + d.Name + "?" + strings.ReplaceAll(query.Encode(), "+", "%20")
		},
		"credential": func(c *Config) { c.Pass, c.Login.PasswordFile = "", "secret" },
		"pgpass":     func(c *Config) { c.Pass = "" },
	} {
		s := newSubject(t, d, "t", "INSERT")
		s.config.Host, s.config.DB, s.config.User, s.config.Pass = d.Socket, d.Name, d.User, ""
		change(&s.config)
		if s.config.ConnString != "" {
			t.Setenv("PGPASSFILE", "/dev/null")
		}
		if err := s.Connect(t); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		t.Setenv("PGPASSFILE", filepath.Join(dir, "pgpass"))
	}
	for _, text := range []string{"host=/nowhere password=hunter2 user=u", "postgresql://u:hunter2@/x?host=/nowhere", "host=x password='hunter2", "postgresql://u:hunter2@[x",
		"host=x password = hunter2 port=y", "host=x password='a\\'hunter2' port=y", "host=x password='a hunter2", "hostx password=a\\ hunter2", "host=x password\t=\t'hunter2' port=y",
		"postgresql://u@h/x?password=hunter2&port=y", "postgres://u:a@hunter2@h:y/x"} {
		s := newSubject(t, d, "t", "INSERT")
		s.config.ConnString = text
		if err := s.Connect(t); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: error %v, want one without the password", text, err)
		}
	}
}
