package tunnel

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// What a browser and a video player ask a file server for works through the relay
// as it does directly.
func TestFiles(t *testing.T) {
	dir := t.TempDir()
	content := strings.Repeat("0123456789", 100_000)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "film.mkv"), []byte(content), 0o600))
	r := newRelay(t, Replace)
	r.origin(http.FileServer(http.Dir(dir)).ServeHTTP)

	res, body := r.get("/home/film.mkv")
	require.Equal(t, http.StatusOK, res.StatusCode)
	require.Equal(t, int64(len(content)), res.ContentLength)
	require.Equal(t, content, body)
	modified := res.Header.Get("Last-Modified")

	res, body = r.get("/home/film.mkv", header("Range", "bytes=500000-500009"))
	require.Equal(t, http.StatusPartialContent, res.StatusCode)
	require.Equal(t, "bytes 500000-500009/1000000", res.Header.Get("Content-Range"))
	require.Equal(t, "0123456789", body)

	res, _ = r.get("/home/film.mkv", header("Range", "bytes=2000000-"))
	require.Equal(t, http.StatusRequestedRangeNotSatisfiable, res.StatusCode)
	res, body = r.get("/home/film.mkv", header("If-Modified-Since", modified))
	require.Equal(t, http.StatusNotModified, res.StatusCode)
	require.Empty(t, body)
	res, body = r.get("/home/film.mkv", method(http.MethodHead, ""))
	require.Equal(t, "1000000", res.Header.Get("Content-Length"))
	require.Empty(t, body)
	res, body = r.get("/home/")
	require.Equal(t, http.StatusOK, res.StatusCode)
	require.Contains(t, body, `<a href="film.mkv">`, "a link that works below /home/")
	res, _ = r.get("/home?list=1")
	require.Equal(t, "/home/?list=1", res.Header.Get("Location"))
}

// The proxy's headers about a client reach the origin. The client's own claims, and the
// headers of its connection with the proxy, do not.
func TestAttackA30RelayHeaders(t *testing.T) {
	r := newRelay(t, Replace)
	r.origin(func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		fmt.Fprintf(w, "%s %s %s %s %v\n", req.Method, req.Host, req.RequestURI, body, err)
		for _, name := range []string{
			"X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Prefix",
			"Forwarded", "Connection", "Upgrade", "Keep-Alive", "Te", "Proxy-Authorization", "X-Hop", "X-End",
		} {
			fmt.Fprintf(w, "%s=%q\n", name, req.Header[name])
		}
	})
	_, body := r.get("/home/a%2Fb?q=1", method(http.MethodPost, "hello"), func(req *http.Request) {
		req.Host = "relay.example"
		req.Header = http.Header{
			"Connection": {"Upgrade, X-Hop", "x-forwarded-for,X-Forwarded-Host, X-Forwarded-Proto , X-Forwarded-Prefix"},
			"Upgrade":    {"websocket"}, "Keep-Alive": {"timeout=5"}, "Te": {"trailers"},
			"Proxy-Authorization": {"Basic eDp5"},
			"X-Hop":               {"between two neighbours"}, "X-End": {"for the origin"},
			"X-Forwarded-For": {"192.0.2.1"}, "X-Forwarded-Proto": {"https"}, "Forwarded": {"for=192.0.2.1"},
		}
	})
	require.Equal(t, `POST relay.example /a%2Fb?q=1 hello <nil>
X-Forwarded-For=["127.0.0.1"]
X-Forwarded-Host=["relay.example"]
X-Forwarded-Proto=["http"]
X-Forwarded-Prefix=["/home"]
Forwarded=[]
Connection=[]
Upgrade=[]
Keep-Alive=[]
Te=[]
Proxy-Authorization=[]
X-Hop=[]
X-End=["for the origin"]
`, body)
}

func TestByHost(t *testing.T) {
	r := newRelay(t, Replace, func(p *Proxy) { p.ByHost = true })
	r.origin(func(w http.ResponseWriter, req *http.Request) {
		fmt.Fprintf(w, "%s %s %s", req.Host, req.URL.Path, req.Header.Get("X-Forwarded-Proto"))
	})
	tls := httptest.NewTLSServer(r.proxy)
	defer tls.Close()
	req, err := http.NewRequest(http.MethodGet, tls.URL+"/home/x", nil)
	require.NoError(t, err)
	req.Host = "Home.example.com:8443"
	res, err := tls.Client().Do(req)
	require.NoError(t, err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.Equal(t, "Home.example.com:8443 /home/x https", string(body))

	res, _ = r.get("/", func(req *http.Request) { req.Host = "nobody.example.com" })
	require.Equal(t, http.StatusNotFound, res.StatusCode)
}

// Every failure has the status that says whose it is.
func TestStatuses(t *testing.T) {
	r := newRelay(t, Replace, func(p *Proxy) { p.Timeout = 500 * time.Millisecond })
	res, _ := r.get("/nobody/")
	require.Equal(t, http.StatusNotFound, res.StatusCode, "no such origin")
	res, _ = r.get("/")
	require.Equal(t, http.StatusNotFound, res.StatusCode)
	res, _ = r.get("/away/")
	require.Equal(t, http.StatusServiceUnavailable, res.StatusCode, "an origin that is not connected")
	require.NotEmpty(t, res.Header.Get("Retry-After"))

	r.origin(func(w http.ResponseWriter, req *http.Request) {
		switch req.URL.Path {
		case "/slow":
			<-req.Context().Done()
		case "/upload": // slower than the limit as a whole, but never silent
			n, err := io.Copy(io.Discard, req.Body)
			fmt.Fprint(w, n, err)
		default:
			panic(http.ErrAbortHandler)
		}
	})
	res, _ = r.get("/home/panics")
	require.Equal(t, http.StatusBadGateway, res.StatusCode)
	res, _ = r.get("/home/slow")
	require.Equal(t, http.StatusGatewayTimeout, res.StatusCode, "%v", r.journal)
	res, body := r.get("/home/upload", func(req *http.Request) {
		req.Method, req.Body = http.MethodPost, io.NopCloser(&slowReader{pieces: 6, pause: 100 * time.Millisecond})
	})
	require.Equal(t, http.StatusOK, res.StatusCode)
	require.Equal(t, "6 <nil>", body)

	conn, err := net.Dial("tcp", r.public.Listener.Addr().String())
	require.NoError(t, err)
	defer conn.Close()
	fmt.Fprint(conn, "CONNECT home:80 HTTP/1.1\r\nHost: home:80\r\n\r\n")
	res, err = http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusMethodNotAllowed, res.StatusCode)
}

// A slowReader gives one byte at a time, with pauses.
type slowReader struct {
	pieces int
	pause  time.Duration
}

func (r *slowReader) Read(p []byte) (int, error) {
	if r.pieces == 0 {
		return 0, io.EOF
	}
	r.pieces--
	timer := time.NewTimer(r.pause)
	defer timer.Stop()
	<-timer.C
	p[0] = 'x'
	return 1, nil
}

// An answer that breaks off in the middle must not look complete to the client.
func TestCutAnswerIsAborted(t *testing.T) {
	for name, length := range map[string]string{"with a length": "1000", "chunked": ""} {
		t.Run(name, func(t *testing.T) {
			r := newRelay(t, Replace)
			r.origin(func(w http.ResponseWriter, req *http.Request) {
				if length != "" {
					w.Header().Set("Content-Length", length)
				}
				io.WriteString(w, "the beginning")
				w.(http.Flusher).Flush()
				panic(http.ErrAbortHandler)
			})
			res, err := http.Get(r.public.URL + "/home/")
			if err != nil {
				return // the connection was reset before the client had read the head
			}
			defer res.Body.Close()
			body, err := io.ReadAll(res.Body)
			require.Error(t, err, "%q looked complete", body)
		})
	}
}

// The origin stops working for a client that has hung up.
func TestClientHangsUp(t *testing.T) {
	r := newRelay(t, Replace)
	stopped := make(chan error, 1)
	r.origin(func(w http.ResponseWriter, req *http.Request) {
		w.(http.Flusher).Flush()
		_, err := io.Copy(w, endless{})
		stopped <- err
	})
	res := r.begin("/home/")
	_, err := io.ReadFull(res.Body, make([]byte, 1<<20))
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	require.Error(t, <-stopped)
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

func TestStatusPage(t *testing.T) {
	r := newRelay(t, Newest)
	r.origin(func(w http.ResponseWriter, req *http.Request) { io.WriteString(w, "12345") })
	r.origin(func(w http.ResponseWriter, req *http.Request) { io.WriteString(w, "12345") })
	r.get("/home/")
	res, _ := r.get("/status")
	require.Equal(t, http.StatusNotFound, res.StatusCode, "not for the world")

	w := httptest.NewRecorder()
	r.proxy.Status().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/status", nil))
	require.Regexp(t, `ORIGIN +TUNNEL +STATE +FROM +UP FOR +RUNNING +SERVED +BYTES
away +- +not connected
home +2 +in use +127\.0\.0\.1:\d+ +0s +0 +1 +5
home +1 +spare +127\.0\.0\.1:\d+ +0s +0 +0 +0
`, w.Body.String())
}

func TestNewcomersAfterShutdown(t *testing.T) {
	r := newRelay(t, Replace)
	require.NoError(t, r.proxy.Shutdown(t.Context()))
	e := r.endpoint()
	_, err := e.Dial(t.Context())
	var refused *RefusedError
	require.True(t, errors.As(err, &refused), "%v", err)
	require.Equal(t, http.StatusServiceUnavailable, refused.Status)
	require.False(t, refused.Permanent())
}

// An origin may answer before it has the whole request. The client gets that
// answer at once, though it has not sent the rest and perhaps waits with it.
func TestAnswerBeforeTheUploadEnds(t *testing.T) {
	r := newRelay(t, Replace)
	r.origin(func(w http.ResponseWriter, req *http.Request) {
		http.Error(w, "too large", http.StatusRequestEntityTooLarge)
	})
	conn, err := net.Dial("tcp", r.public.Listener.Addr().String())
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(10*time.Second)))
	fmt.Fprint(conn, "POST /home/ HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\nthe beginning")
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusRequestEntityTooLarge, res.StatusCode)
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.Equal(t, "too large\n", string(body))
}

// What a stranger sends makes no lines of the log, and no long ones.
func TestLogLines(t *testing.T) {
	r := newRelay(t, Replace)
	r.origin(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	res := r.begin("/home/%0a2026/11/29%20away:%20wrong%20name%1b[2J" + strings.Repeat("x", 1000))
	res.Body.Close()
	require.Equal(t, http.StatusBadGateway, res.StatusCode)
	r.journal.wait(t, `home: GET "/home/\n2026/11/29 away: wrong name`, 1)
	for line := range strings.Lines(r.journal.String()) {
		require.NotRegexp(t, "^2026", line)
		require.NotContains(t, line, "\x1b")
		require.Less(t, len(line), 300)
	}
	require.Equal(t, `é "a": \n\x1b\u2028b`, oneLine("é %q: %v", "a", errors.New("\n\x1b\u2028b")))
}
