package spdy

import "net/http"

// persist is roundTrip for a proxy, which closes the request's body. If the peer refuses the
// request and the session is not going away, persist sends the request again, on successors of st.
func (s *Session) persist(st *Stream, req *http.Request) (*http.Response, error) {
	body := newTryBody(req, true)
	sent := tries{most: proxyTries}
	for {
		res, err := s.roundTrip(st, body.attach(req))
		if err == nil {
			body.settle()
			res.Request = req
			return res, nil
		}
		if !sent.again(st.outlook(req, err, false)) || !s.takesRequests() || !body.rewind(req) {
			body.Close()
			return nil, err
		}
		if err := pause(req.Context(), sent.n, s.end.done, s.PeerGoAway()); err != nil {
			body.Close()
			return nil, err
		}
		st = st.successor()
	}
}

// takesRequests reports whether new streams can be opened: the session has not ended and is not
// going away.
func (s *Session) takesRequests() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.openErrLocked() == nil
}

// successor returns a new stream for the request of st, which the peer has refused. Both streams
// share their deadlines, so SetReadDeadline and SetWriteDeadline of st still work.
func (st *Stream) successor() *Stream {
	next := st.session.newLocalStream(st.priority)
	next.tunnel = st.tunnel
	shareDeadline(&st.readDeadline, &next.readDeadline)
	shareDeadline(&st.writeDeadline, &next.writeDeadline)
	return next
}

func shareDeadline(from, to *limit) {
	d := from.make()
	d.resume()
	to.Store(d)
}
