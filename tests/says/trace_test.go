package says

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/spdytest"
)

// TestWroteRequestWithoutBody: the hook WroteRequest of httptrace is called once for a request whose
// body waits for 100 Continue and is never sent, as in net/http: the answer arrives first, or the
// stream is reset.
func TestWroteRequestWithoutBody(t *testing.T) {
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/abort" {
			panic(http.ErrAbortHandler)
		}
		w.WriteHeader(http.StatusRequestEntityTooLarge)
	})
	http1 := httptest.NewUnstartedServer(handler)
	http1.Config.ErrorLog = log.New(io.Discard, "", 0)
	http1.Start()
	t.Cleanup(http1.Close)
	ours := spdytest.NewServer(handler)
	t.Cleanup(ours.Close)
	ask := func(t *testing.T, rt http.RoundTripper, url string) (status int, wrote []error) {
		calls := make(chan error, 10)
		req, err := http.NewRequestWithContext(httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
			WroteRequest: func(info httptrace.WroteRequestInfo) { calls <- info.Err },
		}), "POST", url, strings.NewReader("body"))
		require.NoError(t, err)
		req.Header.Set("Expect", "100-continue")
		res, err := rt.RoundTrip(req)
		if err == nil {
			status = res.StatusCode
			res.Body.Close()
		}
		select {
		case err := <-calls:
			wrote = append(wrote, err)
		case <-time.After(10 * time.Second):
			t.Error("WroteRequest is not called")
		}
		require.Empty(t, calls)
		return status, wrote
	}
	plain := &http.Transport{ExpectContinueTimeout: time.Second}
	t.Cleanup(plain.CloseIdleConnections)
	tr := &spdy.Transport{ExpectContinueTimeout: time.Minute}
	t.Cleanup(tr.CloseIdleConnections)
	for _, path := range []string{"/early", "/abort"} {
		status, _ := ask(t, plain, http1.URL+path)
		got, wrote := ask(t, tr, ours.URL+path)
		require.Equal(t, status, got)
		require.Equal(t, path == "/early", wrote[0] == nil, "%v", wrote)
	}
}
