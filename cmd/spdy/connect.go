package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"time"

	"github.com/amahi/spdy"
)

// A dialer connects to SPDY servers according to the flags of get and ping.
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
	flags.DurationVar(&d.timeout, "connect-timeout", 30*time.Second, "give up on a server that has not connected, or then not sent a frame, after this `time`")
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

// dial connects and, for TLS, performs the handshake and checks that the server speaks SPDY. It
// returns the dialect to speak.
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
	return nil, 0, fmt.Errorf("%s has not agreed to speak %s: it knows nothing of ALPN, and may speak HTTP/1.1", addr, orList(names))
}

// handshakeError explains a failed handshake.
func handshakeError(addr string, names []string, err error) error {
	if strings.Contains(err.Error(), "no application protocol") {
		return fmt.Errorf("%s does not speak %s: %w", addr, orList(names), err)
	}
	var plain tls.RecordHeaderError
	switch {
	case errors.As(err, &plain):
		return fmt.Errorf("%s speaks %s on this port, not TLS; http:// is for SPDY without TLS: %w", addr, plainProtocol(plain.RecordHeader[:]), err)
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("TLS handshake with %s: it has not been completed in time: %w", addr, err)
	case errors.Is(err, io.EOF):
		return fmt.Errorf("TLS handshake with %s: it has closed the connection and may not speak TLS: %w", addr, err)
	}
	return fmt.Errorf("TLS handshake with %s: %w", addr, err)
}

// plainProtocol names the protocol of a server that has answered a TLS handshake with these bytes.
func plainProtocol(first []byte) string {
	switch {
	case bytes.HasPrefix(first, []byte("HTTP/")):
		return "HTTP/1"
	case bytes.HasPrefix(first, []byte("SSH-")):
		return "SSH"
	case first[0] == 0x80:
		return "SPDY"
	case first[0] == 0 && first[3] == 4: // the type of SETTINGS, after the length
		return "HTTP/2"
	}
	return fmt.Sprintf("another protocol, which begins with %q,", first)
}

// explain adds to a session's error the protocol that the server speaks instead of SPDY, and a
// remedy.
func explain(err error) error {
	var other *spdy.NotSPDYError
	if !errors.As(err, &other) {
		return err
	}
	text := other.Addr
	switch {
	case strings.HasPrefix(other.Protocol, "SPDY/"):
		return fmt.Errorf("%s speaks %s; use -version %s", text, other.Protocol, other.Protocol[len("SPDY/"):])
	case other.Protocol != "":
		text += " speaks " + other.Protocol + ", not SPDY"
	case len(other.First) > 0:
		text += " does not speak SPDY"
	case other.Timeout():
		text += " has sent nothing, not even an answer to a PING, and may not speak SPDY"
	default:
		text += " has closed the connection and sent nothing, and may not speak SPDY"
	}
	if line, _, _ := strings.Cut(string(other.First), "\n"); line != "" && other.Protocol != "TLS" && other.First[0] >= ' ' {
		text += fmt.Sprintf(" (it says %q)", strings.TrimSuffix(line, "\r"))
	}
	switch other.Protocol {
	case "TLS":
		text += "; use https://"
	case "":
		text += "; https:// is for ports with TLS"
	case "HTTP/1.1", "HTTP/1.0", "HTTP/2":
		text += "; use curl or another client of HTTP"
	}
	return errors.New(text)
}

// orList joins names as in a sentence.
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
	client, err := (&spdy.Config{
		Version:           v,
		FirstFrameTimeout: d.timeout,
		Logger:            slog.New(slog.DiscardHandler), // the command reports errors itself
	}).NewClientConn(conn)
	if err != nil {
		conn.Close()
		return nil, err
	}
	return client, nil
}
