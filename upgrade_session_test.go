package spdy

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// echoStreams serves a raw session whose streams send back what they get.
func echoStreams(s *Session) error {
	var streams sync.WaitGroup
	streams.Go(func() {
		for {
			st, err := s.AcceptStream(context.Background())
			if err != nil {
				return
			}
			streams.Go(func() {
				defer st.Close()
				if st.Reply(nil, false) != nil {
					return
				}
				if _, err := io.Copy(st, st); err == nil {
					_ = st.CloseWrite()
				}
			})
		}
	})
	err := s.Serve()
	streams.Wait()
	return err
}

// exchangeEcho sends size bytes on a stream of its own and wants them back.
func exchangeEcho(t *testing.T, s *Session, seed, size int64) {
	st, err := s.OpenStream(context.Background(), HeaderBlock{{"streamtype", "data"}}, StreamOptions{})
	if !assert.NoError(t, err) {
		return
	}
	defer st.Close()
	var wg sync.WaitGroup
	wg.Go(func() { writePattern(t, st, seed, size) })
	assert.NoError(t, readPattern(st, seed, size))
	wg.Wait()
}

// TestUpgradedSession goes all the way: over TCP and TLS, directly and through a proxy,
// with and without flow control.
func TestUpgradedSession(t *testing.T) {
	for _, fc := range []FlowControl{FlowControlStandard, FlowControlPeerUnaware} {
		for _, secure := range []bool{false, true} {
			for _, proxied := range []bool{false, true} {
				t.Run(fmt.Sprintf("flow control %d, TLS %v, proxy %v", fc, secure, proxied), func(t *testing.T) {
					upgradedSession(t, &Config{FlowControl: fc}, secure, proxied)
				})
			}
		}
	}
}

func upgradedSession(t *testing.T, conf *Config, secure, proxied bool) {
	ended := make(chan error, 1)
	u := &Upgrader{Config: conf, Protocols: []string{"v4", "v5"}}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s, protocol, err := u.Upgrade(w, r)
		if assert.NoError(t, err) && assert.Equal(t, "v5", protocol) {
			err = echoStreams(s)
		}
		ended <- err
	}))
	server.EnableHTTP2 = true
	d := &UpgradeDialer{Config: conf, Protocols: []string{"v6", "v5", "v4"}}
	if secure {
		server.StartTLS()
		d.TLSClientConfig = &tls.Config{RootCAs: server.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs}
	} else {
		server.Start()
	}
	defer server.Close()
	if proxied {
		through := tunnelProxy(t)
		d.Proxy = func(*http.Request) (*url.URL, error) { return through, nil }
	}
	s, protocol, err := d.Dial(t.Context(), "POST", server.URL+"/exec")
	require.NoError(t, err)
	require.Equal(t, "v5", protocol)
	served := make(chan error, 1)
	go func() { served <- s.Serve() }()
	var wg sync.WaitGroup
	for i := range int64(5) {
		wg.Go(func() { exchangeEcho(t, s, i, 300_000) })
	}
	wg.Wait()
	require.NoError(t, s.Shutdown(t.Context()))
	require.NoError(t, <-served)
	require.NoError(t, <-ended)
}

// tunnelProxy is a proxy that knows CONNECT.
func tunnelProxy(t *testing.T) *url.URL {
	var mu sync.Mutex // orders what a handler adds before the wait for it
	var tunnels sync.WaitGroup
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		assert.Equal(t, http.MethodConnect, r.Method)
		to, err := net.Dial("tcp", r.Host)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		from, _, err := http.NewResponseController(w).Hijack()
		if !assert.NoError(t, err) {
			return
		}
		mu.Lock() // before the client can get any further
		defer mu.Unlock()
		say(from, "HTTP/1.1 200 Connected\r\n\r\n")
		for _, pair := range [][2]net.Conn{{from, to}, {to, from}} {
			tunnels.Go(func() {
				io.Copy(pair[0], pair[1])
				pair[0].(*net.TCPConn).CloseWrite()
			})
		}
	}))
	t.Cleanup(func() {
		mu.Lock()
		defer mu.Unlock()
		tunnels.Wait()
		proxy.Close()
	})
	return mustURL(proxy.URL)
}

// A messageConn is a tunnel of messages, as a WebSocket: each Write is one, and each Read
// returns a byte of one. It cannot close one direction.
type messageConn struct {
	net.Conn
	left uint32 // of the message that is being read
}

func (c *messageConn) Write(p []byte) (int, error) {
	message := append(binary.BigEndian.AppendUint32(nil, uint32(len(p))), p...)
	if _, err := c.Conn.Write(message); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (c *messageConn) Read(p []byte) (int, error) {
	for c.left == 0 {
		var size [4]byte
		if _, err := io.ReadFull(c.Conn, size[:]); err != nil {
			return 0, err
		}
		c.left = binary.BigEndian.Uint32(size[:])
	}
	n, err := c.Conn.Read(p[:min(len(p), 1)])
	c.left -= uint32(n)
	return n, err
}

// TestSessionOverMessages runs raw sessions over a tunnel of messages.
func TestSessionOverMessages(t *testing.T) {
	for _, fc := range []FlowControl{FlowControlStandard, FlowControlPeerUnaware} {
		t.Run(fmt.Sprintf("flow control %d", fc), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cc, sc := net.Pipe()
				conf := &Config{FlowControl: fc}
				client, server := conf.RawSession(&messageConn{Conn: cc}, true), conf.RawSession(&messageConn{Conn: sc}, false)
				ended := make(chan error, 2)
				go func() { ended <- echoStreams(server) }()
				go func() { ended <- client.Serve() }()
				var wg sync.WaitGroup
				for i := range int64(4) {
					wg.Go(func() { exchangeEcho(t, client, i, 20_000) })
				}
				wg.Wait()
				_, err := client.PingContext(t.Context())
				require.NoError(t, err)
				require.NoError(t, client.Shutdown(t.Context()))
				require.NoError(t, <-ended)
				require.NoError(t, <-ended)
			})
		})
	}
}

// TestHTTPOverMessages runs requests over a tunnel of messages.
func TestHTTPOverMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cc, sc := net.Pipe()
		server := NewServerSession(&messageConn{Conn: sc}, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, err := io.Copy(w, r.Body)
			assert.NoError(t, err)
		})})
		client := NewClientSession(&messageConn{Conn: cc})
		ended := make(chan error, 2)
		for _, s := range []*Session{client, server} {
			go func() { ended <- s.Serve() }()
		}
		req, err := http.NewRequestWithContext(t.Context(), "POST", "http://h/", newPattern(1, 50_000))
		require.NoError(t, err)
		res, err := client.RoundTrip(req)
		require.NoError(t, err)
		require.NoError(t, readPattern(res.Body, 1, 50_000))
		require.NoError(t, res.Body.Close())
		require.NoError(t, client.Shutdown(t.Context()))
		require.NoError(t, <-ended)
		require.NoError(t, <-ended)
	})
}
