package windows

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/internal/testconn"
	"github.com/amahi/spdy/tests/bubble"
)

// An abandonedRig is a client session and its scripted server, which counts credit.
type abandonedRig struct {
	*peer
	s       *spdy.Session
	size    int64 // of the session's window
	sent    int64 // DATA bytes of the server
	granted int64 // credit for the session that has come, less the first, which announces the window
	next    uint32
}

// abandonedConf has a window for eight streams of 64 KiB, so that a quarter of it is soon owed.
var abandonedConf = spdy.Config{StreamWindow: 64 << 10, SessionWindow: 8 * 64 << 10}

func newAbandonedRig(t *testing.T, v spdy.Version) *abandonedRig {
	p, s := scripted(t, v, abandonedConf)
	r := &abandonedRig{peer: p, s: s, size: int64(abandonedConf.SessionWindow), next: 1}
	r.granted = 64<<10 - r.size // which the announcement makes 0
	return r
}

// frames returns what the session has sent since the last call. It adds the credit up.
func (r *abandonedRig) frames() []spdy.Frame {
	seen := r.peer.frames()
	for _, f := range seen {
		if f, ok := f.(*spdy.WindowUpdateFrame); ok && f.StreamID == 0 {
			r.granted += int64(f.Delta)
		}
	}
	return seen
}

// balanced wants the session to have granted what has been sent, but for unread bytes that are
// charged and what is too little for a frame.
func (r *abandonedRig) balanced(unread int64) {
	r.t.Helper()
	r.frames()
	require.Equal(r.t, unread, r.s.Stats().UnreadBytes)
	if r.v == spdy.SPDY31 {
		require.LessOrEqual(r.t, r.granted, r.sent-unread, "credit for what was never sent")
		require.Less(r.t, r.sent-unread-r.granted, r.size/4, "credit is lost")
	}
}

// exchange sends a request and the head of its answer.
func (r *abandonedRig) exchange(length int) (id uint32, res *http.Response, cancel context.CancelFunc) {
	r.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	trip := start(r.s, request(r.t, "GET", "/", nil).WithContext(ctx))
	synctest.Wait()
	id = r.next
	r.next += 2
	names := [3]string{":status", ":version", "content-length"}
	if r.v == spdy.SPDY2 {
		names[0], names[1] = "status", "version"
	}
	head := spdy.HeaderBlock{{Name: names[0], Value: "200"}, {Name: names[1], Value: "HTTP/1.1"}}
	if length >= 0 {
		head = append(head, spdy.HeaderField{Name: names[2], Value: strconv.Itoa(length)})
	}
	r.send(&spdy.SynReplyFrame{StreamID: id, Headers: head})
	return id, trip.answered(r.t), cancel
}

// pattern sends bytes of an answer, which are those of text from a place on.
func (r *abandonedRig) pattern(id uint32, text []byte, flags spdy.FrameFlags) {
	r.t.Helper()
	r.sent += int64(len(text))
	require.NoError(r.t, r.framer.WriteFrame(&spdy.DataFrame{StreamID: id, Data: text, Flags: flags}))
	synctest.Wait()
}

// When the context of a complete answer ends, its part of the window is granted at once. What is
// then read, or closed, is not granted a second time.
func TestAbandonedCredit(t *testing.T) {
	text := bytes.Repeat([]byte("window"), 10<<10)[:60<<10]
	ways := map[string]func(t *testing.T, body io.ReadCloser){
		"read": func(t *testing.T, body io.ReadCloser) {
			got, err := io.ReadAll(struct{ io.Reader }{body})
			require.NoError(t, err)
			require.Equal(t, text, got)
		},
		"copied": func(t *testing.T, body io.ReadCloser) {
			var b bytes.Buffer
			_, err := io.Copy(&b, body)
			require.NoError(t, err)
			require.Equal(t, text, b.Bytes())
		},
		"part read, closed": func(t *testing.T, body io.ReadCloser) {
			_, err := io.CopyN(io.Discard, body, 100)
			require.NoError(t, err)
			require.NoError(t, body.Close())
			_, err = body.Read(make([]byte, 1))
			require.Equal(t, http.ErrBodyReadAfterClose, err)
		},
		"closed":    func(t *testing.T, body io.ReadCloser) { require.NoError(t, body.Close()) },
		"forgotten": func(*testing.T, io.ReadCloser) {},
	}
	for name, end := range ways {
		bubble.InVersions(t, name, func(t *testing.T, v spdy.Version) {
			r := newAbandonedRig(t, v)
			r.balanced(0)
			var bodies []io.ReadCloser
			for range 24 {
				id, res, cancel := r.exchange(-1)
				_, err := io.ReadFull(res.Body, nil)
				require.NoError(t, err)
				r.pattern(id, text[:20<<10], 0)
				r.balanced(20 << 10)
				r.pattern(id, text[20<<10:], spdy.FlagFin)
				r.balanced(60 << 10)
				cancel()
				r.balanced(0)
				bodies = append(bodies, res.Body)
			}
			for _, body := range bodies {
				end(t, body)
				r.balanced(0)
			}
		})
	}
}

// A credited is one answer of TestAbandonedInterleaved.
type credited struct {
	body   io.ReadCloser
	text   []byte // all of the answer
	got    []byte // what has been read
	short  bool   // a writer has failed, and with it what it was to write is lost
	cancel context.CancelFunc
}

// act has one goroutine read, and others cancel and close, each at a time of its own.
func (c *credited) act(rnd *rand.Rand, wg *sync.WaitGroup) {
	pause := func() { bubble.Pass(time.Duration(rnd.IntN(4)) * time.Millisecond) }
	reads, cancels, closes, copies := rnd.IntN(4), rnd.IntN(5) > 0, rnd.IntN(3) == 0, rnd.IntN(3) == 0
	sizes := [2]int{rnd.IntN(20 << 10), rnd.IntN(60 << 10)}
	waits := [3]time.Duration{}
	for i := range waits {
		waits[i] = time.Duration(rnd.IntN(4)) * time.Millisecond
	}
	pause()
	if cancels {
		wg.Go(func() { bubble.Pass(waits[0]); c.cancel() })
	}
	if closes {
		wg.Go(func() { bubble.Pass(waits[1]); _ = c.body.Close() })
	}
	wg.Go(func() {
		bubble.Pass(waits[2])
		for range reads {
			p := make([]byte, sizes[0])
			n, err := c.body.Read(p)
			c.got = append(c.got, p[:n]...)
			if err != nil {
				return
			}
		}
		if copies {
			w := &limitedWriter{left: sizes[1], pause: waits[2]}
			_, err := c.body.(io.WriterTo).WriteTo(w)
			c.got, c.short = append(c.got, w.got...), err != nil
		}
	})
}

// A limitedWriter takes so many bytes, slowly, and then fails.
type limitedWriter struct {
	left  int
	pause time.Duration
	got   []byte
}

func (w *limitedWriter) Write(p []byte) (int, error) {
	bubble.Pass(w.pause)
	n := min(len(p), w.left)
	w.left -= n
	w.got = append(w.got, p[:n]...)
	if n < len(p) {
		return n, io.ErrShortWrite
	}
	return n, nil
}

// Whatever the order in which answers come, end, break off, are read, cancelled and closed: what
// is read are the bytes of the answer in order, the server never has more credit than it has
// sent bytes, and when nothing is left unread it has all of it.
func TestAbandonedInterleaved(t *testing.T) {
	bubble.InVersions(t, "", func(t *testing.T, v spdy.Version) {
		for seed := range uint64(60) {
			rnd := rand.New(rand.NewPCG(seed, uint64(v)))
			r := newAbandonedRig(t, v)
			var all []*credited
			var wg sync.WaitGroup
			for range 12 {
				c := &credited{text: make([]byte, 1+rnd.IntN(60<<10))}
				for i := range c.text {
					c.text[i] = byte(rnd.Uint32())
				}
				length := []int{-1, len(c.text)}[rnd.IntN(2)]
				id, res, cancel := r.exchange(length)
				c.body, c.cancel = res.Body, cancel
				all = append(all, c)
				cut := rnd.IntN(len(c.text))
				r.pattern(id, c.text[:cut], 0)
				early := rnd.IntN(2) == 0
				if early {
					c.act(rnd, &wg)
				}
				switch rnd.IntN(5) {
				case 0: // it breaks off
					r.send(&spdy.RstStreamFrame{StreamID: id, Status: spdy.RstInternalError})
				case 1: // the end does not come
					r.pattern(id, c.text[cut:], 0)
				default:
					r.pattern(id, c.text[cut:], spdy.FlagFin)
				}
				if !early {
					c.act(rnd, &wg)
				}
				unread := r.s.Stats().UnreadBytes
				assert.GreaterOrEqual(t, unread, int64(0))
				if v == spdy.SPDY31 {
					r.frames()
					assert.LessOrEqual(t, r.granted, r.sent)
				}
			}
			bubble.Pass(time.Second)
			for _, c := range all {
				c.cancel() // which ends the reads that wait
			}
			wg.Wait()
			for _, c := range all {
				assert.True(t, bytes.HasPrefix(c.text, c.got))
				if rnd.IntN(2) == 0 {
					rest, _ := io.ReadAll(c.body)
					assert.True(t, c.short || bytes.HasPrefix(c.text[len(c.got):], rest))
				}
			}
			r.balanced(0)
			for _, c := range all {
				assert.NoError(t, c.body.Close())
			}
			r.balanced(0)
			require.False(t, t.Failed(), "seed %d", seed)
			r.s.Close()
			r.conn.Close()
		}
	})
}

// Abandoned answers take neither what windows may grow by, nor slots, nor are they given up for
// others with ShedAfter.
func TestAbandonedLeaveRoom(t *testing.T) {
	for name, conf := range map[string]spdy.Config{"": {}, "ShedAfter": {ShedAfter: shedAfter}} {
		bubble.In(t, name, withWindows, func(t *testing.T, v spdy.Version) {
			conf.StreamWindow, conf.SessionWindow = 64<<10, 250*64<<10+8<<20
			fresh := newPair(t, v, conf, spdy.Config{}, sized, testconn.Latency(50*time.Millisecond))
			p := newPair(t, v, conf, spdy.Config{}, sized, testconn.Latency(50*time.Millisecond))
			bodies := make([]io.Reader, 600)
			for i := range bodies {
				ctx, cancel := context.WithCancel(context.Background())
				res, err := p.client.RoundTrip(request(t, "GET", "/65536", nil).WithContext(ctx))
				require.NoError(t, err)
				bubble.Pass(time.Second)
				cancel()
				bodies[i] = res.Body
			}
			require.Equal(t, paused(t, fresh.client), paused(t, p.client), "windows grow as on a new session")
			require.Zero(t, p.client.Stats().Shed)
			for _, body := range bodies {
				n, err := io.Copy(io.Discard, body)
				require.NoError(t, err)
				require.EqualValues(t, 65536, n)
			}
		})
	}
}
