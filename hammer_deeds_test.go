package spdy

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"time"
)

// config is that of both sessions of a round.
func (h *hammer) config() *Config {
	conf := &Config{
		Version: h.version(), StreamWindow: 64 << 10, SessionWindow: 40 * 64 << 10, MaxConcurrentStreams: 20,
		Logger: textLogger(io.Discard),
	}
	if h.seed%2 == 0 {
		conf.Trace, conf.FrameLog = h.trace(), &FrameLog{Out: io.Discard, Headers: true}
	}
	return conf
}

// pushedPath is where pushes are. There are few, so that they are asked for at times.
const pushedPath = "/pushed/"

// push promises something that the client may want, or may not.
func (h *hammer) push(w http.ResponseWriter, rnd *rand.Rand, number uint64) {
	err := w.(http.Pusher).Push(pushedPath+strconv.Itoa(rnd.IntN(5)), nil)
	if rnd.IntN(2) == 0 && err == nil {
		err = w.(http.Pusher).Push(fmt.Sprintf("%s%d", pushedPath, number%5), nil)
	}
	_ = err // the session may be over, the client at its limit
}

// pushedSize is how long the answer at a path of pushedPath is.
func pushedSize(path string) int64 {
	n, _ := strconv.ParseInt(path[len(pushedPath):], 10, 64)
	return n * 40_000
}

func (h *hammer) answerPush(w http.ResponseWriter, r *http.Request) {
	io.Copy(w, newPattern(3, pushedSize(r.URL.Path)))
}

// askPushed gets what may have been pushed.
func (h *hammer) askPushed(rnd *rand.Rand) {
	path := pushedPath + strconv.Itoa(rnd.IntN(5))
	req, err := http.NewRequest("GET", "http://x"+path, nil)
	if err != nil {
		h.report(err)
		return
	}
	res, err := h.client.RoundTrip(req)
	if err != nil {
		return
	}
	defer res.Body.Close()
	if rnd.IntN(3) == 0 { // left
		io.CopyN(io.Discard, res.Body, pushedSize(path)/2)
		return
	}
	check := newPatternCheck(3, pushedSize(path))
	if _, err = io.Copy(check, res.Body); err == nil {
		if err := check.whole(); err != nil {
			h.report(fmt.Errorf("%s: %w", path, err))
		}
	}
}

// announce changes the settings that the peer of s has to keep to, within what s takes, and
// changes them back: less of a window for each stream, and fewer streams.
func (h *hammer) announce(s *Session, rnd *rand.Rand) {
	say := func(window, streams uint32) {
		s.mu.Lock()
		if !s.ended() {
			s.control = appendSettings(s.control, s.version, 0, []Setting{
				{ID: SettingInitialWindowSize, Value: window}, {ID: SettingMaxConcurrentStreams, Value: streams},
			})
		}
		s.mu.Unlock()
		s.ring()
	}
	window, streams := s.conf.StreamWindow, s.conf.MaxConcurrentStreams
	say(uint32(rnd.IntN(window+1)), uint32(rnd.IntN(streams+1)))
	s.Ping(time.Duration(rnd.IntN(2000)) * time.Microsecond)
	say(uint32(window), uint32(streams))
}

// readSlowly takes a few bytes now and then.
func (h *hammer) readSlowly(r io.Reader, rnd *rand.Rand) {
	tick := time.NewTicker(time.Duration(50+rnd.IntN(300)) * time.Microsecond)
	defer tick.Stop()
	b := make([]byte, 1+rnd.IntN(300))
	for range rnd.IntN(30) {
		if _, err := r.Read(b); err != nil {
			return
		}
		<-tick.C
	}
}

// resetConn closes a connection so that the peer of one of TCP gets a RST.
func resetConn(c net.Conn) {
	if over, ok := c.(interface{ NetConn() net.Conn }); ok {
		c = over.NetConn()
	}
	if tcp, ok := c.(*net.TCPConn); ok {
		tcp.SetLinger(0)
	}
	c.Close()
}
