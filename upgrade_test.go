package spdy

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy/internal/testconn"
)

// upgradeRequest is a request to upgrade, with more header lines.
func upgradeRequest(lines ...string) string {
	return "POST /exec HTTP/1.1\r\nHost: kubelet\r\n" + strings.Join(lines, "\r\n") + "\r\n\r\n"
}

var upgradeLines = []string{"Connection: Upgrade", "Upgrade: SPDY/3.1"}

// An upgraded is what came of one request to an Upgrader behind a real http.Server.
type upgraded struct {
	answer   string // all that the server has said
	session  *Session
	protocol string
	err      error
}

// upgradeTest sends text to a server with the Upgrader and calls check in the bubble,
// with the client's end of the connection, once all is quiet.
func upgradeTest(t *testing.T, u *Upgrader, text string, check func(t *testing.T, conn *testconn.Conn, got *upgraded)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		got := new(upgraded)
		handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Audit-Id", "7")
			w.Header().Set("Content-Length", "99")
			w.Header().Set("Upgrade", "nonsense")
			got.session, got.protocol, got.err = u.Upgrade(w, r)
		})
		ln := testconn.Listen()
		server := &http.Server{Handler: handler, ReadTimeout: time.Second, WriteTimeout: time.Second}
		go server.Serve(ln)
		conn, err := ln.Dial(testconn.Second(testconn.Record()))
		require.NoError(t, err)
		say(conn, text)
		synctest.Wait()
		got.answer = string(conn.Peer().Sent())
		check(t, conn, got)
		if got.session != nil {
			got.session.Close()
		}
		conn.Close()
		server.Close()
	})
}

func TestUpgradeAnswer(t *testing.T) {
	for name, test := range map[string]struct {
		lines     []string
		protocols []string
		protocol  string
	}{
		"no protocols":        {lines: upgradeLines},
		"protocols ignored":   {lines: append([]string{"X-Stream-Protocol-Version: v4"}, upgradeLines...)},
		"any case":            {lines: []string{"connection: keep-alive, uPGRADE", "upgrade: websocket, spdy/3.1"}},
		"repeated fields":     {lines: []string{"Connection: close", "Connection: upgrade", "Upgrade: h2c", "Upgrade: SPDY/3.1"}},
		"empty body":          {lines: append([]string{"Content-Length: 0"}, upgradeLines...)},
		"repeated lines":      {append([]string{"X-Stream-Protocol-Version: v5", "X-Stream-Protocol-Version: v4", "X-Stream-Protocol-Version: v3"}, upgradeLines...), []string{"v3", "v4"}, "v4"},
		"comma list":          {append([]string{"x-stream-protocol-version: v9 ,v3,\tv4"}, upgradeLines...), []string{"v4", "v3"}, "v3"},
		"both":                {append([]string{"X-Stream-Protocol-Version: v9,,v8", "X-Stream-Protocol-Version: ,v4"}, upgradeLines...), []string{"v4"}, "v4"},
		"a name in two cases": {append([]string{"X-Stream-Protocol-Version: V4,v4"}, upgradeLines...), []string{"v4"}, "v4"},
	} {
		t.Run(name, func(t *testing.T) {
			upgradeTest(t, &Upgrader{Protocols: test.protocols}, upgradeRequest(test.lines...), func(t *testing.T, _ *testconn.Conn, got *upgraded) {
				require.NoError(t, got.err)
				require.Equal(t, test.protocol, got.protocol)
				require.Equal(t, SPDY31, got.session.Version())
				echo := ""
				if test.protocol != "" {
					echo = "X-Stream-Protocol-Version: " + test.protocol + "\r\n"
				}
				require.Equal(t, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n"+echo+"Audit-Id: 7\r\n\r\n", got.answer)
			})
		})
	}
}

func TestUpgradeRefused(t *testing.T) {
	offer := func(lines ...string) string { return upgradeRequest(append(lines, upgradeLines...)...) }
	for name, test := range map[string]struct {
		text   string
		status int
		reason string
	}{
		"HTTP/1.0":          {strings.Replace(offer(), "HTTP/1.1", "HTTP/1.0", 1), 400, "only HTTP/1.1"},
		"no Connection":     {upgradeRequest("Upgrade: SPDY/3.1"), 400, "Connection does not say"},
		"other Connection":  {upgradeRequest("Connection: upgraded", "Upgrade: SPDY/3.1"), 400, "Connection does not say"},
		"no Upgrade":        {upgradeRequest("Connection: Upgrade"), 400, "Upgrade does not say SPDY/3.1"},
		"other Upgrade":     {upgradeRequest("Connection: Upgrade", "Upgrade: SPDY/3.11"), 400, "Upgrade does not say SPDY/3.1"},
		"a body":            {offer("Content-Length: 2", "X-Stream-Protocol-Version: v4") + "hi", 400, "no body"},
		"a chunked body":    {offer("Transfer-Encoding: chunked", "X-Stream-Protocol-Version: v4") + "0\r\n\r\n", 400, "no body"},
		"no protocol":       {offer(), 400, "names no protocol"},
		"an empty protocol": {offer("X-Stream-Protocol-Version: ,"), 400, "names no protocol"},
		"another protocol":  {offer("X-Stream-Protocol-Version: v1", "X-Stream-Protocol-Version: V4"), 403, `the client speaks ["v1" "V4"], the server ["v4" "v3"]`},
	} {
		t.Run(name, func(t *testing.T) {
			upgradeTest(t, &Upgrader{Protocols: []string{"v4", "v3"}}, test.text, func(t *testing.T, _ *testconn.Conn, got *upgraded) {
				var refused *UpgradeError
				require.ErrorAs(t, got.err, &refused)
				require.Nil(t, got.session)
				require.Equal(t, test.status, refused.StatusCode)
				require.Contains(t, refused.Reason, test.reason)
				res, err := http.ReadResponse(bufio.NewReader(strings.NewReader(got.answer)), nil)
				require.NoError(t, err)
				require.Equal(t, test.status, res.StatusCode)
				body, err := io.ReadAll(res.Body)
				require.NoError(t, err)
				require.Equal(t, string(refused.Body), string(body))
				require.Equal(t, "unable to upgrade: "+refused.Reason+"\n", string(body))
				var accepted []string
				if test.status == 403 {
					accepted = []string{"v4", "v3"}
				}
				require.Equal(t, accepted, res.Header["X-Accepted-Stream-Protocol-Versions"])
			})
		})
	}
}

// A request over HTTP/2 has no upgrade, whatever its header says.
func TestUpgradeRefusesHTTP2(t *testing.T) {
	r := httptest.NewRequest("POST", "https://user:secret@h/exec", nil)
	r.Header = http.Header{"Connection": {"Upgrade"}, "Upgrade": {"SPDY/3.1"}}
	r.Proto, r.ProtoMajor, r.ProtoMinor = "HTTP/2.0", 2, 0
	w := httptest.NewRecorder()
	_, _, err := new(Upgrader).Upgrade(w, r)
	require.EqualError(t, err, "spdy: upgrade of https://h/exec: 400 Bad Request: only HTTP/1.1 can be upgraded, this is HTTP/2.0")
	require.Equal(t, 400, w.Code)
}

func TestUpgradeWithoutHijacker(t *testing.T) {
	r := httptest.NewRequest("GET", "/", nil)
	r.Header = http.Header{"Connection": {"Upgrade"}, "Upgrade": {"SPDY/3.1"}}
	w := httptest.NewRecorder()
	_, _, err := new(Upgrader).Upgrade(w, r)
	require.ErrorIs(t, err, http.ErrNotSupported)
	require.Equal(t, 500, w.Code)
}

// A deafConn breaks when the answer is written.
type deafConn struct{ net.Conn }

func (deafConn) Write([]byte) (int, error) { return 0, errDeaf }

var errDeaf = errors.New("deaf")

type hijackable struct {
	http.ResponseWriter
	conn net.Conn
}

func (h hijackable) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return h.conn, bufio.NewReadWriter(bufio.NewReader(h.conn), bufio.NewWriter(h.conn)), nil
}

func TestUpgradeLostClient(t *testing.T) {
	ours, theirs := net.Pipe()
	r := httptest.NewRequest("GET", "/x", nil)
	r.Header = http.Header{"Connection": {"Upgrade"}, "Upgrade": {"SPDY/3.1"}}
	_, _, err := new(Upgrader).Upgrade(hijackable{httptest.NewRecorder(), deafConn{ours}}, r)
	require.ErrorIs(t, err, errDeaf)
	_, err = theirs.Read(make([]byte, 1))
	require.Equal(t, io.EOF, err, "the connection is closed")
}

// Frames that the client has sent together with its request are the session's first,
// and the limits of time of the http.Server end with the upgrade.
func TestUpgradeKeepsWhatCameBefore(t *testing.T) {
	ping := string(appendPing(nil, SPDY31, 77))
	upgradeTest(t, new(Upgrader), upgradeRequest(upgradeLines...)+ping, func(t *testing.T, conn *testconn.Conn, got *upgraded) {
		require.NoError(t, got.err)
		require.True(t, strings.HasSuffix(got.answer, "\r\n\r\n"), "nothing is said before Serve")
		go got.session.Serve()
		synctest.Wait()
		require.True(t, bytes.Contains(conn.Peer().Sent(), []byte(ping)), "the PING is answered")
		after := time.NewTimer(time.Minute)
		<-after.C
		say(conn, string(appendPing(nil, SPDY31, 79)))
		synctest.Wait()
		require.NoError(t, got.session.Err())
	})
}

// TestUpgradeIsSilent: with flow control, too, a server says nothing before the client
// does, who may lose what comes right behind the 101.
func TestUpgradeIsSilent(t *testing.T) {
	for _, fc := range []FlowControl{FlowControlStandard, FlowControlPeerUnaware} {
		upgradeTest(t, &Upgrader{Config: &Config{FlowControl: fc}}, upgradeRequest(upgradeLines...), func(t *testing.T, conn *testconn.Conn, got *upgraded) {
			require.NoError(t, got.err)
			go got.session.Serve()
			after := time.NewTimer(time.Hour)
			<-after.C
			synctest.Wait()
			require.Equal(t, got.answer, string(conn.Peer().Sent()))
			say(conn, string(appendPing(nil, SPDY31, 1)))
			synctest.Wait()
			said := strings.TrimPrefix(string(conn.Peer().Sent()), got.answer)
			require.Equal(t, byte(FrameSettings), said[3], "then it announces itself")
		})
	}
}
