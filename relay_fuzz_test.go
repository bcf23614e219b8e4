package spdy

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy/internal/testconn"
)

// FuzzRelay is the way of a relay: bytes of an HTTP/1.1 client go through net/http into
// NewStreamProxy and down a session, to an origin that answers with the given header
// block and then follows a program. The origin gets no more requests than the client has
// made, in its order, and again only those whose streams it has refused; the client gets
// no more answers, no line that is not the origin's or net/http's, and no part of an
// answer that looks whole.
func FuzzRelay(f *testing.F) {
	get, post := "GET /a?b HTTP/1.1\r\nHost: h\r\n\r\n", "POST /b HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello"
	chunked := "PUT /c HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTrailer: Sum\r\n\r\n3\r\nabc\r\n0\r\nSum: 1\r\n\r\n"
	plain := []byte{relayReply, 1, 0, relayData, 1, 0, 2, relayData, 1, 1, 1}
	second := append(bytes.Clone(plain), relayReply, 3, 0, relayData, 3, 1, 3)
	for i, v := range httpVersions {
		ok := fuzzSeed(v, plainOK(v))[1:]
		f.Add(byte(i), []byte(get+post), ok, second)
		f.Add(byte(i), []byte(chunked+get), fuzzSeed(v, plainOK(v, "set-cookie", "a\x00b", "trailer", "sum"))[1:], append(bytes.Clone(second), relayHeaders, 3, 1))
		f.Add(byte(i), []byte("HEAD / HTTP/1.1\r\nHost: h\r\n\r\n"+get), fuzzSeed(v, plainOK(v, "content-length", "3"))[1:], plain)
		f.Add(byte(i), []byte(get), fuzzSeed(v, plainOK(v, ":status", "200 OK\r\nX: y", "transfer-encoding", "chunked"))[1:], plain)
		f.Add(byte(i), []byte("GET / HTTP/1.0\r\nHost: h\r\n\r\n"), ok, []byte{relayReply, 1, 0, relayData, 1, 0, 4, relayRst, 1, 5})
		f.Add(byte(i), []byte(get+get+get), ok, []byte{relayReply, 1, 0, relayData, 1, 0, 4, relayHangUp, 0})
		f.Add(byte(i), []byte("CONNECT h:1 HTTP/1.1\r\nHost: h:1\r\n\r\n"+get), ok, plain)
		f.Add(byte(i), []byte("POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 3\r\nConnection: x\r\nX: y\r\n\r\nabcGET"), ok, plain)
		f.Add(byte(i), []byte(get), fuzzSeed(v, plainOK(v, ":status", "101", "connection", "upgrade", "upgrade", "x"))[1:], plain)
		f.Add(byte(i), []byte(get), fuzzSeed(v, plainOK(v, ":status", "204"))[1:], append([]byte{relayGoAway, 0}, plain...))
	}
	f.Fuzz(func(t *testing.T, version byte, request, reply, steps []byte) {
		if len(request) > 1<<12 || len(reply) > 1<<12 || len(steps) > 1<<10 {
			return
		}
		r := &relayRun{t: t, asked: request, in: program{steps}}
		r.version, r.reply = fuzzBlock(append([]byte{version}, reply...))
		synctest.Test(t, func(t *testing.T) { r.t = t; r.play() })
	})
}

// What an origin does next.
const (
	relayReply = iota
	relayData
	relayHeaders
	relayRst
	relayGoAway
	relayBytes
	relayHangUp
	relayOps
)

// originMark is the header in which an origin says which stream it answers.
const originMark = "x-origin"

// A relayRun is one client, a relay and an origin.
type relayRun struct {
	t       *testing.T
	version Version
	asked   []byte // by the client
	reply   HeaderBlock
	in      program // of the origin
	back    *Session
	origin  *testconn.Conn
	frame   bytes.Buffer
	sent    []byte // by the origin
	heard   []byte // by the origin
}

func (r *relayRun) play() {
	chunks := chunksOut.Load()
	mine, origin := testconn.Pair()
	r.origin = origin
	r.back = (&Config{Version: r.version, Logger: quietConfig.Logger, Settings: new(MemorySettings)}).ClientSession(mine)
	served := make(chan error, 2)
	go func() { served <- r.back.Serve() }()
	ln := lingerListener{testconn.Listen()}
	front := &http.Server{ErrorLog: quietLog, Handler: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		_ = r.back.NewStreamProxy(req, w)
	})}
	go func() { served <- front.Serve(ln) }()
	client, err := ln.Dial()
	require.NoError(r.t, err)
	_, err = client.Write(r.asked)
	require.NoError(r.t, err)
	r.listen()
	w := NewFramer(&r.frame, nil, r.version)
	for range 60 {
		if r.in.done() || !r.step(w) {
			break
		}
		r.listen()
	}
	origin.CloseWrite()
	r.listen()
	client.CloseWrite()
	<-time.After(2 * linger)
	r.listen()
	origin.Close()
	front.Close()
	r.back.Close()
	<-served
	<-served
	synctest.Wait()
	got, err := io.ReadAll(client)
	client.Close()
	synctest.Wait()
	require.Equal(r.t, chunks, chunksOut.Load(), "chunks that are not in their pools")
	require.Zero(r.t, r.back.Stats().UnreadBytes)
	r.checkAnswers(got, err, r.checkRequests())
}

// listen lets the relay work, and reads what it sends to the origin.
func (r *relayRun) listen() {
	buf := make([]byte, 64<<10)
	for synctest.Wait(); r.origin.Unread() > 0; synctest.Wait() {
		n, err := r.origin.Read(buf)
		r.heard = append(r.heard, buf[:n]...)
		if err != nil {
			return
		}
	}
}

// step does the next thing that the origin does. It reports false at the end.
func (r *relayRun) step(w *Framer) (more bool) {
	r.frame.Reset()
	var frame Frame
	switch op := r.in.next() % relayOps; op {
	case relayReply, relayHeaders:
		id, flags := r.in.id(), FrameFlags(r.in.next())
		if op == relayHeaders {
			frame = &HeadersFrame{StreamID: id, Flags: flags, Headers: HeaderBlock{{"sum", "1"}}}
			break
		}
		mark := HeaderField{originMark, strconv.Itoa(int(id))}
		frame = &SynReplyFrame{StreamID: id, Flags: flags, Headers: append(r.reply[:len(r.reply):len(r.reply)], mark)}
	case relayData:
		frame = &DataFrame{StreamID: r.in.id(), Flags: FrameFlags(r.in.next()), Data: testBytes(r.in.size())}
	case relayRst:
		frame = &RstStreamFrame{StreamID: r.in.id(), Status: RstStatus(r.in.next() % 12)}
	case relayGoAway:
		frame = &GoAwayFrame{LastGoodStreamID: r.in.id()}
	case relayBytes:
		r.frame.Write(r.in.take(int(r.in.next())))
	default:
		return false
	}
	if frame != nil && w.WriteFrame(frame) != nil {
		r.frame.Reset() // no such frame can be made
	}
	n, err := r.origin.Write(r.frame.Bytes())
	r.sent = append(r.sent, r.frame.Bytes()[:n]...)
	return err == nil
}

// checkRequests compares what the origin got with what the client sent, which it returns.
func (r *relayRun) checkRequests() (asked []*http.Request) {
	br := bufio.NewReader(bytes.NewReader(r.asked))
	for {
		req, err := http.ReadRequest(br)
		if err != nil {
			break
		}
		asked = append(asked, req)
		if _, err := io.Copy(io.Discard, req.Body); err != nil {
			break
		}
	}
	f, left := NewFramer(nil, bytes.NewReader(r.heard), r.version), asked
	var again []*http.Request // a stream that the origin refuses is opened anew
	for {
		frame, err := f.ReadFrame()
		if err != nil {
			require.True(r.t, err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF), "%v", err)
			return asked
		}
		syn, ok := frame.(*SynStreamFrame)
		if !ok {
			continue
		}
		got, err := parseRequestBlock(context.Background(), r.version, syn.Headers)
		require.NoError(r.t, err, "stream %d", syn.StreamID)
		again, left = r.takeRequest(got, again, left)
		if refused(r.sent, syn.StreamID) {
			again = append(again, got)
		}
	}
}

// takeRequest takes a request that the origin got out of those whose streams it had
// refused, or else of those that the client had sent.
func (r *relayRun) takeRequest(got *http.Request, refused, sent []*http.Request) (again, left []*http.Request) {
	if i := slices.IndexFunc(refused, func(a *http.Request) bool { return sameRequest(a, got) }); i >= 0 {
		return slices.Delete(refused, i, i+1), sent
	}
	for len(sent) > 0 && !sameRequest(sent[0], got) {
		sent = sent[1:] // net/http or the session has refused it
	}
	require.NotEmpty(r.t, sent, "the origin got %s %s, which the client has not sent", got.Method, got.URL)
	return refused, sent[1:]
}

// sameRequest reports that b is what a has become on its way.
func sameRequest(a, b *http.Request) bool {
	return a.Method == b.Method && (a.Method == "CONNECT" || a.URL.RequestURI() == b.URL.RequestURI())
}

// checkAnswers reads what the client got.
func (r *relayRun) checkAnswers(got []byte, end error, asked []*http.Request) {
	br := bufio.NewReader(io.MultiReader(bytes.NewReader(got), errorReader{end}))
	for n := 0; ; n++ {
		if _, err := br.Peek(1); err != nil {
			return
		}
		var req *http.Request
		if n < len(asked) {
			req = asked[n]
		}
		require.LessOrEqual(r.t, n, len(asked), "an answer too many: %q", got) // one says no to what is no request
		res, err := http.ReadResponse(br, req)
		if err == nil && res.StatusCode == http.StatusContinue {
			n--
			continue
		}
		if err != nil { // cut off in its headers
			require.NotNil(r.t, end, "%v: %q", err, got)
			return
		}
		r.checkHeader(res, got)
		if res.StatusCode == http.StatusHTTPVersionNotSupported && res.Close && res.Header.Get(originMark) == "" {
			return // net/http's last word, which has a body even if the method is HEAD
		}
		if _, err = io.Copy(io.Discard, res.Body); err != nil {
			return
		}
		if id := res.Header.Get(originMark); id != "" && res.ContentLength < 0 && bodyAllowed(res.StatusCode) {
			var stream uint32
			_, err := fmt.Sscan(id, &stream)
			require.NoError(r.t, err)
			require.True(r.t, finSent(r.sent, stream), "half an answer of stream %d looks whole: %q", stream, got)
		}
	}
}

// checkHeader: every line of an answer is the origin's, or one that net/http adds.
func (r *relayRun) checkHeader(res *http.Response, got []byte) {
	want, err := parseResponseBlock(r.version, r.reply, nil)
	if res.Header.Get(originMark) == "" {
		return // one of the relay's own
	}
	require.NoError(r.t, err)
	require.Equal(r.t, want.StatusCode, res.StatusCode)
	require.Len(r.t, res.Header.Values(originMark), 1, "%q", got)
	for key, values := range res.Header {
		switch key {
		case "X-Origin", "Date", "Content-Type", "Connection", "Content-Length", "Cache-Control":
			continue
		}
		require.Equal(r.t, want.Header[key], values, "%s: %q", key, got)
	}
}

// An errorReader fails; with nil it is at its end.
type errorReader struct{ err error }

func (e errorReader) Read([]byte) (int, error) {
	if e.err != nil {
		return 0, e.err
	}
	return 0, io.EOF
}
