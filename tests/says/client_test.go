// Package says tests what a client and a server say of a peer that does not speak SPDY, and of
// calls that cannot work.
package says

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/spdytest"
	"github.com/amahi/spdy/tests/bubble"
)

// others are the first words of peers that do not speak SPDY.
var others = map[string]struct{ first, protocol, advice string }{
	"HTTP/1.1":       {"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n", "HTTP/1.1", "http.Transport"},
	"HTTP/1.0":       {"HTTP/1.0 400 Bad Request\r\n\r\n", "HTTP/1.0", "http.Transport"},
	"TLS alert":      {"\x15\x03\x01\x00\x02\x02\x46", "TLS", "use https"},
	"HTTP/2":         {"\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x64", "HTTP/2", "http.Transport"},
	"HTTP/2, empty":  {"\x00\x00\x00\x04\x00\x00\x00\x00\x00", "HTTP/2", "http.Transport"},
	"HTTP/2, GOAWAY": {"\x00\x00\x08\x07\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01", "HTTP/2", "http.Transport"},
	"SSH":            {"SSH-2.0-OpenSSH_9.6\r\n", "SSH", "SSH-2.0-OpenSSH_9.6"},
	"SMTP":           {"220 mail.example ESMTP\r\n", "", "220 mail.example"},
	"HTTP/1.1 asks":  {"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n", "HTTP/1.1", ""},
	"HTTP/2 asks":    {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "HTTP/2", ""},
	"TLS asks":       {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "TLS", ""},
}

// Sessions of every kind end as soon as a peer's first bytes are of another protocol, with an
// error that names it, whether the bytes come together or one by one, and before the
// peer closes the connection.
func TestAttackA23Others(t *testing.T) {
	roles := map[string]func(c *spdy.Config, conn net.Conn) *spdy.Session{
		"client":     (*spdy.Config).ClientSession,
		"server":     func(c *spdy.Config, conn net.Conn) *spdy.Session { return c.ServerSession(conn, nil) },
		"raw client": func(c *spdy.Config, conn net.Conn) *spdy.Session { return c.RawSession(conn, true) },
		"raw server": func(c *spdy.Config, conn net.Conn) *spdy.Session { return c.RawSession(conn, false) },
	}
	for role, session := range roles {
		for name, other := range others {
			for _, step := range []int{1, 3, len(other.first)} {
				if name == "HTTP/2, empty" && step == 1 {
					continue // its first 8 bytes are a frame of SPDY
				}
				bubble.InVersions(t, role+"/"+name, func(t *testing.T, v spdy.Version) {
					ours, theirs := net.Pipe()
					s := session(bubble.Quiet(spdy.Config{}, v), ours)
					go io.Copy(io.Discard, theirs)
					go func() {
						for p := []byte(other.first); len(p) > 0; p = p[min(step, len(p)):] {
							if _, err := theirs.Write(p[:min(step, len(p))]); err != nil {
								return // enough has been read
							}
						}
					}()
					begun := time.Now()
					err := s.Serve()
					require.Zero(t, time.Since(begun), "at once")
					var e *spdy.NotSPDYError
					require.ErrorAs(t, err, &e)
					require.Equal(t, other.protocol, e.Protocol)
					require.NotEmpty(t, e.First)
					require.NotErrorIs(t, err, io.ErrUnexpectedEOF)
					require.NotContains(t, err.Error(), "EOF")
					if role == "client" && step == len(other.first) {
						require.Contains(t, err.Error(), other.advice)
					}
					theirs.Close()
				})
			}
		}
	}
}

// A request to a real server of another kind fails with what it speaks: within a second to
// net/http, which waits for the end of a line. net/http's own client fails too, where it asks
// a port of TLS.
func TestRealServers(t *testing.T) {
	hello := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "hello") })
	plain, secure := httptest.NewServer(hello), httptest.NewUnstartedServer(hello)
	defer plain.Close()
	secure.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	secure.StartTLS()
	defer secure.Close()
	h2 := httptest.NewUnstartedServer(hello)
	h2.EnableHTTP2 = true
	h2.StartTLS()
	defer h2.Close()
	for name, test := range map[string]struct {
		addr, protocol string
	}{
		"HTTP/1.1": {plain.Listener.Addr().String(), "HTTP/1.1"},
		"TLS":      {secure.Listener.Addr().String(), ""}, // a TLS alert, or Go's words in HTTP/1.0
	} {
		for _, v := range bubble.Versions {
			conf := bubble.Quiet(spdy.Config{}, v)
			t.Run("Transport/"+name+"/"+v.String(), func(t *testing.T) {
				_, err := (&http.Client{Transport: &spdy.Transport{Config: conf}}).Get("http://" + test.addr)
				wantOther(t, err, test.protocol)
			})
			t.Run("Client/"+name+"/"+v.String(), func(t *testing.T) {
				conn, err := net.Dial("tcp", test.addr)
				require.NoError(t, err)
				c, err := conf.NewClientConn(conn)
				require.NoError(t, err)
				defer c.Close()
				req, _ := http.NewRequest("GET", "http://a.example/", nil)
				_, err = c.Do(req)
				wantOther(t, err, test.protocol)
			})
		}
	}
	t.Run("TLS without SPDY", func(t *testing.T) {
		for _, u := range []string{secure.URL, h2.URL} {
			_, err := (&spdy.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}).RoundTrip(httptest.NewRequest("GET", u, nil))
			var e *spdy.NegotiationError
			require.ErrorAs(t, err, &e)
			require.Contains(t, err.Error(), "ConfigureTransport")
		}
	})
}

// A Transport does not dial again for a server whose first bytes, sent before any request, are
// of another protocol: the second connection would hear the same.
func TestOtherIsDialledOnce(t *testing.T) {
	for name, other := range others {
		bubble.InVersions(t, name, func(t *testing.T, v spdy.Version) {
			dials := 0
			tr := &spdy.Transport{Config: bubble.Quiet(spdy.Config{}, v), DialContext: func(context.Context, string, string) (net.Conn, error) {
				dials++
				ours, theirs := net.Pipe()
				go func() {
					io.WriteString(theirs, other.first)
					io.Copy(io.Discard, theirs)
				}()
				return ours, nil
			}}
			_, err := tr.RoundTrip(get())
			wantOther(t, err, other.protocol)
			require.Equal(t, 1, dials)
		})
	}
}

func wantOther(t *testing.T, err error, protocol string) {
	t.Helper()
	var e *spdy.NotSPDYError
	require.ErrorAs(t, err, &e)
	if protocol != "" {
		require.Equal(t, protocol, e.Protocol)
	}
}

// A server that says nothing fails a request after the limit, and one that has said anything
// is waited for, as is one that answers the PING.
func TestAttackA23Silence(t *testing.T) {
	bubble.InVersions(t, "nothing", func(t *testing.T, v spdy.Version) {
		s, peer := client(v, spdy.Config{})
		go io.Copy(io.Discard, peer)
		begun := time.Now()
		_, err := s.RoundTrip(get())
		require.Equal(t, 30*time.Second, time.Since(begun))
		var e *spdy.NotSPDYError
		require.ErrorAs(t, err, &e)
		var timeout net.Error
		require.True(t, errors.As(err, &timeout) && timeout.Timeout())
		peer.Close()
	})
	bubble.InVersions(t, "no request", func(t *testing.T, v spdy.Version) {
		s, peer := client(v, spdy.Config{})
		go io.Copy(io.Discard, peer)
		bubble.Pass(time.Hour)
		require.NoError(t, s.Err())
		peer.Close()
		<-s.Done()
	})
	bubble.InVersions(t, "no limit", func(t *testing.T, v spdy.Version) {
		s, peer := client(v, spdy.Config{FirstFrameTimeout: -1})
		go io.Copy(io.Discard, peer)
		go s.RoundTrip(get())
		bubble.Pass(time.Hour)
		require.NoError(t, s.Err())
		peer.Close()
		<-s.Done()
	})
	bubble.InVersions(t, "echoes, and answers later", func(t *testing.T, v spdy.Version) {
		s, peer := client(v, spdy.Config{})
		f := spdy.NewFramer(peer, peer, v)
		pinged := false
		go func() {
			for {
				frame, err := f.ReadFrame()
				if err != nil {
					return
				}
				if ping, ok := frame.(*spdy.PingFrame); ok && !pinged {
					pinged = true
					f.WriteFrame(ping)
				}
			}
		}()
		ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
		defer cancel()
		_, err := s.RoundTrip(get().WithContext(ctx))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		synctest.Wait()
		require.True(t, pinged)
		require.NoError(t, s.Err())
		peer.Close()
		<-s.Done()
	})
	bubble.InVersions(t, "hangs up", func(t *testing.T, v spdy.Version) {
		s, peer := client(v, spdy.Config{})
		go func() {
			io.ReadFull(peer, make([]byte, 60))
			peer.Close()
		}()
		_, err := s.RoundTrip(get())
		var e *spdy.NotSPDYError
		require.ErrorAs(t, err, &e)
		require.Contains(t, err.Error(), "has sent nothing")
	})
}

// client is a running client session, and its peer's end of the connection.
func client(v spdy.Version, conf spdy.Config) (*spdy.Session, net.Conn) {
	ours, peer := net.Pipe()
	s := bubble.Quiet(conf, v).ClientSession(ours)
	go s.Serve()
	return s, peer
}

func get() *http.Request {
	req, _ := http.NewRequest("GET", "http://a.example/", nil)
	return req
}

// A request on the serving end, and a stream from a session of HTTP, are errors at once.
func TestWrongEnd(t *testing.T) {
	p := spdytest.NewPair(http.NotFoundHandler())
	defer p.Close()
	for range 2 {
		_, err := p.Server.RoundTrip(get())
		require.ErrorContains(t, err, "serves requests")
		rec := httptest.NewRecorder()
		require.ErrorContains(t, p.Server.NewStreamProxy(get(), rec), "serves requests")
		require.Equal(t, http.StatusBadGateway, rec.Code)
		_, err = p.Server.AcceptStream(context.Background())
		require.ErrorContains(t, err, "not raw")
		require.NoError(t, p.Server.Err(), "the session goes on")
		_, err = p.Server.PingContext(context.Background())
		require.NoError(t, err)
	}
}

// A server of another version of SPDY that hangs up is named, at once, with what to change. One
// that has sent a frame of the session's version is not.
func TestOtherVersion(t *testing.T) {
	for _, theirs := range bubble.Versions {
		bubble.InVersions(t, "server of "+theirs.String(), func(t *testing.T, v spdy.Version) {
			if (theirs == spdy.SPDY2) == (v == spdy.SPDY2) {
				return // without TLS the others look alike
			}
			ours, peer := net.Pipe()
			server := bubble.Quiet(spdy.Config{}, theirs).ServerSession(peer, &http.Server{})
			go server.Serve()
			tr := &spdy.Transport{Config: bubble.Quiet(spdy.Config{}, v), DialContext: func(context.Context, string, string) (net.Conn, error) {
				return ours, nil
			}}
			_, err := tr.RoundTrip(get())
			wantOther(t, err, "SPDY/"+theirs.String()[len("spdy/"):][:1])
			require.ErrorContains(t, err, "not SPDY/"+v.String()[len("spdy/"):]+"; Config.Version")
			require.NotContains(t, err.Error(), "EOF")
		})
	}
	bubble.InVersions(t, "both", func(t *testing.T, v spdy.Version) {
		s, peer := client(v, spdy.Config{})
		go io.Copy(io.Discard, peer)
		other := spdy.SPDY2
		if v == spdy.SPDY2 {
			other = spdy.SPDY3
		}
		for _, of := range []spdy.Version{other, v} {
			require.NoError(t, spdy.NewFramer(peer, nil, of).WriteFrame(&spdy.SettingsFrame{}))
		}
		peer.Close()
		<-s.Done()
		var e *spdy.NotSPDYError
		require.False(t, errors.As(s.Err(), &e), "%v", s.Err())
	})
}
