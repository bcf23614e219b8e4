package ends

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/internal/testconn"
	"github.com/amahi/spdy/tests/bubble"
)

// A bodyRequest is the body of a request that the test fails at will.
type bodyRequest struct {
	*io.PipeReader
	w      *io.PipeWriter
	closed atomic.Bool
}

func newBodyRequest() *bodyRequest {
	r, w := io.Pipe()
	return &bodyRequest{PipeReader: r, w: w}
}

func (b *bodyRequest) Close() error {
	b.closed.Store(true)
	return b.PipeReader.Close()
}

// bodyFailures are ways in which the body of a request of 1,000 bytes ends after 100 bytes.
var bodyFailures = []struct {
	name string
	fail func(b *bodyRequest)
	want error // of RoundTrip, if the answer has not begun
}{
	{"short", func(b *bodyRequest) { b.w.Close() }, io.ErrUnexpectedEOF},
	{"failed", func(b *bodyRequest) { b.w.CloseWithError(errMine) }, errMine},
	{"long", func(b *bodyRequest) { _, _ = b.w.Write(make([]byte, 901)) }, http.ErrContentLength},
	{"closed", func(b *bodyRequest) { b.PipeReader.Close() }, io.ErrClosedPipe},
	{"stuck", func(*bodyRequest) {}, nil},
}

// openSpdyStreams is the number of streams that are open on the client's sessions.
func (p *bodyPair) openSpdyStreams() (n int) {
	synctest.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.sessions {
		streams := s.Stats().Streams
		n += streams.Opening + streams.Open + streams.HalfClosedLocal + streams.HalfClosedRemote + streams.Lingering
	}
	return n
}

// TestBodyFailureLeavesTheAnswer fails the body of a request after its answer has begun. The
// client reads all of the answer, the server takes no part of the request for the whole,
// and nothing is left behind.
func TestBodyFailureLeavesTheAnswer(t *testing.T) {
	for _, f := range bodyFailures {
		for _, size := range []int{0, 1, 100 << 10, 1 << 20} {
			bubble.InVersions(t, fmt.Sprint(f.name, "/", size), func(t *testing.T, v spdy.Version) {
				want := bytes.Repeat([]byte("answer"), size/6+1)[:size]
				uploaded := make(chan error, 1)
				resume := make(chan struct{})
				pair := newBodyPair(t, v.String(), func(w http.ResponseWriter, r *http.Request) {
					require.NoError(t, http.NewResponseController(w).Flush())
					go func() {
						_, err := io.Copy(io.Discard, struct{ io.Reader }{r.Body})
						uploaded <- err
					}()
					<-resume
					_, _ = w.Write(want)
				}, nil)
				body := newBodyRequest()
				go func() { _, _ = body.w.Write(make([]byte, 100)) }()
				req, err := http.NewRequest("POST", "http://ends.example/", body)
				require.NoError(t, err)
				req.ContentLength = 1000
				res, err := pair.client.RoundTrip(req)
				require.NoError(t, err)
				synctest.Wait()
				f.fail(body)
				bubble.Pass(9 * time.Second)
				require.Equal(t, 1, pair.openSpdyStreams(), "the answer has not ended")
				close(resume)
				bubble.Pass(10 * time.Second) // what has been received stays readable
				got, err := io.ReadAll(res.Body)
				require.NoError(t, err)
				require.True(t, bytes.Equal(want, got), "%d of %d bytes", len(got), len(want))
				bubble.Pass(2 * time.Second)
				require.Zero(t, pair.openSpdyStreams())
				require.True(t, body.closed.Load(), "the body is closed")
				require.NotEqual(t, nil, <-uploaded)
				res.Body.Close()
			})
		}
	}
}

// TestBodyFailureBeforeTheAnswer: RoundTrip returns the error of the body, as net/http does.
func TestBodyFailureBeforeTheAnswer(t *testing.T) {
	for _, f := range bodyFailures {
		if f.want == nil {
			continue
		}
		bubble.InVersions(t, f.name, func(t *testing.T, v spdy.Version) {
			uploaded := make(chan error, 1)
			pair := newBodyPair(t, v.String(), func(w http.ResponseWriter, r *http.Request) {
				_, err := io.Copy(io.Discard, r.Body)
				uploaded <- err
			}, nil)
			body := newBodyRequest()
			go func() {
				_, _ = body.w.Write(make([]byte, 100))
				synctest.Wait()
				f.fail(body)
			}()
			req, err := http.NewRequest("POST", "http://ends.example/", body)
			require.NoError(t, err)
			req.ContentLength = 1000
			_, err = pair.client.RoundTrip(req)
			require.ErrorIs(t, err, f.want)
			if f.name == "failed" || f.name == "closed" {
				require.Equal(t, f.want, err, "as it is")
			}
			requireOneName(t, err)
			require.ErrorIs(t, <-uploaded, io.ErrUnexpectedEOF)
			require.Zero(t, pair.openSpdyStreams())
		})
	}
}

// TestBodyEarlyAnswerLeavesNoUpload answers requests whose body has nothing to send. Once the
// answer has been read to its end, closed or not, the upload ends within a second or two:
// its body is closed, its goroutine and its stream are gone, on the server too.
func TestBodyEarlyAnswerLeavesNoUpload(t *testing.T) {
	answers := map[string]http.HandlerFunc{
		"bare":       func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(401) },
		"no content": func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(204) },
		"with body":  func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "answer") },
		"in parts": func(w http.ResponseWriter, r *http.Request) {
			_ = http.NewResponseController(w).Flush()
			_, _ = io.WriteString(w, "answer")
		},
	}
	for name, h := range answers {
		for _, closes := range []bool{false, true} {
			bubble.InVersions(t, fmt.Sprintf("%s/closes=%v", name, closes), func(t *testing.T, v spdy.Version) {
				pair := newBodyPair(t, v.String(), h, nil)
				body := newBodyRequest()
				req, err := http.NewRequest("POST", "http://ends.example/", body)
				require.NoError(t, err)
				res, err := pair.client.RoundTrip(req)
				require.NoError(t, err)
				_, err = io.Copy(io.Discard, res.Body)
				require.NoError(t, err)
				if closes {
					require.NoError(t, res.Body.Close())
				}
				bubble.Pass(1100 * time.Millisecond)
				require.True(t, body.closed.Load())
				require.Zero(t, pair.openSpdyStreams())
				ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
				defer cancel()
				require.NoError(t, pair.server.Shutdown(ctx), "no stream is left on the server")
			})
		}
	}
}

// A bodyPeer is a scripted end of a connection whose other end is a session.
type bodyPeer struct {
	t    *testing.T
	v    spdy.Version
	conn *testconn.Conn
	f    *spdy.Framer
	s    *spdy.Session
}

// newBodyPeer starts a server session with handler h, or a client session if h is nil.
func newBodyPeer(t *testing.T, v spdy.Version, h http.HandlerFunc) *bodyPeer {
	if h == nil {
		return startBodyPeer(t, v, nil)
	}
	return startBodyPeer(t, v, &http.Server{Handler: h})
}

// startBodyPeer is newBodyPeer for a server with settings of its own.
func startBodyPeer(t *testing.T, v spdy.Version, hs *http.Server) *bodyPeer {
	ours, conn := testconn.Pair()
	p := &bodyPeer{t: t, v: v, conn: conn, f: spdy.NewFramer(conn, conn, v)}
	if hs != nil {
		p.s = bubble.Quiet(spdy.Config{}, v).ServerSession(ours, hs)
	} else {
		p.s = bubble.Quiet(spdy.Config{}, v).ClientSession(ours)
	}
	served := make(chan struct{})
	go func() { defer close(served); _ = p.s.Serve() }()
	t.Cleanup(func() { conn.Close(); p.s.Close(); <-served })
	return p
}

func (p *bodyPeer) send(frames ...spdy.Frame) {
	p.t.Helper()
	for _, frame := range frames {
		require.NoError(p.t, p.f.WriteFrame(frame))
	}
}

// streamFrames returns what the session has sent on streams, as words, without the passing of
// time.
func (p *bodyPeer) streamFrames() string {
	p.t.Helper()
	var words []string
	for synctest.Wait(); p.conn.Unread() > 0; synctest.Wait() {
		frame, err := p.f.ReadFrame()
		require.NoError(p.t, err)
		word := ""
		switch f := frame.(type) {
		case *spdy.SynStreamFrame:
			word = "SYN"
			if f.Flags&spdy.FlagFin != 0 {
				word += "+FIN"
			}
		case *spdy.SynReplyFrame:
			word = "REPLY"
			if f.Flags&spdy.FlagFin != 0 {
				word += "+FIN"
			}
		case *spdy.DataFrame:
			word = "DATA"
			if f.Flags&spdy.FlagFin != 0 {
				word += "+FIN"
			}
		case *spdy.RstStreamFrame:
			word = f.Status.String()
		default:
			continue
		}
		if n := len(words); n == 0 || words[n-1] != word {
			words = append(words, word)
		}
	}
	return strings.Join(words, " ")
}

// bodyHead is the header block of a request or an answer.
func bodyHead(v spdy.Version, pairs ...string) (h spdy.HeaderBlock) {
	for i := 0; i < len(pairs); i += 2 {
		name := pairs[i]
		if v == spdy.SPDY2 {
			name = strings.TrimPrefix(name, ":")
			if name == "path" {
				name = "url"
			}
		}
		h = append(h, spdy.HeaderField{Name: name, Value: pairs[i+1]})
	}
	return h
}

func bodyPost(v spdy.Version, id uint32) *spdy.SynStreamFrame {
	return &spdy.SynStreamFrame{StreamID: id, Headers: bodyHead(v, ":method", "POST", ":path", "/",
		":version", "HTTP/1.1", ":scheme", "http", ":host", "ends.example")}
}

// TestBodyRestOfARequestIsNotAwaited: a handler has returned, and the client neither ends its
// request nor sends more. The server resets the stream a second after its FIN, and a
// Shutdown does not wait longer. DATA and a FIN that arrive before are in time.
func TestBodyRestOfARequestIsNotAwaited(t *testing.T) {
	handlers := map[string]http.HandlerFunc{
		"bare":      func(w http.ResponseWriter, r *http.Request) {},
		"with body": func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "answer") },
		"closes it": func(w http.ResponseWriter, r *http.Request) { r.Body.Close(); _, _ = io.WriteString(w, "answer") },
	}
	for name, h := range handlers {
		answered := "REPLY DATA+FIN"
		if name == "bare" {
			answered = "REPLY+FIN"
		}
		bubble.InVersions(t, name+"/silent", func(t *testing.T, v spdy.Version) {
			p := newBodyPeer(t, v, h)
			p.send(bodyPost(v, 1))
			require.Equal(t, answered, p.streamFrames())
			bubble.Pass(999 * time.Millisecond)
			require.Empty(t, p.streamFrames(), "what is in flight may arrive")
			bubble.Pass(time.Millisecond)
			require.Equal(t, "CANCEL", p.streamFrames())
			p.send(&spdy.DataFrame{StreamID: 1, Data: []byte("late"), Flags: spdy.FlagFin})
			require.Empty(t, p.streamFrames())
			require.NoError(t, p.s.Err())
		})
		bubble.InVersions(t, name+"/in time", func(t *testing.T, v spdy.Version) {
			p := newBodyPeer(t, v, h)
			p.send(bodyPost(v, 1))
			require.Equal(t, answered, p.streamFrames())
			bubble.Pass(900 * time.Millisecond)
			p.send(&spdy.DataFrame{StreamID: 1, Data: []byte("rest"), Flags: spdy.FlagFin})
			bubble.Pass(time.Minute)
			require.Empty(t, p.streamFrames())
		})
		bubble.InVersions(t, name+"/Shutdown", func(t *testing.T, v spdy.Version) {
			p := newBodyPeer(t, v, h)
			p.send(bodyPost(v, 1))
			require.Equal(t, answered, p.streamFrames())
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				_ = p.s.Shutdown(context.Background())
			}()
			go func() { // the peer closes in turn
				_, _ = io.Copy(io.Discard, p.conn)
				p.conn.Close()
			}()
			start := time.Now()
			<-ended
			require.Less(t, time.Since(start), 15*time.Second, "of which ten are for a peer that acknowledges nothing")
		})
	}
}

// TestBodyRestBehindAnEarlyFIN: a handler that answers HEAD has sent its FIN when it returns,
// and a request that is none is answered without a handler.
func TestBodyRestBehindAnEarlyFIN(t *testing.T) {
	bubble.InVersions(t, "HEAD", func(t *testing.T, v spdy.Version) {
		resume := make(chan struct{})
		p := newBodyPeer(t, v, func(w http.ResponseWriter, r *http.Request) {
			r.Body.Close()
			_ = http.NewResponseController(w).Flush()
			<-resume
			if r.Context().Err() != nil {
				t.Error("the handler still runs")
			}
		})
		p.send(&spdy.SynStreamFrame{StreamID: 1, Headers: bodyHead(v, ":method", "HEAD", ":path", "/",
			":version", "HTTP/1.1", ":scheme", "http", ":host", "ends.example")})
		require.Equal(t, "REPLY+FIN", p.streamFrames())
		bubble.Pass(time.Minute)
		require.Empty(t, p.streamFrames(), "the handler still runs")
		close(resume)
		synctest.Wait()
		bubble.Pass(time.Second)
		require.Equal(t, "CANCEL", p.streamFrames())
	})
	bubble.InVersions(t, "no request", func(t *testing.T, v spdy.Version) {
		p := newBodyPeer(t, v, func(http.ResponseWriter, *http.Request) { t.Error("a request") })
		p.send(&spdy.SynStreamFrame{StreamID: 1, Headers: bodyHead(v, ":method", "POST")})
		require.Equal(t, "REPLY DATA+FIN", strings.Replace(p.streamFrames(), "REPLY+FIN", "REPLY DATA+FIN", 1))
		bubble.Pass(time.Second)
		require.Equal(t, "CANCEL", p.streamFrames())
	})
}

// TestBodyUploadBehindTheAnswerEnds: the server has answered and leaves the rest of the request
// unread and its stream open. The client resets the stream a second after the end of the
// answer has been read, or at once when the body is closed.
func TestBodyUploadBehindTheAnswerEnds(t *testing.T) {
	for _, bare := range []bool{false, true} {
		for _, closes := range []bool{false, true} {
			bubble.InVersions(t, fmt.Sprintf("bare=%v/closes=%v", bare, closes), func(t *testing.T, v spdy.Version) {
				p := newBodyPeer(t, v, nil)
				body := newBodyRequest()
				answers := make(chan *http.Response, 1)
				go func() {
					req, err := http.NewRequest("POST", "http://ends.example/", body)
					require.NoError(t, err)
					res, err := p.s.RoundTrip(req)
					require.NoError(t, err)
					answers <- res
				}()
				require.Equal(t, "SYN", p.streamFrames())
				reply := &spdy.SynReplyFrame{StreamID: 1, Headers: bodyHead(v, ":status", "401 No", ":version", "HTTP/1.1")}
				if bare {
					reply.Flags = spdy.FlagFin
					p.send(reply)
				} else {
					p.send(reply, &spdy.DataFrame{StreamID: 1, Data: []byte("answer"), Flags: spdy.FlagFin})
				}
				res := <-answers
				_, err := io.Copy(io.Discard, res.Body)
				require.NoError(t, err)
				bubble.Pass(900 * time.Millisecond)
				require.Empty(t, p.streamFrames())
				_, _ = body.w.Write([]byte("more"))
				require.Equal(t, "DATA", p.streamFrames(), "the upload goes on meanwhile")
				if closes && !bare {
					require.NoError(t, res.Body.Close())
				} else {
					bubble.Pass(100 * time.Millisecond)
				}
				require.Equal(t, "CANCEL", p.streamFrames())
				require.True(t, body.closed.Load())
				n, err := res.Body.Read(make([]byte, 1))
				require.Zero(t, n)
				if !closes {
					require.Equal(t, io.EOF, err, "the answer was whole")
				}
				res.Body.Close()
			})
		}
	}
}

// TestBodyResetDoesNotOvertakeTheAnswer: a client that grants no window reads the answer later.
// The reset of a request that does not end follows the FIN, however late.
func TestBodyResetDoesNotOvertakeTheAnswer(t *testing.T) {
	bubble.In(t, "", bubble.Versions[1:], func(t *testing.T, v spdy.Version) {
		p := newBodyPeer(t, v, func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write(make([]byte, 100<<10)) })
		p.send(&spdy.SettingsFrame{Entries: []spdy.Setting{{ID: spdy.SettingInitialWindowSize, Value: 1000}}}, bodyPost(v, 1))
		require.Equal(t, "REPLY DATA", p.streamFrames())
		bubble.Pass(time.Hour)
		require.Empty(t, p.streamFrames())
		p.send(&spdy.WindowUpdateFrame{StreamID: 1, Delta: 1 << 20})
		if v == spdy.SPDY31 {
			p.send(&spdy.WindowUpdateFrame{Delta: 1 << 20})
		}
		require.Equal(t, "DATA DATA+FIN", p.streamFrames())
		bubble.Pass(time.Second)
		require.Equal(t, "CANCEL", p.streamFrames())
	})
}

// TestBodyResetBehindTheAnswer: a server ends its answer and resets the stream, because the
// request has not ended. The client, old ones of ours included, reads the whole answer.
func TestBodyResetBehindTheAnswer(t *testing.T) {
	for _, status := range []spdy.RstStatus{spdy.RstCancel, spdy.RstInternalError, spdy.RstRefusedStream} {
		bubble.InVersions(t, status.String(), func(t *testing.T, v spdy.Version) {
			p := newBodyPeer(t, v, nil)
			body := newBodyRequest()
			answers := make(chan *http.Response, 1)
			go func() {
				req, err := http.NewRequest("POST", "http://ends.example/", body)
				require.NoError(t, err)
				res, err := p.s.RoundTrip(req)
				require.NoError(t, err)
				answers <- res
			}()
			require.Equal(t, "SYN", p.streamFrames())
			p.send(&spdy.SynReplyFrame{StreamID: 1, Headers: bodyHead(v, ":status", "200 OK", ":version", "HTTP/1.1")},
				&spdy.DataFrame{StreamID: 1, Data: []byte("answer"), Flags: spdy.FlagFin},
				&spdy.RstStreamFrame{StreamID: 1, Status: status})
			res := <-answers
			bubble.Pass(time.Minute)
			require.True(t, body.closed.Load(), "the upload has ended")
			got, err := io.ReadAll(res.Body)
			require.NoError(t, err)
			require.Equal(t, "answer", string(got))
			require.NoError(t, res.Body.Close())
			require.Empty(t, p.streamFrames())
		})
	}
}

// TestBodyGivenUpOnTheWire: the frames of a request whose body fails behind the begin of its
// answer. No FIN goes out, and the RST_STREAM waits for the end of the answer or of its
// progress, for Close, or for the end of the context.
func TestBodyGivenUpOnTheWire(t *testing.T) {
	ends := map[string]func(p *bodyPeer, res *http.Response, cancel context.CancelFunc) error{
		"FIN": func(p *bodyPeer, res *http.Response, _ context.CancelFunc) error {
			p.send(&spdy.DataFrame{StreamID: 1, Data: []byte("answer"), Flags: spdy.FlagFin})
			return nil
		},
		"Close": func(p *bodyPeer, res *http.Response, _ context.CancelFunc) error {
			res.Body.Close()
			return http.ErrBodyReadAfterClose
		},
		"silence": func(*bodyPeer, *http.Response, context.CancelFunc) error {
			bubble.Pass(16 * time.Second)
			return errMine
		},
		"context": func(p *bodyPeer, res *http.Response, cancel context.CancelFunc) error {
			cancel()
			return context.Canceled
		},
	}
	for name, end := range ends {
		bubble.InVersions(t, name, func(t *testing.T, v spdy.Version) {
			p := newBodyPeer(t, v, nil)
			body := newBodyRequest()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			answers := make(chan *http.Response, 1)
			go func() {
				req, err := http.NewRequestWithContext(ctx, "POST", "http://ends.example/", body)
				require.NoError(t, err)
				res, err := p.s.RoundTrip(req)
				require.NoError(t, err)
				answers <- res
			}()
			_, _ = body.w.Write([]byte("part"))
			require.Equal(t, "SYN DATA", p.streamFrames())
			p.send(&spdy.SynReplyFrame{StreamID: 1, Headers: bodyHead(v, ":status", "200 OK", ":version", "HTTP/1.1")})
			res := <-answers
			body.w.CloseWithError(errMine)
			bubble.Pass(9 * time.Second)
			require.Empty(t, p.streamFrames())
			want := end(p, res, cancel)
			require.Equal(t, "CANCEL", p.streamFrames())
			_, err := io.ReadAll(res.Body)
			require.Equal(t, want, err)
			res.Body.Close()
			require.Empty(t, p.streamFrames(), "once")
		})
	}
}
