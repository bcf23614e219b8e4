package spdy

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A deadlineWriter notes that somebody sets a read deadline of the client's connection.
type deadlineWriter struct {
	http.ResponseWriter
	set bool
}

func (w *deadlineWriter) SetReadDeadline(time.Time) error {
	w.set = true
	return nil
}

// TestProxyFrontLeavesTheDeadline: the handler returns while the goroutine of the upload is
// between the beginning and the end of a call. If all of the request has been read, net/http
// reads ahead on the connection, and a deadline would spoil its next request. Of a request
// whose rest is being read the deadline ends the Read.
func TestProxyFrontLeavesTheDeadline(t *testing.T) {
	for _, c := range []struct {
		name                 string
		whole, closes, reads bool
		last                 bool
		want                 bool
	}{
		{name: "read, nothing is under way", whole: true},
		{name: "read, a Close is under way", whole: true, closes: true},
		{name: "read, the end of a Read is under way", whole: true, reads: true},
		{name: "read, on the last request of a connection", whole: true, closes: true, last: true},
		{name: "part read, nothing is under way", want: true},
		{name: "part read, a Read is under way", reads: true, want: true},
		{name: "part read, a Close is under way", closes: true, want: true},
		{name: "part read, the connection ends", last: true, want: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := &deadlineWriter{ResponseWriter: httptest.NewRecorder()}
			b := &proxiedBody{ReadCloser: io.NopCloser(strings.NewReader("body")), duplex: true, length: 4}
			_, err := b.Read(make([]byte, 4))
			require.NoError(t, err)
			if c.whole {
				_, err := b.Read(make([]byte, 1))
				require.Equal(t, io.EOF, err)
			}
			if c.reads || c.closes {
				require.True(t, b.begin(c.reads, 1))
			}
			front := proxyFront{writer: w, body: b, duplex: true, last: c.last}
			front.end()
			require.Equal(t, c.want, w.set)
			require.False(t, b.begin(true, 1), "nothing more begins")
		})
	}
}
