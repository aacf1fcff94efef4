package outsock

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"time"
)

// TLS are the options of TLS. Outputs that send over TCP embed them in their own.
type TLS struct {
	On         bool   `toml:"tls" extra:"true" doc:"encrypt the connection with TLS, over tcp only"`
	CA         string `toml:"tls_ca" extra:"true" doc:"file with the certificates (PEM) that may have signed the receiver's; empty for those of the system"`
	Cert       string `toml:"tls_cert" extra:"true" doc:"file with the certificate (PEM) to show to the receiver"`
	Key        string `toml:"tls_key" extra:"true" doc:"file with the private key (PEM) of tls_cert"`
	ServerName string `toml:"tls_server_name" extra:"true" doc:"name that the receiver's certificate must have; empty for the host"`
}

// Check tells whether the options fit together and the network.
func (t TLS) Check(network string) error {
	switch {
	case !t.On && t != (TLS{}):
		return errors.New("options of TLS are set, but tls is not; set tls=1")
	case t.On && network != "tcp":
		return fmt.Errorf("tls=1 needs tcp, and can't be used over %s", network)
	case (t.Cert == "") != (t.Key == ""):
		return errors.New("tls_cert and tls_key need each other; set both or neither")
	}
	return nil
}

// load reads the files. Host is whom the address names.
func (t TLS) load(host string) (*tls.Config, error) {
	config := &tls.Config{ServerName: t.ServerName, MinVersion: tls.VersionTLS12}
	if config.ServerName == "" {
		config.ServerName = host
	}
	if t.CA != "" {
		pem, err := os.ReadFile(t.CA)
		if err != nil {
			return nil, fmt.Errorf("tls_ca: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("tls_ca: no certificate (PEM) in %s", t.CA)
		}
	}
	if t.Cert != "" {
		cert, err := tls.LoadX509KeyPair(t.Cert, t.Key)
		if err != nil {
			return nil, fmt.Errorf("tls_cert, tls_key: %w", err)
		}
		config.Certificates = []tls.Certificate{cert}
	}
	return config, nil
}

// loadTLS reads the files of TLS, which may have been renewed. Those that can't be
// read any more, since the daemon has become another user, stay as they were.
func (c *Conn) loadTLS() error {
	if !c.TLS.On {
		return nil
	}
	host, _, err := net.SplitHostPort(c.Address)
	if err != nil {
		return err
	}
	config, err := c.TLS.load(host)
	if err == nil {
		c.tls = config
	}
	if c.tls == nil {
		return err
	}
	return nil
}

// secure is conn with TLS. It is not judged if the server has yet to say whether it
// accepts the client's certificate, or the lack of one: with TLS 1.3 the handshake
// ends before (RFC 8446, section 4.4.2.4).
func (c *Conn) secure(ctx context.Context, conn net.Conn) (_ net.Conn, judged bool, err error) {
	config := c.tls.Clone()
	asked := false
	config.GetClientCertificate = func(request *tls.CertificateRequestInfo) (*tls.Certificate, error) {
		asked = true
		for i := range c.tls.Certificates {
			if request.SupportsCertificate(&c.tls.Certificates[i]) == nil {
				return &c.tls.Certificates[i], nil
			}
		}
		return new(tls.Certificate), nil
	}
	secure := tls.Client(conn, config)
	if err := secure.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, false, fmt.Errorf("TLS with %s: %w", c.Address, err)
	}
	return secure, !asked || secure.ConnectionState().Version < tls.VersionTLS13, nil
}

// verdict is how long a server may take to refuse a certificate.
const verdict = 500 * time.Millisecond

// awaitVerdict gives the server the time to refuse, lest rows are sent for nothing.
func (c *Conn) awaitVerdict() error {
	select {
	case <-c.closed:
		c.conn.Close()
		return fmt.Errorf("TLS with %s: the server does not accept the certificate; see tls_cert and tls_key", c.Address)
	case <-time.After(verdict):
		return nil
	}
}
