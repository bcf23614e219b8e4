package spdy

import (
	"bytes"
	"context"
	"io"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy/internal/testconn"
)

// A raw stream that is cut, wherever and however, is an error to its reader; it never
// ends well with less than was sent. The streams are those of a recording: threeBodies.

// recordRaw runs a raw session of three streams and records it.
func recordRaw(t *testing.T) (rec recording) {
	rawTest(t, rigSetup{conn: []testconn.Option{testconn.Record()}}, func(t *testing.T, r *rawRig) {
		for i, b := range threeBodies {
			opened, accepted := r.pair(HeaderField{"number", b.path})
			require.NoError(t, accepted.Reply(HeaderBlock{{"number", b.path}}, false))
			for end, st := range []*RawStream{opened, accepted} {
				src := newPattern(int64(i), b.up)
				if end == 1 {
					src = newPattern(int64(10+i), b.down)
				}
				_, err := copyByRead(st, src, 150)
				require.NoError(t, err)
				require.NoError(t, st.SendHeaders(HeaderBlock{{"half", "time"}}, false))
			}
			require.NoError(t, opened.CloseWrite())
			_, err := io.Copy(io.Discard, accepted)
			require.NoError(t, err)
			require.NoError(t, accepted.Close())
			_, err = io.Copy(io.Discard, opened)
			require.NoError(t, err)
		}
		synctest.Wait()
		rec = recording{up: r.cc.Sent(), down: r.sc.Sent()}
	})
	for _, b := range threeBodies {
		require.True(t, finDelivered(rec.up, b.id))
		require.True(t, finDelivered(rec.down, b.id))
	}
	return rec
}

// rawReaders are the ways to read a stream.
var rawReaders = map[string]func(r *RawStream) ([]byte, error){
	"Read": func(r *RawStream) ([]byte, error) { return io.ReadAll(r) },
	"one byte": func(r *RawStream) ([]byte, error) {
		var b bytes.Buffer
		_, err := copyByRead(&b, r, 1)
		return b.Bytes(), err
	},
	"WriteTo": func(r *RawStream) ([]byte, error) {
		var b bytes.Buffer
		_, err := r.WriteTo(&b)
		return b.Bytes(), err
	},
}

// A rawReader reads what a peer plays, as one side of a session.
type rawReader struct {
	conf Config
	down bool // as the opener of the streams
	read func(r *RawStream) ([]byte, error)
}

// run starts the session, lets the peer play, and returns what came of the streams.
func (d rawReader) run(t *testing.T, play func(s *Session, peer *testconn.Conn)) (got [3]*readBody, s *Session) {
	mine, peer := testconn.Pair()
	s = d.conf.RawSession(mine, d.down)
	ended := make(chan error, 1)
	go func() { ended <- s.Serve() }()
	var wg sync.WaitGroup
	take := func(st *RawStream, b *readBody) {
		wg.Go(func() {
			b.data, b.err = d.read(st)
			assert.NoError(t, st.Close())
		})
	}
	for i := range got {
		got[i] = &readBody{err: io.ErrNoProgress} // nobody reads what was not opened
		if d.down {
			st, err := s.OpenStream(context.Background(), nil, StreamOptions{Fin: true})
			require.NoError(t, err)
			got[i].head = true
			take(st, got[i])
		}
	}
	if !d.down {
		wg.Go(func() {
			for {
				st, err := s.AcceptStream(context.Background())
				if err != nil {
					return
				}
				b := got[(st.ID()-1)/2]
				b.head = true
				take(st, b)
			}
		})
	}
	synctest.Wait()
	play(s, peer)
	synctest.Wait()
	s.Close()
	wg.Wait()
	peer.Close()
	<-ended
	return got, s
}

// checkRaw compares what came of the i-th stream with what was sent.
func (b *readBody) checkRaw(t testing.TB, sent []byte, i int, down bool) {
	t.Helper()
	body := threeBodies[i]
	seed, size := int64(i), body.up
	if down {
		seed, size = 10+seed, body.down
	}
	require.True(t, bytes.HasPrefix(patternBytes(seed, size), b.data), "other bytes than were sent")
	if finDelivered(sent, body.id) {
		require.NoError(t, b.err)
		require.Len(t, b.data, int(size))
		return
	}
	require.Error(t, b.err, "%d of %d bytes, and no error", len(b.data), size)
	if b.head {
		requireTruncated(t, b.err)
	}
}

// rawCuts runs a test for both directions and modes.
func rawCuts(t *testing.T, f func(t *testing.T, sent []byte, d rawReader)) {
	rec := recordRaw(t)
	for mode, conf := range faultModes {
		conf.Logger = quietConfig.Logger
		t.Run(mode+"/down", func(t *testing.T) { f(t, rec.down, rawReader{conf, true, rawReaders["Read"]}) })
		t.Run(mode+"/up", func(t *testing.T) { f(t, rec.up, rawReader{conf, false, rawReaders["Read"]}) })
	}
}

func TestRawCutByTheConnection(t *testing.T) {
	ways := map[string]func(s *Session, peer *testconn.Conn){
		"close":      func(_ *Session, peer *testconn.Conn) { peer.Close() },
		"half close": func(_ *Session, peer *testconn.Conn) { peer.CloseWrite() },
		"reset":      func(_ *Session, peer *testconn.Conn) { peer.Reset() },
		"Close":      func(s *Session, _ *testconn.Conn) { s.Close() },
		"connection": func(_ *Session, peer *testconn.Conn) { peer.Peer().Close() },
	}
	rawCuts(t, func(t *testing.T, sent []byte, d rawReader) {
		stride := 5 * cutStride(t) // the HTTP tests cut at every byte
		for name, cut := range ways {
			t.Run(name, func(t *testing.T) {
				for n := 0; n <= len(sent); n += stride {
					synctest.Test(t, func(t *testing.T) {
						got, _ := d.run(t, func(s *Session, peer *testconn.Conn) {
							peer.Write(sent[:n])
							synctest.Wait()
							cut(s, peer)
						})
						for i, b := range got {
							b.checkRaw(t, sent[:n], i, d.down)
						}
					})
					if t.Failed() {
						t.Fatalf("at byte %d of %d", n, len(sent))
					}
				}
			})
		}
		for name, read := range rawReaders {
			d.read = read
			t.Run(name, func(t *testing.T) {
				for _, n := range frameEnds(sent) {
					synctest.Test(t, func(t *testing.T) {
						got, _ := d.run(t, func(_ *Session, peer *testconn.Conn) {
							peer.Write(sent[:n])
							synctest.Wait() // a failing write would end the session before all is read
							peer.Close()
						})
						for i, b := range got {
							b.checkRaw(t, sent[:n], i, d.down)
						}
					})
				}
			})
		}
	})
}

func TestRawCutByFrames(t *testing.T) {
	rawCuts(t, func(t *testing.T, sent []byte, d rawReader) {
		for _, n := range frameEnds(sent) {
			for i, victim := range threeBodies {
				if !d.down && !headDelivered(sent[:n], victim.id) {
					continue // there is nothing to reset
				}
				synctest.Test(t, func(t *testing.T) {
					got, _ := d.run(t, func(_ *Session, peer *testconn.Conn) {
						peer.Write(sent[:n])
						peer.Write(appendRstStream(nil, SPDY31, victim.id, RstCancel))
						peer.Write(withoutData(sent[n:], victim.id))
					})
					for j, b := range got {
						if i != j {
							b.checkRaw(t, sent, j, d.down)
							continue
						}
						b.checkRaw(t, sent[:n], i, d.down)
						if b.err != nil && b.err != io.ErrNoProgress {
							requireReset(t, "by the peer", b.err, RstCancel, true)
						}
					}
				})
			}
			synctest.Test(t, func(t *testing.T) { // what comes after a GOAWAY belongs to its streams
				got, _ := d.run(t, func(_ *Session, peer *testconn.Conn) {
					peer.Write(sent[:n])
					peer.Write(appendGoAway(nil, SPDY31, 5, GoAwayOK))
					peer.Write(sent[n:])
				})
				for i, b := range got {
					if d.down || headDelivered(sent[:n], threeBodies[i].id) {
						b.checkRaw(t, sent, i, d.down)
					}
				}
			})
		}
	})
}
