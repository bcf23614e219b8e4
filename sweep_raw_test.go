package spdy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

// A rawDeed is what both sides of a raw stream do with it. Each closes it afterwards.
type rawDeed struct {
	options        StreamOptions
	opener, answer func(x *rawEnd)
}

// A rawEnd is one end of a raw stream of a sweep.
type rawEnd struct {
	*RawStream
	s    *sweepRun
	end  string // "client" or "server", of this end
	name string // of the stream
}

var errPassedOff = errors.New("a stream that was broken off has come to a clean end")

// seeds of the bytes that openers and those who answer send.
const (
	seedOpened   = 1
	seedAccepted = 2
)

// send sends a whole body, and ends our half with CloseWrite or HEADERS.
func (x *rawEnd) send(seed int64, headers bool) {
	_, err := x.ReadFrom(newPattern(seed, x.s.body))
	switch {
	case err != nil:
	case headers:
		err = x.SendHeaders(HeaderBlock{{"the", "end"}}, true)
	default:
		err = x.CloseWrite()
	}
	x.s.failed(x.end, err)
	if err == nil {
		x.s.note(x.s.sent, fmt.Sprintf("%s: %s %d", x.end, x.name, seed))
	}
}

// receive reads a whole body.
func (x *rawEnd) receive(seed int64) {
	check := newPatternCheck(seed, x.s.body)
	_, err := io.Copy(check, x)
	if err == nil {
		err = check.whole()
	}
	x.s.failed(x.end, err)
	x.received(seed, err)
}

// received notes that a body has arrived whole, if it has.
func (x *rawEnd) received(seed int64, err error) {
	other := "client"
	if x.end == other {
		other = "server"
	}
	if err == nil {
		x.s.note(x.s.got, fmt.Sprintf("%s: %s %d", other, x.name, seed))
	}
}

// echo sends back what arrives.
func (x *rawEnd) echo() {
	check := newPatternCheck(seedOpened, x.s.body)
	_, err := io.Copy(io.MultiWriter(check, x), x)
	if err == nil {
		err = check.whole()
	}
	x.received(seedOpened, err)
	if err == nil {
		err = x.CloseWrite()
	}
	x.s.failed(x.end, err)
	if err == nil {
		x.s.note(x.s.sent, fmt.Sprintf("%s: %s %d", x.end, x.name, seedOpened))
	}
}

// receiveHeaders takes late HEADERS, and the end behind them.
func (x *rawEnd) receiveHeaders(n int) {
	for i := range n + 1 {
		_, err := x.ReceiveHeaders(context.Background())
		if i == n && err == io.EOF {
			return
		}
		x.s.failed(x.end, err)
		if err != nil {
			return
		}
	}
	x.s.failed(x.end, errors.New("too many HEADERS"))
}

// broken checks a call that the peer breaks off by a reset with a status.
func (x *rawEnd) broken(err error, status RstStatus) {
	if err == nil {
		err = errPassedOff
	}
	if !peerReset(err, status) {
		x.s.failed(x.end, err)
	}
}

func (x *rawEnd) readBroken(status RstStatus) {
	_, err := io.Copy(io.Discard, x)
	x.broken(err, status)
}

func (x *rawEnd) reply() {
	x.s.failed(x.end, x.Reply(HeaderBlock{{"a", "reply"}}, false))
}

func (x *rawEnd) awaitReply() {
	_, err := x.AwaitReply(context.Background())
	x.s.failed(x.end, err)
}

// sendHalf sends half of a body, which is to be broken off.
func (x *rawEnd) sendHalf() {
	_, err := io.CopyN(x, newPattern(seedOpened, x.s.body), x.s.body/2)
	x.s.failed(x.end, err)
}

// sendUnread sends a body to a peer that closes the stream meanwhile, unless all has left before.
func (x *rawEnd) sendUnread() {
	_, err := io.Copy(x, newPattern(seedOpened, x.s.body))
	if !peerReset(err, RstCancel) {
		x.s.failed(x.end, err)
	}
}

// rawDeeds are done by both sides, each with streams of its own.
var rawDeeds = map[string]rawDeed{
	"echo": {
		opener: func(x *rawEnd) {
			var sender sync.WaitGroup
			sender.Go(func() { x.send(seedOpened, false) })
			x.receive(seedOpened)
			sender.Wait()
		},
		answer: (*rawEnd).echo,
	},
	"answer first": { // each side ends its half, and goes on with the other one
		opener: func(x *rawEnd) {
			x.awaitReply()
			x.receive(seedAccepted)
			x.s.failed(x.end, x.SendHeaders(HeaderBlock{{"half", "closed"}}, false))
			x.send(seedOpened, true)
		},
		answer: func(x *rawEnd) {
			x.reply()
			x.send(seedAccepted, false)
			x.receive(seedOpened)
			x.receiveHeaders(2)
		},
	},
	"ends by HEADERS": {
		opener: func(x *rawEnd) {
			x.send(seedOpened, true)
			x.receive(seedAccepted)
			x.receiveHeaders(1)
		},
		answer: func(x *rawEnd) {
			x.receive(seedOpened)
			x.receiveHeaders(1)
			x.reply()
			x.send(seedAccepted, true)
		},
	},
	"opened with FIN": {
		options: StreamOptions{Fin: true},
		opener:  func(x *rawEnd) { x.receive(seedAccepted) },
		answer: func(x *rawEnd) {
			_, err := io.Copy(io.Discard, x)
			x.s.failed(x.end, err)
			x.send(seedAccepted, false)
		},
	},
	"one way": {
		options: StreamOptions{Unidirectional: true},
		opener:  func(x *rawEnd) { x.send(seedOpened, false) },
		answer:  func(x *rawEnd) { x.receive(seedOpened) },
	},
	"reset by its opener": {
		opener: func(x *rawEnd) {
			x.sendHalf()
			x.s.failed(x.end, x.Reset(RstInternalError))
		},
		answer: func(x *rawEnd) { x.readBroken(RstInternalError) },
	},
	"reset by its answer": {
		opener: func(x *rawEnd) {
			x.awaitReply()
			if err := x.CloseWrite(); !peerReset(err, RstInternalError) {
				x.s.failed(x.end, err)
			}
			x.readBroken(RstInternalError)
		},
		answer: func(x *rawEnd) {
			x.reply()
			x.sendHalf()
			x.s.failed(x.end, x.Reset(RstInternalError))
		},
	},
	"refused": {
		opener: func(x *rawEnd) {
			_, err := x.AwaitReply(context.Background())
			x.broken(err, RstRefusedStream)
		},
		answer: func(x *rawEnd) { x.s.failed(x.end, x.Reset(RstRefusedStream)) },
	},
	"closed under its writer": {
		opener: func(x *rawEnd) {
			x.sendUnread()
			_, err := io.Copy(io.Discard, x) // Close could come before the other side has read
			x.s.failed(x.end, err)
		},
		answer: func(x *rawEnd) {
			_, err := io.CopyN(io.Discard, x, x.s.body/4)
			x.s.failed(x.end, err)
		},
	},
	"unread": {
		opener: func(x *rawEnd) {
			x.sendUnread()
			x.awaitReply()
		},
		answer: func(x *rawEnd) {
			x.s.failed(x.end, x.CloseRead())
			x.reply()
		},
	},
}

// openRaws does all deeds from one end, each on a stream of its own.
func (s *sweepRun) openRaws(end string, wg *sync.WaitGroup) {
	for name, deed := range rawDeeds {
		wg.Go(func() {
			r, err := s.ends()[end].OpenStream(context.Background(), HeaderBlock{{"deed", name}}, deed.options)
			if err != nil {
				s.failed(end, err)
				return
			}
			defer r.Close()
			deed.opener(&rawEnd{RawStream: r, s: s, end: end, name: name + " of " + end})
		})
	}
}

// acceptRaws takes the streams that the peer opens, until the session has ended.
func (s *sweepRun) acceptRaws(end, other string, wg *sync.WaitGroup) {
	for {
		r, err := s.ends()[end].AcceptStream(context.Background())
		if err != nil {
			if !errors.Is(err, ErrSessionClosed) {
				s.failed(end, err)
			}
			return
		}
		wg.Go(func() {
			defer r.Close()
			name, _ := r.Header().Get("deed")
			rawDeeds[name].answer(&rawEnd{RawStream: r, s: s, end: end, name: name + " of " + other})
		})
	}
}

// serveRaws starts what accepts streams at both ends.
func (s *sweepRun) serveRaws() (wait func()) {
	var accepting, answering sync.WaitGroup
	accepting.Go(func() { s.acceptRaws("client", "server", &answering) })
	accepting.Go(func() { s.acceptRaws("server", "client", &answering) })
	return func() {
		accepting.Wait()
		answering.Wait()
	}
}

// rawStreams goes through all deeds from both ends, with pings, and ends gracefully.
func (s *sweepRun) rawStreams() {
	wait := s.serveRaws()
	var wg sync.WaitGroup
	for end, session := range s.ends() {
		s.openRaws(end, &wg)
		wg.Go(func() {
			_, err := session.PingContext(context.Background())
			s.failed(end, err)
			s.settings(session)
		})
	}
	wg.Wait()
	<-time.After(10 * time.Second) // as above
	s.balanced()
	s.shutdown("server")
	s.shutdown("client")
	wait()
}

// rawFarewell begins the graceful end of both sessions amid all deeds, which come to
// their end. Streams that are opened later are refused.
func (s *sweepRun) rawFarewell() {
	wait := s.serveRaws()
	var wg sync.WaitGroup
	for end := range s.ends() {
		s.openRaws(end, &wg)
	}
	<-time.After(5 * s.latency)
	s.r.server.SendGoaway(FLAG_NONE, nil)
	wg.Go(func() { s.shutdown("client") })
	<-time.After(5 * s.latency)
	wg.Go(func() { s.shutdown("server") })
	for end, session := range s.ends() {
		wg.Go(func() {
			_, err := session.OpenStream(context.Background(), nil, StreamOptions{})
			if !retryable(err) {
				s.failed(end, err)
			}
		})
	}
	wg.Wait()
	wait()
}
