package tunnel

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/amahi/spdy"
)

// A Proxy is the public end of tunnels. The Proxy itself is the http.Handler of the public
// listener; Tunnels returns the handler of the listener for origins, and Status the handler of the
// operator's listener.
type Proxy struct {
	// Tokens holds the token of each origin, by the origin's name.
	Tokens map[string]string

	// ByHost selects the origin by the first label of the Host, as in home.example.com. Otherwise
	// the first part of the path selects the origin, and is removed from the forwarded path:
	// /home/video.mkv.
	ByHost bool

	// Timeout is the time for an origin to start the response, counted from the last byte that the
	// client sent; default 30 s.
	Timeout time.Duration

	KeepAlive time.Duration // between two pings on a tunnel; default 30 s
	Drain     time.Duration // for the requests on a replaced tunnel; default 1 h
	Config    *spdy.Config  // for the sessions; nil means the defaults

	// Logf, if not nil, logs the events of tunnels.
	Logf func(format string, args ...any)

	registry registry
}

// NewProxy returns a proxy for origins with these names and tokens.
func NewProxy(tokens map[string]string, policy Policy) *Proxy {
	return &Proxy{Tokens: tokens, registry: registry{policy: policy}}
}

// ServeHTTP forwards a request to the selected origin. The status is 404 for an unknown origin and
// 503 for an origin without a tunnel. Other failures are those of NewStreamProxy: 503 if the origin
// accepts no more requests, 504 if the origin is too slow, 502 if the origin fails, and an aborted
// response if the origin fails after the start of the response.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodConnect {
		http.Error(w, "this is no forward proxy", http.StatusMethodNotAllowed)
		return
	}
	name := p.nameOf(r)
	if _, known := p.Tokens[name]; !known {
		http.Error(w, "no such origin", http.StatusNotFound)
		return
	}
	if !p.ByHost && r.URL.Path == "/"+name { // relative links need the slash
		u := *r.URL
		u.Path, u.RawPath = "/"+name+"/", ""
		http.Redirect(w, r, u.RequestURI(), http.StatusPermanentRedirect)
		return
	}
	t := p.registry.pick(name)
	if t == nil {
		w.Header().Set("Retry-After", "5")
		http.Error(w, "the origin is not connected", http.StatusServiceUnavailable)
		return
	}
	p.forward(t, w, r)
}

// nameOf returns the name of the origin that a request selects.
func (p *Proxy) nameOf(r *http.Request) string {
	if !p.ByHost {
		name, _, _ := strings.Cut(strings.TrimPrefix(r.URL.EscapedPath(), "/"), "/")
		return name
	}
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	name, _, _ := strings.Cut(strings.ToLower(host), ".")
	return name
}

// forward sends a request to the origin of a tunnel and returns the response to the client.
func (p *Proxy) forward(t *tunnel, w http.ResponseWriter, r *http.Request) {
	t.running.Add(1)
	defer t.served.Add(1)
	defer t.running.Add(-1)
	ctx, cancel := context.WithCancelCause(r.Context())
	defer cancel(nil)
	limit := newPatience(orDefault(p.Timeout, 30*time.Second), func() { cancel(context.DeadlineExceeded) })
	defer limit.end()
	out := p.forwarded(r.WithContext(ctx), t.name)
	if out.Body != nil && out.Body != http.NoBody {
		out.Body = &watchedBody{ReadCloser: out.Body, limit: limit}
	}
	err := t.session.NewStreamProxy(out, &watchedWriter{ResponseWriter: w, limit: limit, bytes: &t.bytes})
	if err != nil && r.Context().Err() == nil {
		p.logf("%s: %s %s: %v", t.name, r.Method, loggable(r.URL.Path), err)
	}
}

// Shutdown ends the tunnels: running requests finish, unless ctx ends first. New tunnels are
// refused from now on. Stop the public listener before.
func (p *Proxy) Shutdown(ctx context.Context) error {
	tunnels := p.registry.close()
	errs := make([]error, len(tunnels))
	var all sync.WaitGroup
	for i, t := range tunnels {
		all.Go(func() { errs[i] = t.session.Shutdown(ctx) })
	}
	all.Wait()
	return errors.Join(errs...)
}

func (p *Proxy) logf(format string, args ...any) {
	if p.Logf != nil {
		p.Logf("%s", oneLine(format, args...))
	}
}
