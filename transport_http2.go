package spdy

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync"
	"time"
)

// This file passes HTTP/2 connections, dialled by the http.Transport of a graft, to a second
// http.Transport, which speaks HTTP/2 on them and does not dial. Since Go 1.27 no function in
// TLSNextProto does this any more.

// unencryptedHTTP2 is the key of HTTP/2 without TLS in http.Transport.TLSNextProto.
const unencryptedHTTP2 = "unencrypted_http2"

// http2Options returns an http.Transport with the options of t for HTTP/2. It gets connections from
// the contexts of requests.
func (g *graft) http2Options() *http.Transport {
	t := g.t
	return &http.Transport{
		Protocols:              g.http2,
		HTTP2:                  t.HTTP2,
		DisableCompression:     t.DisableCompression,
		DisableKeepAlives:      t.DisableKeepAlives,
		IdleConnTimeout:        t.IdleConnTimeout,
		ResponseHeaderTimeout:  t.ResponseHeaderTimeout,
		ExpectContinueTimeout:  t.ExpectContinueTimeout,
		MaxResponseHeaderBytes: t.MaxResponseHeaderBytes,
		DialContext:            takeHanded,
		DialTLSContext:         takeHanded,
	}
}

// upgradeHTTP2 accepts a connection that has negotiated HTTP/2.
func (g *graft) upgradeHTTP2(_ string, c *tls.Conn) http.RoundTripper {
	g.setUp()
	var conn net.Conn = c
	if plain, ok := c.NetConn().(interface{ UnencryptedNetConn() net.Conn }); ok {
		conn = plain.UnencryptedNetConn()
	}
	r := &graftedHTTP2{g: g, conn: conn}
	r.adopted, r.adopt = context.WithCancel(context.Background())
	r.mu.Lock()
	defer r.mu.Unlock()
	r.unclaimed = time.AfterFunc(unclaimedTimeout, r.drop)
	return r
}

// A graftedHTTP2 is the http.RoundTripper for t after the dial of an HTTP/2 connection. The first
// request carries the connection to g.h2; other requests wait for the first.
type graftedHTTP2 struct {
	g       *graft
	adopted context.Context // ends when g.h2 has the connection, or does not need it
	adopt   context.CancelFunc

	mu        sync.Mutex
	conn      net.Conn    // nil once it has been passed on or closed
	begun     bool        // a request has begun, or the connection has been closed
	unclaimed *time.Timer // calls drop, if no request has begun
}

// handedKey is the key of the *graftedHTTP2 in the context of the first request.
type handedKey struct{}

// takeHanded is the dial function of g.h2: it returns the connection in the request's context. A
// request without a connection returns to t, which dials.
func takeHanded(ctx context.Context, _, _ string) (net.Conn, error) {
	if r, ok := ctx.Value(handedKey{}).(*graftedHTTP2); ok {
		if conn := r.take(); conn != nil {
			return conn, nil
		}
	}
	return nil, errNoSession
}

func (r *graftedHTTP2) take() net.Conn {
	r.mu.Lock()
	defer r.mu.Unlock()
	conn := r.conn
	r.conn = nil
	return conn
}

// begin reports whether this is the first request.
func (r *graftedHTTP2) begin() (first bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	first = !r.begun
	r.begun = true
	if first {
		r.unclaimed.Stop()
	}
	return first
}

// drop closes a connection for which no request has begun. Later requests make t dial.
func (r *graftedHTTP2) drop() {
	if r.begin() {
		r.settle()
	}
}

// RoundTrip sends a request by HTTP/2, or makes t dial.
func (r *graftedHTTP2) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx := req.Context()
	if r.begin() {
		ctx = httptrace.WithClientTrace(context.WithValue(ctx, handedKey{}, r), &httptrace.ClientTrace{
			GotConn: func(httptrace.GotConnInfo) { r.adopt() },
		})
		defer r.settle()
	} else {
		w := wait{end: r.adopted.Done(), over: ctx.Done()} // RoundTrip checks for the end, too
		w.sleep(nil)
	}
	body := newTryBody(req, false)
	res, err := r.g.h2.Load().RoundTrip(body.attach(req.WithContext(ctx)))
	if err == errNoSession && body.rewind(req) {
		return nil, err
	}
	body.settle()
	return res, err
}

// settle closes the connection if g.h2 used another for the first request.
func (r *graftedHTTP2) settle() {
	r.adopt()
	if conn := r.take(); conn != nil {
		_ = conn.Close() // the error is not needed
	}
}
