package spdy

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"
)

// This file is the server's half of the upgrade from HTTP/1.1 to SPDY, used mainly by Kubernetes: a
// request with "Upgrade: SPDY/3.1", the response 101 Switching Protocols, and frames from then on.
// The same two messages negotiate the protocol of the streams. upgrade_dial.go is the client's
// half.

// UpgradeProtocol is the value of the header field Upgrade in request and response.
const UpgradeProtocol = "SPDY/3.1"

// The header fields of an upgrade that HTTP does not define.
const (
	// HeaderStreamProtocol lists the client's stream protocols, the best first, on one line or
	// several; in the response it is the server's choice.
	HeaderStreamProtocol = "X-Stream-Protocol-Version"

	// HeaderAcceptedStreamProtocols lists, one per line, the stream protocols of a server that has
	// refused an upgrade with 403 because the client offered none of them.
	HeaderAcceptedStreamProtocols = "X-Accepted-Stream-Protocol-Versions"
)

// upgradeWrite limits the time to write the response 101.
const upgradeWrite = 10 * time.Second

// An Upgrader is the server's end of an upgrade from HTTP/1.1 to SPDY/3.1, for use in an
// http.Handler. The zero value is ready for use. It is safe for concurrent use; its fields must not
// be changed while it is in use.
type Upgrader struct {
	// Config is the configuration of the sessions; nil means the defaults. The sessions speak
	// SPDY/3.1, whatever the Version. Peers of Kubernetes and the like need FlowControlPeerUnaware.
	Config *Config

	// Protocols are the stream protocols of the server, compared byte by byte. The client's order
	// decides. If there are none, the server neither requires nor echoes a protocol.
	Protocols []string

	// Detached leaves the sessions to the handler alone. By default they also belong to the server,
	// see TrackSession: during a shutdown the server drains them, and Upgrade answers 503;
	// Server.Close ends them, and for an http.Server CloseServer does.
	Detached bool

	// Refuse, if not nil, answers a request that is not upgraded, for example in the error format
	// of the service. refusal has the status and the reason; refusal.Header, the accepted stream
	// protocols, is already set in w. nil means a line of text. Refuse is not called if writing the
	// 101 fails.
	Refuse func(w http.ResponseWriter, r *http.Request, refusal *UpgradeError)
}

// Upgrade answers the request with 101 Switching Protocols and returns a raw session on the
// connection, which the session owns from then on; call Serve to run the session. protocol is the
// negotiated stream protocol. Header fields of w are sent with the 101, except fields that frame a
// message. The session begins with the bytes that the client has sent after the request. The server
// sends nothing after the 101 until the client sends: some Go clients lose such bytes.
//
// Upgrade answers 400 to a request that is not an upgrade, has a body or did not arrive over
// HTTP/1.1, and to a request without stream protocols if the server requires them; 403, with the
// server's protocols, if all offered stream protocols are unknown; and 503 if the Pools of the
// Server are full or, unless the Upgrader is Detached, during a shutdown of the server. Upgrade
// then returns an *UpgradeError with the status, and the handler must not use w. Refuse can write
// the response in another format.
func (u *Upgrader) Upgrade(w http.ResponseWriter, r *http.Request) (s *Session, protocol string, err error) {
	if r == nil || w == nil {
		return nil, "", &UpgradeError{Reason: "the request", Err: errNoRequest}
	}
	refuse := func(refusal *UpgradeError, cause error) (*Session, string, error) {
		refusal.Err = cause
		u.refuse(w, r, refusal)
		return nil, "", refusal
	}
	protocol, refusal := u.negotiate(r)
	if refusal != nil {
		return refuse(refusal, nil)
	}
	if err := u.Config.check(rawSending); err != nil {
		return refuse(refuseUpgrade(r, http.StatusInternalServerError, "the configuration of its sessions"), err)
	}
	var owner *upgrades
	if !u.Detached {
		owner = upgradesOf(r.Context())
	}
	if owner.isClosing() {
		return refuse(refuseUpgrade(r, http.StatusServiceUnavailable, "the server is shutting down"), http.ErrServerClosed)
	}
	conf := upgradeConfig(u.Config)
	if conf.shared = owner.pools(); conf.shared != nil {
		if full := conf.shared.admit(); full != nil {
			return refuse(refuseUpgrade(r, http.StatusServiceUnavailable, "the server has too many sessions"), full)
		}
	}
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return refuse(refuseUpgrade(r, http.StatusInternalServerError, "the connection cannot be taken over"), err)
	}
	if err := switchProtocols(conn, w.Header(), protocol); err != nil {
		conn.Close()
		return nil, "", &UpgradeError{URL: requestURL(r), Reason: "writing the answer", Err: err}
	}
	s = conf.RawSession(withReadAhead(conn, peekAll(buffered.Reader)), false)
	s.silent = true
	if !owner.enter(s) {
		s.Close()
		return nil, "", &UpgradeError{URL: requestURL(r), Reason: "after the answer", Err: http.ErrServerClosed}
	}
	return s, protocol, nil
}

// upgradeConfig returns a copy of a configuration, which may be nil, for SPDY/3.1.
func upgradeConfig(c *Config) *Config {
	var d Config
	if c != nil {
		d = *c
	}
	d.Version = SPDY31
	return &d
}

// peekAll returns the bytes in a reader's buffer.
func peekAll(r *bufio.Reader) []byte {
	p, _ := r.Peek(r.Buffered()) // cannot fail: the bytes are buffered
	return p
}

// negotiate determines whether a request can be upgraded, and the stream protocol.
func (u *Upgrader) negotiate(r *http.Request) (protocol string, refusal *UpgradeError) {
	refuse := func(status int, reason string) (string, *UpgradeError) {
		return "", refuseUpgrade(r, status, reason)
	}
	switch {
	case r.ProtoMajor != 1 || r.ProtoMinor < 1: // RFC 9110 §7.8; HTTP/2 has no upgrades
		return refuse(http.StatusBadRequest, "only HTTP/1.1 can be upgraded, this is "+r.Proto)
	case !httpguts.HeaderValuesContainsToken(r.Header["Connection"], "upgrade"):
		return refuse(http.StatusBadRequest, "the header field Connection does not say Upgrade")
	case !httpguts.HeaderValuesContainsToken(r.Header["Upgrade"], UpgradeProtocol):
		return refuse(http.StatusBadRequest, "the header field Upgrade does not say "+UpgradeProtocol)
	case r.ContentLength != 0 || len(r.TransferEncoding) > 0:
		return refuse(http.StatusBadRequest, "a request to upgrade must have no body")
	case len(u.Protocols) == 0:
		return "", nil
	}
	offered := listValues(r.Header[HeaderStreamProtocol])
	if len(offered) == 0 {
		return refuse(http.StatusBadRequest, "the header field "+HeaderStreamProtocol+" names no protocol")
	}
	for _, protocol := range offered {
		if slices.Contains(u.Protocols, protocol) {
			return protocol, nil
		}
	}
	_, refusal = refuse(http.StatusForbidden, fmt.Sprintf("the client speaks %q, the server %q", offered, u.Protocols))
	refusal.Header[HeaderAcceptedStreamProtocols] = slices.Clone(u.Protocols)
	return "", refusal
}

// listValues splits the values of a header field, which may be repeated, at commas.
func listValues(lines []string) (values []string) {
	for _, line := range lines {
		for value := range strings.SplitSeq(line, ",") {
			if value = strings.Trim(value, " \t"); value != "" {
				values = append(values, value)
			}
		}
	}
	return values
}

// framing returns the names in a handler's header that must not be in a 101 response: fields of the
// connection, of the body, and of the upgrade itself.
func framing(header http.Header) map[string]bool {
	names := make(map[string]bool)
	for name := range header {
		switch http.CanonicalHeaderKey(name) {
		case "Content-Length", "Trailer", HeaderStreamProtocol:
			names[name] = true
		default:
			names[name] = reachOf(lowerName(name)) == connectionOnly
		}
	}
	return names
}

// switchProtocols writes the 101 response and clears the deadlines set by the http.Server.
func switchProtocols(conn net.Conn, header http.Header, protocol string) error {
	var answer strings.Builder
	answer.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: " + UpgradeProtocol + "\r\n")
	if protocol != "" {
		answer.WriteString(HeaderStreamProtocol + ": " + protocol + "\r\n")
	}
	if err := header.WriteSubset(&answer, framing(header)); err != nil {
		return err
	}
	answer.WriteString("\r\n")
	if err := conn.SetDeadline(time.Now().Add(upgradeWrite)); err != nil {
		return err
	}
	if _, err := writeWhole(conn, []byte(answer.String())); err != nil {
		return err
	}
	return conn.SetDeadline(time.Time{})
}

// An UpgradeError reports the failure of an upgrade. On the server it has the status of the
// response already sent; on the client it has the response of the server or of a proxy. Redirects
// are not followed.
type UpgradeError struct {
	URL        string      // the requested URL, without user and password
	StatusCode int         // of the response; 0 if there was none
	Status     string      // "403 Forbidden"
	Header     http.Header // of the response
	Body       []byte      // the first 64 KiB of the response body
	Reason     string      // the reason, if the status does not contain it
	Err        error       // cause: a *ProxyError, an error of the network, of TLS or of the context; may be nil
}

// Error describes the request and the failure.
func (e *UpgradeError) Error() string {
	what := "spdy: upgrade of " + e.URL
	if e.Status != "" && e.Err == nil {
		what += ": " + e.Status
	}
	return describe(what, e.Reason, e.Err)
}

// Unwrap returns the cause, if any.
func (e *UpgradeError) Unwrap() error { return e.Err }

// requestURL returns the URL of a request, without user and password.
func requestURL(r *http.Request) string {
	if r.URL == nil {
		return r.RequestURI
	}
	bare := *r.URL
	bare.User = nil
	return bare.String()
}

func refuseUpgrade(r *http.Request, status int, reason string) *UpgradeError {
	return &UpgradeError{
		URL: requestURL(r), StatusCode: status, Status: fmt.Sprintf("%d %s", status, http.StatusText(status)),
		Header: make(http.Header), Reason: reason,
	}
}

// refuse sends a refusal.
func (u *Upgrader) refuse(w http.ResponseWriter, r *http.Request, refusal *UpgradeError) {
	for name, values := range refusal.Header {
		w.Header()[name] = slices.Clone(values)
	}
	if u.Refuse != nil {
		u.Refuse(w, r, refusal)
		return
	}
	refusal.Body = []byte("unable to upgrade: " + refusal.Reason + "\n")
	http.Error(w, strings.TrimSuffix(string(refusal.Body), "\n"), refusal.StatusCode)
}
