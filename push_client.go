package spdy

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
)

// An httpClientApp looks after the streams that a server opens on a client:
// pushes. It refuses them unless Config.AcceptPush wants them.
type httpClientApp struct {
	wanted func(promised, cause *http.Request) bool

	mu     sync.Mutex
	pushes []*push // oldest first, unclaimed
	ending bool    // the session is going away
}

// A push is an answer that nobody has asked for yet.
type push struct {
	st      *Stream
	url     string
	decided chan struct{} // latch: wanted has spoken
	refused bool          // what it said; read after decided
}

func newHTTPClientApp(c *Config) *httpClientApp {
	if c == nil {
		return &httpClientApp{}
	}
	return &httpClientApp{wanted: c.AcceptPush}
}

// accept checks a push and leaves the rest to AcceptPush.
func (a *httpClientApp) accept(st *Stream, h HeaderBlock) *StreamError {
	s := st.session
	if !st.oneWay { // SPEC S12, U7
		return streamErrorf(st.id, RstProtocolError, "a server may only push")
	}
	cause := s.requestOf(st.assoc)
	if cause == nil { // SPEC U2, U6, U19
		return streamErrorf(st.id, RstInvalidStream, "pushed along with stream %d, which is no open request", st.assoc)
	}
	promised, err := promisedRequest(s.version, h)
	if err != nil { // SPEC U4, U5
		return streamErrorf(st.id, RstProtocolError, "%v", err)
	}
	if promised.URL.Scheme != s.schemeOf(cause) || !strings.EqualFold(promised.URL.Host, hostOf(cause)) { // SPEC U14
		return streamErrorf(st.id, RstRefusedStream, "pushed from another origin")
	}
	if a.wanted == nil { // SPEC S5, U16
		return streamErrorf(st.id, RstRefusedStream, "pushes are not wanted")
	}
	p := &push{st: st, url: pushKey(promised.URL.Scheme, promised), decided: make(chan struct{})}
	st.startPush(h)
	old, refused := a.add(p, s.conf.unclaimedPushes())
	if refused != nil {
		return refused
	}
	if old != nil {
		old.drop()
	}
	st.release()                    // its slot is free when it ends, read or not
	go a.decide(p, promised, cause) // ends with the user's verdict
	return nil
}

// unclaimedPushes is how many pushes may wait for somebody to ask for them. Each can
// fill its stream's window, and together they must leave half of the session's to
// what has been asked for. (SPDY/2 has no windows, see makeRoom.)
func (c *Config) unclaimedPushes() int {
	return min(c.MaxConcurrentStreams, c.SessionWindow/2/c.StreamWindow)
}

// add enters a push. If the number of unclaimed ones has reached the limit, the
// oldest is taken out and returned.
func (a *httpClientApp) add(p *push, limit int) (old *push, refused *StreamError) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.ending {
		return nil, streamErrorf(p.st.id, RstRefusedStream, "the session is going away")
	}
	a.pushes = slices.DeleteFunc(a.pushes, (*push).lost)
	for _, other := range a.pushes {
		if other.url == p.url { // SPEC U18
			return nil, streamErrorf(p.st.id, RstProtocolError, "%s is being pushed already", p.url)
		}
	}
	if len(a.pushes) >= limit {
		old = a.pushes[0]
		a.pushes = slices.Delete(a.pushes, 0, 1)
	}
	a.pushes = append(a.pushes, p)
	return old, nil
}

// decide asks the user whether he wants a push.
func (a *httpClientApp) decide(p *push, promised, cause *http.Request) {
	if !a.wanted(promised, cause) {
		p.refused = true
		a.forget(p)
		p.st.reset(RstRefusedStream, "the push was refused", nil)
	}
	close(p.decided)
}

// take takes the push of a URL out of the list, or returns nil.
func (a *httpClientApp) take(url string) *push {
	a.mu.Lock()
	defer a.mu.Unlock()
	for i, p := range a.pushes {
		if p.url == url {
			a.pushes = slices.Delete(a.pushes, i, i+1)
			return p
		}
	}
	return nil
}

// forget takes a push out of the list, if it is there still.
func (a *httpClientApp) forget(p *push) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.pushes = slices.DeleteFunc(a.pushes, func(other *push) bool { return other == p })
}

// lost reports whether a push has ended before it was complete.
func (p *push) lost() bool {
	select {
	case <-p.st.done:
		return !errors.Is(p.st.endReason(), ErrStreamClosed)
	default:
		return false
	}
}

// drop gives up a push that nobody has asked for.
func (p *push) drop() {
	p.st.session.credit(p.st.discard())
	p.st.reset(RstCancel, "nobody asked for the push", nil)
}

// makeRoom gives up the oldest push that nobody has asked for, before a session of
// SPDY/2 would have to stop reading. It reports false if there is none.
func (a *httpClientApp) makeRoom() bool {
	a.mu.Lock()
	var oldest *push
	if len(a.pushes) > 0 {
		oldest = a.pushes[0]
		a.pushes = slices.Delete(a.pushes, 0, 1)
	}
	a.mu.Unlock()
	if oldest == nil {
		return false
	}
	oldest.drop()
	return true
}

// goingAway gives up what nobody has asked for, so that it does not keep the
// session open.
func (a *httpClientApp) goingAway() {
	a.mu.Lock()
	a.ending = true
	a.mu.Unlock()
	for a.makeRoom() {
	}
}

// pushKey is what a push and the request for it have in common.
func pushKey(scheme string, req *http.Request) string {
	return scheme + "://" + hostOf(req) + req.URL.RequestURI()
}

// claimPush finds the pushed answer to a request, nil if there is none.
func (s *Session) claimPush(req *http.Request) *Stream {
	a, ok := s.app.(*httpClientApp)
	if !ok || a.wanted == nil || req.URL == nil || req.Method != http.MethodGet && req.Method != "" ||
		req.Header.Get("Range") != "" || req.Body != nil && req.Body != http.NoBody {
		return nil
	}
	p := a.take(pushKey(s.schemeOf(req), req))
	if p == nil {
		return nil
	}
	select {
	case <-p.decided:
		if p.refused || p.lost() {
			p.drop()
			return nil
		}
	case <-req.Context().Done():
	}
	return p.st
}

// requestOf returns the request of a stream of ours that is open.
func (s *Session) requestOf(id uint32) *http.Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	if st := s.streams[id]; st != nil && st.state.ours && !st.state.inDone {
		return st.request
	}
	return nil
}

func (s *Session) schemeOf(req *http.Request) string {
	switch {
	case req.URL.Scheme != "":
		return strings.ToLower(req.URL.Scheme)
	case s.secure:
		return "https"
	}
	return "http"
}

func hostOf(req *http.Request) string {
	return strings.ToLower(cmpOr(req.Host, req.URL.Host, ""))
}

// startPush takes the answer out of a push's SYN_STREAM. If the status is not in
// it, a HEADERS frame has to bring it before any DATA, and what the SYN_STREAM
// says of the version is about the request: Netty sends both.
func (st *Stream) startPush(h HeaderBlock) {
	v := st.session.version
	_, complete := h.Get(pseudoStatus.name(v))
	answer := make(HeaderBlock, 0, len(h))
	for _, f := range h {
		if p, ok := lookupPseudo(v, f.Name); !ok || p == pseudoStatus || p == pseudoVersion && complete {
			answer = append(answer, f)
		}
	}
	s := st.session
	s.mu.Lock()
	defer s.mu.Unlock()
	st.replied = make(chan struct{})
	st.reply = answer
	if complete {
		close(st.replied)
		return
	}
	st.state.unknown = true
}

// headers completes the answer of a push. That no name comes twice has been checked.
func (a *httpClientApp) headers(st *Stream) {
	s := st.session
	s.mu.Lock()
	wrong := st.oneWay && slices.ContainsFunc(st.late, func(f HeaderField) bool { // SPEC U10
		p, isPseudo := lookupPseudo(s.version, f.Name)
		return isPseudo && p != pseudoStatus && p != pseudoVersion
	})
	if st.state.unknown && !wrong {
		st.reply = append(st.reply, st.late...)
		st.late = nil
		if _, ok := st.reply.Get(pseudoStatus.name(s.version)); ok {
			st.state.unknown = false
			close(st.replied)
		}
	}
	s.mu.Unlock()
	if wrong {
		s.resetStream(st, RstProtocolError, "HEADERS of a push repeat its URL")
	}
}

// promisedRequest makes the request that a push answers from its SYN_STREAM.
func promisedRequest(v Version, h HeaderBlock) (*http.Request, error) {
	get := func(p pseudoHeader) string {
		value, _ := h.Get(p.name(v))
		return value
	}
	target := get(pseudoPath)
	if v != SPDY2 {
		if get(pseudoScheme) == "" || get(pseudoHost) == "" || !strings.HasPrefix(target, "/") {
			return nil, badRequest("a push without scheme, host or path")
		}
		target = get(pseudoScheme) + "://" + get(pseudoHost) + target
	}
	u, err := url.Parse(target)
	if err != nil || !validTarget(target) || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, badRequest("a push without a valid URL")
	}
	if m := get(pseudoMethod); m != "" && m != http.MethodGet { // SPEC U9
		return nil, badRequest("a push of another method than GET")
	}
	u.Host = strings.ToLower(u.Host)
	return &http.Request{
		Method: http.MethodGet, URL: u, Host: u.Host, Header: make(http.Header),
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}, nil
}
