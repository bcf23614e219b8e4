package spdy

import (
	"net/http"
	"sync/atomic"
)

// persist is roundTrip for a request that a handler got, whose body the caller closes.
// If the peer refuses the request and the session takes further ones, persist sends it
// again, on new streams that succeed st.
func (s *Session) persist(st *Stream, req *http.Request) (*http.Response, error) {
	body := newTryBody(req, true)
	var sent tries
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
		if err := pause(req.Context(), sent.n); err != nil {
			body.Close()
			return nil, err
		}
		st = st.successor()
	}
}

// takesRequests reports whether the session has neither ended nor is going away.
func (s *Session) takesRequests() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.openErrLocked() == nil
}

// successor makes a stream for the request of st, which the peer has refused. The
// deadlines of st are those of its successor, also if they move later.
func (st *Stream) successor() *Stream {
	next := st.session.newLocalStream(st.priority)
	shareDeadline(&st.readDeadline, &next.readDeadline)
	shareDeadline(&st.writeDeadline, &next.writeDeadline)
	return next
}

func shareDeadline(from, to *atomic.Pointer[deadline]) {
	d := deadlineIn(from)
	d.resume()
	to.Store(d)
}
