package tunnel

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const testToken = "correct horse"

// A relay is a proxy with its two listeners, and a journal of what it says.
type relay struct {
	t       *testing.T
	proxy   *Proxy
	public  *httptest.Server // for the world
	tunnels *httptest.Server // for origins
	journal *journal
}

// newRelay starts a proxy for the origins home and away.
func newRelay(t *testing.T, policy Policy, change ...func(*Proxy)) *relay {
	t.Helper()
	p := NewProxy(map[string]string{"home": testToken, "away": testToken}, policy)
	r := &relay{t: t, proxy: p, journal: newJournal()}
	p.Logf = r.journal.logf
	for _, c := range change {
		c(p)
	}
	r.public, r.tunnels = httptest.NewServer(p), httptest.NewServer(p.Tunnels())
	t.Cleanup(func() {
		r.public.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_ = p.Shutdown(ctx)
		r.tunnels.Close()
	})
	return r
}

func (r *relay) endpoint() Endpoint {
	return Endpoint{Addr: r.tunnels.Listener.Addr().String(), Name: "home", Token: testToken}
}

// origin connects an origin and waits until it is there. It ends with the test, or
// when stop is called, which returns what Run returned.
func (r *relay) origin(h http.HandlerFunc) (stop func() error) {
	r.t.Helper()
	o := &Origin{
		Endpoint: r.endpoint(), Handler: h, Grace: 5 * time.Second,
		Backoff: Backoff{Min: time.Millisecond, Max: 20 * time.Millisecond},
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	seen := r.journal.count("is up")
	go func() { ended <- o.Run(ctx) }()
	stop = sync.OnceValue(func() error {
		cancel()
		return <-ended
	})
	r.t.Cleanup(func() { _ = stop() })
	r.journal.wait(r.t, "is up", seen+1)
	return stop
}

// get sends a request to the proxy and returns the answer with its body read.
func (r *relay) get(path string, change ...func(*http.Request)) (*http.Response, string) {
	r.t.Helper()
	res := r.begin(path, change...)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	require.NoError(r.t, err)
	return res, string(body)
}

// begin is get with the body unread.
func (r *relay) begin(path string, change ...func(*http.Request)) *http.Response {
	r.t.Helper()
	req, err := http.NewRequest(http.MethodGet, r.public.URL+path, nil)
	require.NoError(r.t, err)
	for _, c := range change {
		c(req)
	}
	res, err := noRedirects.Do(req)
	require.NoError(r.t, err)
	return res
}

var noRedirects = &http.Client{
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

func header(name, value string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set(name, value) }
}

func method(m string, body string) func(*http.Request) {
	return func(r *http.Request) {
		r.Method, r.Body, r.ContentLength = m, io.NopCloser(strings.NewReader(body)), int64(len(body))
		if body == "" {
			r.Body = http.NoBody
		}
	}
}

// A journal keeps what a proxy or an origin says, and lets tests wait for it.
type journal struct {
	mu      sync.Mutex
	lines   []string
	changed chan struct{} // latch: closed and replaced with every line
}

func newJournal() *journal { return &journal{changed: make(chan struct{})} }

func (j *journal) logf(format string, args ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, fmt.Sprintf(format, args...))
	close(j.changed)
	j.changed = make(chan struct{})
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Join(j.lines, "\n")
}

func (j *journal) count(part string) int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.countLocked(part)
}

func (j *journal) countLocked(part string) int {
	n := 0
	for _, line := range j.lines {
		if strings.Contains(line, part) {
			n++
		}
	}
	return n
}

// wait waits for the n-th line with this part.
func (j *journal) wait(t *testing.T, part string, n int) {
	t.Helper()
	timer := time.NewTimer(10 * time.Second)
	defer timer.Stop()
	for {
		j.mu.Lock()
		have, changed, lines := j.countLocked(part), j.changed, slices.Clone(j.lines)
		j.mu.Unlock()
		if have >= n {
			return
		}
		select {
		case <-changed:
		case <-timer.C:
			require.FailNow(t, fmt.Sprintf("no %d lines with %q", n, part), strings.Join(lines, "\n"))
		}
	}
}

// dialTunnels opens a bare connection to the listener for origins.
func (r *relay) dialTunnels() net.Conn {
	r.t.Helper()
	conn, err := net.Dial("tcp", r.endpoint().Addr)
	require.NoError(r.t, err)
	require.NoError(r.t, conn.SetDeadline(time.Now().Add(10*time.Second)))
	r.t.Cleanup(func() { conn.Close() })
	return conn
}
