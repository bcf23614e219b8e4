package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"flag"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/amahi/spdy"
)

// A dialer connects to SPDY servers the way the flags of get and ping say.
type dialer struct {
	version  versionFlag
	insecure bool
	caFile   string
	timeout  time.Duration

	roots *x509.CertPool
}

func (d *dialer) addFlags(flags *flag.FlagSet) {
	flags.Var(&d.version, "version", "the `dialect` to speak: 2, 3 or 3.1 (default: 3.1, with TLS the best that the server has)")
	flags.BoolVar(&d.insecure, "k", false, "TLS: take any certificate, which lets anyone in between read along")
	flags.StringVar(&d.caFile, "cacert", "", "TLS: trust the certificates in this PEM `file`, and no others")
	flags.DurationVar(&d.timeout, "connect-timeout", 30*time.Second, "give up connecting after this `time`")
}

// prepare checks the flags.
func (d *dialer) prepare() error {
	if d.timeout <= 0 {
		return usagef("-connect-timeout must be more than 0")
	}
	if d.caFile == "" {
		return nil
	}
	pem, err := os.ReadFile(d.caFile)
	if err != nil {
		return err
	}
	d.roots = x509.NewCertPool()
	if !d.roots.AppendCertsFromPEM(pem) {
		return fmt.Errorf("%s holds no certificate", d.caFile)
	}
	return nil
}

// dial connects and, for TLS, makes the handshake and checks that the server
// speaks SPDY. It returns the dialect to speak.
func (d *dialer) dial(ctx context.Context, addr string, secure bool) (net.Conn, spdy.Version, error) {
	ctx, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, 0, err
	}
	if !secure {
		if d.version.Version != 0 {
			return conn, d.version.Version, nil
		}
		return conn, spdy.SPDY31, nil
	}
	return d.handshake(ctx, conn, addr)
}

func (d *dialer) handshake(ctx context.Context, conn net.Conn, addr string) (net.Conn, spdy.Version, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		conn.Close()
		return nil, 0, err
	}
	offer := dialects
	if d.version.Version != 0 {
		offer = []spdy.Version{d.version.Version}
	}
	names := make([]string, len(offer))
	for i, v := range offer {
		names[i] = v.String()
	}
	secured := tls.Client(conn, &tls.Config{
		ServerName:         host,
		RootCAs:            d.roots,
		InsecureSkipVerify: d.insecure,
		NextProtos:         names,
	})
	if err := secured.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, 0, handshakeError(addr, names, err)
	}
	got := secured.ConnectionState().NegotiatedProtocol
	for _, v := range offer {
		if v.String() == got {
			return secured, v, nil
		}
	}
	secured.Close()
	return nil, 0, fmt.Errorf("%s has not agreed to speak %s: it knows nothing of ALPN", addr, orList(names))
}

// handshakeError explains a failed handshake.
func handshakeError(addr string, names []string, err error) error {
	if strings.Contains(err.Error(), "no application protocol") {
		return fmt.Errorf("%s does not speak %s: %w", addr, orList(names), err)
	}
	return fmt.Errorf("TLS handshake with %s: %w", addr, err)
}

// orList joins names the way people do.
func orList(names []string) string {
	last := len(names) - 1
	if last < 1 {
		return strings.Join(names, "")
	}
	return strings.Join(names[:last], ", ") + " or " + names[last]
}

// client connects and starts a session. trace, if not nil, sees every frame.
func (d *dialer) client(ctx context.Context, addr string, secure bool, trace *tracer) (*spdy.Client, error) {
	conn, v, err := d.dial(ctx, addr, secure)
	if err != nil {
		return nil, err
	}
	if trace != nil {
		conn = trace.conn(conn, v)
	}
	client, err := (&spdy.Config{Version: v}).NewClientConn(conn)
	if err != nil {
		conn.Close()
		return nil, err
	}
	return client, nil
}
