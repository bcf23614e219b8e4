package ownership

import (
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/internal/testconn"
	"github.com/amahi/spdy/tests/bubble"
)

// pushServer returns a client session that takes pushes, and its server, which has got a
// GET of / with these header lines on stream 1 and has not answered it.
func pushServer(t *testing.T, v spdy.Version, lines ...string) (*server, *spdy.Session) {
	s, client := newServer(t, &spdy.Config{Version: v, AcceptPush: func(_, _ *http.Request) bool { return true }})
	start(client, request(t, "GET", "/", lines...))
	opened, _ := s.requests()
	require.Equal(t, []uint32{1}, opened)
	return s, client
}

// wantSent wants the request to be sent to the server, and answers it.
func (s *server) wantSent(rt http.RoundTripper, req *http.Request) {
	s.t.Helper()
	c := start(rt, req)
	opened, reset := s.requests()
	require.Len(s.t, opened, 1, "the request is not sent")
	require.Empty(s.t, reset)
	s.answer(opened[0], "asked for")
	require.Equal(s.t, "asked for", c.body(s.t))
}

// wantPushed wants the request to be answered by the push with this id, without a word to
// the server.
func (s *server) wantPushed(rt http.RoundTripper, req *http.Request, id uint32) {
	s.t.Helper()
	c := start(rt, req)
	opened, reset := s.requests()
	require.Empty(s.t, opened, "the request is sent")
	require.Empty(s.t, reset)
	require.Equal(s.t, pushed(id), c.body(s.t))
}

// A pushed answer satisfies only requests that a cache could answer for the same user. A
// request that it does not satisfy is sent, and leaves the push to others.
func TestAttackA30Pushes(t *testing.T) {
	testPushMatches(t)
	testPushMismatches(t)
	testPushAge(t)
	testPushFresh(t)
	testPushStale(t)
	testPushAgain(t)
	testLateHeaders(t)
	testUnsafe(t)
	testReusedRequest(t)
	testPushOfEachUser(t)
	testPushOfStrangers(t)
}

func testPushMatches(t *testing.T) {
	tests := map[string]struct {
		cause, answer, lines []string
	}{
		"nothing":         {},
		"one user":        {cause: []string{"Cookie: a=1", "Authorization: x"}, lines: []string{"Cookie: a=1", "Authorization: x"}},
		"cookie lines":    {cause: []string{"Cookie: a=1", "Cookie: b=2"}, lines: []string{"Cookie: a=1; b=2"}},
		"Vary, equal":     {cause: []string{"X-A: 1"}, answer: []string{"vary", "x-a, X-B"}, lines: []string{"X-A: 1"}},
		"no part of Vary": {cause: []string{"X-A: 1"}, answer: []string{"vary", "x-b", "cache-control", "max-age=60"}, lines: []string{"X-A: 2"}},
		"public":          {cause: []string{"X-Api-Key: a"}, answer: []string{"cache-control", "public"}, lines: []string{"X-Api-Key: b"}},
		"private":         {cause: []string{"X-Api-Key: a", "Accept: text/html"}, answer: []string{"cache-control", "private"}, lines: []string{"X-Api-Key: a", "Accept: image/png", "Connection: x"}},
		"old is fine":     {lines: []string{"Cache-Control: max-age=60, foo=0"}},
	}
	for name, test := range tests {
		bubble.InVersions(t, "match/"+name, func(t *testing.T, v spdy.Version) {
			s, client := pushServer(t, v, test.cause...)
			s.push(2, 1, test.answer...)
			s.wantPushed(client, request(t, "GET", "/a", test.lines...), 2)
			s.wantSent(client, request(t, "GET", "/a", test.lines...)) // a push is used once
		})
	}
	bubble.InVersions(t, "match/default port", func(t *testing.T, v spdy.Version) {
		s, client := pushServer(t, v)
		s.push(2, 1)
		req := request(t, "GET", "/a")
		req.URL.Host, req.Host = "EXAMPLE.com:80", ""
		s.wantPushed(client, req, 2)
	})
}

func testPushMismatches(t *testing.T) {
	tests := map[string]struct {
		cause, answer, lines []string
		edit                 func(r *http.Request)
	}{
		"another cookie":          {cause: []string{"Cookie: user=alice"}, lines: []string{"Cookie: user=bob"}},
		"no cookie":               {cause: []string{"Cookie: user=alice"}},
		"a cookie":                {lines: []string{"Cookie: user=bob"}},
		"another authorization":   {cause: []string{"Authorization: alice"}, lines: []string{"Authorization: bob"}},
		"no authorization":        {cause: []string{"Authorization: alice"}},
		"an authorization":        {lines: []string{"Authorization: bob"}},
		"proxy authorization":     {lines: []string{"Proxy-Authorization: bob"}},
		"a key in another case":   {edit: func(r *http.Request) { r.Header["cookie"] = []string{"user=bob"} }},
		"Vary, another value":     {cause: []string{"X-A: 1"}, answer: []string{"cache-control", "public", "vary", "x-b,\tX-A"}, lines: []string{"X-A: 2"}},
		"Vary, another line":      {cause: []string{"X-A: 1"}, answer: []string{"cache-control", "public", "vary", "x-b\x00x-a"}, lines: []string{"X-A: 2"}},
		"Vary, absent":            {cause: []string{"X-A: 1"}, answer: []string{"cache-control", "public", "vary", "x-a"}},
		"Vary, present":           {answer: []string{"cache-control", "public", "vary", "x-a"}, lines: []string{"X-A: 1"}},
		"Vary, empty":             {answer: []string{"cache-control", "public", "vary", "x-a"}, lines: []string{"X-A: "}},
		"private, another user":   {cause: []string{"X-Api-Key: a"}, answer: []string{"cache-control", "max-age=60, Private"}, lines: []string{"X-Api-Key: b"}},
		"private, forwarded":      {cause: []string{"Cookie: a=1", "X-Forwarded-For: a"}, answer: []string{"cache-control", "private=\"x\""}, lines: []string{"Cookie: a=1", "X-Forwarded-For: b"}},
		"no-cache, another user":  {cause: []string{"X-Api-Key: a"}, answer: []string{"cache-control", "public\x00no-cache"}, lines: []string{"X-Api-Key: b"}},
		"a cookie is set":         {cause: []string{"Cookie: a=1"}, answer: []string{"cache-control", "public", "set-cookie", "a=1"}, lines: []string{"Cookie: a=1", "X-Api-Key: b"}},
		"for whom is unsaid":      {cause: []string{"X-Api-Key: a"}, lines: []string{"X-Api-Key: b"}},
		"too old for everybody":   {cause: []string{"X-Api-Key: a"}, answer: []string{"cache-control", "max-age=0"}, lines: []string{"X-Api-Key: b"}},
		"Range":                   {lines: []string{"Range: bytes=1-2"}},
		"If-None-Match":           {lines: []string{`If-None-Match: "x"`}},
		"If-Modified-Since":       {lines: []string{"If-Modified-Since: Sat, 01 Jan 2000 00:00:00 GMT"}},
		"no-cache":                {lines: []string{"Cache-Control: foo, No-Cache"}},
		"no-store":                {lines: []string{"Cache-Control: foo", "Cache-Control: no-store"}},
		"max-age=0":               {lines: []string{"Cache-Control: max-age=0"}},
		"max-age that is none":    {lines: []string{"Cache-Control: max-age=x"}},
		"Pragma":                  {lines: []string{"Pragma: no-cache"}},
		"HEAD":                    {edit: func(r *http.Request) { r.Method = "HEAD" }},
		"another host":            {edit: func(r *http.Request) { r.Host = "example.com:81" }},
		"another query":           {edit: func(r *http.Request) { r.URL.RawQuery = "b" }},
		"a body of a known size":  {edit: func(r *http.Request) { r.Body, r.ContentLength = io.NopCloser(strings.NewReader("x")), 1 }},
		"a body of unknown size":  {edit: func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader("x")) }},
		"OPTIONS changes nothing": {edit: func(r *http.Request) { r.Method = "OPTIONS" }},
	}
	for name, test := range tests {
		bubble.InVersions(t, "no match/"+name, func(t *testing.T, v spdy.Version) {
			s, client := pushServer(t, v, test.cause...)
			s.push(2, 1, test.answer...)
			req := request(t, "GET", "/a", test.lines...)
			if test.edit != nil {
				test.edit(req)
			}
			c := start(client, req)
			opened, reset := s.requests()
			require.Len(t, opened, 1, "the push is not for this request")
			require.Empty(t, reset)
			s.answer(opened[0], "")
			require.Empty(t, c.body(t))
			s.wantPushed(client, request(t, "GET", "/a", test.cause...), 2)
		})
	}
	never := map[string][]string{
		"Vary, anything": {"vary", "x-a, *"}, "Vary, too much": {"vary", strings.Repeat("x-a,", 1000)}, "no-store in the answer": {"cache-control", "max-age=60,no-store"},
		"private, no-store": {"cache-control", "private, no-store"}, "no-cache, no-store": {"cache-control", `no-cache="a, b", no-store`},
		"public, no-store": {"cache-control", "public\x00No-Store"},
	}
	for name, answer := range never {
		bubble.InVersions(t, "no match/"+name, func(t *testing.T, v spdy.Version) {
			const user = "Cookie: user=alice" // a push that is private would answer her request
			s, client := pushServer(t, v, user)
			s.push(2, 1, answer...)
			s.wantSent(client, request(t, "GET", "/a", user))
		})
	}
}

// A request that wants a fresh answer gets no push that has waited longer.
func testPushAge(t *testing.T) {
	bubble.InVersions(t, "age", func(t *testing.T, v spdy.Version) {
		s, client := pushServer(t, v)
		s.push(2, 1, "cache-control", "max-age=60")
		bubble.Pass(10 * time.Second)
		s.wantSent(client, request(t, "GET", "/a", "Cache-Control: max-age=10"))
		s.wantSent(client, request(t, "GET", "/a", "Cache-Control: min-fresh=50"))
		s.wantPushed(client, request(t, "GET", "/a", "Cache-Control: max-age=11, min-fresh=49"), 2)
	})
	bubble.InVersions(t, "age before", func(t *testing.T, v spdy.Version) {
		s, client := pushServer(t, v)
		s.push(2, 1, "age", "5", "cache-control", "max-age=60")
		s.wantSent(client, request(t, "GET", "/a", "Cache-Control: max-age=5"))
		s.wantPushed(client, request(t, "GET", "/a", "Cache-Control: max-age=6"), 2)
	})
}

// freshness are answers and how long they are fresh. Fake time begins with the year 2000.
var freshness = map[string]struct {
	answer []string
	fresh  time.Duration
}{
	"max-age":              {[]string{"cache-control", "max-age=60"}, time.Minute},
	"max-age, quoted":      {[]string{"cache-control", `max-age="60"`}, time.Minute},
	"max-age, huge":        {[]string{"cache-control", "max-age=99999999999999999999"}, time.Minute},
	"max-age twice":        {[]string{"cache-control", "max-age=3600, max-age=60"}, time.Minute},
	"max-age in a value":   {[]string{"cache-control", `max-age=60, x="a, max-age=20"`}, time.Minute},
	"max-age, not Expires": {[]string{"cache-control", "max-age=60", "expires", "Sat, 01 Jan 2000 03:00:00 GMT"}, time.Minute},
	"s-maxage is shared":   {[]string{"cache-control", "s-maxage=3600, max-age=60"}, time.Minute},
	"Age":                  {[]string{"cache-control", "max-age=60", "age", "20"}, 40 * time.Second},
	"Age, no number":       {[]string{"cache-control", "max-age=60", "age", "x"}, time.Minute},
	"Date":                 {[]string{"cache-control", "max-age=60", "date", "Fri, 31 Dec 1999 23:59:30 GMT"}, 30 * time.Second},
	"Date to come":         {[]string{"cache-control", "max-age=60", "date", "Sat, 01 Jan 2000 01:00:00 GMT"}, time.Minute},
	"Expires":              {[]string{"expires", "Sat, 01 Jan 2000 00:01:00 GMT"}, time.Minute},
	"Expires and Date":     {[]string{"expires", "Sat, 01 Jan 2000 00:01:00 GMT", "date", "Fri, 31 Dec 1999 23:59:40 GMT"}, time.Minute},
}

// A push answers no request once it is stale, or after a minute. Its server may push the URL
// again then.
func testPushFresh(t *testing.T) {
	for name, test := range freshness {
		bubble.InVersions(t, "fresh/"+name, func(t *testing.T, v spdy.Version) {
			s, client := pushServer(t, v)
			s.push(2, 1, test.answer...)
			bubble.Pass(test.fresh - time.Second)
			s.wantPushed(client, request(t, "GET", "/a"), 2)
		})
		bubble.InVersions(t, "stale/"+name, func(t *testing.T, v spdy.Version) {
			s, client := pushServer(t, v)
			s.push(2, 1, test.answer...)
			bubble.Pass(test.fresh)
			s.wantSent(client, request(t, "GET", "/a"))
		})
	}
}

// What is not fresh, or does not say how long it is, may be used while its page is being
// loaded.
func testPushStale(t *testing.T) {
	const grace = 10 * time.Second
	unfresh := map[string][]string{
		"no word": nil, "no-cache": {"cache-control", "max-age=60, no-cache"}, "no-cache, later": {"cache-control", "no-cache\x00max-age=60"},
		"max-age=0": {"cache-control", "max-age=0"}, "max-age=1": {"cache-control", "public, max-age=1, must-revalidate"},
		"max-age that is none": {"cache-control", "max-age=x"}, "s-maxage": {"cache-control", "private, s-maxage=60"},
		"Age": {"cache-control", "max-age=60", "age", "60"}, "Expires that is none": {"expires", "0"}, "private": {"cache-control", "private"},
		"Date long ago": {"date", "Mon, 01 Jan 0001 00:00:00 GMT", "cache-control", "max-age=60"},
	}
	for name, answer := range unfresh {
		bubble.InVersions(t, "not fresh/"+name, func(t *testing.T, v spdy.Version) {
			s, client := pushServer(t, v, "Cookie: a=1")
			s.push(2, 1, answer...)
			bubble.Pass(grace - time.Second)
			s.wantPushed(client, request(t, "GET", "/a", "Cookie: a=1"), 2)
			s.push(4, 1, answer...)
			bubble.Pass(grace)
			s.wantSent(client, request(t, "GET", "/a", "Cookie: a=1"))
		})
	}
	bubble.InVersions(t, "not fresh/late", func(t *testing.T, v spdy.Version) { // the answer counts from its headers
		s, client := pushServer(t, v)
		s.promise(2, 1)
		bubble.Pass(2 * grace)
		s.send(&spdy.HeadersFrame{StreamID: 2, Headers: s.block("status", "200 OK", "version", "HTTP/1.1", "cache-control", "no-cache")})
		s.send(&spdy.DataFrame{StreamID: 2, Flags: spdy.FlagFin, Data: []byte(pushed(2))})
		s.wantPushed(client, request(t, "GET", "/a", "Cache-Control: max-age=5"), 2)
	})
}

// A URL whose push is of no use to anybody may be pushed again.
func testPushAgain(t *testing.T) {
	for name, answer := range map[string][]string{"stale": {"cache-control", "max-age=20"}, "no-store": {"cache-control", "no-store"}} {
		bubble.InVersions(t, "again/"+name, func(t *testing.T, v spdy.Version) {
			s, client := pushServer(t, v)
			s.push(2, 1, answer...)
			bubble.Pass(20 * time.Second)
			s.push(4, 1, "cache-control", "max-age=60")
			_, reset := s.requests()
			require.Empty(t, reset)
			s.wantPushed(client, request(t, "GET", "/a"), 4)
			require.Zero(t, client.Stats().UnreadBytes)
		})
	}
}

// A request does not wait for the headers of a promised answer, and leaves the push to
// others.
func testLateHeaders(t *testing.T) {
	bubble.InVersions(t, "late headers", func(t *testing.T, v spdy.Version) {
		s, client := pushServer(t, v, "X-A: 1")
		s.promise(2, 1)
		s.wantSent(client, request(t, "GET", "/a", "X-A: 1"))
		s.send(&spdy.HeadersFrame{StreamID: 2, Headers: s.block("status", "200 OK", "version", "HTTP/1.1", "vary", "x-a")})
		s.send(&spdy.DataFrame{StreamID: 2, Flags: spdy.FlagFin, Data: []byte(pushed(2))})
		s.wantSent(client, request(t, "GET", "/a", "X-A: 2"))
		s.wantPushed(client, request(t, "GET", "/a", "X-A: 1"), 2)
	})
}

// An unsafe request makes the pushes of its URL unusable.
func testUnsafe(t *testing.T) {
	for _, method := range []string{"POST", "PUT", "DELETE", "PATCH", "PURGE"} {
		bubble.InVersions(t, "unsafe/"+method, func(t *testing.T, v spdy.Version) {
			s, client := pushServer(t, v, "Cookie: a=1")
			s.promise(2, 1, "status", "200 OK", "version", "HTTP/1.1")
			c := start(client, request(t, method, "/a"))
			opened, reset := s.requests()
			require.Equal(t, []uint32{3}, opened)
			require.Equal(t, map[uint32]spdy.RstStatus{2: spdy.RstCancel}, reset)
			s.push(4, 1) // of the time before the change
			s.push(6, 3) // and after it
			s.answer(3, "changed")
			require.Equal(t, "changed", c.body(t))
			s.wantSent(client, request(t, "GET", "/a", "Cookie: a=1"))
			s.wantPushed(client, request(t, "GET", "/a"), 6)
		})
	}
	for _, harmless := range []*http.Request{
		request(t, "HEAD", "/a"), request(t, "OPTIONS", "/a"), request(t, "TRACE", "/a"),
		request(t, "POST", "/b"), request(t, "POST", "/a?b"),
	} {
		bubble.InVersions(t, "safe/"+harmless.Method+" "+harmless.URL.RequestURI(), func(t *testing.T, v spdy.Version) {
			s, client := pushServer(t, v)
			s.push(2, 1)
			c := start(client, harmless.Clone(t.Context()))
			opened, reset := s.requests()
			require.Equal(t, []uint32{3}, opened)
			require.Empty(t, reset)
			s.answer(3, "")
			require.Empty(t, c.body(t))
			s.wantPushed(client, request(t, "GET", "/a"), 2)
		})
	}
}

// A caller may reuse a request once he has closed the answer's body. The push keeps the
// headers that were sent.
func testReusedRequest(t *testing.T) {
	bubble.InVersions(t, "reused request", func(t *testing.T, v spdy.Version) {
		var cause *http.Request
		s, client := newServer(t, &spdy.Config{Version: v, AcceptPush: func(_, c *http.Request) bool {
			cause = c
			return true
		}})
		req := request(t, "GET", "/", "X-A: 1", "Cookie: a=1")
		page := start(client, req)
		s.requests()
		s.push(2, 1, "vary", "x-a")
		s.answer(1, "page")
		require.Equal(t, "page", page.body(t))
		req.URL.Path, req.Host = "/a", ""
		req.Header.Set("X-A", "2")
		s.wantSent(client, req)
		require.Equal(t, []string{"1"}, cause.Header["X-A"], "AcceptPush has got a copy")
		s.wantPushed(client, request(t, "GET", "/a", "X-A: 1", "Cookie: a=1"), 2)
	})
}

// The same URL may be pushed to each user.
func testPushOfEachUser(t *testing.T) {
	bubble.InVersions(t, "each user", func(t *testing.T, v spdy.Version) {
		s, client := pushServer(t, v, "Cookie: user=alice")
		start(client, request(t, "GET", "/", "Cookie: user=bob"))
		opened, _ := s.requests()
		require.Equal(t, []uint32{3}, opened)
		s.push(2, 1)
		s.push(4, 3)
		_, reset := s.requests()
		require.Empty(t, reset)
		s.wantPushed(client, request(t, "GET", "/a", "Cookie: user=bob"), 4)
		s.wantPushed(client, request(t, "GET", "/a", "Cookie: user=alice"), 2)
	})
}

// A push that is for one user answers no request if the headers of its cause name no user: those
// of every stranger behind a proxy are equal.
func testPushOfStrangers(t *testing.T) {
	proxied := []string{
		"Accept: text/html", "User-Agent: x", "Forwarded: for=a", "Via: 1.1 x", "X-Real-Ip: a",
		"X-Forwarded-For: a", "X-Forwarded-Host: x", "X-Forwarded-Proto: http",
	}
	for name, answer := range map[string][]string{
		"private": {"cache-control", "max-age=60, private"}, "a cookie": {"set-cookie", "id=1"},
		"a public cookie": {"cache-control", "public", "set-cookie", "id=1"},
	} {
		for _, lines := range [][]string{nil, proxied} {
			bubble.InVersions(t, fmt.Sprintf("strangers/%s, %d lines", name, len(lines)), func(t *testing.T, v spdy.Version) {
				s, client := pushServer(t, v, lines...)
				s.push(2, 1, answer...)
				s.wantSent(client, request(t, "GET", "/a", lines...))
			})
		}
		bubble.InVersions(t, "strangers/"+name+", a user", func(t *testing.T, v spdy.Version) {
			s, client := pushServer(t, v, append(proxied, "Authorization: x")...)
			s.push(2, 1, answer...)
			s.wantPushed(client, request(t, "GET", "/a", append(proxied, "Authorization: x")...), 2)
		})
	}
}

// TestPushThroughTransport: two users behind one Transport, with our server. The answer
// depends on the cookie and on an Accept-Encoding that the Transport adds.
func TestPushThroughTransport(t *testing.T) {
	bubble.InVersions(t, "users", func(t *testing.T, v spdy.Version) {
		ln := testconn.Listen()
		srv := &spdy.Server{Config: &spdy.Config{Version: v}, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/" {
				assert.NoError(t, w.(http.Pusher).Push("/account", nil))
				return
			}
			w.Header().Set("Vary", "Accept-Encoding")
			if r.Header.Get("Accept-Encoding") == "gzip" {
				w.Header().Set("Content-Encoding", "gzip")
				z := gzip.NewWriter(w)
				defer z.Close()
				fmt.Fprint(z, "page of ", r.Header.Get("Cookie"))
				return
			}
			fmt.Fprint(w, "page of ", r.Header.Get("Cookie"))
		})}
		go srv.Serve(ln)
		tr := &spdy.Transport{
			Config:      &spdy.Config{Version: v, AcceptPush: func(_, _ *http.Request) bool { return true }},
			DialContext: func(context.Context, string, string) (net.Conn, error) { return ln.Dial() },
		}
		get := func(path string, lines ...string) string {
			body := start(tr, request(t, "GET", path, lines...)).body(t)
			synctest.Wait() // what is pushed along has arrived
			return body
		}
		get("/", "Cookie: alice")
		require.Equal(t, "page of bob", get("/account", "Cookie: bob"))
		require.Equal(t, "page of alice", get("/account", "Cookie: alice", "Accept-Encoding: identity"))
		require.Equal(t, "page of alice", get("/account", "Cookie: alice"), "the push, decompressed")
		tr.CloseIdleConnections()
		require.NoError(t, srv.Close())
	})
}
