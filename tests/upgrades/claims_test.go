package upgrades

import (
	"bufio"
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/tests/bubble"
)

// received returns a request as a server of net/http receives it.
func received(t *testing.T, text string) *http.Request {
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(text)))
	require.NoError(t, err)
	r.RemoteAddr = "192.0.2.7:40000"
	return r
}

// forwarded returns the frames of a request that is forwarded, and answers it.
func forwarded(t *testing.T, p *peer, s *spdy.Session, r *http.Request, o spdy.ProxyOptions) []spdy.Frame {
	done := make(chan error, 1)
	go func() { done <- s.Proxy(httptest.NewRecorder(), r, o) }()
	frames := p.frames()
	id := frameOf[*spdy.SynStreamFrame](t, frames).StreamID
	p.send(&spdy.SynReplyFrame{StreamID: id, Flags: spdy.FlagFin, Headers: p.block(":status", "200", ":version", "HTTP/1.1")})
	require.NoError(t, <-done)
	return frames
}

// TestAttackA30Scheme: with XForwarded a client on a connection without TLS cannot claim one, or
// any other scheme, by a whole URL as the request's target. What the handler says goes out.
func TestAttackA30Scheme(t *testing.T) {
	const forged = "GET https://home.example/a HTTP/1.1\r\nHost: home.example\r\n\r\n"
	own := spdy.ProxyOptions{XForwarded: true}
	for name, tt := range map[string]struct {
		text    string
		edit    func(r *http.Request)
		options spdy.ProxyOptions
		want    string
	}{
		"plain":           {"GET /a HTTP/1.1\r\nHost: home.example\r\n\r\n", nil, own, "http"},
		"forged":          {forged, nil, own, "http"},
		"forged, mixed":   {strings.Replace(forged, "https", "hTTps", 1), nil, own, "http"},
		"forged, strange": {strings.Replace(forged, "https", "gopher", 1), nil, own, "http"},
		"denied": {strings.Replace(forged, "https", "http", 1), func(r *http.Request) { r.TLS = new(tls.ConnectionState) },
			own, "https"},
		"of the handler": {"GET /a HTTP/1.1\r\nHost: home.example\r\n\r\n", func(r *http.Request) { r.URL.Scheme = "https" },
			own, "https"},
		"of a URL, for a forward proxy": {forged, nil, spdy.ProxyOptions{}, "https"},
	} {
		bubble.InVersions(t, name, func(t *testing.T, v spdy.Version) {
			p, s := newPeer(t, v, nil, spdy.Config{})
			r := received(t, tt.text)
			if tt.edit != nil {
				tt.edit(r)
			}
			before := *r.URL
			syn := frameOf[*spdy.SynStreamFrame](t, forwarded(t, p, s, r, tt.options))
			require.Equal(t, before, *r.URL, "the request is not changed")
			want := p.block(":scheme", tt.want)[0]
			scheme, _ := syn.Headers.Get(want.Name)
			require.Equal(t, want.Value, scheme)
		})
	}
}

// TestAttackA30Trailers: a client cannot claim in a trailer where it comes from. Some servers of
// SPDY add trailers to the headers of a request.
func TestAttackA30Trailers(t *testing.T) {
	const body = "3\r\nabc\r\n0\r\nX-Forwarded-For: 10.0.0.1\r\nForwarded: for=10.0.0.1\r\n" +
		"x-forwarded-host: evil.example\r\nX-Forwarded-Proto: https\r\nX-Sum: 1\r\n\r\n"
	for name, announced := range map[string]string{
		"announced": "Trailer: X-Sum, X-Forwarded-For, Forwarded, x-forwarded-host, X-Forwarded-Proto\r\n",
		"in part":   "Trailer: X-Sum\r\n",
	} {
		bubble.InVersions(t, name, func(t *testing.T, v spdy.Version) {
			p, s := newPeer(t, v, nil, spdy.Config{})
			for _, o := range []spdy.ProxyOptions{{}, {XForwarded: true}} {
				r := received(t, "POST / HTTP/1.1\r\nHost: home.example\r\nTransfer-Encoding: chunked\r\n"+announced+"\r\n"+body)
				frames := forwarded(t, p, s, r, o)
				value, _ := frameOf[*spdy.SynStreamFrame](t, frames).Headers.Get("trailer")
				require.Equal(t, "X-Sum", value)
				trailer := frameOf[*spdy.HeadersFrame](t, frames)
				require.Equal(t, spdy.HeaderBlock{{Name: "x-sum", Value: "1"}}, trailer.Headers)
			}
		})
	}
}
