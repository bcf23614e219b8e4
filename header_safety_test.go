package spdy

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy/internal/testconn"
)

// An http1Origin answers over HTTP/1.1 and keeps what it was sent, byte for byte.
type http1Origin struct {
	answer string
	got    chan []byte // one for each connection
}

// dial connects a client to the origin, which reads one request, answers, and then
// reads what else there is.
func (o *http1Origin) dial(context.Context, string, string) (net.Conn, error) {
	mine, theirs := testconn.Pair(testconn.Record())
	go func() {
		defer theirs.Close()
		r := bufio.NewReader(theirs)
		if req, err := http.ReadRequest(r); err == nil {
			io.Copy(io.Discard, req.Body)
			io.WriteString(theirs, o.answer)
		}
		theirs.CloseWrite()
		io.Copy(io.Discard, r)
		select {
		case o.got <- mine.Sent():
		default:
		}
	}()
	return mine, nil
}

// proxyTo is a handler that sends what comes on to the origin.
func (o *http1Origin) proxy() http.Handler {
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host = "http", "origin.example"
			r.Out.Host = r.In.Host
		},
		Transport: &http.Transport{DialContext: o.dial, DisableKeepAlives: true, DisableCompression: true},
		ErrorLog:  quietLog,
	}
}

// TestNoRequestInsideARequest: whatever a SPDY client puts where, an HTTP/1.1 server
// behind a proxy sees one request or none, and no line that was not one header.
func TestNoRequestInsideARequest(t *testing.T) {
	for _, evil := range []string{
		"\r\nEvil: 1", "\nEvil: 1", "\rEvil: 1", "\r\n\r\nGET /evil HTTP/1.1\r\nHost: evil\r\n\r\n", "\x00Evil: 1",
		" HTTP/1.1\r\nEvil: 1\r\n", "\x00", "\x01", "\x7f", "\x0bEvil: 1", "\u2028Evil: 1", "\u0085Evil: 1", "\t", " ", ": Evil",
	} {
		for name, pairs := range map[string][]string{
			"method":        {":method", "GET" + evil},
			"path":          {":path", "/" + evil},
			"query":         {":path", "/?" + evil},
			"absolute":      {":path", "http://h/" + evil},
			"authority":     {":path", "http://h" + evil + "/"},
			"host":          {":host", "example.com" + evil},
			"scheme":        {":scheme", "http" + evil},
			"version":       {":version", "HTTP/1.1" + evil},
			"name":          {"x" + evil, "y"},
			"value":         {"x", "y" + evil},
			"second value":  {"x", "y\x00z" + evil},
			"cookie":        {"cookie", "a=b" + evil},
			"length":        {":method", "POST", "content-length", "0" + evil},
			"two lengths":   {":method", "POST", "content-length", "0\x0055" + evil},
			"chunked":       {":method", "POST", "transfer-encoding", "chunked" + evil},
			"trailer":       {"trailer", "x" + evil},
			"connection":    {"connection", "x" + evil, "x", "1"},
			"expect":        {"expect", "100-continue" + evil},
			"upgrade":       {"upgrade", "evil" + evil, "connection", "upgrade"},
			"forwarded for": {"x-forwarded-for", "1.2.3.4" + evil},
			"CONNECT":       {":method", "CONNECT", ":path", "h:443" + evil},
			"OPTIONS":       {":method", "OPTIONS", ":path", "*" + evil},
		} {
			story(t, name, func(t *testing.T) {
				o := &http1Origin{answer: "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", got: make(chan []byte, 9)}
				ours, conn := testconn.Pair()
				s := quietConfig.ServerSession(ours, &http.Server{Handler: o.proxy()})
				served := make(chan error, 1)
				go func() { served <- s.Serve() }()
				peer := NewFramer(conn, conn, SPDY31)
				err := peer.WriteFrame(&SynStreamFrame{StreamID: 1, Flags: FlagFin, Headers: plainGet(SPDY31, pairs...)})
				require.NoError(t, err)
				synctest.Wait()
				conn.Close()
				<-served
				synctest.Wait()
				close(o.got)
				for text := range o.got {
					requireOneRequest(t, text, evil)
				}
			})
		}
	}
}

// requireOneRequest reads what an HTTP/1.1 server got as such a server would.
func requireOneRequest(t *testing.T, text []byte, evil string) {
	t.Helper()
	r := bufio.NewReader(bytes.NewReader(text))
	req, err := http.ReadRequest(r)
	require.NoError(t, err, "%q", text)
	_, err = io.Copy(io.Discard, req.Body)
	require.NoError(t, err, "%q", text)
	require.Zero(t, r.Buffered(), "%q", text)
	require.NotContains(t, req.Header, "Evil", "%q", evil)
	for line := range bytes.Lines(text) {
		require.False(t, bytes.HasPrefix(line, []byte("Evil")), "%q", text)
	}
	for name, values := range req.Header {
		for _, value := range values {
			require.NotContains(t, value, "\x00", name)
		}
	}
}

// TestNoAnswerInsideAnAnswer: the same for answers of a SPDY server on their way to an
// HTTP/1.1 client.
func TestNoAnswerInsideAnAnswer(t *testing.T) {
	for _, evil := range []string{
		"\r\nEvil: 1", "\nEvil: 1", "\rEvil: 1", "\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", "\x00Evil: 1", "\x00", "\x01", "\x7f", "\t", " ", ": Evil",
	} {
		for name, pairs := range map[string][]string{
			"status":       {":status", "200" + evil},
			"reason":       {":status", "200 OK" + evil},
			"version":      {":version", "HTTP/1.1" + evil},
			"name":         {"x" + evil, "y"},
			"value":        {"x", "y" + evil},
			"second value": {"set-cookie", "y\x00z" + evil},
			"length":       {"content-length", "0" + evil},
			"two lengths":  {"content-length", "0\x005" + evil},
			"chunked":      {"transfer-encoding", "chunked" + evil},
			"trailer":      {"trailer", "x" + evil},
			"connection":   {"connection", "x" + evil},
			"location":     {"location", "/" + evil, ":status", "302 Found"},
		} {
			story(t, name, func(t *testing.T) {
				ours, conn := testconn.Pair()
				s := quietConfig.ClientSession(ours)
				served := make(chan error, 1)
				go func() { served <- s.Serve() }()
				answered := make(chan error, 1)
				go func() {
					peer := NewFramer(conn, conn, SPDY31)
					for {
						frame, err := peer.ReadFrame()
						if _, ok := frame.(*SynStreamFrame); ok {
							err = peer.WriteFrame(&SynReplyFrame{StreamID: 1, Flags: FlagFin, Headers: plainOK(SPDY31, pairs...)})
						}
						if err != nil {
							answered <- err
							return
						}
					}
				}()
				rec := testconnAnswer(t, &httputil.ReverseProxy{
					Rewrite:   func(r *httputil.ProxyRequest) { r.Out.URL.Host = "origin.example" },
					Transport: s, ErrorLog: quietLog,
				})
				s.Close()
				conn.Close()
				<-served
				<-answered
				r := bufio.NewReader(bytes.NewReader(rec))
				res, err := http.ReadResponse(r, nil)
				require.NoError(t, err, "%q", rec)
				_, err = io.Copy(io.Discard, res.Body)
				require.NoError(t, err, "%q", rec)
				require.Zero(t, r.Buffered(), "%q", rec)
				require.NotContains(t, res.Header, "Evil", "%q", rec)
				require.Contains(t, []int{200, 302, http.StatusBadGateway}, res.StatusCode)
			})
		}
	}
}

// testconnAnswer is what an HTTP/1.1 client reads of a handler's answer.
func testconnAnswer(t *testing.T, h http.Handler) []byte {
	ln := testconn.Listen()
	hs := &http.Server{Handler: h, ErrorLog: quietLog}
	served := make(chan error, 1)
	go func() { served <- hs.Serve(ln) }()
	conn, err := ln.Dial()
	require.NoError(t, err)
	_, err = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
	require.NoError(t, err)
	text, err := io.ReadAll(conn)
	require.NoError(t, err)
	conn.Close()
	require.NoError(t, hs.Close())
	<-served
	return text
}

// TestHandlersSendNothingInvalid: what a handler puts into headers that may not be sent
// stays behind, and its client gets a good answer, or an error.
func TestHandlersSendNothingInvalid(t *testing.T) {
	for _, evil := range []string{"\r\nEvil: 1", "\n", "\r", "\x00Evil: 1", "\x00", "\x01", "\x7f"} {
		rigTest(t, func(w http.ResponseWriter, r *http.Request) {
			h := w.Header()
			for _, name := range []string{"X-Value", "Set-Cookie", "Content-Type", "Date", "Trailer", "Location", "Connection", "Content-Length"} {
				h[name] = []string{"x" + evil}
			}
			h["X"+evil] = []string{"1"}
			h[":status"] = []string{"500"}
			h[http.TrailerPrefix+"T"+evil] = []string{"1"}
			h[http.TrailerPrefix+"Late"] = []string{"x" + evil, "good"}
			h["Good"] = []string{"x" + evil, "good"}
			assert.Error(t, pushTo(w, "/a?"+evil))
			assert.Error(t, pushTo(w, "/a?b c"))
			io.WriteString(w, "body")
		}, rigSetup{client: &Config{AcceptPush: func(*http.Request, *http.Request) bool { return true }}}, func(t *testing.T, r *rig) {
			res, body := r.get("/")
			require.Equal(t, "body", body)
			require.Equal(t, 200, res.StatusCode)
			require.Equal(t, []string{"good"}, res.Header["Good"])
			require.Equal(t, http.Header{"Late": {"good"}}, res.Trailer)
			for name, values := range res.Header {
				require.NotContains(t, name, "X", "%q", res.Header)
				for _, v := range values {
					require.False(t, strings.ContainsAny(v, evil), "%q", res.Header)
				}
			}
		})
	}
}

// TestClientsSendNothingInvalid: a request that cannot be sent as it is fails, and
// nothing of it is on the wire.
func TestClientsSendNothingInvalid(t *testing.T) {
	for _, evil := range []string{"\r\nEvil: 1", "\n", "\r", "\x00Evil: 1", "\x00", "\x01", "\x7f"} {
		for name, spoil := range map[string]func(r *http.Request){
			"method":   func(r *http.Request) { r.Method = "GET" + evil },
			"path":     func(r *http.Request) { r.URL = &url.URL{Scheme: "http", Host: "h", Opaque: "/" + evil} },
			"query":    func(r *http.Request) { r.URL.RawQuery = evil },
			"host":     func(r *http.Request) { r.Host = "h" + evil },
			"URL host": func(r *http.Request) { r.Host, r.URL.Host = "", "h"+evil },
			"scheme":   func(r *http.Request) { r.URL.Scheme = "http" + evil },
			"name":     func(r *http.Request) { r.Header["X"+evil] = []string{"1"} },
			"value":    func(r *http.Request) { r.Header["X"] = []string{"good", "x" + evil} },
			"agent":    func(r *http.Request) { r.Header["User-Agent"] = []string{"x" + evil} },
			"cookie":   func(r *http.Request) { r.Header["Cookie"] = []string{"x" + evil} },
			"trailer":  func(r *http.Request) { r.Trailer = http.Header{"X" + evil: {"1"}} },
			"expect":   func(r *http.Request) { r.Header["Expect"] = []string{"100-continue" + evil} },
		} {
			story(t, name, func(t *testing.T) {
				ours, conn := testconn.Pair(testconn.Record())
				s := NewClientSession(ours)
				served := make(chan error, 1)
				go func() { served <- s.Serve() }()
				synctest.Wait()
				before := len(ours.Sent())
				req, err := http.NewRequest("GET", "http://h/", nil)
				require.NoError(t, err)
				spoil(req)
				_, err = s.RoundTrip(req)
				var invalid *messageError
				require.ErrorAs(t, err, &invalid)
				require.NotContains(t, err.Error(), "\n")
				require.False(t, errors.Is(err, io.EOF))
				synctest.Wait()
				require.Len(t, ours.Sent(), before)
				s.Close()
				conn.Close()
				<-served
			})
		}
	}
}
