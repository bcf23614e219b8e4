package spdy

import (
	"bytes"
	"io"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy/internal/testconn"
)

// A body that is cut, wherever and however, is an error to its reader; it never ends
// well with less than was sent.

// cutStride is how many bytes lie between two cuts: 1 is every one of them.
func cutStride(t testing.TB) int {
	if raceEnabled || testVersion(t) != SPDY31 {
		return 23
	}
	return 1
}

// cuts are where to cut what a peer sends: every so many bytes, at the end of each frame,
// in the header of the next one, and in the middle of its payload.
func cuts(t testing.TB, sent []byte) []int {
	var at []int
	for n := 0; n <= len(sent); n += cutStride(t) {
		at = append(at, n)
	}
	ends := frameEnds(sent)
	for i, end := range ends {
		at = append(at, end)
		if i+1 < len(ends) {
			at = append(at, end+4, (end+frameHeaderSize+ends[i+1])/2)
		}
	}
	slices.Sort(at)
	return slices.Compact(at)
}

// readDown runs a client of ours against a peer that plays, once the three requests
// are out, whatever play sends, and returns what came of the three answers.
func readDown(t *testing.T, play func(s *Session, peer *testconn.Conn)) (got [3]*readBody, session *Session) {
	mine, peer := testconn.Pair()
	session = inVersion(t, nil).ClientSession(mine)
	ended := make(chan struct{})
	go func() { defer close(ended); session.Serve() }()
	var wg sync.WaitGroup
	for i := range threeBodies {
		b := new(readBody)
		got[i] = b
		wg.Go(func() {
			res, err := session.RoundTrip(threeRequest(t, i))
			if b.err = err; err != nil {
				return
			}
			defer res.Body.Close()
			b.head = true
			b.data, b.err = io.ReadAll(res.Body)
			b.trailer = res.Trailer.Get("Sum")
		})
		synctest.Wait() // the ids follow the order of the requests
	}
	play(session, peer)
	wg.Wait()
	session.Close()
	peer.Close()
	<-ended
	return got, session
}

// readUp runs a server of ours against such a peer and returns what came of the three
// requests' bodies.
func readUp(t *testing.T, play func(s *Session, peer *testconn.Conn)) (got [3]*readBody, session *Session) {
	mine, peer := testconn.Pair()
	for i := range got {
		got[i] = &readBody{err: io.ErrNoProgress} // the handler does not run without a head
	}
	session = inVersion(t, nil).ServerSession(mine, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		i := threeIndex(r.URL.Path)
		b := got[i]
		b.head = true
		b.data, b.err = io.ReadAll(r.Body)
		b.trailer = r.Trailer.Get("Sum")
		if b.err == nil {
			answerThree(w, i)
		}
	})})
	ended := make(chan struct{})
	go func() { defer close(ended); session.Serve() }()
	play(session, peer)
	synctest.Wait()
	session.Close()
	peer.Close()
	<-ended
	synctest.Wait() // for the handlers
	return got, session
}

// directions runs a test for answers and for uploads.
func directions(t *testing.T, f func(t *testing.T, sent []byte, down bool, read func(*testing.T, func(*Session, *testconn.Conn)) ([3]*readBody, *Session))) {
	rec := record(t)
	t.Run("down", func(t *testing.T) { f(t, rec.down, true, readDown) })
	t.Run("up", func(t *testing.T) { f(t, rec.up, false, readUp) })
}

func TestCutByTheConnection(t *testing.T) {
	ways := map[string]func(peer *testconn.Conn){
		"close":      func(peer *testconn.Conn) { peer.Close() },
		"half close": func(peer *testconn.Conn) { peer.CloseWrite() },
		"reset":      func(peer *testconn.Conn) { peer.Reset() },
	}
	directions(t, func(t *testing.T, sent []byte, down bool, read func(*testing.T, func(*Session, *testconn.Conn)) ([3]*readBody, *Session)) {
		for name, cut := range ways {
			t.Run(name, func(t *testing.T) {
				chunks := chunksOut.Load()
				for _, n := range cuts(t, sent) {
					synctest.Test(t, func(t *testing.T) {
						got, _ := read(t, func(_ *Session, peer *testconn.Conn) {
							peer.Write(sent[:n])
							synctest.Wait() // a failing write would end the session before all is read
							cut(peer)
						})
						for i, b := range got {
							b.check(t, sent[:n], i, down)
						}
					})
					require.Equal(t, chunks, chunksOut.Load(), "chunks that are not in their pools")
					if t.Failed() {
						t.Fatalf("at byte %d of %d", n, len(sent))
					}
				}
			})
		}
	})
}

// TestCutHere is the same with the session or its connection closed on this side.
func TestCutHere(t *testing.T) {
	ways := map[string]func(s *Session, peer *testconn.Conn){
		"Close":      func(s *Session, _ *testconn.Conn) { s.Close() },
		"connection": func(_ *Session, peer *testconn.Conn) { peer.Peer().Close() },
	}
	directions(t, func(t *testing.T, sent []byte, down bool, read func(*testing.T, func(*Session, *testconn.Conn)) ([3]*readBody, *Session)) {
		for name, cut := range ways {
			t.Run(name, func(t *testing.T) {
				for n := 0; n <= len(sent); n += 7 * cutStride(t) {
					synctest.Test(t, func(t *testing.T) {
						got, _ := read(t, func(s *Session, peer *testconn.Conn) {
							peer.Write(sent[:n])
							synctest.Wait()
							cut(s, peer)
						})
						for i, b := range got {
							b.check(t, sent[:n], i, down)
						}
					})
				}
			})
		}
	})
}

func TestCutByRstStream(t *testing.T) {
	directions(t, func(t *testing.T, sent []byte, down bool, read func(*testing.T, func(*Session, *testconn.Conn)) ([3]*readBody, *Session)) {
		for _, n := range frameEnds(sent) {
			for i, victim := range threeBodies {
				if !down && !headDelivered(sent[:n], victim.id) {
					continue // there is nothing to reset
				}
				synctest.Test(t, func(t *testing.T) {
					got, session := read(t, func(_ *Session, peer *testconn.Conn) {
						peer.Write(sent[:n])
						peer.Write(appendRstStream(nil, testVersion(t), victim.id, RstCancel))
						peer.Write(withoutData(sent[n:], victim.id))
						synctest.Wait()
					})
					for j, b := range got {
						if i == j {
							b.check(t, sent[:n], i, down)
							if b.err != nil {
								var reset *StreamError
								require.ErrorAs(t, b.err, &reset)
								require.Equal(t, StreamError{StreamID: victim.id, Status: RstCancel, Remote: true}, *reset)
							}
						} else {
							b.check(t, sent, j, down)
						}
					}
					require.ErrorIs(t, session.Err(), ErrSessionClosed)
				})
			}
		}
	})
}

func TestCutByGoAway(t *testing.T) {
	directions(t, func(t *testing.T, sent []byte, down bool, read func(*testing.T, func(*Session, *testconn.Conn)) ([3]*readBody, *Session)) {
		for _, n := range frameEnds(sent) {
			for _, status := range []GoAwayStatus{GoAwayOK, GoAwayInternalError} {
				for _, last := range []uint32{5, 1} {
					synctest.Test(t, func(t *testing.T) {
						got, _ := read(t, func(_ *Session, peer *testconn.Conn) {
							peer.Write(sent[:n])
							peer.Write(appendGoAway(nil, testVersion(t), last, status))
							synctest.Wait()
							peer.Close()
						})
						for i, b := range got {
							b.check(t, sent[:n], i, down)
							var unprocessed *StreamError
							told := status != GoAwayOK && testVersion(t) != SPDY2
							if down && b.err != nil && threeBodies[i].id > last && !told {
								require.ErrorAs(t, b.err, &unprocessed)
								require.True(t, unprocessed.Retryable())
							} else if b.head && b.err != nil && told {
								var farewell *SessionError
								require.ErrorAs(t, b.err, &farewell)
								require.Equal(t, SessionError{Status: status, Remote: true}, *farewell)
							}
						}
					})
				}
			}
		}
	})
}

// TestGoAwayLosesNothing: what comes after a GOAWAY still belongs to its streams.
func TestGoAwayLosesNothing(t *testing.T) {
	rec := record(t)
	for _, n := range frameEnds(rec.down) {
		synctest.Test(t, func(t *testing.T) {
			got, session := readDown(t, func(_ *Session, peer *testconn.Conn) {
				peer.Write(rec.down[:n])
				peer.Write(appendGoAway(nil, testVersion(t), 5, GoAwayOK))
				peer.Write(rec.down[n:])
				synctest.Wait()
				peer.Close()
			})
			for i, b := range got {
				b.check(t, rec.down, i, true)
			}
			require.ErrorIs(t, session.Err(), ErrSessionClosed)
		})
	}
	for _, n := range frameEnds(rec.up) { // a client that is going away still sends its bodies
		synctest.Test(t, func(t *testing.T) {
			got, _ := readUp(t, func(_ *Session, peer *testconn.Conn) {
				peer.Write(rec.up[:n])
				peer.Write(appendGoAway(nil, testVersion(t), 0, GoAwayOK))
				peer.Write(rec.up[n:])
				synctest.Wait()
				peer.Close()
			})
			for i, b := range got {
				if headDelivered(rec.up[:n], threeBodies[i].id) {
					b.check(t, rec.up, i, false)
				}
			}
		})
	}
}

// TestCutByOtherReaders is TestCutByTheConnection for bodies that are read by WriteTo
// and by reads of one byte.
func TestCutByOtherReaders(t *testing.T) {
	rec := record(t)
	readers := map[string]func(io.ReadCloser) ([]byte, error){
		"WriteTo": func(body io.ReadCloser) ([]byte, error) {
			var b bytes.Buffer
			_, err := io.Copy(&b, body)
			return b.Bytes(), err
		},
		"one byte": func(body io.ReadCloser) ([]byte, error) {
			var b bytes.Buffer
			_, err := copyByRead(&b, body, 1)
			return b.Bytes(), err
		},
	}
	for name, readAll := range readers {
		t.Run(name, func(t *testing.T) {
			for _, n := range frameEnds(rec.down) {
				synctest.Test(t, func(t *testing.T) {
					mine, peer := testconn.Pair()
					session := inVersion(t, nil).ClientSession(mine)
					go session.Serve()
					bodies := make(chan *readBody, 1)
					go func() {
						b := new(readBody)
						var res *http.Response
						if res, b.err = session.RoundTrip(threeRequest(t, 0)); b.err == nil {
							b.head = true
							b.data, b.err = readAll(res.Body)
						}
						bodies <- b
					}()
					synctest.Wait()
					peer.Write(rec.down[:n])
					peer.Close()
					(<-bodies).check(t, rec.down[:n], 0, true)
					<-session.Done()
				})
			}
		})
	}
}
