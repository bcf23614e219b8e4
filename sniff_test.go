package spdy

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy/internal/testconn"
)

// A server without TLS finds out what its clients speak by what they send first.

// A sniffer is such a server in a bubble.
type sniffer struct {
	t   *testing.T
	srv *Server
	ln  *testconn.Listener
	end chan error
}

// sniffTest runs f with a server that echoes.
func sniffTest(t *testing.T, name string, conf *Config, f func(s *sniffer)) {
	story(t, name, func(t *testing.T) {
		s := &sniffer{t: t, ln: testconn.Listen(), end: make(chan error, 1)}
		s.srv = &Server{Handler: http.HandlerFunc(echoVersion), Config: conf, ErrorLog: quietLog}
		go func() { s.end <- s.srv.Serve(s.ln) }()
		f(s)
		require.NoError(t, s.srv.Close())
		require.ErrorIs(t, <-s.end, http.ErrServerClosed)
	})
}

func (s *sniffer) dial() *testconn.Conn {
	s.t.Helper()
	conn, err := s.ln.Dial()
	require.NoError(s.t, err)
	return conn
}

// client makes a SPDY client that knows what it speaks.
func (s *sniffer) client(conf *Config) *Client {
	s.t.Helper()
	c, err := conf.NewClientConn(s.dial())
	require.NoError(s.t, err)
	return c
}

// http1 makes an HTTP/1.1 client.
func (s *sniffer) http1() *http.Transport {
	return &http.Transport{DialContext: s.dialContext}
}

// wantClosed wants the server to have closed a connection.
func (s *sniffer) wantClosed(why string, conn *testconn.Conn) {
	s.t.Helper()
	synctest.Wait()
	require.NoError(s.t, conn.SetReadDeadline(time.Now().Add(time.Millisecond)))
	_, err := io.ReadAll(conn)
	require.NoError(s.t, err, why)
	conn.Close()
}

// sessions returns the server's sessions.
func (s *sniffer) sessions() (all []*Session) {
	synctest.Wait()
	s.srv.mu.Lock()
	defer s.srv.mu.Unlock()
	for session := range s.srv.sessions {
		all = append(all, session)
	}
	return all
}

func TestSniffing(t *testing.T) {
	for _, size := range []int{0, 1, 2, 3} {
		sniffTest(t, fmt.Sprintf("reads of %d bytes", size), nil, func(s *sniffer) {
			ln := s.ln
			for _, v := range everyVersion {
				conn, err := ln.Dial(testconn.Second(testconn.ReadSize(size)))
				require.NoError(s.t, err)
				c, err := (&Config{Version: v}).NewClientConn(conn)
				require.NoError(s.t, err)
				wantEcho(s.t, c, "http://example.com/", v.String())
				require.NoError(s.t, c.Close())
			}
			h := s.http1()
			for range 2 {
				wantEcho(s.t, h, "http://example.com/", "HTTP/1.1")
			}
			h.CloseIdleConnections()
		})
	}
	for _, end := range []string{"Close", "Shutdown"} {
		sniffTest(t, "silent clients and "+end, nil, func(s *sniffer) {
			silent, oneByte := s.dial(), s.dial()
			_, err := oneByte.Write([]byte{0x80})
			require.NoError(s.t, err)
			<-time.After(time.Hour)
			require.Zero(s.t, silent.Unread()+oneByte.Unread(), "a server that does not know what to say is silent")
			start := time.Now()
			if end == "Close" {
				require.NoError(s.t, s.srv.Close())
			} else {
				require.NoError(s.t, s.srv.Shutdown(s.t.Context()))
			}
			require.Zero(s.t, time.Since(start), "nobody waits for them")
			s.wantClosed("silent", silent)
			s.wantClosed("one byte", oneByte)
		})
	}
	sniffTest(t, "clients that go", nil, func(s *sniffer) {
		for _, first := range []string{"", "\x80", "G", "\x80\x03\x00", "GET / HT"} {
			conn := s.dial()
			_, err := io.WriteString(conn, first)
			require.NoError(s.t, err)
			synctest.Wait()
			require.NoError(s.t, conn.CloseWrite())
			s.wantClosed(first, conn)
		}
		require.Empty(s.t, s.sessions())
		s.srv.mu.Lock()
		require.Empty(s.t, s.srv.greeting)
		s.srv.mu.Unlock()
		c := s.client(nil)
		wantEcho(s.t, c, "http://example.com/", SPDY31.String())
		require.NoError(s.t, c.Close())
	})
	sniffTest(t, "a byte, and later the rest", nil, func(s *sniffer) {
		conn := s.dial()
		_, err := io.WriteString(conn, "G")
		require.NoError(s.t, err)
		<-time.After(defaultFirstFrameTimeout - 1)
		for _, part := range []string{"ET / HTTP/1.1\r\nHost: x\r\n", "\r\n"} {
			_, err := io.WriteString(conn, part)
			require.NoError(s.t, err)
			<-time.After(time.Minute) // what comes now is up to net/http, which has no limit here
		}
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		require.NoError(s.t, err)
		require.Equal(s.t, "HTTP/1.1", res.Header.Get("X-Version"))
		conn.Close()
	})
	for name, first := range map[string]string{
		"TLS":           "\x16\x03\x01\x02\x00\x01\x00\x01\xfc",
		"DATA":          "\x00\x00\x00\x01\x00\x00\x00\x00",
		"a letter":      "get / http/1.1\r\n\r\n",
		"HTTP/2":        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		"SPDY/1":        "\x80\x01\x00\x01\x00\x00\x00\x04\x00\x00\x00\x01",
		"not a version": "\xff\xff\x00\x08\x00\x00\x00\x00",
	} {
		sniffTest(t, "no client of ours/"+name, nil, func(s *sniffer) {
			conn := s.dial()
			_, err := io.WriteString(conn, first)
			require.NoError(s.t, err)
			require.NoError(s.t, conn.CloseWrite())
			<-time.After(time.Minute)
			b, _ := io.ReadAll(conn)
			if first[0] < 0x80 {
				require.Regexp(s.t, `^HTTP/1\.. (400|505|200)`, string(b))
			} else {
				require.Equal(s.t, byte(0x80), b[0], "%q", b)
			}
			conn.Close()
		})
	}
}

func (s *sniffer) dialContext(context.Context, string, string) (net.Conn, error) { return s.ln.Dial() }

// TestCautiousServer: a server that was not told which of SPDY/3 and SPDY/3.1 its client
// speaks serves both, with more than any initial window in both directions at once.
func TestCautiousServer(t *testing.T) {
	for _, told := range []Version{0, SPDY3, SPDY31} {
		for _, v := range version3 {
			if told != 0 && told != v {
				continue // the configuration would be wrong
			}
			for _, window := range []int{64 << 10, 0} {
				sniffTest(t, fmt.Sprintf("told %d, client %v, window %d", told, v, window), &Config{Version: told}, func(s *sniffer) {
					c := s.client(&Config{Version: v, StreamWindow: window, SessionWindow: 4 * window})
					var wg sync.WaitGroup
					for range 4 {
						wg.Go(func() { wantEchoOf(s.t, c, 1<<20) })
					}
					wg.Wait()
					sessions := s.sessions()
					require.Len(s.t, sessions, 1)
					require.Equal(s.t, v, sessions[0].Version(), "by now it knows")
					require.NoError(s.t, c.Close())
				})
			}
		}
	}
}

// wantEchoOf is wantEcho for goroutines and bodies of any size.
func wantEchoOf(t *testing.T, rt http.RoundTripper, size int64) {
	req, err := http.NewRequest("POST", "http://example.com/", newPattern(1, size))
	if !assert.NoError(t, err) {
		return
	}
	res, err := rt.RoundTrip(req)
	if !assert.NoError(t, err) {
		return
	}
	check := newPatternCheck(1, size)
	_, err = io.Copy(check, res.Body)
	assert.NoError(t, err)
	assert.NoError(t, check.whole())
}

// TestCautiousBooks looks at what a cautious session counts, from frame to frame.
func TestCautiousBooks(t *testing.T) {
	cautious := func(t *testing.T) (*testPeer, *Stream) {
		p := newPeer(t, asServer, peerOpts{conf: Config{StreamWindow: 128 << 10, SessionWindow: 128 << 10}})
		p.s.beCautious()
		p.s.flow.limit = 0 // the windows of its streams add up to more
		p.sendSetting(SettingInitialWindowSize, 1<<20)
		st := p.theirs("a stream", 1, 0)
		p.reply(st, 0)
		p.wantSynReply("ours", 1)
		require.Equal(t, SPDY3, p.s.Version())
		return p, st
	}
	for name, answer := range map[string]func(p *testPeer){
		"grants streams credit": func(p *testPeer) {
			p.advance(doubtTime / 2)
			p.sendWindowUpdate(1, 1<<20)
			p.wantPing("and the session?", 2)
			p.wantIdle("it may follow")
			p.sendPing(2)
		},
		"grants nothing": func(p *testPeer) {
			p.advance(doubtTime - 1)
			p.wantIdle("its application may be slow")
			p.advance(1)
		},
	} {
		story(t, "a client of SPDY/3 that "+name, func(t *testing.T) {
			p, st := cautious(t)
			w := p.startWrite(st, testBytes(300<<10), 0)
			p.wantData("as much as a client of SPDY/3.1 allows", 1, 64<<10)
			p.wantIdle("is there a session window?")
			answer(p)
			w.wrote("no session window holds it back", 300<<10)
			p.wantData("no session window holds it back", 1, (300-64)<<10)
			for i := range 3 { // more than there would be a session window for
				other := p.theirs("another", uint32(3+2*i), 0)
				p.sendBulk(other.id, 128<<10, 0)
				p.isOpen("nor is the client held to one", other)
			}
			p.wantAlive("all is well")
		})
	}
	story(t, "a client of SPDY/3.1 whose application is slow", func(t *testing.T) {
		p, st := cautious(t)
		w := p.startWrite(st, testBytes(300<<10), 0)
		p.wantData("no more than the session window", 1, 64<<10)
		p.advance(doubtTime / 2)
		p.sendWindowUpdate(1, 50<<10)
		p.wantPing("and the session?", 2)
		p.sendWindowUpdate(0, 50<<10)
		p.sendPing(2)
		p.wantData("there is one", 1, 50<<10)
		w.pending("the window is used up")
		p.advance(2 * doubtTime)
		p.wantIdle("for good")
		require.Equal(t, SPDY31, p.s.Version())
	})
	story(t, "a client that leaves it open", func(t *testing.T) {
		p, st := cautious(t)
		p.startWrite(st, testBytes(100<<10), 0)
		p.wantData("the first window", 1, 64<<10)
		p.conn.Close()
		p.advance(2 * doubtTime)
		require.Equal(t, SPDY3, p.s.Version())
	})
	story(t, "a client of SPDY/3.1", func(t *testing.T) {
		p, st := cautious(t)
		p.startWrite(st, testBytes(40<<10), 0).wrote("before it is known", 40<<10)
		p.wantData("before it is known", 1, 40<<10)
		p.sendWindowUpdate(0, 10<<10)
		p.wantAlive("now it is")
		require.Equal(t, SPDY31, p.s.Version())
		w := p.startWrite(st, testBytes(100<<10), 0)
		w.pending("what was sent before counts")
		p.wantData("what was sent before counts", 1, (64+10-40)<<10)
		p.sendWindowUpdate(0, 66<<10)
		w.wrote("the rest", 100<<10)
		p.wantData("the rest", 1, 66<<10)
		p.sendBulk(1, 128<<10, 0)
		p.wantAlive("exactly the window that we granted")
		other := p.theirs("another", 3, 0)
		p.sendBulk(other.id, 1, 0)
		p.wantSessionError("and not one byte more", 3, GoAwayProtocolError)
	})
	story(t, "a WINDOW_UPDATE of 0", func(t *testing.T) {
		p, _ := cautious(t)
		p.sendWindowUpdate(0, 0)
		p.wantSessionError("is wrong in SPDY/3.1, which alone has it", 1, GoAwayProtocolError)
	})
}
