package ends

import (
	"bytes"
	"context"
	"crypto/sha256"
	"io"
	"math/rand/v2"
	"net/http"
	"runtime"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy/tests/bubble"
)

// Answers are abandoned when the context of their request ends after all of their bytes have
// come, and nobody closes their bodies.
const (
	abandonedSize  = 60 << 10
	abandonedCount = 3000 // which is more than the window of any session
	honestSize     = 1 << 20
)

// abandonedBytes are what answers are cut out of.
var abandonedBytes = func() []byte {
	p := make([]byte, honestSize+abandonedCount)
	_, _ = rand.NewChaCha8([32]byte{13}).Read(p)
	return p
}()

// abandonedAnswer is the answer to the request of a number.
func abandonedAnswer(i, size int) []byte { return abandonedBytes[i : i+size] }

// serveAbandoned answers a path of the form /number/size.
func serveAbandoned(w http.ResponseWriter, r *http.Request) {
	i, _ := strconv.Atoi(r.PathValue("number"))
	size, _ := strconv.Atoi(r.PathValue("size"))
	_, _ = w.Write(abandonedAnswer(i, size))
}

// newAbandonedPair serves that.
func newAbandonedPair(t *testing.T, protocol string) *bodyPair {
	mux := http.NewServeMux()
	mux.HandleFunc("/{number}/{size}", serveAbandoned)
	mux.HandleFunc("/upload", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("/read", func(w http.ResponseWriter, r *http.Request) {
		sum := sha256.New()
		_, _ = io.Copy(sum, r.Body)
		_, _ = w.Write(sum.Sum(nil))
	})
	mux.HandleFunc("/unfinished", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", strconv.Itoa(abandonedSize))
		serve := abandonedAnswer(7, abandonedSize)
		_, _ = w.Write(serve)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	return newBodyPair(t, protocol, mux.ServeHTTP, nil)
}

// ask sends a request. A minute is its patience.
func (p *bodyPair) ask(t *testing.T, method, path string, body []byte) (*http.Response, context.CancelFunc) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	req, err := http.NewRequestWithContext(ctx, method, "http://ends.example"+path, bytes.NewReader(body))
	require.NoError(t, err)
	res, err := p.client.RoundTrip(req)
	require.NoError(t, err, path)
	return res, cancel
}

// honest asks for an answer, and wants all of it.
func (p *bodyPair) honest(t *testing.T) {
	t.Helper()
	res, cancel := p.ask(t, "GET", "/9/"+strconv.Itoa(honestSize), nil)
	defer cancel()
	got, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	require.Equal(t, sha256.Sum256(abandonedAnswer(9, honestSize)), sha256.Sum256(got))
}

// abandonedHeap is how many bytes are in use.
func abandonedHeap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // pools keep theirs for one more
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// muxProtocols are those that carry many requests on a connection; the oracle first.
var muxProtocols = bodyProtocols[1:]

// TestAbandonedAnswersAreFree abandons 3,000 answers on one session. As over HTTP/2 the next
// request passes, what was abandoned can still be read whole, and what the program
// forgets is freed although the session lives.
func TestAbandonedAnswersAreFree(t *testing.T) {
	for _, protocol := range muxProtocols {
		bubble.Run(t, protocol, func(t *testing.T) {
			pair := newAbandonedPair(t, protocol)
			pair.honest(t)
			before := abandonedHeap()
			kept := make(map[int]io.Reader)
			for i := range abandonedCount {
				res, cancel := pair.ask(t, "GET", "/"+strconv.Itoa(i)+"/"+strconv.Itoa(abandonedSize), nil)
				synctest.Wait() // all of it has come
				cancel()
				if i%100 == 0 {
					kept[i] = res.Body
				}
			}
			synctest.Wait()
			pair.honest(t)
			require.Less(t, abandonedHeap()-before, int64(abandonedCount*abandonedSize/8))
			for i, body := range kept {
				got, err := io.ReadAll(body)
				require.NoError(t, err)
				require.Equal(t, sha256.Sum256(abandonedAnswer(i, abandonedSize)), sha256.Sum256(got), i)
			}
			pair.honest(t)
			require.LessOrEqual(t, len(pair.sessions), 1, "all of it on one session")
			for _, s := range pair.sessions {
				require.Zero(t, s.Stats().UnreadBytes)
				require.Zero(t, s.Stats().Shed)
			}
		})
	}
}

// TestAbandonedBeforeTheEnd ends the context when all bytes that the Content-Length promises
// have come, but not the end. They stay readable, and the error of the context follows them.
func TestAbandonedBeforeTheEnd(t *testing.T) {
	ways := map[string]func(io.Reader) ([]byte, error){
		"Read": func(body io.Reader) ([]byte, error) { return io.ReadAll(struct{ io.Reader }{body}) },
		"WriteTo": func(body io.Reader) ([]byte, error) {
			var b bytes.Buffer
			_, err := io.Copy(&b, body)
			return b.Bytes(), err
		},
	}
	for _, protocol := range muxProtocols {
		for name, read := range ways {
			bubble.Run(t, protocol+"/"+name, func(t *testing.T) {
				pair := newAbandonedPair(t, protocol)
				res, cancel := pair.ask(t, "GET", "/unfinished", nil)
				head := make([]byte, 1000)
				_, err := io.ReadFull(res.Body, head)
				require.NoError(t, err)
				synctest.Wait()
				cancel()
				synctest.Wait()
				for _, s := range pair.sessions {
					require.Zero(t, s.Stats().UnreadBytes)
				}
				rest, err := read(res.Body)
				require.Equal(t, context.Canceled, err)
				require.Equal(t, sha256.Sum256(abandonedAnswer(7, abandonedSize)), sha256.Sum256(append(head, rest...)))
				pair.honest(t)
			})
		}
	}
}

// TestAbandonedUploads has 3,000 requests answered whose bodies no handler reads. As over HTTP/2
// the body of the next one passes.
func TestAbandonedUploads(t *testing.T) {
	for _, protocol := range muxProtocols {
		bubble.Run(t, protocol, func(t *testing.T) {
			pair := newAbandonedPair(t, protocol)
			for i := range abandonedCount {
				res, cancel := pair.ask(t, "POST", "/upload", abandonedAnswer(i, abandonedSize))
				_, err := io.Copy(io.Discard, res.Body)
				require.NoError(t, err)
				cancel()
			}
			res, cancel := pair.ask(t, "POST", "/read", abandonedAnswer(3, honestSize))
			defer cancel()
			got, err := io.ReadAll(res.Body)
			require.NoError(t, err)
			want := sha256.Sum256(abandonedAnswer(3, honestSize))
			require.Equal(t, want[:], got)
		})
	}
}
