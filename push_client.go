package spdy

import (
	"net/http"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"
)

// An httpClientApp handles pushes: the streams opened by a server on a client. It refuses pushes
// unless Config.AcceptPush accepts them.
type httpClientApp struct {
	wanted func(promised, cause *http.Request) bool

	mu     sync.Mutex
	pushes []*push     // oldest first, unclaimed
	asking int         // calls of wanted that have not returned
	expiry *time.Timer // runs expire; nil before the first push
	armed  bool        // the timer runs, or expire is about to
	ending bool        // the session is going away

	first []byte // the server's first bytes, until a frame is complete; guarded by Session.mu
}

// A push is a pushed answer not yet claimed by a request.
type push struct {
	st       *Stream
	key      pushKey
	parent   *Stream     // the associated stream, of a request
	cause    http.Header // header of the parent's request
	began    time.Time   // when the push arrived
	came     time.Time   // when the headers of the answer arrived; read after replied
	accepted bool        // wanted returned true; guarded by httpClientApp.mu
}

func newHTTPClientApp(c *Config) *httpClientApp {
	if c == nil {
		return &httpClientApp{}
	}
	return &httpClientApp{wanted: c.AcceptPush}
}

// wantsPushes reports whether the session is a client with Config.AcceptPush.
func (s *Session) wantsPushes() bool {
	a, ok := s.app.(*httpClientApp)
	return ok && a.wanted != nil
}

// accept validates a push and asks AcceptPush in another goroutine.
func (a *httpClientApp) accept(st *Stream, h HeaderBlock) *StreamError {
	s := st.session
	if !st.oneWay { // SPEC S12, U7
		return streamErrorf(st.id, RstProtocolError, "a server may only push")
	}
	parent := s.causeOf(st.assoc)
	if parent == nil { // SPEC U2, U6, U19
		return streamErrorf(st.id, RstInvalidStream, "pushed along with stream %d, which is no open request", st.assoc)
	}
	cause := parent.request
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
	now := time.Now()
	p := &push{
		st: st, key: newPushKey(pushURL(promised.URL.Scheme, promised), cause.Header),
		parent: parent, cause: cause.Header, began: now, came: now,
	}
	st.startPush(h)
	a.find(p.key)
	old, refused := a.add(p, s.conf)
	if refused != nil {
		return refused
	}
	if old != nil {
		old.drop(unclaimed)
	}
	if !s.takesCall() {
		a.decided(p, false)
		a.remove(p)
		return streamErrorf(st.id, RstRefusedStream, "too many calls of AcceptPush")
	}
	st.release()                    // its slot is free when the stream ends, read or not
	go a.decide(p, promised, cause) // ends with the user's verdict
	return nil
}

// unclaimedPushes returns the number of pushes that may wait for a request. Pushes must leave half
// of the streams to requested answers. Each push can fill the window of a stream, and together the
// pushes must also leave half of the session's window. (SPDY/2 has no windows, see makeRoom.)
func (c *Config) unclaimedPushes() int {
	return max(min(c.MaxConcurrentStreams/2, c.SessionWindow/2/c.StreamWindow), 1)
}

// pushPatience is how long a push waits for a request. Until then the push may occupy a stream, and
// the handler at the server may block until the push is read.
const pushPatience = time.Minute

// add adds a push to the list. If the number of unclaimed pushes has reached the limit, the oldest
// is removed and returned.
func (a *httpClientApp) add(p *push, c *Config) (old *push, refused *StreamError) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.ending:
		return nil, streamErrorf(p.st.id, RstRefusedStream, "the session is going away")
	case a.asking >= c.MaxConcurrentStreams:
		return nil, streamErrorf(p.st.id, RstRefusedStream, "AcceptPush has not decided on %d pushes", a.asking)
	}
	a.pushes = slices.DeleteFunc(a.pushes, (*push).forgotten)
	for _, other := range a.pushes {
		if other.key == p.key { // SPEC U18; each user may have a separate push
			return nil, streamErrorf(p.st.id, RstProtocolError, "%s is being pushed already", p.key.url)
		}
	}
	if len(a.pushes) >= c.unclaimedPushes() {
		old = a.pushes[0]
		a.pushes = slices.Delete(a.pushes, 0, 1)
	}
	a.pushes = append(a.pushes, p)
	a.asking++
	a.armLocked()
	return old, nil
}

// armLocked sets the timer to fire when the oldest push has waited for pushPatience.
func (a *httpClientApp) armLocked() {
	if a.armed || len(a.pushes) == 0 {
		return
	}
	a.armed = true
	wait := pushPatience - time.Since(a.pushes[0].began)
	if a.expiry == nil {
		a.expiry = time.AfterFunc(wait, a.expire)
	} else {
		a.expiry.Reset(wait)
	}
}

// expire drops pushes that have waited for pushPatience.
func (a *httpClientApp) expire() {
	a.mu.Lock()
	a.armed = false
	n := 0
	for n < len(a.pushes) && time.Since(a.pushes[n].began) >= pushPatience {
		n++
	}
	old := slices.Clone(a.pushes[:n])
	a.pushes = slices.Delete(a.pushes, 0, n)
	a.armLocked()
	a.mu.Unlock()
	for _, p := range old {
		p.drop(unclaimed)
	}
}

// decide asks the user whether to accept a push. The push may already be complete by then: received
// bytes of a refused push are discarded. A function that calls runtime.Goexit refuses the push.
func (a *httpClientApp) decide(p *push, promised, cause *http.Request) {
	wanted := false
	defer func() {
		p.st.session.endsCall()
		a.decided(p, wanted)
		if !wanted {
			a.remove(p)
			p.giveUp(RstRefusedStream, "the push was refused")
		}
	}()
	wanted = a.wanted(promised, cause)
}

// decided records the user's verdict on a push. Requests can claim accepted pushes only.
func (a *httpClientApp) decided(p *push, wanted bool) {
	a.mu.Lock()
	a.asking--
	p.accepted = wanted
	a.mu.Unlock()
}

// find returns the unclaimed push with this key, or nil if there is none. It drops a push that no
// request can use any more, so that the server may push the URL again.
func (a *httpClientApp) find(key pushKey) *push {
	p := a.lookUp(key)
	if p == nil || !p.spent() {
		return p
	}
	if a.remove(p) {
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

// claim claims a push for a request. It reports false if the push is already claimed or dropped, or
// the user has not accepted it.
func (a *httpClientApp) claim(p *push) bool {
	for range verdictTurns {
		if a.isAccepted(p) {
			break
		}
		runtime.Gosched()
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return p.accepted && a.removeLocked(p)
}

// verdictTurns is how often a request that immediately follows a push yields to AcceptPush, whose
// goroutine was started earlier. The request does not block: a slow AcceptPush delays no request.
const verdictTurns = 10

func (a *httpClientApp) isAccepted(p *push) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return p.accepted
}

// remove removes a push from the list, and reports false if the push was not in it.
func (a *httpClientApp) remove(p *push) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.removeLocked(p)
}

func (a *httpClientApp) removeLocked(p *push) bool {
	i := slices.Index(a.pushes, p)
	if i < 0 {
		return false
	}
	a.pushes = slices.Delete(a.pushes, i, i+1)
	return true
}

// outdate drops the pushes of a URL, except those associated with stream.
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
	a.mu.Unlock()
	for _, p := range old {
		p.drop("an unsafe request was sent to the URL of the push")
	}
}

// lost reports whether a push ended before it was complete.
func (p *push) lost() bool {
	select {
	case <-p.st.done:
		return p.st.endReason() != ErrStreamClosed
	default:
		return false
	}
}

// forgotten is lost, and also releases the headers of a lost push.
func (p *push) forgotten() bool {
	lost := p.lost()
	if lost {
		p.st.settleClaim()
	}
	return lost
}

// unclaimed is the usual reason for dropping a push.
const unclaimed = "no request claimed the push"

// drop resets a push already removed from the list.
func (p *push) drop(why string) { p.giveUp(RstCancel, why) }

// giveUp ends a push that will not be read. An ended stream keeps the received bytes, and stays
// charged to the session's window, so a reset alone is not enough.
func (p *push) giveUp(status RstStatus, why string) {
	p.st.forget()
	p.st.reset(status, why, nil)
	p.st.settleClaim()
}

// makeRoom drops the oldest unclaimed push, before a session of SPDY/2 would have to stop reading.
// It reports false if there is none.
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

// goingAway drops the unclaimed pushes, so that they do not keep the session open.
func (a *httpClientApp) goingAway() {
	a.mu.Lock()
	a.ending = true
	if a.expiry != nil {
		a.expiry.Stop()
	}
	a.mu.Unlock()
	for a.makeRoom() {
	}
}

// claimPush returns the stream of the pushed answer to a request, nil if there is none. A request
// does not wait for a push caused by another request: the push is used only if AcceptPush has
// returned and the headers, which determine whether the answer matches, have arrived. An unmatched
// push stays for other requests.
func (s *Session) claimPush(up *upload) *Stream {
	a, ok := s.app.(*httpClientApp)
	if !ok || a.wanted == nil || up.req.URL == nil || up.asked.tunnel {
		return nil
	}
	p := a.find(newPushKey(pushURL(s.schemeOf(up.req), up.req), up.req.Header))
	if p == nil || !takesStored(up.req) || !p.suits(up) || !p.outlives() || !a.claim(p) {
		return nil
	}
	p.st.settleClaim()
	return p.st
}

// outlives reports whether the push no longer depends on its cause. A server stops the pushes of a
// reset request (SPEC X7), so cancelling the cause would cut off the answer of another request. So
// either the answer must be complete, or the cause must have ended without a reset.
func (p *push) outlives() bool {
	p.st.session.mu.Lock()
	defer p.st.session.mu.Unlock()
	if p.st.ended {
		return p.st.cameToEndLocked()
	}
	return p.parent.ended && !p.parent.wasReset
}

// outdatePushes drops the pushes of the URL of an unsafe request (RFC 9111 §4.4). It is called when
// the request has been sent, and again when the answer begins, since in between the server may have
// pushed a representation about to be changed by the request. Pushes associated with the request
// itself stay.
func (s *Session) outdatePushes(up *upload) {
	a, ok := s.app.(*httpClientApp)
	if ok && a.wanted != nil && isUnsafe(up.req.Method) {
		a.outdate(pushURL(s.schemeOf(up.req), up.req), up.st.id)
	}
}

// causeOf returns our open stream with this id, the cause of a push, or nil.
func (s *Session) causeOf(id uint32) *Stream {
	s.mu.Lock()
	defer s.mu.Unlock()
	if st := s.streams[id]; st != nil && st.state.ours && !st.state.inDone && st.request != nil {
		st.pushed = true
		return st
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

// startPush extracts the answer from a push's SYN_STREAM. If the SYN_STREAM has no status, a
// HEADERS frame must carry the status before any DATA, and the version in the SYN_STREAM belongs to
// the request: Netty sends both.
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

// headers completes the answer of a push. Duplicate names have been rejected before.
func (a *httpClientApp) headers(st *Stream, h HeaderBlock) {
	s := st.session
	a.answerComes(st)
	wrong := st.oneWay && slices.ContainsFunc(h, func(f HeaderField) bool { // SPEC U10
		p, isPseudo := lookupPseudo(s.version, f.Name)
		return isPseudo && p != pseudoStatus && p != pseudoVersion
	})
	s.mu.Lock()
	if st.state.unknown && !wrong {
		st.reply = append(st.reply, st.lateBlockLocked()...)
		st.makeLateLocked().block = nil
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

// answerComes records the arrival of headers of a push before its answer is complete. Only the
// receiver calls it, and the receiver closes replied, so the time does not change afterwards.
func (a *httpClientApp) answerComes(st *Stream) {
	select {
	case <-st.replied:
		return
	default:
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, p := range a.pushes {
		if p.st == st {
			p.came = time.Now()
		}
	}
}

// promisedRequest builds the request answered by a push from the push's SYN_STREAM.
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
