package windows

import (
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/tests/bubble"
)

// heap is how many bytes are in use.
func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // pools keep theirs for one more
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// Answers that were complete before they were read are let go of, with their headers, as soon as
// they have been read or given up, where what is left unread counts and where it does not.
func TestReadAnswersAreForgotten(t *testing.T) {
	for name, conf := range map[string]spdy.Config{"": {}, "ShedAfter": {ShedAfter: time.Minute}} {
		bubble.InVersions(t, name, func(t *testing.T, v spdy.Version) {
			p := newPair(t, v, conf, spdy.Config{}, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("X-Big", strings.Repeat("x", 60<<10))
				_, _ = io.WriteString(w, "hello")
			})
			before := heap()
			var all []*http.Response
			for range 300 {
				res, err := p.client.RoundTrip(request(t, "GET", "/", nil))
				require.NoError(t, err)
				all = append(all, res)
			}
			synctest.Wait()
			require.Greater(t, heap()-before, int64(300*60<<10), "they are kept while they are unread")
			for i, res := range all {
				if i%2 == 0 {
					_, err := io.Copy(io.Discard, res.Body)
					require.NoError(t, err)
				}
				require.NoError(t, res.Body.Close())
			}
			all = nil
			synctest.Wait()
			require.Less(t, heap()-before, int64(300*60<<10)/4, "and not after that")
		})
	}
}
