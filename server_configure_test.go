package spdy

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy/internal/localcert"
)

// TestConfigureServer: an http.Server speaks SPDY, HTTP/2 and HTTP/1.1 to whom they
// belong, with its own contexts.
func TestConfigureServer(t *testing.T) {
	hs := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			proto := r.Proto
			if s := SessionFromContext(r.Context()); s != nil {
				proto = s.Version().String()
			}
			_, server := r.Context().Value(http.ServerContextKey).(*http.Server)
			fmt.Fprint(w, proto, " ", r.TLS.NegotiatedProtocol, " ", r.Context().Value(connKey{}), " ", server)
		}),
		BaseContext: func(net.Listener) context.Context { return context.WithValue(context.Background(), connKey{}, "base") },
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			_, secure := c.(*tls.Conn)
			return context.WithValue(ctx, connKey{}, fmt.Sprint(ctx.Value(connKey{}), "+conn ", secure))
		},
	}
	configuredTest(t, "all", hs, nil, func(s *site) {
		for _, v := range everyVersion {
			c, err := NewClientConn(s.dial(v.String()))
			require.NoError(s.t, err)
			text, err := fetchURL(c, s.url("/"))
			require.NoError(s.t, err)
			require.Equal(s.t, fmt.Sprintf("%v %[1]v base+conn true true", v), text)
			c.Close()
		}
		for offers, want := range map[string]string{"": "HTTP/1.1 ", "http/1.1": "HTTP/1.1 http/1.1", "h2": "HTTP/2.0 h2"} {
			h := s.http1(offers)
			h.Protocols.SetHTTP2(true)
			if offers == "" {
				h = s.http1()
			}
			text, err := fetchURL(h, s.url("/"))
			require.NoError(s.t, err)
			require.Equal(s.t, want+" base+conn true true", text)
			h.CloseIdleConnections()
		}
		conn := s.dial("http/1.1", "h2", "spdy/3.1")
		require.Equal(s.t, "spdy/3.1", conn.(*tls.Conn).ConnectionState().NegotiatedProtocol, "who offers it wants it")
		conn.Close()
	})
}

// TestConfigureServerProtocols: HTTP/2 is on after it if it was on before.
func TestConfigureServerProtocols(t *testing.T) {
	cert, pool, err := localcert.New()
	require.NoError(t, err)
	only := func(set func(*http.Protocols, bool)) *http.Protocols {
		p := new(http.Protocols)
		set(p, true)
		return p
	}
	nothing := map[string]func(*http.Server, *tls.Conn, http.Handler){}
	for name, tt := range map[string]struct {
		hs   *http.Server
		env  string
		want []string // negotiated by clients that offer one protocol each
	}{
		"default":           {hs: &http.Server{}, want: []string{"spdy/2", "spdy/3", "spdy/3.1", "h2", "http/1.1"}},
		"old way to switch": {hs: &http.Server{TLSNextProto: nothing}, want: []string{"spdy/2", "spdy/3", "spdy/3.1", "http/1.1"}},
		"only HTTP/1":       {hs: &http.Server{Protocols: only((*http.Protocols).SetHTTP1)}, want: []string{"spdy/2", "spdy/3", "spdy/3.1", "http/1.1"}},
		"only HTTP/2":       {hs: &http.Server{Protocols: only((*http.Protocols).SetHTTP2)}, want: []string{"spdy/2", "spdy/3", "spdy/3.1", "h2"}},
		"GODEBUG":           {hs: &http.Server{}, env: "http2server=0", want: []string{"spdy/2", "spdy/3", "spdy/3.1", "http/1.1"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("GODEBUG", tt.env)
			hs := tt.hs
			given := &tls.Config{Certificates: []tls.Certificate{cert}}
			hs.TLSConfig, hs.ErrorLog = given, quietLog
			require.NoError(t, ConfigureServer(hs, nil))
			require.Empty(t, given.NextProtos, "the user's is left alone")
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			require.NoError(t, err)
			served := make(chan error, 1)
			go func() { served <- hs.ServeTLS(ln, "", "") }()
			var got []string
			for _, proto := range []string{"spdy/2", "spdy/3", "spdy/3.1", "h2", "http/1.1"} {
				conn, err := tls.Dial("tcp", ln.Addr().String(), &tls.Config{RootCAs: pool, ServerName: "localhost", NextProtos: []string{proto}})
				if err == nil {
					if conn.ConnectionState().NegotiatedProtocol == proto { // http/1.1 alone may come to nothing
						got = append(got, proto)
					}
					conn.Close()
				}
			}
			require.Equal(t, tt.want, got)
			require.NoError(t, hs.Close())
			require.ErrorIs(t, <-served, http.ErrServerClosed)
		})
	}
	for _, tt := range [][2][]string{
		{{"acme-tls/1", "h2", "spdy/3.1"}, {"acme-tls/1", "h2", "spdy/3.1", "http/1.1"}},
		{{"acme-tls/1"}, {"spdy/3.1", "spdy/3", "spdy/2", "acme-tls/1", "h2", "http/1.1"}},
		{nil, {"spdy/3.1", "spdy/3", "spdy/2", "h2", "http/1.1"}},
	} {
		hs := &http.Server{TLSConfig: &tls.Config{NextProtos: tt[0]}}
		require.NoError(t, ConfigureServer(hs, nil))
		require.Equal(t, tt[1], hs.TLSConfig.NextProtos)
	}
	require.Error(t, ConfigureServer(nil, nil))
}

// TestConfiguredListener: Serve on a listener of the server's own TLSConfig.
func TestConfiguredListener(t *testing.T) {
	story(t, "tls.NewListener", func(t *testing.T) {
		hs := &http.Server{Handler: http.HandlerFunc(echoVersion), ErrorLog: quietLog}
		s := &site{t: t, srv: hs}
		hs.TLSConfig = s.certify()
		require.NoError(t, ConfigureServer(hs, nil))
		s.run(func(ln net.Listener) error { return hs.Serve(tls.NewListener(ln, hs.TLSConfig)) }, func(s *site) {
			c := s.client()
			wantEcho(s.t, c, s.url("/"), "spdy/3.1")
			c.Close()
			h := s.http1("h2")
			h.Protocols.SetHTTP2(true)
			res, err := h.RoundTrip(mustRequest(s.t, s.url("/")))
			require.NoError(s.t, err)
			res.Body.Close()
			require.Equal(s.t, "HTTP/2.0", res.Proto)
			h.CloseIdleConnections()
		})
	})
}

// TestShutdownUnderStreams: 50 running streams come to their end, new ones are told
// to go elsewhere; with a short context there is its error, and an end.
func TestShutdownUnderStreams(t *testing.T) {
	const many = 50
	var release chan struct{}
	handler := func(w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush()
		select {
		case <-release:
		case <-r.Context().Done():
		}
		io.WriteString(w, "finished")
	}
	// start has 25 streams run on each of two sessions, and leaves a third one idle.
	start := func(s *site) (clients []*Client, results chan error) {
		release = make(chan struct{})
		clients = []*Client{s.client(), s.client(), s.client()}
		results = make(chan error, many)
		for i := range many {
			go func() {
				text, err := fetchURL(clients[i%2], s.url("/"))
				if err == nil && text != "finished" {
					err = io.ErrUnexpectedEOF
				}
				results <- err
			}()
		}
		require.True(s.t, clients[2].Session().Ping(time.Second))
		synctest.Wait()
		return clients, results
	}
	gone := func(s *site, clients []*Client) {
		for _, c := range clients {
			<-c.Session().Done()
			c.Close()
		}
		_, err := s.ln.Dial()
		require.Error(s.t, err, "the listener is closed")
	}
	eachServer(t, handler, func(*http.Server) {}, func(s *site) {
		clients, results := start(s)
		done := make(chan error, 1)
		go func() { done <- s.srv.Shutdown(context.Background()) }()
		<-time.After(time.Minute)
		synctest.Wait()
		require.Empty(s.t, done)
		require.Empty(s.t, results)
		require.ErrorIs(s.t, clients[2].Session().Err(), ErrSessionClosed, "an idle one is let go")
		_, err := fetchURL(clients[0], s.url("/"))
		var refused *StreamError
		require.ErrorAs(s.t, err, &refused)
		require.True(s.t, refused.Retryable(), "elsewhere")
		close(release)
		for range many {
			require.NoError(s.t, <-results)
		}
		require.NoError(s.t, <-done)
		gone(s, clients)
	})
	eachServer(t, handler, func(*http.Server) {}, func(s *site) {
		clients, results := start(s)
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		began := time.Now()
		require.ErrorIs(s.t, s.srv.Shutdown(ctx), context.DeadlineExceeded)
		if hs, ok := s.srv.(*http.Server); ok { // leaves it to the caller to be rude
			require.NoError(s.t, hs.Close())
		}
		for range many {
			require.Error(s.t, <-results)
		}
		gone(s, clients)
		require.LessOrEqual(s.t, time.Since(began), time.Second+linger)
	})
}

// TestHandshakeDuringShutdown: a connection that comes through as the server goes is
// let go too.
func TestHandshakeDuringShutdown(t *testing.T) {
	story(t, "late", func(t *testing.T) {
		hs := &http.Server{ErrorLog: quietLog, ReadHeaderTimeout: time.Minute}
		s := &site{t: t, srv: hs}
		hs.TLSConfig = s.certify()
		require.NoError(t, ConfigureServer(hs, nil))
		s.run(func(ln net.Listener) error { return hs.ServeTLS(ln, "", "") }, func(s *site) {
			conn, err := s.ln.Dial()
			require.NoError(s.t, err)
			synctest.Wait()
			done := make(chan error, 1)
			go func() { done <- hs.Shutdown(context.Background()) }()
			synctest.Wait()
			conf := s.tls.Clone()
			conf.NextProtos = []string{"spdy/3.1"}
			c := tls.Client(conn, conf)
			if err := c.Handshake(); err == nil {
				_, err = io.ReadAll(c)
				assert.NoError(s.t, err)
			}
			c.Close()
			require.NoError(s.t, <-done)
		})
	})
}
