package redistest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// A Certificate is self-signed, for a server or a client.
type Certificate struct {
	CertFile, KeyFile string          // as redis takes them
	Pair              tls.Certificate // as Go takes them
	Roots             *x509.CertPool  // trusts this certificate and no other
}

// NewCertificate makes a certificate for names and addresses; its files are gone when tb ends.
func NewCertificate(tb testing.TB, names ...string) *Certificate {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(tb, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
		IsCA:         true, BasicConstraintsValid: true,
	}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	must(tb, err)
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	must(tb, err)
	return newCertificate(tb, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}))
}

func newCertificate(tb testing.TB, certPEM, keyPEM []byte) *Certificate {
	tb.Helper()
	dir := tb.TempDir()
	c := &Certificate{
		CertFile: filepath.Join(dir, "cert.pem"), KeyFile: filepath.Join(dir, "key.pem"),
		Roots: x509.NewCertPool(),
	}
	must(tb, os.WriteFile(c.CertFile, certPEM, 0o600))
	must(tb, os.WriteFile(c.KeyFile, keyPEM, 0o600))
	var err error
	c.Pair, err = tls.X509KeyPair(certPEM, keyPEM)
	must(tb, err)
	c.Roots.AppendCertsFromPEM(certPEM)
	return c
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatalf("redistest: certificate: %v", err)
	}
}

// Args are for Start: a server that speaks TLS with this certificate on its port, and nothing else.
// It asks clients for no certificate.
func (c *Certificate) Args() []string {
	return []string{"--port", "0", "--tls-port", "{port}", "--tls-auth-clients", "no",
		"--tls-cert-file", c.CertFile, "--tls-key-file", c.KeyFile}
}

// ArgsForClientsWith are Args of a server that takes clients with another certificate only.
func (c *Certificate) ArgsForClientsWith(client *Certificate) []string {
	return append(c.Args(), "--tls-auth-clients", "yes", "--tls-ca-cert-file", client.CertFile)
}
