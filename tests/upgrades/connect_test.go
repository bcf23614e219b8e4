package upgrades

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/nettest"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/spdytest"
	"github.com/amahi/spdy/tests/bubble"
)

// tunnels are clients and servers of CONNECT: the oracle first.
func tunnels(t *testing.T, h http.Handler) map[string]struct {
	client http.RoundTripper
	url    string
} {
	type end = struct {
		client http.RoundTripper
		url    string
	}
	h2 := httptest.NewUnstartedServer(h)
	h2.EnableHTTP2 = true
	h2.StartTLS()
	t.Cleanup(h2.Close)
	all := map[string]end{"h2": {h2.Client().Transport, h2.URL}}
	for _, v := range bubble.Versions {
		p := &path{tls: true}
		s := spdyServer(t, p, v, h, new(watcher).watch)
		tr := &spdy.Transport{Config: &spdy.Config{Version: v, Logger: quiet}, TLSClientConfig: clientTLS(s.Certificate())}
		t.Cleanup(tr.CloseIdleConnections)
		all[v.String()] = end{tr, s.URL}
	}
	return all
}

// TestConnectByTransport: the body of a CONNECT goes up, that of its answer down, as with HTTP/2.
func TestConnectByTransport(t *testing.T) {
	home := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		assert.Equal(t, "CONNECT", r.Method)
		assert.Equal(t, "target.example:22", r.Host)
		w.WriteHeader(200)
		assert.NoError(t, http.NewResponseController(w).Flush())
		line, err := bufio.NewReader(r.Body).ReadString('\n')
		assert.NoError(t, err)
		_, _ = io.WriteString(w, "you said "+line)
	})
	for name, end := range tunnels(t, home) {
		t.Run(name, func(t *testing.T) {
			up, write := io.Pipe()
			u, err := url.Parse(end.url)
			require.NoError(t, err)
			res, err := end.client.RoundTrip((&http.Request{Method: "CONNECT", URL: u, Host: "target.example:22", Header: http.Header{}, Body: up}).WithContext(t.Context()))
			require.NoError(t, err)
			require.Equal(t, 200, res.StatusCode)
			_, err = io.WriteString(write, "hello\n")
			require.NoError(t, err)
			require.NoError(t, write.Close())
			got, err := io.ReadAll(res.Body)
			require.NoError(t, err)
			require.Equal(t, "you said hello\n", string(got))
			require.NoError(t, res.Body.Close())
		})
	}
}

// connectHome answers CONNECT as a handler of HTTP/1.1 does, and echoes.
func connectHome(t *testing.T) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Method != "CONNECT" || r.Host != "target.example:22" {
			http.Error(w, "only tunnels to the target", http.StatusForbidden)
			return
		}
		conn, rw := hijack(w, "HTTP/1.1 200 Connected\r\nX-Home: yes\r\n\r\n")
		defer conn.Close()
		_, err := io.Copy(conn, rw)
		assert.NoError(t, err)
		_, err = io.WriteString(conn, "goodbye")
		assert.NoError(t, err)
	}
}

// TestConnect sends CONNECT over HTTP/1.1 to a proxy in front of a session. A ReverseProxy does
// not forward tunnels.
func TestConnect(t *testing.T) {
	sent := content(200_000)
	each(t, func(t *testing.T, p *path) {
		if strings.Contains(p.name, "ReverseProxy") {
			return
		}
		var w watcher
		front := p.front(t, p, connectHome(t), w.watch)
		res, _ := ask(t, p.dial(t, front), "CONNECT", "CONNECT other.example:22 HTTP/1.1\r\nHost: other.example:22\r\n\r\n")
		require.Equal(t, 403, res.StatusCode)
		body, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		require.Equal(t, "only tunnels to the target\n", string(body))

		conn := p.dial(t, front)
		res, read := ask(t, conn, "CONNECT", "CONNECT target.example:22 HTTP/1.1\r\nHost: target.example:22\r\n\r\n")
		require.Equal(t, 200, res.StatusCode)
		require.Equal(t, "yes", res.Header.Get("X-Home"))
		require.NotContains(t, res.Header, "Upgrade")
		require.Empty(t, res.TransferEncoding)
		go func() {
			_, _ = conn.Write(sent)
			_ = closeWrite(conn)
		}()
		got, err := io.ReadAll(read)
		require.NoError(t, err)
		require.Equal(t, string(sent)+"goodbye", string(got))
		conn.Close()
		settles(t, "streams stay", func() bool { return w.openStreams() == 0 })
	})
}

// pairOfTunnel returns both ends of an upgraded stream.
func pairOfTunnel(t *testing.T, v spdy.Version) (client, home net.Conn, p *spdytest.Pair) {
	homes, release := make(chan net.Conn, 1), make(chan struct{})
	p = spdytest.NewUnstartedPair(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, _ := hijacked(t, w, r)
		homes <- conn
		<-release
	}))
	p.ClientConfig, p.ServerConfig = bubble.Quiet(spdy.Config{}, v), bubble.Quiet(spdy.Config{}, v)
	p.Start()
	req, err := http.NewRequestWithContext(t.Context(), "GET", "http://home.example/", nil)
	require.NoError(t, err)
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", "echo")
	res, err := p.Client.RoundTrip(req)
	require.NoError(t, err)
	require.Equal(t, 101, res.StatusCode)
	home = <-homes
	close(release) // the handler may return: the connection is not its any more
	return res.Body.(net.Conn), home, p
}

// TestConn holds both ends to the rules of net.Conn.
func TestConn(t *testing.T) {
	for _, v := range bubble.Versions {
		for _, first := range []string{"client", "home"} {
			t.Run(v.String()+"/"+first, func(t *testing.T) {
				nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
					a, b, p := pairOfTunnel(t, v)
					if first == "home" {
						a, b = b, a
					}
					return a, b, func() {
						a.Close()
						b.Close()
						p.Close()
					}, nil
				})
			})
		}
	}
}

// TestHalfCloseBehindClose ends a direction whose other end has been closed. As with TCP that is no
// error: what the other end sent before stays readable to its end. A copier that ends its
// direction, as that of a ReverseProxy, would else give up the other one.
func TestHalfCloseBehindClose(t *testing.T) {
	sent := content(10_000)
	for _, v := range bubble.Versions {
		for _, first := range []string{"client", "home"} {
			t.Run(v.String()+"/"+first, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					closed, left, p := pairOfTunnel(t, v)
					if first == "home" {
						closed, left = left, closed
					}
					defer p.Close()
					_, err := closed.Write(sent)
					require.NoError(t, err)
					require.NoError(t, closed.Close())
					synctest.Wait()
					require.NoError(t, closeWrite(left))
					got, err := io.ReadAll(left)
					require.NoError(t, err)
					require.True(t, bytes.Equal(sent, got), "%d bytes", len(got))
					_, err = left.Write(sent)
					require.Error(t, err)
					require.NoError(t, left.Close())
					require.ErrorIs(t, closeWrite(left), net.ErrClosed)
				})
			})
		}
	}
}

// TestHalfCloseBehindCut is TestHalfCloseBehindClose for a tunnel that was cut off: that is an error.
func TestHalfCloseBehindCut(t *testing.T) {
	for _, v := range bubble.Versions {
		t.Run(v.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, home, p := pairOfTunnel(t, v)
				defer p.Close()
				reset(home)
				synctest.Wait()
				require.Error(t, closeWrite(client))
				_, err := io.ReadAll(client)
				require.ErrorIs(t, err, io.ErrUnexpectedEOF)
				client.Close()
			})
		})
	}
}

// TestAttackA13UnusedTunnel: a tunnel that a proxy drops ends with the request that it was for, while
// that of a client goes on.
func TestAttackA13UnusedTunnel(t *testing.T) {
	for _, v := range bubble.Versions {
		for _, proxied := range []bool{false, true} {
			t.Run(fmt.Sprint(v, " proxied=", proxied), func(t *testing.T) {
				p := spdytest.NewUnstartedPair(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if conn, read := hijacked(t, w, r); conn != nil {
						defer conn.Close()
						_, _ = io.Copy(conn, read)
					}
				}))
				p.ClientConfig, p.ServerConfig = bubble.Quiet(spdy.Config{}, v), bubble.Quiet(spdy.Config{}, v)
				p.Start()
				defer p.Close()
				ctx := t.Context()
				if proxied {
					ctx = context.WithValue(ctx, http.ServerContextKey, new(http.Server))
				}
				ctx, cancel := context.WithCancel(ctx)
				req, err := http.NewRequestWithContext(ctx, "GET", "http://home.example/", nil)
				require.NoError(t, err)
				req.Header.Set("Connection", "Upgrade")
				req.Header.Set("Upgrade", "echo")
				res, err := p.Client.RoundTrip(req)
				require.NoError(t, err)
				cancel()
				conn := res.Body.(net.Conn)
				if proxied {
					settles(t, "it stays", func() bool { return p.Client.Stats().Streams.Total() == 0 })
					_, err := conn.Read(make([]byte, 1))
					require.ErrorIs(t, err, context.Canceled)
					return
				}
				_, err = io.WriteString(conn, "still there")
				require.NoError(t, err)
				require.NoError(t, closeWrite(conn))
				got, err := io.ReadAll(conn)
				require.NoError(t, err)
				require.Equal(t, "still there", string(got))
			})
		}
	}
}

// TestUnread: what the home does not read stops the client's writes at the windows, and nobody
// else.
func TestUnread(t *testing.T) {
	for _, v := range []spdy.Version{spdy.SPDY3, spdy.SPDY31} {
		t.Run(v.String(), func(t *testing.T) {
			client, home, p := pairOfTunnel(t, v)
			defer p.Close()
			const most = 32 << 20 // more than any window
			sent := make(chan int, 1)
			go func() {
				n, _ := client.Write(make([]byte, most))
				sent <- n
			}()
			settles(t, "the window is not used up", func() bool { return p.Server.Stats().UnreadBytes >= 256<<10 })
			require.LessOrEqual(t, p.Server.Stats().UnreadBytes, int64(256<<10))
			got := 0
			buf := make([]byte, 64<<10)
			for got < most {
				n, err := home.Read(buf)
				require.NoError(t, err)
				got += n
			}
			require.Equal(t, most, <-sent)
			require.NoError(t, client.Close())
			require.NoError(t, home.Close())
			settles(t, "the stream stays", func() bool {
				return p.Server.Stats().Streams.Total() == 0 && p.Client.Stats().Streams.Total() == 0
			})
		})
	}
}

// TestShutdown: a session that goes away waits for its tunnels, within the context, and takes no
// more.
func TestShutdown(t *testing.T) {
	for _, v := range bubble.Versions {
		t.Run(v.String(), func(t *testing.T) {
			client, home, p := pairOfTunnel(t, v)
			defer p.Close()
			over := make(chan error, 1)
			go func() { over <- p.Server.Shutdown(t.Context()) }()
			<-p.Client.PeerGoAway()
			_, err := io.WriteString(client, "still there")
			require.NoError(t, err)
			require.NoError(t, closeWrite(client))
			got, err := io.ReadAll(home)
			require.NoError(t, err)
			require.Equal(t, "still there", string(got))
			select {
			case err := <-over:
				require.Fail(t, "a tunnel is open", "%v", err)
			default:
			}
			require.NoError(t, home.Close())
			require.NoError(t, client.Close())
			require.NoError(t, <-over)
		})
		t.Run(v.String()+" out of time", func(t *testing.T) {
			client, home, p := pairOfTunnel(t, v)
			defer p.Close()
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			require.ErrorIs(t, p.Server.Shutdown(ctx), context.Canceled)
			for _, conn := range []net.Conn{client, home} {
				_, err := conn.Read(make([]byte, 1))
				require.Error(t, err)
				require.False(t, errors.Is(err, io.EOF))
			}
		})
	}
}
