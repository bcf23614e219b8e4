package spdy

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// An httpClientApp looks after the streams that a server opens on a client:
// pushes. It refuses them unless Config.AcceptPush wants them.
type httpClientApp struct {
	wanted func(promised, cause *http.Request) bool

	mu     sync.Mutex
	pushes []*push // oldest first, unclaimed
	claims []*push // those that a request may turn out to match
	ending bool    // the session is going away
}

// A push is an answer that no request has been given yet.
type push struct {
	st      *Stream
	key     pushKey
	cause   http.Header   // of the request that it is pushed along with
	came    time.Time     // when the headers of the answer came; read after replied
	decided chan struct{} // latch: wanted has returned
	refused bool          // wanted returned false; read after decided
}

func newHTTPClientApp(c *Config) *httpClientApp {
	if c == nil {
		return &httpClientApp{}
	}
	return &httpClientApp{wanted: c.AcceptPush}
}

// wantsPushes reports that the session is a client with Config.AcceptPush.
func (s *Session) wantsPushes() bool {
	a, ok := s.app.(*httpClientApp)
	return ok && a.wanted != nil
}

// accept checks a push and leaves the rest to AcceptPush.
func (a *httpClientApp) accept(st *Stream, h HeaderBlock) *StreamError {
	s := st.session
	if !st.oneWay { // SPEC S12, U7
		return streamErrorf(st.id, RstProtocolError, "a server may only push")
	}
	cause := s.causeOf(st.assoc)
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
	p := &push{
		st: st, key: newPushKey(pushURL(promised.URL.Scheme, promised), cause.Header),
		cause: cause.Header, came: time.Now(), decided: make(chan struct{}),
	}
	st.startPush(h)
	a.find(p.key)
	old, refused := a.add(p, s.conf.unclaimedPushes())
	if refused != nil {
		return refused
	}
	if old != nil {
		old.drop(unclaimed)
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
// oldest is removed and returned.
func (a *httpClientApp) add(p *push, limit int) (old *push, refused *StreamError) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.addLocked(p, limit)
}

func (a *httpClientApp) addLocked(p *push, limit int) (old *push, refused *StreamError) {
	if a.ending {
		return nil, streamErrorf(p.st.id, RstRefusedStream, "the session is going away")
	}
	a.pushes = slices.DeleteFunc(a.pushes, (*push).lost)
	for _, other := range a.pushes {
		if other.key == p.key { // SPEC U18; each user may have a push of his own
			return nil, streamErrorf(p.st.id, RstProtocolError, "%s is being pushed already", p.key.url)
		}
	}
	if len(a.pushes) >= limit {
		old = a.pushes[0]
		a.pushes = slices.Delete(a.pushes, 0, 1)
	}
	a.pushes = append(a.pushes, p)
	return old, nil
}

// decide asks the user whether he wants a push. By then it may be complete: what has come
// is nobody's. A function that calls runtime.Goexit refuses.
func (a *httpClientApp) decide(p *push, promised, cause *http.Request) {
	wanted := false
	defer func() {
		if !wanted {
			p.refused = true
			a.forget(p)
			p.giveUp(RstRefusedStream, "the push was refused")
		}
		close(p.decided)
	}()
	wanted = a.wanted(promised, cause)
}

// find returns the unclaimed push with this key, nil if there is none. One that no request
// can use any more is dropped, so that the server may push the URL again.
func (a *httpClientApp) find(key pushKey) *push {
	p := a.lookUp(key)
	if p == nil || !p.spent() {
		return p
	}
	if a.claim(p) {
		a.forget(p)
		p.drop("the pushed answer is too old")
	}
	return nil
}

func (a *httpClientApp) lookUp(key pushKey) *push {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, p := range a.pushes {
		if p.key == key {
			return p
		}
	}
	return nil
}

// claim reserves a push for one request until forget or unclaim is called. It reports
// false if the push is not unclaimed any more.
func (a *httpClientApp) claim(p *push) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	i := slices.Index(a.pushes, p)
	if i < 0 {
		return false
	}
	a.pushes = slices.Delete(a.pushes, i, i+1)
	a.claims = append(a.claims, p)
	return true
}

// unclaim makes a push that did not match its request available to others, unless it has
// been outdated or replaced meanwhile.
func (a *httpClientApp) unclaim(p *push, limit int) {
	a.mu.Lock()
	old := p
	if i := slices.Index(a.claims, p); i >= 0 {
		a.claims = slices.Delete(a.claims, i, i+1)
		var refused *StreamError
		if old, refused = a.addLocked(p, limit); refused != nil {
			old = p
		}
	}
	a.mu.Unlock()
	if old != nil {
		old.drop(unclaimed)
	}
}

// forget removes a push, if it is there still.
func (a *httpClientApp) forget(p *push) {
	a.mu.Lock()
	defer a.mu.Unlock()
	isP := func(other *push) bool { return other == p }
	a.pushes = slices.DeleteFunc(a.pushes, isP)
	a.claims = slices.DeleteFunc(a.claims, isP)
}

// outdate drops the pushes of a URL, except those pushed along with stream.
func (a *httpClientApp) outdate(url string, stream uint32) {
	var old []*push
	a.mu.Lock()
	a.pushes = slices.DeleteFunc(a.pushes, func(p *push) bool {
		if p.key.url != url || p.st.assoc == stream {
			return false
		}
		old = append(old, p)
		return true
	})
	a.claims = slices.DeleteFunc(a.claims, func(p *push) bool { // its request was made before
		return p.key.url == url && p.st.assoc != stream
	})
	a.mu.Unlock()
	for _, p := range old {
		p.drop("an unsafe request was sent to the URL of the push")
	}
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

// unclaimed is why most pushes are dropped.
const unclaimed = "no request claimed the push"

// drop resets a push that is in no list any more.
func (p *push) drop(why string) { p.giveUp(RstCancel, why) }

// giveUp ends a push that nobody will read. A stream that has ended by itself keeps what has
// come, and with that its part of the session's window, so to reset it is not enough.
func (p *push) giveUp(status RstStatus, why string) {
	p.st.forget()
	p.st.reset(status, why, nil)
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
	oldest.drop(unclaimed)
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

// claimPush returns the stream of the pushed answer to a request, nil if there is none.
// It waits for AcceptPush and for the headers of the answer, which say what the answer
// depends on. A push that turns out not to match stays for other requests.
func (s *Session) claimPush(up *upload) *Stream {
	a, ok := s.app.(*httpClientApp)
	if !ok || a.wanted == nil || up.req.URL == nil {
		return nil
	}
	p := a.find(newPushKey(pushURL(s.schemeOf(up.req), up.req), up.req.Header))
	if p == nil || !takesStored(up.req) || !p.suits(up) || !a.claim(p) {
		return nil
	}
	w := wait{over: up.req.Context().Done()}
	w.sleep(p.decided)
	if latched(p.decided) {
		if p.refused || p.lost() {
			a.forget(p)
			p.drop(unclaimed)
			return nil
		}
		w.end = p.st.done
		w.sleep(p.st.replied)
	}
	if !p.suits(up) {
		a.unclaim(p, s.conf.unclaimedPushes())
		return nil
	}
	a.forget(p)
	return p.st
}

// outdatePushes drops the pushes of the URL of an unsafe request (RFC 9111 §4.4). It is
// called when the request has been sent, and again when its answer begins, since the
// server may have pushed in between what the request was about to change. Pushes along
// with the request itself stay.
func (s *Session) outdatePushes(up *upload) {
	a, ok := s.app.(*httpClientApp)
	if ok && a.wanted != nil && isUnsafe(up.req.Method) {
		a.outdate(pushURL(s.schemeOf(up.req), up.req), up.st.id)
	}
}

// causeOf returns the request of a stream of ours that is open, along with which the peer
// pushes.
func (s *Session) causeOf(id uint32) *http.Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	if st := s.streams[id]; st != nil && st.state.ours && !st.state.inDone {
		st.pushed = true
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
func (a *httpClientApp) headers(st *Stream, h HeaderBlock) {
	s := st.session
	a.answerComes(st)
	wrong := st.oneWay && slices.ContainsFunc(h, func(f HeaderField) bool { // SPEC U10
		p, isPseudo := lookupPseudo(s.version, f.Name)
		return isPseudo && p != pseudoStatus && p != pseudoVersion
	})
	s.mu.Lock()
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
		s.spoilStream(st, streamErrorf(st.id, RstProtocolError, "HEADERS of a push repeat its URL"))
	}
}

// answerComes notes when headers come that may complete the answer of a push. Receiver
// only, which closes replied, so the time stays as it is afterwards.
func (a *httpClientApp) answerComes(st *Stream) {
	select {
	case <-st.replied:
		return
	default:
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, list := range [...][]*push{a.pushes, a.claims} {
		for _, p := range list {
			if p.st == st {
				p.came = time.Now()
			}
		}
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
