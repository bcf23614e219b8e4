//go:build browser

package main

import (
	"bytes"
	"context"
	"crypto/sha1"
	_ "embed"
	"encoding/base64"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/websocket"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/spdytest"
)

//go:embed testdata/websocket.html
var webSocketPage []byte

// pageSteps are what the page does, in its order, and what it reports.
var pageSteps = []struct{ name, report string }{
	{"echo", "10485760 bytes, same true, clean true, code 1000"},
	{"homeCloses", "clean true, code 1000"},
	{"homeCuts", "clean false, code 1006"},
	{"refused", "clean false, code 1006"},
	{"left", "gone"},
	{"killed", "open"},
}

// browserLimit is how long a browser may take for a page, its start included.
const browserLimit = time.Minute

// A browserHome is the server that the page and its WebSockets are from.
type browserHome struct {
	reports  chan [2]string // step and value
	handlers sync.WaitGroup // of WebSockets
}

func (h *browserHome) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.handlers.Add(1)
	defer h.handlers.Done()
	switch r.URL.Path {
	case "/":
		w.Header().Set("Content-Type", "text/html")
		w.Write(webSocketPage)
	case "/report":
		h.reports <- [2]string{r.FormValue("step"), r.FormValue("value")}
	case "/ws/echo":
		websocket.Handler(func(ws *websocket.Conn) {
			ws.PayloadType = websocket.BinaryFrame
			io.Copy(ws, ws)
			ws.Close() // completes the closing handshake
		}).ServeHTTP(w, r)
	case "/ws/bye":
		websocket.Handler(func(ws *websocket.Conn) { ws.Close() }).ServeHTTP(w, r)
	case "/ws/cut":
		cutWebSocket(w, r)
	default:
		http.NotFound(w, r)
	}
}

// cutWebSocket opens a WebSocket and resets its connection.
func cutWebSocket(w http.ResponseWriter, r *http.Request) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	accept := sha1.Sum([]byte(r.Header.Get("Sec-Websocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Accept: "+base64.StdEncoding.EncodeToString(accept[:])+"\r\n\r\n")
	conn.(interface{ SetLinger(int) error }).SetLinger(0)
}

// browserWays are ways from an HTTP/1.1 front to a home that speaks SPDY.
var browserWays = map[string]func(t *testing.T, v spdy.Version, home string) http.Handler{
	"ReverseProxy and Transport": func(t *testing.T, v spdy.Version, home string) http.Handler {
		transport := &spdy.Transport{Config: &spdy.Config{Version: v, Logger: slog.New(slog.DiscardHandler)}}
		t.Cleanup(transport.CloseIdleConnections)
		return &httputil.ReverseProxy{
			Transport: transport, ErrorLog: log.New(io.Discard, "", 0),
			Rewrite: func(r *httputil.ProxyRequest) {
				r.SetURL(&url.URL{Scheme: "http", Host: home})
				r.Out.Host = r.In.Host
			},
		}
	},
	"NewStreamProxy": func(t *testing.T, v spdy.Version, home string) http.Handler {
		conn, err := net.Dial("tcp", home)
		require.NoError(t, err)
		s := (&spdy.Config{Version: v, Logger: slog.New(slog.DiscardHandler)}).ClientSession(conn)
		served := make(chan struct{})
		go func() {
			defer close(served)
			s.Serve()
		}()
		t.Cleanup(func() { s.Close(); <-served })
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _ = s.NewStreamProxy(r, w) })
	},
}

// A page in Chromium opens WebSockets to a home behind a session: 10 MiB go each way, either end closes, and
// either end is cut off. Then nothing is left of them.
func TestBrowser(t *testing.T) {
	chromium, err := exec.LookPath("chromium")
	require.NoError(t, err, "apt-get install chromium")
	version, _ := exec.Command(chromium, "--version", "--no-sandbox").Output()
	t.Logf("%s", bytes.TrimSpace(version))
	versions := []spdy.Version{spdy.SPDY31, spdy.SPDY3, spdy.SPDY2}
	if testing.Short() {
		versions = versions[:1]
	}
	for name, way := range browserWays {
		for _, v := range versions {
			t.Run(name+"/"+v.String(), func(t *testing.T) {
				before := runtime.NumGoroutine()
				t.Cleanup(func() { // runs behind those of all servers
					settled(t, "goroutines stay", func() bool { return runtime.NumGoroutine() <= before })
				})
				home := &browserHome{reports: make(chan [2]string, len(pageSteps))}
				back := spdytest.NewUnstartedServer(home)
				back.Config.Config = &spdy.Config{Version: v, Logger: slog.New(slog.DiscardHandler)}
				back.Start()
				t.Cleanup(back.Close)
				front := httptest.NewServer(way(t, v, back.Listener.Addr().String()))
				t.Cleanup(front.Close)
				kill := startBrowser(t, chromium, front.URL)
				ctx, cancel := context.WithTimeout(t.Context(), browserLimit)
				defer cancel()
				for _, step := range pageSteps {
					select {
					case got := <-home.reports:
						require.Equal(t, [2]string{step.name, step.report}, got)
						t.Logf("%s: %s", got[0], got[1])
					case <-ctx.Done():
						require.Fail(t, "the page does not report", step.name)
					}
				}
				kill()
				home.handlers.Wait()
				settled(t, "streams stay", func() bool { return back.Config.Stats().Streams.Total() == 0 })
			})
		}
	}
}

// startBrowser opens a page in a browser of its own, and returns a function that kills the browser.
func startBrowser(t *testing.T, chromium, page string) (kill func()) {
	cmd := exec.Command(chromium, "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run",
		"--disable-background-networking", "--disable-dev-shm-usage", "--user-data-dir="+t.TempDir(), page)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	require.NoError(t, cmd.Start())
	kill = sync.OnceFunc(func() {
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		cmd.Wait()
	})
	t.Cleanup(kill)
	return kill
}

// settled waits until holds returns true.
func settled(t *testing.T, why string, holds func() bool) {
	t.Helper()
	limit := time.NewTimer(20 * time.Second)
	defer limit.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-limit.C:
			stacks := make([]byte, 1<<20)
			t.Fatalf("%s\n%s", why, stacks[:runtime.Stack(stacks, true)])
		}
	}
}
