package ends

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy/tests/bubble"
)

// serveLetters answers /A with letters A, and so on.
func serveLetters(w http.ResponseWriter, r *http.Request) {
	letter := r.URL.Path[1:2]
	p := bytes.Repeat([]byte(letter), 8000)
	for range lettersSize / len(p) {
		if _, err := w.Write(p); err != nil {
			return
		}
	}
}

const lettersSize = 250 * 8000

// get asks for a path.
func (p *bodyPair) get(t *testing.T, path string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "GET", "http://ends.example"+path, nil)
	require.NoError(t, err)
	res, err := p.client.RoundTrip(req)
	require.NoError(t, err)
	return res
}

// A letterWriter counts what it is given, and takes some time for it.
type letterWriter struct {
	mu    sync.Mutex
	n     int
	other int // that are not A
}

func (l *letterWriter) Write(p []byte) (int, error) {
	bubble.Pass(time.Microsecond)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.n += len(p)
	l.other += len(p) - bytes.Count(p, []byte("A"))
	return len(p), nil
}

// Several copies of one body at once divide it: each byte goes to one of them, and none is of
// another answer. HTTP/2 wakes one of them only at the end, and the others sleep for ever.
func TestReadersDivideABody(t *testing.T) {
	for _, protocol := range bodyProtocols {
		if protocol == "h2" {
			continue
		}
		bubble.Run(t, protocol, func(t *testing.T) {
			p := newBodyPair(t, protocol, serveLetters, nil)
			res, other := p.get(t, "/A"), p.get(t, "/B")
			go func() { _, _ = io.Copy(io.Discard, other.Body) }()
			var got letterWriter
			var copies sync.WaitGroup
			errs := make([]error, 4)
			for i := range errs {
				copies.Go(func() { _, errs[i] = io.Copy(&got, res.Body) })
			}
			copies.Wait()
			require.Equal(t, make([]error, len(errs)), errs)
			require.Equal(t, lettersSize, got.n)
			require.Zero(t, got.other, "letters of another answer")
			res.Body.Close()
			other.Body.Close()
		})
	}
}

// A stuckWriter keeps its first bytes until it is told to go on, and then looks at them.
type stuckWriter struct {
	began, goOn chan struct{}
	letterWriter
	fails bool
}

var errStuck = errors.New("stuck")

func (s *stuckWriter) Write(p []byte) (int, error) {
	if s.began != nil {
		close(s.began)
		s.began = nil
		<-s.goOn
	}
	n, _ := s.letterWriter.Write(p)
	if s.fails {
		return 0, errStuck
	}
	return n, nil
}

// A body is drained beside a copy whose writer is stuck, and others use what that has freed.
func TestDrainBesideAStuckCopy(t *testing.T) {
	for _, protocol := range bodyProtocols {
		bubble.Run(t, protocol, func(t *testing.T) {
			p := newBodyPair(t, protocol, serveLetters, nil)
			res := p.get(t, "/A")
			stuck := &stuckWriter{began: make(chan struct{}), goOn: make(chan struct{})}
			began, copied := stuck.began, make(chan error, 1)
			go func() { _, err := io.Copy(stuck, res.Body); copied <- err }()
			<-began
			drained, err := io.Copy(io.Discard, res.Body)
			require.NoError(t, err)
			for range 20 {
				other := p.get(t, "/B")
				_, err := io.Copy(io.Discard, other.Body)
				require.NoError(t, err)
				other.Body.Close()
			}
			close(stuck.goOn)
			require.NoError(t, <-copied)
			require.Zero(t, stuck.other, "letters of another answer")
			require.EqualValues(t, lettersSize, drained+int64(stuck.n))
			res.Body.Close()
		})
	}
}

// A reader gets what comes while a copy is stuck, and what is left when its writer has panicked.
func TestReadBesideAStuckCopy(t *testing.T) {
	for _, protocol := range bodyProtocols {
		bubble.Run(t, protocol, func(t *testing.T) {
			more := make(chan struct{})
			p := newBodyPair(t, protocol, func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.WriteString(w, "A")
				_ = http.NewResponseController(w).Flush()
				<-more
				_, _ = io.WriteString(w, "world")
			}, nil)
			for _, panics := range []bool{false, true} {
				res := p.get(t, "/")
				stuck := &stuckWriter{began: make(chan struct{}), goOn: make(chan struct{}), fails: true}
				began, copied := stuck.began, make(chan struct{})
				go func() {
					defer close(copied)
					defer func() { _ = recover() }()
					var w io.Writer = stuck
					if panics {
						w = panickingWriter{stuck}
					}
					_, _ = io.Copy(w, res.Body)
				}()
				<-began
				if panics {
					close(stuck.goOn)
					<-copied
				}
				more <- struct{}{}
				rest, err := io.ReadAll(res.Body)
				require.NoError(t, err)
				require.Equal(t, "world", string(rest))
				if !panics {
					close(stuck.goOn)
					<-copied
				}
				res.Body.Close()
			}
		})
	}
}

// A panickingWriter panics when its writer has returned.
type panickingWriter struct{ w io.Writer }

func (w panickingWriter) Write(p []byte) (int, error) {
	_, _ = w.w.Write(p)
	panic(errStuck)
}

// A read deadline that has passed does not forbid to read what had come of a body.
func TestDeadlineLeavesWhatHasCome(t *testing.T) {
	const limit = 400 * time.Millisecond
	type seen struct {
		n       int
		timeout bool
	}
	read := func(t *testing.T, protocol string, size int, ends, copies bool) (got seen) {
		bubble.Run(t, protocol, func(t *testing.T) {
			heard := make(chan seen, 1)
			p := newBodyPair(t, protocol, func(w http.ResponseWriter, r *http.Request) {
				bubble.Pass(2 * limit)
				var b bytes.Buffer
				var err error
				if copies {
					_, err = io.Copy(&b, r.Body)
				} else {
					_, err = io.Copy(&b, struct{ io.Reader }{r.Body})
				}
				heard <- seen{b.Len(), errors.Is(err, os.ErrDeadlineExceeded)}
			}, func(hs *http.Server) { hs.ReadTimeout = limit })
			pr, pw := io.Pipe()
			req, err := http.NewRequestWithContext(t.Context(), "POST", "http://ends.example/", pr)
			require.NoError(t, err)
			go func() {
				_, _ = pw.Write(bytes.Repeat([]byte("x"), size))
				if ends {
					pw.Close()
				}
			}()
			go func() {
				if res, err := p.client.RoundTrip(req); err == nil {
					res.Body.Close()
				}
			}()
			got = <-heard
			pw.Close()
		})
		return got
	}
	for _, size := range []int{10, 3000, 40000} {
		for _, ends := range []bool{true, false} {
			for _, copies := range []bool{true, false} {
				want := read(t, "h2", size, ends, copies)
				require.Equal(t, size, want.n)
				for _, protocol := range []string{"spdy/2", "spdy/3", "spdy/3.1"} {
					require.Equal(t, want, read(t, protocol, size, ends, copies), "%s, %d bytes, the client ends: %t, io.Copy: %t", protocol, size, ends, copies)
				}
			}
		}
	}
}
