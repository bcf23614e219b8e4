package spdy

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// startHTTP2 starts a server of HTTP/2 alone, and returns a transport that has SPDY beside that.
// Its handler begins its answer, waits for the latch, and then says how much was sent to it.
func startHTTP2(t *testing.T, secure bool, streams int, latch <-chan struct{}) (*httptest.Server, *http.Transport) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.(http.Flusher).Flush()
		<-latch
		fmt.Fprintf(w, "%s %d", r.Proto, len(body))
	}))
	s.Config.HTTP2 = &http.HTTP2Config{MaxConcurrentStreams: streams}
	s.Config.Protocols = new(http.Protocols)
	tr := &http.Transport{Protocols: new(http.Protocols)}
	if secure {
		s.Config.Protocols.SetHTTP2(true)
		tr.Protocols.SetHTTP2(true)
		s.EnableHTTP2 = true
		s.StartTLS()
		tr.TLSClientConfig = s.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
		tr.TLSClientConfig.NextProtos = nil
	} else {
		s.Config.Protocols.SetUnencryptedHTTP2(true)
		tr.Protocols.SetUnencryptedHTTP2(true)
		s.Start()
	}
	t.Cleanup(s.Close)
	require.NoError(t, ConfigureTransport(tr, nil))
	t.Cleanup(tr.CloseIdleConnections)
	return s, tr
}

// uploadOf is a request whose body cannot be read twice.
func uploadOf(t *testing.T, url string, n int) *http.Request {
	body := io.LimitReader(strings.NewReader(strings.Repeat("x", n)), int64(n)) // no GetBody
	req, err := http.NewRequest("POST", url, body)
	require.NoError(t, err)
	return req
}

// TestGraftedHTTP2 shows that many requests of HTTP/2 beside SPDY share connections, also
// without TLS, and go on after CloseIdleConnections.
func TestGraftedHTTP2(t *testing.T) {
	for _, secure := range []bool{true, false} {
		t.Run(fmt.Sprintf("tls %v", secure), func(t *testing.T) {
			latch := make(chan struct{})
			close(latch)
			server, tr := startHTTP2(t, secure, 100, latch)
			for range 3 {
				var all sync.WaitGroup
				for i := range 30 {
					req := uploadOf(t, server.URL, i)
					all.Go(func() {
						text, err := fetchRequest(tr, req)
						assert.NoError(t, err)
						assert.Equal(t, fmt.Sprintf("HTTP/2.0 %d", i), text)
					})
				}
				all.Wait()
				tr.CloseIdleConnections()
			}
		})
	}
}

// TestGraftedHTTP2Full shows that a request for which a connection of HTTP/2 has no stream goes
// by another one, with all of its body.
func TestGraftedHTTP2Full(t *testing.T) {
	for _, secure := range []bool{true, false} {
		t.Run(fmt.Sprintf("tls %v", secure), func(t *testing.T) {
			latch := make(chan struct{})
			server, tr := startHTTP2(t, secure, 1, latch)
			var answers []*http.Response
			for i := range 5 {
				res, err := tr.RoundTrip(uploadOf(t, server.URL, 1000+i))
				require.NoError(t, err)
				answers = append(answers, res)
			}
			close(latch)
			for i, res := range answers {
				text, err := io.ReadAll(res.Body)
				require.NoError(t, err)
				res.Body.Close()
				require.Equal(t, fmt.Sprintf("HTTP/2.0 %d", 1000+i), string(text))
			}
		})
	}
}

func fetchRequest(rt http.RoundTripper, req *http.Request) (string, error) {
	res, err := rt.RoundTrip(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	return string(text), err
}
