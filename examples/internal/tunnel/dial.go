package tunnel

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// An Endpoint is the address of a proxy with the identity of the origin.
type Endpoint struct {
	Addr  string      // host:port of the proxy's listener for origins
	TLS   *tls.Config // nil means no TLS: then the token is sent in plaintext
	Name  string      // name of the origin
	Token string      // authenticates the origin
}

// Dial connects to the proxy and sends the token. The returned connection is ready for a SPDY
// session. If the proxy refuses, Dial returns a *RefusedError.
func (e *Endpoint) Dial(ctx context.Context) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, handshakeTime)
	defer cancel()
	conn, err := e.connect(ctx)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	br, err := e.handshake(conn)
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		conn.Close()
		if ctx.Err() != nil {
			err = fmt.Errorf("tunnel to %s: %w", e.Addr, context.Cause(ctx))
		}
		return nil, err
	}
	return withBuffered(conn, br), nil
}

func (e *Endpoint) connect(ctx context.Context) (net.Conn, error) {
	if e.TLS == nil {
		return new(net.Dialer).DialContext(ctx, "tcp", e.Addr)
	}
	conf := e.TLS.Clone()
	conf.NextProtos = []string{"http/1.1"} // the upgrade starts as HTTP/1.1
	return (&tls.Dialer{Config: conf}).DialContext(ctx, "tcp", e.Addr)
}

// handshake sends the request and reads the response. The returned reader may hold bytes after the
// response.
func (e *Endpoint) handshake(conn net.Conn) (*bufio.Reader, error) {
	req := &http.Request{
		Method: http.MethodGet,
		URL:    &url.URL{Path: pathPrefix + e.Name},
		Host:   e.Addr,
		Header: http.Header{
			"Authorization": {"Bearer " + e.Token},
			"Connection":    {"Upgrade"},
			"Upgrade":       {upgradeTo},
		},
	}
	if err := req.Write(conn); err != nil {
		return nil, err
	}
	br := bufio.NewReader(conn)
	res, err := http.ReadResponse(br, req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if res.StatusCode == http.StatusSwitchingProtocols {
		if !strings.EqualFold(res.Header.Get("Upgrade"), upgradeTo) {
			return nil, errors.New("the proxy switched to " + res.Header.Get("Upgrade"))
		}
		return br, nil
	}
	message, _ := io.ReadAll(io.LimitReader(res.Body, 512)) // for humans; may be cut off
	return nil, &RefusedError{Status: res.StatusCode, Message: strings.TrimSpace(string(message))}
}
