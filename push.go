package spdy

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"
)

// errPushFailed is the error of Push if the pushed handler's answer cannot be pushed.
var errPushFailed = errors.New("spdy: the pushed handler did not answer with status 200")

// errPushLimit is the error of Push while the client accepts no further pushes.
var errPushLimit = errors.New("spdy: the client's limit of pushed streams is reached")

// errPushBusy is the error of Push while the limit of running handlers is reached.
var errPushBusy = errors.New("spdy: too many handlers run for another push")

// A promise marks an exchange as a push.
type promise struct {
	parent  *Stream
	verdict chan error // capacity 1: the result of the push
}

func (p *promise) decide(err error) {
	if p == nil {
		return
	}
	select {
	case p.verdict <- err:
	default:
	}
}

// Push implements http.Pusher: it answers a request that the client has not sent yet, with the
// server's handler (SPDY/3.1 §3.3). target is a path, or a URL of the same origin. The pushed
// request has the headers of the request being answered, except headers for conditional or partial
// requests, and the headers of opts.
//
// Push returns when the handler has begun its answer, so that the push is sent before anything the
// caller writes afterwards (SPEC U8). Push blocks while headers of other pushes for the same stream
// are queued for the network, at most until the write deadline. Push fails with
// http.ErrNotSupported if the client accepts no pushes or the stream is itself a push. It also
// fails if the limit on pushes is reached, the handler does not answer with status 200, the stream
// has ended, Config.MaxConcurrentStreams handlers are running, those of pushes included, or half as
// many handlers of pushes are running. The push outlives the stream unless the client cancels the
// stream.
func (st *Stream) Push(target string, opts *http.PushOptions) error {
	if err := st.unmade(); err != nil {
		return err
	}
	x := st.http
	s := st.session
	app, ok := s.app.(*httpServerApp)
	if x == nil || x.req == nil || x.push != nil || !ok {
		return http.ErrNotSupported
	}
	req, err := x.pushRequest(target, opts)
	if err != nil {
		return err
	}
	if err := s.beginsPush(st); err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(app.base)
	pushed := s.newLocalStream(max(PriorityFor(req.URL), st.priority))
	pushed.setContext(cancel)
	p := &promise{parent: st, verdict: make(chan error, 1)}
	pushed.http = &exchange{req: req.WithContext(ctx), length: -1, push: p}
	go app.serve(pushed, asPush)
	err, decided := awaitVerdict(p.verdict, st.done, nil)
	if !decided {
		err = st.endReason()
		cancel(err)
	}
	return err
}

// beginsPush reserves a handler slot for a push associated with a stream, or returns why pushing is
// impossible.
func (s *Session) beginsPush(parent *Stream) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.pushErrLocked(parent); err != nil {
		return err
	}
	if !s.handlers.beginsPushLocked(s.ledger) {
		return errPushBusy
	}
	return nil
}

// pushErrLocked returns why no push is possible for a stream, or nil.
func (s *Session) pushErrLocked(parent *Stream) error {
	if err := s.openErrLocked(); err != nil {
		return err
	}
	if err := parent.writableLocked(); err != nil { // SPEC U12
		return err
	}
	switch limit := s.limitLocked(); {
	case limit == 0: // SPEC U16
		return http.ErrNotSupported
	case s.ourStreams >= limit:
		return errPushLimit
	case s.nextID > maxStreamID:
		return errPushLimit
	}
	return nil
}

// pushRequest makes the request answered by a push (SPEC U14, U15).
func (x *exchange) pushRequest(target string, opts *http.PushOptions) (*http.Request, error) {
	if opts == nil {
		opts = &http.PushOptions{}
	}
	if opts.Method != "" && opts.Method != http.MethodGet { // SPEC U9
		return nil, fmt.Errorf("spdy: method %q cannot be pushed", opts.Method)
	}
	u, err := url.Parse(target)
	if err != nil {
		return nil, err
	}
	scheme := "http"
	if x.req.TLS != nil {
		scheme = "https"
	}
	if u.Scheme == "" {
		if !strings.HasPrefix(target, "/") || strings.HasPrefix(target, "//") {
			return nil, fmt.Errorf("spdy: target must be an absolute URL or an absolute path: %q", target)
		}
		u.Scheme, u.Host = scheme, x.req.Host
	}
	if u.Scheme != scheme || !strings.EqualFold(u.Host, x.req.Host) {
		return nil, fmt.Errorf("spdy: cannot push %q, which is of another origin", target)
	}
	header := x.req.Header.Clone()
	maps.DeleteFunc(header, func(key string, _ []string) bool {
		switch name := lowerName(key); name {
		case "content-length", "content-type", "content-encoding", "trailer":
			return true
		default:
			return isSelective(name)
		}
	})
	for key, values := range opts.Header {
		header[http.CanonicalHeaderKey(key)] = values
	}
	path := &url.URL{Path: u.Path, RawPath: u.RawPath, RawQuery: u.RawQuery, ForceQuery: u.ForceQuery}
	if !validTarget(path.RequestURI()) {
		return nil, fmt.Errorf("spdy: cannot push %q: invalid path or query", target)
	}
	return &http.Request{
		Method: http.MethodGet, URL: path, RequestURI: path.RequestURI(), Host: x.req.Host,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: header, Body: http.NoBody, RemoteAddr: x.req.RemoteAddr, TLS: x.req.TLS,
	}, nil
}

// beginPush opens the stream of a push. Its SYN_STREAM carries both the request's URL and the
// answer's status: browsers and node-spdy accept this form. Some peers reject the other form
// allowed by the specification, with the headers in a separate frame (SPEC U20, §5.33).
func (st *Stream) beginPush(header http.Header, fin bool) error {
	x, s := st.http, st.session
	if x.status != http.StatusOK {
		x.err = errPushFailed
		x.push.decide(errPushFailed)
		return x.err
	}
	block := getBlock()
	b, err := appendPushBlock((*block)[:0], s.version, x.req, int(x.status), header)
	if err = s.keepBlock(partPush, block, b, err); err == nil {
		err = s.openPush(x.push.parent, st, block, fin)
	}
	x.err = err
	x.push.decide(err)
	return err
}

// openPush opens the stream of a push associated with parent.
func (s *Session) openPush(parent, st *Stream, block *[]byte, fin bool) error {
	flags := frameFlags(FlagUnidirectional)
	if fin {
		flags |= FlagFin
	}
	if err := parent.lockForBlock(true, len(*block)); err != nil {
		putBlock(block)
		return err
	}
	err := s.pushErrLocked(parent)
	if err == nil && st.ended { // cancelled before the push began
		err = st.err
	}
	if err != nil {
		s.mu.Unlock()
		putBlock(block)
		return err
	}
	s.ourStreams++
	st.assoc = parent.id
	s.enterPushLocked(parent, st, block, flags)
	if parent.pushes == nil {
		parent.pushes = make(map[*Stream]struct{})
	}
	parent.pushes[st] = struct{}{}
	s.mu.Unlock()
	s.ring()
	return nil
}

// appendPushBlock appends the header block of a push: the URL, which SPDY/2 sends in one piece, and
// the answer.
func appendPushBlock(dst []byte, v Version, req *http.Request, status int, h http.Header) ([]byte, error) {
	scheme := "http"
	if req.TLS != nil {
		scheme = "https"
	}
	w := beginNameValue(dst, v)
	w.add(pseudoMethod.name(v), req.Method)
	if v == SPDY2 {
		w.add(pseudoPath.name(v), scheme+"://"+req.Host+req.RequestURI)
	} else {
		w.add(pseudoPath.name(v), req.RequestURI)
	}
	w.add(pseudoHost.name(v), req.Host)
	w.add(pseudoScheme.name(v), scheme)
	h = h.Clone()
	for _, p := range [...]pseudoHeader{pseudoMethod, pseudoPath, pseudoHost, pseudoScheme} {
		h.Del(p.name(v)) // would appear twice, in SPDY/2
	}
	addResponse(&w, v, status, h)
	return w.finish()
}
