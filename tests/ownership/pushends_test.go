package ownership

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/tests/bubble"
)

// everybody says that a pushed answer is for all users.
var everybody = []string{"status", "200 OK", "version", "HTTP/1.1", "cache-control", "public, max-age=60"}

// begin begins the answer to the request on stream 1.
func (s *server) begin() {
	s.t.Helper()
	s.send(&spdy.SynReplyFrame{StreamID: 1, Headers: s.block("status", "200 OK", "version", "HTTP/1.1")})
	s.send(&spdy.DataFrame{StreamID: 1, Data: []byte("page")})
}

// A visit is the request of a user, along with which his server pushes.
type visit struct {
	s      *server
	client *spdy.Session
	cancel func() // of its context
	res    *http.Response
}

// An end is how a visit ends.
type end struct {
	conf   spdy.Config
	method string // of the request, GET by default
	do     func(t *testing.T, v *visit)
}

// ends has all ends of a request: by its user, by its client, and by the server.
var ends = map[string]end{
	"context":        {do: func(_ *testing.T, v *visit) { v.cancel() }},
	"Close":          {do: func(_ *testing.T, v *visit) { v.res.Body.Close() }},
	"no body":        {method: "HEAD", do: func(*testing.T, *visit) { bubble.Pass(10 * time.Second) }},
	"broken headers": {do: func(_ *testing.T, v *visit) { v.s.send(&spdy.SynReplyFrame{StreamID: 1}) }},
	"broken trailers": {do: func(_ *testing.T, v *visit) {
		v.s.send(&spdy.HeadersFrame{StreamID: 1, Headers: v.s.block("x-a", "1")})
		v.s.send(&spdy.HeadersFrame{StreamID: 1, Headers: v.s.block("x-a", "2")})
	}},
	"reset by the server": {do: func(_ *testing.T, v *visit) {
		v.s.send(&spdy.RstStreamFrame{StreamID: 1, Status: spdy.RstInternalError})
	}},
	"FIN": {do: func(_ *testing.T, v *visit) { v.s.send(&spdy.DataFrame{StreamID: 1, Flags: spdy.FlagFin}) }},
}

// shed is the end by Config.ShedAfter.
var shed = end{
	conf: spdy.Config{MaxConcurrentStreams: 1, StreamWindow: 64 << 10, SessionWindow: 256 << 10, ShedAfter: time.Second},
	do:   fillWindow,
}

// fillWindow has the session's window filled by the visit and by two others that do not read
// their answers, until one of them is reset.
func fillWindow(t *testing.T, v *visit) {
	for range 2 {
		go func() {
			res, err := v.client.RoundTrip(request(t, "GET", "/unread"))
			<-t.Context().Done()
			if err == nil {
				res.Body.Close()
			}
		}()
	}
	opened, _ := v.s.requests()
	for _, id := range opened {
		v.s.send(&spdy.SynReplyFrame{StreamID: id, Headers: v.s.block("status", "200 OK", "version", "HTTP/1.1")})
	}
	for _, id := range opened {
		v.s.send(&spdy.DataFrame{StreamID: id, Data: make([]byte, 64<<10)})
	}
	v.s.send(&spdy.DataFrame{StreamID: 1, Data: make([]byte, 64<<10-len("page"))})
	bubble.Pass(10 * time.Second)
}

// TestAttackA30PushesThatOutlive: however a user ends his request, others get whole answers,
// with a server that stops the pushes of requests which are reset.
func TestAttackA30PushesThatOutlive(t *testing.T) {
	for name, end := range ends {
		bubble.InVersions(t, "part/"+name, func(t *testing.T, v spdy.Version) { end.test(t, v, false) })
		bubble.InVersions(t, "whole/"+name, func(t *testing.T, v spdy.Version) { end.test(t, v, true) })
	}
	bubble.In(t, "part/shed", []spdy.Version{spdy.SPDY31}, func(t *testing.T, v spdy.Version) { shed.test(t, v, false) })
	bubble.InVersions(t, "page is complete", func(t *testing.T, v spdy.Version) {
		s, client := pushServer(t, v)
		s.promise(2, 1, everybody...)
		s.send(&spdy.DataFrame{StreamID: 2, Data: []byte("push")})
		s.answer(1, "page")
		b := start(client, request(t, "GET", "/a"))
		opened, _ := s.requests()
		require.Empty(t, opened, "nothing can stop the push any more")
		s.send(&spdy.DataFrame{StreamID: 2, Flags: spdy.FlagFin, Data: []byte("ed 2")})
		require.Equal(t, pushed(2), b.body(t))
	})
}

// test asks for what is pushed along with a request before that ends, and after it. whole says
// that the push is complete by then.
func (e end) test(t *testing.T, v spdy.Version, whole bool) {
	e.conf.Version, e.conf.AcceptPush = v, func(_, _ *http.Request) bool { return true }
	s, client := newServer(t, &e.conf)
	req, cancel := e.request(t)
	defer cancel()
	page := make(chan *http.Response, 1)
	go func() {
		res, err := client.RoundTrip(req)
		assert.NoError(t, err)
		page <- res
	}()
	s.requests()
	s.begin()
	visit := &visit{s: s, client: client, cancel: cancel, res: <-page}
	defer visit.res.Body.Close()
	s.promise(2, 1, everybody...)
	rest := &spdy.DataFrame{StreamID: 2, Flags: spdy.FlagFin, Data: []byte("ed 2")}
	s.send(&spdy.DataFrame{StreamID: 2, Data: []byte("push")})
	if whole {
		s.send(rest)
	}
	calls := []*call{start(client, request(t, "GET", "/a"))}
	s.answerAll()
	e.do(t, visit)
	calls = append(calls, start(client, request(t, "GET", "/a"))) // before the server knows
	stopped := s.answerAll()
	calls = append(calls, start(client, request(t, "GET", "/a")))
	s.answerAll()
	if !whole && !stopped {
		s.send(rest)
	}
	for _, c := range calls {
		require.Contains(t, []string{"asked for", pushed(2)}, c.body(t))
	}
	if whole {
		require.Equal(t, pushed(2), calls[0].text)
	}
}

// request makes the request that ends so.
func (e end) request(t *testing.T) (*http.Request, context.CancelFunc) {
	ctx, cancel := context.WithCancel(t.Context())
	method := e.method
	if method == "" {
		method = "GET"
	}
	return request(t, method, "/").WithContext(ctx), cancel
}

// answerAll answers the requests that have come, and stops the push along with that on stream
// 1 if that has been reset, as SPDY asks of a server (SPEC X7).
func (s *server) answerAll() (stopped bool) {
	s.t.Helper()
	bubble.Pass(2 * time.Second) // requests may wait for slots of streams that have been reset
	opened, reset := s.requests()
	if _, stopped = reset[1]; stopped {
		s.send(&spdy.RstStreamFrame{StreamID: 2, Status: spdy.RstCancel})
	}
	for _, id := range opened {
		s.answer(id, "asked for")
	}
	return stopped
}
