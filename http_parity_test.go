package spdy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy/internal/testconn"
)

// The same handlers and requests over HTTP/1.1, with net/http at both ends, and over
// SPDY. What differs is listed in parityIgnored; everything else must be equal.

// parityIgnored are headers that say how HTTP/1.1 frames a message, or when it was sent.
var parityIgnored = []string{"Date", "Connection", "Transfer-Encoding", "Keep-Alive", "User-Agent", "Accept-Encoding"}

func parityHeader(h http.Header) http.Header {
	h = h.Clone()
	for _, name := range parityIgnored {
		h.Del(name)
	}
	if h == nil {
		h = http.Header{}
	}
	return h
}

// An outcome is what a handler and a client have seen of one exchange.
type outcome struct {
	Seen    []string // by the handler
	Status  string
	Code    int
	Header  http.Header
	HasDate bool
	Length  int64
	Body    string
	Trailer http.Header
	Failed  bool
}

// A witness collects what a handler sees.
type witness struct {
	mu   sync.Mutex
	seen []string
}

func (w *witness) note(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen = append(w.seen, fmt.Sprintf(format, args...))
}

// parityHandlers are run over both protocols, each with GET, HEAD and POST.
var parityHandlers = map[string]func(w http.ResponseWriter, r *http.Request, note func(string, ...any)){
	"nothing": func(w http.ResponseWriter, r *http.Request, note func(string, ...any)) {},
	"short":   func(w http.ResponseWriter, r *http.Request, note func(string, ...any)) { fmt.Fprint(w, "short") },
	"empty write": func(w http.ResponseWriter, r *http.Request, note func(string, ...any)) {
		n, err := w.Write(nil)
		note("%d %v", n, err)
	},
	"html": func(w http.ResponseWriter, r *http.Request, note func(string, ...any)) {
		for _, piece := range []string{"<", "ht", "ml>", "<p>"} {
			n, err := io.WriteString(w, piece)
			note("%d %v", n, err)
		}
	},
	"long": func(w http.ResponseWriter, r *http.Request, note func(string, ...any)) {
		n, err := w.Write(patternBytes(1, 100_000))
		note("%d %v", n, err)
	},
	"ReadFrom": func(w http.ResponseWriter, r *http.Request, note func(string, ...any)) {
		n, err := io.Copy(w, strings.NewReader(strings.Repeat("text ", 30_000)))
		note("%d %v", n, err)
	},
	"ReadFrom of a failing reader": func(w http.ResponseWriter, r *http.Request, note func(string, ...any)) {
		n, err := io.Copy(w, io.MultiReader(strings.NewReader("some"), errorReader{}))
		note("%d %v", n, err)
	},
	"404": func(w http.ResponseWriter, r *http.Request, note func(string, ...any)) {
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprint(w, "not here")
	},
	"unusual status": func(w http.ResponseWriter, r *http.Request, note func(string, ...any)) { w.WriteHeader(299) },
	"status only":    func(w http.ResponseWriter, r *http.Request, note func(string, ...any)) { w.WriteHeader(500) },
	"two statuses": func(w http.ResponseWriter, r *http.Request, note func(string, ...any)) {
		w.WriteHeader(201)
		w.WriteHeader(500)
	},
	"status after body": func(w http.ResponseWriter, r *http.Request, note func(string, ...any)) {
		fmt.Fprint(w, "x")
		w.WriteHeader(500)
	},
	"204": func(w http.ResponseWriter, r *http.Request, note func(string, ...any)) {
		w.Header().Set("Content-Type", "text/plain")
		w.WriteHeader(204)
		_, err := w.Write([]byte("x"))
		note("%v", errors.Is(err, http.ErrBodyNotAllowed))
	},
	"304": func(w http.ResponseWriter, r *http.Request, note func(string, ...any)) {
		w.Header().Set("Etag", `"1"`)
		w.Header().Set("Content-Length", "12")
		w.WriteHeader(304)
		_, err := w.Write([]byte("x"))
		note("%v", errors.Is(err, http.ErrBodyNotAllowed))
	},
	"Content-Length": func(w http.ResponseWriter, r *http.Request, note func(string, ...any)) {
		w.Header().Set("Content-Length", "5")
		n, err := io.WriteString(w, "12345")
		note("%d %v", n, err)
		n, err = io.WriteString(w, "6")
		note("%d %v", n, errors.Is(err, http.ErrContentLength))
		n, err = w.Write(nil)
		note("%d %v", n, err)
	},
	"less than Content-Length": func(w http.ResponseWriter, r *http.Request, note func(string, ...any)) {
		w.Header().Set("Content-Length", "50")
		fmt.Fprint(w, "12345")
		w.(http.Flusher).Flush()
	},
	"bad Content-Length": func(w http.ResponseWriter, r *http.Request, note func(string, ...any)) {
		if r.Method == "HEAD" {
			return // net/http sends the bad number then, which its client does not take
		}
		w.Header().Set("Content-Length", "five")
		w.Write(patternBytes(1, 5000)) // small answers get the right one, of ours
	},
	"Content-Type": func(w http.ResponseWriter, r *http.Request, note func(string, ...any)) {
		w.Header().Set("Content-Type", "application/x-own")
		fmt.Fprint(w, "<html>")
	},
	"no Content-Type": func(w http.ResponseWriter, r *http.Request, note func(string, ...any)) {
		w.Header()["Content-Type"] = nil
		fmt.Fprint(w, "<html>")
	},
	"Content-Encoding": func(w http.ResponseWriter, r *http.Request, note func(string, ...any)) {
		w.Header().Set("Content-Encoding", "br")
		fmt.Fprint(w, "<html>")
	},
	"own Date": func(w http.ResponseWriter, r *http.Request, note func(string, ...any)) {
		w.Header().Set("Date", "Thu, 01 Jan 1970 00:00:00 GMT")
	},
	"no Date": func(w http.ResponseWriter, r *http.Request, note func(string, ...any)) { w.Header()["Date"] = nil },
	"headers": func(w http.ResponseWriter, r *http.Request, note func(string, ...any)) {
		w.Header().Add("X-Many", "one")
		w.Header().Add("X-Many", "two, three")
		w.Header().Add("X-Empty", "")
		w.Header()["x-lower"] = []string{"y"}
		http.SetCookie(w, &http.Cookie{Name: "a", Value: "1"})
		http.SetCookie(w, &http.Cookie{Name: "b", Value: "2", Path: "/"})
		w.Header().Set("Connection", "X-Hop")
		w.Header().Set("Keep-Alive", "timeout=5")
		fmt.Fprint(w, "x")
		w.Header().Set("X-Late-But-Buffered", "no")
	},
	"headers after WriteHeader": func(w http.ResponseWriter, r *http.Request, note func(string, ...any)) {
		w.Header().Set("X-A", "1")
		w.WriteHeader(200)
		w.Header().Set("X-A", "2")
		w.Header().Set("X-B", "3")
	},
	"trailers": func(w http.ResponseWriter, r *http.Request, note func(string, ...any)) {
		w.Header().Set("Trailer", "X-Sum, X-Unset")
		w.Header().Add("Trailer", "X-Other")
		fmt.Fprint(w, "body")
		w.(http.Flusher).Flush()
		w.Header().Set("X-Sum", "42")
		w.Header()["X-Other"] = []string{"a", "b"}
		w.Header().Set("X-Unannounced", "no")
	},
	"trailers of a small body": func(w http.ResponseWriter, r *http.Request, note func(string, ...any)) {
		w.Header().Set("Trailer", "X-Sum")
		fmt.Fprint(w, "body")
		w.Header().Set("X-Sum", "42")
	},
	"trailer prefix": func(w http.ResponseWriter, r *http.Request, note func(string, ...any)) {
		fmt.Fprint(w, "body")
		w.(http.Flusher).Flush()
		w.Header().Set(http.TrailerPrefix+"X-Sum", "42")
	},
	"flush first": func(w http.ResponseWriter, r *http.Request, note func(string, ...any)) {
		note("%v", http.NewResponseController(w).Flush())
		fmt.Fprint(w, "<html>")
	},
	"flush last": func(w http.ResponseWriter, r *http.Request, note func(string, ...any)) {
		fmt.Fprint(w, "<html>")
		note("%v", http.NewResponseController(w).Flush())
	},
	"interim": func(w http.ResponseWriter, r *http.Request, note func(string, ...any)) {
		w.WriteHeader(100)
		w.Header().Set("Link", "</x.css>; rel=preload")
		w.WriteHeader(103)
		w.WriteHeader(200)
		fmt.Fprint(w, "x")
	},
	"abort": func(w http.ResponseWriter, r *http.Request, note func(string, ...any)) {
		fmt.Fprint(w, "x")
		panic(http.ErrAbortHandler)
	},
	"abort begun": func(w http.ResponseWriter, r *http.Request, note func(string, ...any)) {
		fmt.Fprint(w, "x")
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	},
	"error": func(w http.ResponseWriter, r *http.Request, note func(string, ...any)) {
		http.Error(w, "went wrong", http.StatusTeapot)
	},
	"redirect": func(w http.ResponseWriter, r *http.Request, note func(string, ...any)) {
		http.Redirect(w, r, "/there?a=b", http.StatusFound)
	},
	"content": func(w http.ResponseWriter, r *http.Request, note func(string, ...any)) {
		http.ServeContent(w, r, "a.txt", time.Unix(1e9, 0), bytes.NewReader(patternBytes(3, 2000)))
	},
	"bad status": func(w http.ResponseWriter, r *http.Request, note func(string, ...any)) {
		defer func() { note("%v", recover() != nil); w.WriteHeader(202) }()
		w.WriteHeader(99)
	},
	"read the body": func(w http.ResponseWriter, r *http.Request, note func(string, ...any)) {
		body, err := io.ReadAll(r.Body)
		note("%q %v %v", body, err, r.Trailer)
		n, err := r.Body.Read(make([]byte, 1))
		note("%d %v %v", n, err, r.Body.Close())
		n, err = r.Body.Read(make([]byte, 1))
		note("%d %v", n, err == http.ErrBodyReadAfterClose || err == io.EOF && r.Method != "POST")
	},
	"form": func(w http.ResponseWriter, r *http.Request, note func(string, ...any)) {
		note("%v %v", r.ParseForm(), r.Form)
	},
}

type errorReader struct{}

func (errorReader) Read([]byte) (int, error) { return 0, errors.New("reader failed") }

// A parityRig serves one handler over both protocols.
type parityRig struct {
	w     *witness
	h1    *httptest.Server
	spdy  *Session
	close func()

	handled chan struct{} // one for each time that the handler has ended
}

func newParityRig(t *testing.T, h func(w http.ResponseWriter, r *http.Request, note func(string, ...any))) *parityRig {
	p := &parityRig{w: new(witness)}
	p.handled = make(chan struct{}, 1)
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			select {
			case p.handled <- struct{}{}:
			default: // net/http tried again after a failure
			}
		}()
		h(w, r, p.w.note)
	})
	p.h1 = httptest.NewUnstartedServer(handler)
	p.h1.Config.ErrorLog = quietLog
	p.h1.Start()
	one, two := testconn.Pair()
	conf := inVersion(t, &Config{Logger: textLogger(io.Discard)})
	server := conf.ServerSession(two, &http.Server{Handler: handler})
	p.spdy = conf.ClientSession(one)
	go server.Serve()
	go p.spdy.Serve()
	p.close = func() {
		p.h1.Close()
		p.spdy.Close()
		server.Close()
	}
	return p
}

// run sends a request over one of the protocols.
func (p *parityRig) run(t *testing.T, rt http.RoundTripper, req *http.Request) outcome {
	p.w.seen = nil
	res, err := rt.RoundTrip(req)
	if err != nil {
		<-p.handled // it fails because of what the handler does
		return outcome{Failed: true}
	}
	body, err := io.ReadAll(res.Body)
	require.NoError(t, res.Body.Close())
	<-p.handled // an answer may be complete before its handler is
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	o := outcome{
		Seen: p.w.seen, Status: res.Status, Code: res.StatusCode, Length: res.ContentLength,
		HasDate: res.Header.Get("Date") != "", Header: parityHeader(res.Header), Body: string(body), Failed: err != nil,
	}
	if len(res.Trailer) > 0 {
		o.Trailer = res.Trailer
	}
	return o
}

// both runs a request, made twice, over both protocols and compares the outcomes.
func (p *parityRig) both(t *testing.T, what string, makeRequest func() *http.Request) {
	t.Helper()
	h1 := &http.Transport{DisableCompression: true}
	defer h1.CloseIdleConnections()
	a, b := makeRequest(), makeRequest()
	a.URL.Host = strings.TrimPrefix(p.h1.URL, "http://") // the Host stays
	want, got := p.run(t, h1, a), p.run(t, p.spdy, b)
	if strings.Contains(t.Name(), "abort") {
		// How much of it comes is up to chance; but to HEAD net/http has said it all.
		require.True(t, got.Failed, what)
		require.True(t, want.Failed || a.Method == "HEAD", what)
		return
	}
	if http.StatusText(want.Code) == "" {
		want.Status, got.Status = "", "" // HTTP/1.1 needs a reason and makes one up
	}
	if testVersion(t) == SPDY2 { // SPEC R12
		want.Trailer, got.Trailer = nil, nil
	}
	if a.Method == "HEAD" {
		if want.Length < 0 { // ours has counted what it did not send
			want.Length, got.Length = 0, 0
			got.Header.Del("Content-Length")
		}
		want.Header.Del("Trailer") // net/http's client leaves it among the headers
		want.Trailer, got.Trailer = nil, nil
	}
	if want.Failed {
		want.Body, got.Body = "", "" // a reset drops what nobody has read yet
	}
	require.Equal(t, want, got, what)
}

func TestHandlersAsOverHTTP1(t *testing.T) {
	for name, h := range parityHandlers {
		t.Run(name, func(t *testing.T) {
			p := newParityRig(t, h)
			defer p.close()
			for _, method := range []string{"GET", "HEAD", "POST"} {
				p.both(t, method, func() *http.Request {
					var body io.Reader
					if method == "POST" {
						body = strings.NewReader("a=b&c=d")
					}
					req := httptest.NewRequest(method, "http://parity.example/dir/a.txt?c=e", body)
					req.RequestURI = ""
					req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
					if name == "content" {
						req.Header.Set("Range", "bytes=100-199")
					}
					return req
				})
			}
		})
	}
}

// TestRequestsAsOverHTTP1 compares what a handler sees of requests.
func TestRequestsAsOverHTTP1(t *testing.T) {
	p := newParityRig(t, func(w http.ResponseWriter, r *http.Request, note func(string, ...any)) {
		body, err := io.ReadAll(r.Body)
		note("%s %s %s %s %d.%d", r.Method, r.URL, r.RequestURI, r.Proto, r.ProtoMajor, r.ProtoMinor)
		note("%q %d %v %v", r.Host, r.ContentLength, r.TLS, r.Close)
		note("%q", parityHeader(r.Header))
		note("%q %v %q", body, err, r.Trailer)
		note("%v %v", r.Cookies(), r.Context().Err())
		note("%v", r.RemoteAddr != "")
	})
	defer p.close()
	requests := map[string]func(r *http.Request){
		"plain": func(r *http.Request) {},
		"host":  func(r *http.Request) { r.Host = "other.example:8080" },
		"query": func(r *http.Request) {
			r.URL = &url.URL{Scheme: "http", Host: "x", Path: "/a b/ü", RawQuery: "q=%20&x"}
		},
		"raw path": func(r *http.Request) { r.URL.RawPath, r.URL.Path = "/a%2Fb", "/a/b" },
		"no path":  func(r *http.Request) { r.URL.Path = "" },
		"options":  func(r *http.Request) { r.Method = "OPTIONS" },
		"headers": func(r *http.Request) {
			r.Header.Add("X-Many", "one")
			r.Header.Add("X-Many", "two, three")
			r.Header["x-lower"] = []string{" padded\t"}
			r.Header.Set("X-Empty", "")
			r.Header.Set("Referer", "http://a/")
		},
		"cookies": func(r *http.Request) {
			r.AddCookie(&http.Cookie{Name: "a", Value: "1"})
			r.AddCookie(&http.Cookie{Name: "b", Value: "2"})
		},
		"auth": func(r *http.Request) { r.SetBasicAuth("me", "secret") },
		"hop by hop": func(r *http.Request) {
			r.Header.Set("Te", "trailers")
			r.Header.Set("Keep-Alive", "x")
			r.Header.Del("Te")
			r.Header.Del("Keep-Alive")
		},
		"body": func(r *http.Request) {
			r.Method, r.Body, r.ContentLength = "PUT", io.NopCloser(strings.NewReader("hello")), 5
		},
		"body of unknown length": func(r *http.Request) {
			r.Method, r.Body = "POST", io.NopCloser(strings.NewReader("hello"))
		},
		"empty body": func(r *http.Request) { r.Method, r.Body = "POST", http.NoBody },
		"trailers": func(r *http.Request) {
			r.Method, r.Body = "POST", io.NopCloser(strings.NewReader("hello"))
			r.Trailer = http.Header{"X-Sum": {"42"}}
		},
		"100-continue": func(r *http.Request) {
			r.Method, r.Body, r.ContentLength = "POST", io.NopCloser(strings.NewReader("hello")), 5
			r.Header.Set("X-Expecting", "yes")
		},
		"own method": func(r *http.Request) { r.Method = "PURGE" },
	}
	for name, edit := range requests {
		t.Run(name, func(t *testing.T) {
			p.both(t, name, func() *http.Request {
				req, err := http.NewRequest("GET", "http://parity.example/dir/a.txt", nil)
				require.NoError(t, err)
				edit(req)
				if req.Host == "x" || req.Host == "" {
					req.Host = "parity.example"
				}
				return req
			})
		})
	}
}
