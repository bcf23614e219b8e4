package spdy

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
)

// A request may be cancelled by others than its client: by a time limit of the
// proxy, by a server that stops. The client is still there then, and an answer
// that nobody wrote would reach it as an empty 200.
func TestProxyAnswersWhenCancelled(t *testing.T) {
	for _, tt := range []struct {
		name  string
		cause error
		want  int
	}{
		{"a time limit of the proxy", context.DeadlineExceeded, http.StatusGatewayTimeout},
		{"no cause", context.Canceled, http.StatusBadGateway},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a, b := net.Pipe()
			ctx, cancel := context.WithCancelCause(t.Context())
			server := NewServerSession(a, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				cancel(tt.cause)
				<-r.Context().Done()
			})})
			client := NewClientSession(b)
			go server.Serve()
			go client.Serve()
			defer server.Close()
			defer client.Close()

			w := httptest.NewRecorder()
			r := httptest.NewRequestWithContext(ctx, http.MethodGet, "http://origin/", nil)
			require.ErrorIs(t, client.NewStreamProxy(r, w), tt.cause)
			require.Equal(t, tt.want, w.Code)
		})
	}
}
