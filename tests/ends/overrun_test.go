package ends

import (
	"io"
	"net/http"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy/tests/bubble"
)

// TestWriteBeyondContentLength: a handler goes on behind a write that did not fit into its
// Content-Length and that it lost with an error. What it writes then does not complete the answer: the
// client would take it for the whole.
func TestWriteBeyondContentLength(t *testing.T) {
	for name, c := range map[string]struct {
		length int
		writes []int
		short  bool
	}{
		"the first write":   {511, []int{512, 511}, true},
		"the second write":  {511, []int{500, 12, 11}, true},
		"a long one":        {2048, []int{70_000, 2048}, true},
		"behind a long one": {70_000, []int{69_000, 2000, 1000}, true},
		"behind the last":   {511, []int{511, 1}, false},
	} {
		for _, protocol := range bodyProtocols {
			bubble.Run(t, name+"/"+protocol, func(t *testing.T) {
				failures := make(chan error, len(c.writes))
				p := newBodyPair(t, protocol, func(w http.ResponseWriter, _ *http.Request) {
					w.Header().Set("Content-Length", strconv.Itoa(c.length))
					for _, n := range c.writes {
						_, err := w.Write(make([]byte, n))
						failures <- err
					}
				}, nil)
				req, err := http.NewRequest("GET", "http://ends.example/", nil)
				require.NoError(t, err)
				res, err := p.client.RoundTrip(req)
				require.NoError(t, err)
				defer res.Body.Close()
				got, err := io.ReadAll(res.Body)
				if c.short {
					require.Error(t, err)
				} else if protocol != "h2" { // whose client looks at what is too much
					require.NoError(t, err)
					require.Len(t, got, c.length)
				}
				failed := false
				for range c.writes {
					err := <-failures
					require.True(t, !failed || err != nil, "each write behind the one that failed does")
					failed = failed || err != nil
					if failed && protocol != "h2" { // which has an error without a type
						require.Equal(t, http.ErrContentLength, err)
					}
				}
				require.True(t, failed || protocol == "h2")
			})
		}
	}
}
