package spdy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// One stream must not harm another: not by being left unread, and not by being reset.

// isolationBody is what each of the streams beside an unread one moves. The race
// detector makes copying some ten times slower, so it gets a tenth.
func isolationBody() int64 {
	if raceEnabled {
		return 1 << 20
	}
	return 10 << 20
}

// liveHeap is what is in use after a collection.
func liveHeap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // pools let go in the second
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestUnreadDownload leaves one answer unread while a hundred others move 10 MiB each,
// a GiB in all.
func TestUnreadDownload(t *testing.T) {
	size := isolationBody()
	rigTest(t, func(w http.ResponseWriter, r *http.Request) {
		var i int64
		if _, err := fmt.Sscanf(r.URL.Path, "/%d", &i); err != nil {
			io.Copy(w, newPattern(0, 1<<40)) // without end
			return
		}
		_, err := io.Copy(w, newPattern(i, size))
		assert.NoError(t, err)
	}, rigSetup{}, func(t *testing.T, r *rig) {
		unread, err := r.client.RoundTrip(r.request("GET", "/unread", nil))
		require.NoError(t, err)
		synctest.Wait()
		require.EqualValues(t, defaultStreamWindow, unreadBytes(r.client))
		before := liveHeap()
		start := time.Now()

		var wg sync.WaitGroup
		var done atomic.Int32
		for i := range int64(100) {
			wg.Go(func() {
				res, err := r.client.RoundTrip(r.request("GET", fmt.Sprintf("/%d", i+1), nil))
				if !assert.NoError(t, err) {
					return
				}
				check := newPatternCheck(i+1, size)
				_, err = io.Copy(check, res.Body)
				assert.NoError(t, err)
				assert.NoError(t, check.whole())
				done.Add(1)
			})
		}
		for n := 0; done.Load() < 100 && n < 20; n++ { // beside the traffic
			rtt, err := r.client.PingContext(context.Background())
			require.NoError(t, err)
			require.Zero(t, rtt)
			require.LessOrEqual(t, unreadBytes(r.client), int64(defaultSessionWindow))
		}
		wg.Wait()
		require.Zero(t, time.Since(start), "nothing has to be waited for")
		require.EqualValues(t, defaultStreamWindow, unreadBytes(r.client), "the unread stream is where it was")
		require.Less(t, liveHeap()-before, int64(defaultSessionWindow))

		require.NoError(t, unread.Body.Close())
		r.requireBalanced()
	})
}

// TestUnreadUpload leaves one upload unread while others are read.
func TestUnreadUpload(t *testing.T) {
	size := isolationBody() / 10
	rigTest(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/unread" {
			<-r.Context().Done()
			return
		}
		var i int64
		fmt.Sscanf(r.URL.Path, "/%d", &i)
		check := newPatternCheck(i, size)
		_, err := io.Copy(check, r.Body)
		assert.NoError(t, err)
		assert.NoError(t, check.whole())
	}, rigSetup{}, func(t *testing.T, r *rig) {
		ctx, cancel := context.WithCancelCause(context.Background())
		failed := make(chan error, 1)
		go func() {
			_, err := r.client.RoundTrip(r.request("POST", "/unread", newPattern(0, 1<<40)).WithContext(ctx))
			failed <- err
		}()
		synctest.Wait()
		require.EqualValues(t, defaultStreamWindow, unreadBytes(r.server))
		start := time.Now()
		var wg sync.WaitGroup
		for i := range int64(100) {
			wg.Go(func() {
				res, _, err := r.fetch(r.request("POST", fmt.Sprintf("/%d", i+1), newPattern(i+1, size)))
				if assert.NoError(t, err) {
					assert.Equal(t, 200, res.StatusCode)
				}
			})
		}
		require.True(t, r.client.Ping(time.Nanosecond))
		wg.Wait()
		require.Zero(t, time.Since(start))
		enough := errors.New("enough")
		cancel(enough)
		require.ErrorIs(t, <-failed, enough)
		r.requireBalanced()
	})
}

// TestClientOpensWhatItsWindowCovers: a client opens no more streams than its session
// window covers, whatever the server allows, so that unread streams never stop the
// others. The next request waits for bytes to be read, those of streams that have ended
// too; PINGs do not wait.
func TestClientOpensWhatItsWindowCovers(t *testing.T) {
	conf := &Config{StreamWindow: 64 << 10, SessionWindow: 256 << 10}
	const size = 60 << 10 // fits into the window of a stream, so that the streams end
	rigTest(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(w, newPattern(5, size))
	}, rigSetup{client: conf}, func(t *testing.T, r *rig) {
		var bodies []io.ReadCloser
		for range 4 {
			res, err := r.client.RoundTrip(r.request("GET", "/", nil))
			require.NoError(t, err)
			bodies = append(bodies, res.Body)
			synctest.Wait()
		}
		if r.client.version.streamFlowControl() {
			require.Zero(t, openStreams(r.client), "all have ended")
			require.EqualValues(t, 4*size, r.client.unread())
			require.True(t, r.client.Ping(time.Nanosecond))
			next := make(chan error, 1)
			go func() {
				res, err := r.client.RoundTrip(r.request("GET", "/", nil))
				if err == nil {
					_, err = io.Copy(io.Discard, res.Body)
				}
				next <- err
			}()
			synctest.Wait()
			require.Empty(t, next, "the windows of the first four are in use")
			_, err := io.CopyN(io.Discard, bodies[1], size-1)
			require.NoError(t, err)
			require.NoError(t, <-next)
		}
		for _, body := range bodies {
			require.NoError(t, body.Close())
		}
		r.requireBalanced()
	})
}

// TestResetsKeepTheWindows resets ten thousand streams in the middle of their bodies, by
// either side and in every way there is. Afterwards both session windows are whole and
// the next stream moves 10 MiB.
func TestResetsKeepTheWindows(t *testing.T) {
	const many = 10_000
	total := many
	if raceEnabled {
		total = many / 10
	}
	if testVersion(t) != SPDY31 {
		total = many / 100
	}
	handler := func(w http.ResponseWriter, r *http.Request) {
		st := w.(*Stream)
		buf := make([]byte, 1000)
		switch strings.TrimPrefix(r.URL.Path, "/") {
		case "server-resets-upload":
			io.ReadFull(r.Body, buf)
			st.reset(RstCancel, "enough", nil)
		case "server-panics":
			io.ReadFull(r.Body, buf)
			io.CopyN(w, newPattern(1, 100<<10), 70<<10)
			panic(http.ErrAbortHandler)
		case "server-leaves-upload":
			fmt.Fprint(w, "no, thanks")
		case "server-closes-body":
			io.ReadFull(r.Body, buf)
			r.Body.Close()
			io.Copy(w, newPattern(1, 100<<10))
		case "last":
			io.Copy(w, r.Body)
		default:
			go io.Copy(io.Discard, r.Body)
			io.Copy(w, newPattern(1, 1<<40))
		}
	}
	ways := []struct {
		path string
		end  func(t *testing.T, r *rig, path string, n int)
	}{
		{"server-resets-upload", func(t *testing.T, r *rig, path string, n int) {
			_, _, err := r.fetch(r.request("POST", path, newPattern(1, 100<<10)))
			assert.Error(t, err)
		}},
		{"server-panics", func(t *testing.T, r *rig, path string, n int) {
			_, body, err := r.fetch(r.request("POST", path, newPattern(1, 100<<10)))
			assert.Error(t, err, "%d bytes", len(body))
		}},
		{"server-leaves-upload", func(t *testing.T, r *rig, path string, n int) {
			_, body, err := r.fetch(r.request("POST", path, newPattern(1, int64(n%4)<<17)))
			assert.NoError(t, err)
			assert.Equal(t, "no, thanks", body)
		}},
		{"server-closes-body", func(t *testing.T, r *rig, path string, n int) {
			_, body, err := r.fetch(r.request("POST", path, newPattern(1, 1000+int64(n%4)<<17)))
			assert.NoError(t, err)
			assert.Len(t, body, 100<<10)
		}},
		{"client-closes", func(t *testing.T, r *rig, path string, n int) {
			res, err := r.client.RoundTrip(r.request("GET", path, nil))
			if assert.NoError(t, err) {
				io.CopyN(io.Discard, res.Body, int64(n%3)*1000)
				assert.NoError(t, res.Body.Close())
			}
		}},
		{"client-cancels", func(t *testing.T, r *rig, path string, n int) {
			ctx, cancel := context.WithCancel(context.Background())
			res, err := r.client.RoundTrip(r.request("GET", path, nil).WithContext(ctx))
			if assert.NoError(t, err) {
				io.CopyN(io.Discard, res.Body, int64(n%3)*1000)
				cancel()
				_, err = io.Copy(io.Discard, res.Body)
				assert.Error(t, err)
			}
			cancel()
		}},
		{"client-closes-both", func(t *testing.T, r *rig, path string, n int) {
			res, err := r.client.RoundTrip(r.request("POST", path, newPattern(1, 1<<40)))
			if assert.NoError(t, err) {
				io.CopyN(io.Discard, res.Body, 100)
				assert.NoError(t, res.Body.Close())
			}
		}},
	}
	patient := &Config{ResetBurst: 1 << 20} // no time passes
	rigTest(t, handler, rigSetup{server: patient, client: patient}, func(t *testing.T, r *rig) {
		turns := make(chan int)
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for n := range turns {
					way := ways[n%len(ways)]
					way.end(t, r, "/"+way.path, n/len(ways))
				}
			})
		}
		for n := range total {
			turns <- n
		}
		close(turns)
		wg.Wait()
		r.requireBalanced()
		require.NoError(t, r.client.Err())

		const size = 10 << 20
		res, err := r.client.RoundTrip(r.request("POST", "/last", newPattern(7, size)))
		require.NoError(t, err)
		check := newPatternCheck(7, size)
		_, err = io.Copy(check, res.Body)
		require.NoError(t, err)
		require.NoError(t, check.whole())
		r.requireBalanced()
	})
}

// TestUnreadRequestBody: a handler that leaves the request's body alone, whatever its
// size and whenever it returns, gets its answer across, and the stream ends.
func TestUnreadRequestBody(t *testing.T) {
	const window = defaultStreamWindow
	for _, size := range []int64{1, window - 1, window, window + 1, 2*window + 1, 1 << 40} {
		for _, wait := range []time.Duration{0, time.Second} { // by then the window is full
			for _, read := range []int64{0, 1, window / 8, window / 2} {
				for _, answer := range []int64{0, 10, 300 << 10} {
					if read > size {
						continue
					}
					rigTest(t, func(w http.ResponseWriter, r *http.Request) {
						_, err := io.CopyN(io.Discard, r.Body, read)
						assert.NoError(t, err)
						after(wait)
						_, err = io.Copy(w, newPattern(2, answer))
						assert.NoError(t, err)
					}, rigSetup{}, func(t *testing.T, r *rig) {
						_, body, err := r.fetch(r.request("POST", "/", newPattern(1, size)))
						require.NoError(t, err)
						require.Len(t, body, int(answer))
						synctest.Wait()
						require.Zero(t, openStreams(r.server), "size %d, read %d, after %v, answer %d", size, read, wait, answer)
						r.requireBalanced()
					})
				}
			}
		}
	}
}

// lookingWriter holds on to what it is lent until it may go on, and looks at it again.
type lookingWriter struct {
	lent, release chan struct{}
	same          bool
}

func (w *lookingWriter) Write(p []byte) (int, error) {
	before := string(p)
	close(w.lent)
	<-w.release
	w.same = before == string(p)
	return 0, io.ErrClosedPipe
}

// TestLentBytesStay: bytes that a consumer is looking at are not given to another stream,
// even if theirs is reset meanwhile.
func TestLentBytesStay(t *testing.T) {
	rigTest(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/ones" {
			w.Write(bytes.Repeat([]byte{1}, 100<<10))
			return
		}
		io.Copy(w, newPattern(2, 2<<20))
	}, rigSetup{}, func(t *testing.T, r *rig) {
		for range 10 {
			res, err := r.client.RoundTrip(r.request("GET", "/ones", nil))
			require.NoError(t, err)
			synctest.Wait()
			w := &lookingWriter{lent: make(chan struct{}), release: make(chan struct{})}
			done := make(chan error, 1)
			go func() {
				_, err := io.Copy(w, res.Body)
				done <- err
			}()
			<-w.lent
			require.NoError(t, res.Body.Close())
			r.get("/others") // takes every chunk that is free
			close(w.release)
			require.ErrorIs(t, <-done, io.ErrClosedPipe)
			require.True(t, w.same, "the bytes changed under the writer")
		}
		r.requireBalanced()
	})
}
