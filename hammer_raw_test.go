package spdy

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"time"
)

// TestHammerRaw is TestHammer for raw sessions: streams that either side opens, with replies,
// late headers, half-closes, resets, deadlines, several writers and readers that are slow.
func TestHammerRaw(t *testing.T) { hammerAll(t, hammerConns(t)[:2], (*hammer).rawRound) }

// rawSizes are below what sizes of what is sent on a stream.
var rawSizes = []int64{2, 5000, 70_000, 300_000}

// rawRound uses a pair of raw sessions from both sides until it has ended. Peers of every
// fourth one of SPDY/3.1 do not expect flow control of each other.
func (h *hammer) rawRound() {
	conf := h.config()
	conf.AcceptBacklog, conf.KeepFrames = 10, h.seed%5 == 0
	if h.version() == SPDY31 && h.seed%4 == 0 {
		conf.FlowControl, conf.SpeakFirst = FlowControlPeerUnaware, true
	}
	client, server := h.useConns()
	h.client, h.server = conf.RawSession(client, true), conf.RawSession(server, false)
	var sessions, users sync.WaitGroup
	for i, s := range []*Session{h.client, h.server} {
		sessions.Go(func() { s.Serve() })
		sessions.Go(func() { h.acceptRaw(s) })
		for user := range uint64(6) {
			users.Go(func() {
				rnd := h.random(2000 + uint64(i)*100 + user)
				for n := range uint64(15) {
					h.openRaw(s, user*100+n, rnd)
					switch rnd.IntN(15) {
					case 0:
						s.Ping(time.Duration(rnd.IntN(3000)) * time.Microsecond)
					case 1:
						h.announce(s, rnd)
					case 2:
						if user == 0 && n > 5 {
							h.end(rnd)
						}
					}
				}
			})
		}
	}
	users.Wait()
	h.client.Close()
	h.server.Close()
	sessions.Wait()
}

// acceptRaw takes what the peer opens until the session has ended.
func (h *hammer) acceptRaw(s *Session) {
	var streams sync.WaitGroup
	defer streams.Wait()
	for {
		r, err := s.AcceptStream(context.Background())
		if err != nil {
			return
		}
		streams.Go(func() { h.answerRaw(r) })
	}
}

// rawHeader says what will be sent on a stream: number tells the bytes, and whole that they
// all come, or the stream breaks off.
func rawHeader(number uint64, size int64, whole bool) HeaderBlock {
	return HeaderBlock{
		{Name: "number", Value: strconv.FormatUint(number, 10)}, {Name: "size", Value: strconv.FormatInt(size, 10)},
		{Name: "whole", Value: strconv.FormatBool(whole)},
	}
}

func parseRawHeader(block HeaderBlock) (number uint64, size int64, whole bool) {
	for _, f := range block {
		switch f.Name {
		case "number":
			number, _ = strconv.ParseUint(f.Value, 10, 64)
		case "size":
			size, _ = strconv.ParseInt(f.Value, 10, 64)
		case "whole":
			whole = f.Value == "true"
		}
	}
	return number, size, whole
}

// receiveRaw reads to the end and checks what came, if the sender has said that it is to be
// whole. It returns whether it came to the end; an error is nobody's fault.
func (h *hammer) receiveRaw(what string, r io.Reader, header HeaderBlock, rnd *rand.Rand) bool {
	number, size, whole := parseRawHeader(header)
	if !whole {
		_, err := io.Copy(io.Discard, r)
		return err == nil
	}
	check := newPatternCheck(int64(number%100), size)
	var err error
	if rnd.IntN(2) == 0 {
		_, err = io.Copy(check, r)
	} else {
		_, err = copyByRead(check, r, 1+rnd.IntN(5000))
	}
	if err == nil {
		if err := check.whole(); err != nil {
			h.report(fmt.Errorf("raw stream %s: %d bytes: %w", what, size, err))
		}
	}
	return err == nil
}

// sendRaw sends all of body and our FIN, on every other stream with HEADERS. If that fails the stream must break off, since Close
// would say that what has gone out is all.
func sendRaw(r *RawStream, body io.Reader) {
	_, err := r.ReadFrom(body)
	switch {
	case err != nil:
		r.Reset(RstCancel)
	case r.ID()/2%2 == 0:
		r.SendHeaders(rawHeader(3, 3, false), true)
	default:
		r.CloseWrite()
	}
}

// openRaw opens a stream, does something with it, and closes it.
func (h *hammer) openRaw(s *Session, number uint64, rnd *rand.Rand) {
	size := rnd.Int64N(rawSizes[rnd.IntN(len(rawSizes))])
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(1+rnd.IntN(50))*time.Millisecond)
	defer cancel()
	deed := rnd.IntN(10)
	options := StreamOptions{Priority: uint8(rnd.IntN(priorities)), Fin: deed == 0, Unidirectional: deed == 1}
	if options.Fin {
		size = 0
	}
	r, err := s.OpenStream(ctx, rawHeader(number, size, deed > 4 || deed < 2), options)
	if err != nil {
		return
	}
	defer r.Close()
	body := newPattern(int64(number%100), size)
	switch deed {
	case 0: // only the peer has something to say
	case 1:
		sendRaw(r, body)
		return
	case 2:
		io.CopyN(r, body, size/2)
		r.Reset(RstCancel)
		return
	case 3:
		io.CopyN(r, body, size/2)
		return
	case 4:
		var writers sync.WaitGroup
		for range 3 {
			writers.Go(func() { io.Copy(r, newPattern(5, size/3)) })
		}
		writers.Wait()
		return
	case 5:
		r.SetDeadline(time.Now().Add(time.Duration(rnd.IntN(3000)) * time.Microsecond))
	case 6:
		r.SendHeaders(rawHeader(1, 1, false), false)
	}
	var sender sync.WaitGroup
	sender.Go(func() { sendRaw(r, body) })
	reply, err := r.AwaitReply(ctx)
	if err != nil || !h.receiveRaw("opened", r, reply, rnd) {
		r.Reset(RstCancel) // or both sides could wait for a reader; Close would send FIN amid the body
	}
	sender.Wait()
}

// answerRaw does something with a stream that the peer has opened, and closes it.
func (h *hammer) answerRaw(r *RawStream) {
	defer r.Close()
	number, size, whole := parseRawHeader(r.Header())
	rnd := h.random(5000 + number + uint64(r.ID())*1000)
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(rnd.IntN(20))*time.Millisecond)
	defer cancel()
	body := newPattern(int64(number%100), size)
	deed := rnd.IntN(12)
	switch deed {
	case 0:
		r.Reset(RstRefusedStream)
		return
	case 1:
		return
	case 2:
		if !whole {
			return // the peer does not read: both would write, and nobody read
		}
		r.CloseRead()
		r.Reply(rawHeader(number, size, true), false)
		sendRaw(r, body)
		return
	case 3:
		r.Reply(nil, false)
		r.SendHeaders(rawHeader(2, 2, false), false)
		r.ReceiveHeaders(ctx)
	case 4:
		r.Reply(nil, true)
	case 5:
		h.readSlowly(r, rnd)
		return
	case 6:
		r.SetReadDeadline(time.Now().Add(time.Duration(rnd.IntN(2000)) * time.Microsecond))
	case 7:
		go r.Close()
	}
	var sender sync.WaitGroup
	if err := r.Reply(rawHeader(number, size, deed != 7), false); err == nil {
		sender.Go(func() { sendRaw(r, body) })
	}
	if !h.receiveRaw("accepted", r, r.Header(), rnd) {
		r.Reset(RstCancel) // as in openRaw
	}
	sender.Wait()
}
