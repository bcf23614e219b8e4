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

// This file is the server's half of the way in which Kubernetes, above all, gets from
// HTTP/1.1 to SPDY: a request with "Upgrade: SPDY/3.1", the answer 101 Switching
// Protocols, and frames from then on. What the streams carry is agreed on in the same
// two messages. upgrade_dial.go is the client's half.

// UpgradeProtocol is what the header field Upgrade says in both messages.
const UpgradeProtocol = "SPDY/3.1"

// The header fields of an upgrade that are not HTTP's own.
const (
	// HeaderStreamProtocol lists what the client can speak on the streams, the best
	// first, on one line or several; in the answer it is what the server has chosen.
	HeaderStreamProtocol = "X-Stream-Protocol-Version"

	// HeaderAcceptedStreamProtocols lists, one a line, what a server speaks that has
	// refused an upgrade with 403 because the client offered nothing of it.
	HeaderAcceptedStreamProtocols = "X-Accepted-Stream-Protocol-Versions"
)

// upgradeWrite is how long the answer 101 may take to be written.
const upgradeWrite = 10 * time.Second

// An Upgrader is the server's end of an upgrade from HTTP/1.1 to SPDY/3.1, for use in
// an http.Handler. The zero value is ready. Any number of goroutines may use it at
// once; its fields must not be changed meanwhile.
type Upgrader struct {
	// Config is for the sessions; nil means the defaults. Whatever its Version says,
	// they speak SPDY/3.1. Peers of the kind of Kubernetes need
	// FlowControlPeerUnaware.
	Config *Config

	// Protocols are the stream protocols that the server knows, compared byte by byte.
	// The client's order decides. If there are none, the server does not ask for any
	// and does not echo one.
	Protocols []string

	// Detached leaves the sessions to the handler alone. By default they are the server's
	// too, see TrackSession: when it shuts down it drains them, and Upgrade answers 503; when
	// it is closed it ends them, unless it is an http.Server, which has to be closed with
	// CloseServer for that.
	Detached bool

	// Refuse, if it is not nil, answers a request that is not upgraded, for example in the
	// form in which the rest of a service reports errors. It gets the status and the reason
	// in refusal, whose Header, the accepted stream protocols, is set in w. nil
	// stands for a line of text. Refuse is not called when the 101 cannot be written.
	Refuse func(w http.ResponseWriter, r *http.Request, refusal *UpgradeError)
}

// Upgrade answers the request with 101 Switching Protocols and returns a raw session
// on its connection, which belongs to the session from then on; call Serve to run it.
// protocol is what was chosen for the streams. Header fields that w has go out with
// the 101, except those that frame a message. Bytes that the client has sent behind
// its request are the session's first. Nothing follows the 101 until they come: Go
// clients are known to lose what does.
//
// A request that is no upgrade, that has a body or that did not come over HTTP/1.1 is
// answered with 400, as is one without stream protocols if the server asks for them;
// one that offers only unknown ones with 403, and with what is known; one that comes when
// the server is shutting down with 503, unless the Upgrader is Detached, and so is one for which
// the Pools of its Server have no room. Upgrade then
// returns an *UpgradeError with the status, and the handler must not use w. Refuse can write that answer in another form.
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

// upgradeConfig is a configuration, which may be nil, that speaks what was agreed on.
func upgradeConfig(c *Config) *Config {
	var d Config
	if c != nil {
		d = *c
	}
	d.Version = SPDY31
	return &d
}

// peekAll returns what a reader has read ahead.
func peekAll(r *bufio.Reader) []byte {
	p, _ := r.Peek(r.Buffered()) // cannot fail: it is there
	return p
}

// negotiate finds out whether a request can be upgraded, and for which protocol.
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

// framing returns the names in a handler's header that an answer 101 must not repeat:
// those of the connection, of the body, and of the upgrade itself.
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

// switchProtocols writes the answer 101 and takes away the limits of time that the
// http.Server has set.
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
	if _, err := conn.Write([]byte(answer.String())); err != nil {
		return err
	}
	return conn.SetDeadline(time.Time{})
}

// An UpgradeError is why an upgrade came to nothing. The server's end has answered the
// request with the status; the client's end tells what the server, or a proxy, has
// answered, and follows no redirect.
type UpgradeError struct {
	URL        string      // what was asked for, without user and password
	StatusCode int         // of the answer; 0 if there was none
	Status     string      // "403 Forbidden"
	Header     http.Header // of the answer
	Body       []byte      // of the answer, its first 64 KiB
	Reason     string      // what was wrong, if the status does not say it
	Err        error       // cause: a *ProxyError, an error of the network or of TLS, or the context's; may be nil
}

// Error says what was asked for and what came of it.
func (e *UpgradeError) Error() string {
	what := "spdy: upgrade of " + e.URL
	if e.Status != "" && e.Err == nil {
		what += ": " + e.Status
	}
	return describe(what, e.Reason, e.Err)
}

// Unwrap returns the cause, if any.
func (e *UpgradeError) Unwrap() error { return e.Err }

// requestURL names a request.
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
