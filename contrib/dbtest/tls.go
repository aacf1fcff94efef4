package dbtest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Encrypted is how a server is reached by TCP and TLS.
type Encrypted struct {
	Host    string // address that the server's certificate names
	Unnamed string // another address of the server, which it does not name
	CA      string // file with the certificate of the authority
	OtherCA string // and with that of one that has nothing to do with it
	// Certified is a user that needs a certificate besides the password, or
	// in PostgreSQL in its place; Cert and Key are the files with it.
	Certified, Cert, Key string
}

// certified is the user that needs a certificate.
const certified = "certified"

// Encrypt starts the server anew for the rest of the test, with two addresses of the
// loopback device on which it speaks TLS to all who ask for it.
func (s *Server) Encrypt(t testing.TB) Encrypted {
	t.Helper()
	// Each process has addresses of its own, so that ports are the usual ones.
	pid := os.Getpid()
	address := func(last int) string { return fmt.Sprintf("127.%d.%d.%d", 1+pid>>8&0x7f, pid&0xff, last) }
	e := Encrypted{Host: address(1), Unnamed: address(2), Certified: certified}
	ours, other := newAuthority(t, s.Dir, "ca"), newAuthority(t, s.Dir, "other-ca")
	e.CA, e.OtherCA = ours.file, other.file
	e.Cert, e.Key = ours.issue(t, certified, nil)
	cert, key := ours.issue(t, "server", net.ParseIP(e.Host))
	if s.account != nil {
		if err := os.Chown(key, int(s.account.Uid), int(s.account.Gid)); err != nil {
			t.Fatal(err)
		}
	}
	listen := e.Host + "," + e.Unnamed
	if s.Engine == PostgreSQL {
		s.network = []string{"-c", "listen_addresses=" + listen, "-c", "ssl=on", "-c", "ssl_cert_file=" + cert, "-c", "ssl_key_file=" + key, "-c", "ssl_ca_file=" + e.CA}
		s.allow(t)
	} else {
		s.network = []string{"--bind-address=" + listen, "--port=3306", "--ssl-cert=" + cert, "--ssl-key=" + key, "--ssl-ca=" + e.CA}
	}
	s.restart(t)
	t.Cleanup(func() {
		s.network = nil
		s.restart(t)
	})
	return e
}

func (s *Server) restart(t testing.TB) {
	t.Helper()
	s.Stop()
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
}

// allow has PostgreSQL accept connections by TCP.
func (s *Server) allow(t testing.TB) {
	t.Helper()
	path := filepath.Join(s.data(), "pg_hba.conf")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const lines = "hostssl all " + certified + " 127.0.0.0/8 cert\nhost all all 127.0.0.0/8 scram-sha-256\n"
	if !strings.HasPrefix(string(text), lines) {
		if err := os.WriteFile(path, append([]byte(lines), text...), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// authority issues certificates.
type authority struct {
	dir, file string
	cert      *x509.Certificate
	key       *ecdsa.PrivateKey
}

func newAuthority(t testing.TB, dir, name string) *authority {
	t.Helper()
	a := &authority{dir: dir, file: filepath.Join(dir, name+".pem")}
	a.cert = &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, key := sign(t, a.cert, a.cert, nil)
	a.key = key
	writePEM(t, a.file, "CERTIFICATE", der, 0o644)
	return a
}

// issue makes a certificate for a server with that address, or a user.
func (a *authority) issue(t testing.TB, name string, ip net.IP) (cert, key string) {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, NotBefore: a.cert.NotBefore, NotAfter: a.cert.NotAfter,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	if ip != nil {
		template.ExtKeyUsage, template.IPAddresses = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, []net.IP{ip}
	}
	der, private := sign(t, template, a.cert, a.key)
	cert, key = filepath.Join(a.dir, name+".pem"), filepath.Join(a.dir, name+".key")
	writePEM(t, cert, "CERTIFICATE", der, 0o644)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	writePEM(t, key, "PRIVATE KEY", pkcs8, 0o600)
	return cert, key
}

// sign signs a certificate by its parent's key, or by its own if that is nil.
func sign(t testing.TB, template, parent *x509.Certificate, by *ecdsa.PrivateKey) (der []byte, key *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if by == nil {
		by = key
	}
	if der, err = x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, by); err != nil {
		t.Fatal(err)
	}
	return der, key
}

func writePEM(t testing.TB, path, kind string, der []byte, mode os.FileMode) {
	t.Helper()
	_ = os.Remove(path) // of an earlier Encrypt
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), mode); err != nil {
		t.Fatal(err)
	}
}

// Forward is the port of the loopback device on which the server is reached by TCP,
// without TLS, since its socket knows none.
func (s *Server) Forward(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	p := &Proxy{server: s, cut: func(int) Cut { return No }}
	go p.accept(l)
	return l.Addr().(*net.TCPAddr).Port
}
