package tunnel

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/websocket"
)

// A WebSocket of the origin works through the relay.
func TestWebSocket(t *testing.T) {
	r := newRelay(t, Replace)
	seen := make(chan string, 1)
	r.origin(websocket.Server{Handler: func(ws *websocket.Conn) {
		seen <- ws.Request().Header.Get("X-Forwarded-For")
		_, _ = io.Copy(ws, ws)
	}}.ServeHTTP)
	ws, err := websocket.Dial(strings.Replace(r.public.URL, "http", "ws", 1)+"/home/chat", "", "http://relay.example/")
	require.NoError(t, err)
	defer ws.Close()
	require.Equal(t, "127.0.0.1", <-seen)
	_, err = io.WriteString(ws, "hello")
	require.NoError(t, err)
	got := make([]byte, 5)
	_, err = io.ReadFull(ws, got)
	require.NoError(t, err)
	require.Equal(t, "hello", string(got))
}

// hijackable is a ResponseWriter whose connection can be taken over.
type hijackable struct{ http.ResponseWriter }

func (hijackable) Hijack() (net.Conn, *bufio.ReadWriter, error) { return nil, nil, nil }

// An upgrade begins the answer: the time for that does not count any more.
func TestUpgradeEndsPatience(t *testing.T) {
	limit := newPatience(time.Hour, func() {})
	w := &watchedWriter{ResponseWriter: hijackable{httptest.NewRecorder()}, limit: limit}
	_, _, err := http.NewResponseController(w).Hijack()
	require.NoError(t, err)
	limit.renew()
	require.True(t, limit.over)
	require.False(t, limit.timer.Stop(), "the timer runs")
}
