package spdy

import (
	"context"
	"net/http"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"
)

// This file negotiates upgrades inside a session, and converts requests for them. A request with
// "Upgrade: websocket" is sent as in RFC 8441 for HTTP/2: with the method CONNECT and the protocol
// in a pseudo header. A server accepts with a SYN_REPLY that has the same pseudo header; from then
// on the stream carries the bytes of the protocol. docs/upgrades.md has the details.

// upgradeTerms is the state of the negotiation of upgrades on a session, as bits.
type upgradeTerms uint8

const (
	upgradesAsked   upgradeTerms = 1 << iota // the client has sent SettingUpgrades
	upgradesTaken                            // the server has sent SettingUpgrades in reply
	upgradesUnknown                          // the client knows that the server has not replied
)

func (t upgradeTerms) has(bit upgradeTerms) bool { return t&bit != 0 }

// hearUpgrades processes the peer's SettingUpgrades. A server replies once, to a client that asks:
// clients of other libraries would not ignore an unknown setting (SPEC T5). The setting is not kept
// for other sessions.
func (s *Session) hearUpgrades(e Setting) {
	_, serves := s.app.(*httpServerApp)
	s.mu.Lock()
	switch {
	case s.client && s.upgrades.has(upgradesAsked):
		s.upgrades &^= upgradesTaken
		if e.Value == 1 {
			s.upgrades |= upgradesTaken
		}
	case !s.client && serves && e.Value == 1 && e.Flags&FlagPersisted == 0 &&
		!s.conf.DisableUpgrades && !s.upgrades.has(upgradesTaken):
		s.upgrades |= upgradesTaken
		s.control = appendUpgradesSetting(s.control, s.version)
	}
	s.mu.Unlock()
	s.ring()
}

func appendUpgradesSetting(dst []byte, v Version) []byte {
	return appendSettings(dst, v, 0, []Setting{{ID: SettingUpgrades, Value: 1}})
}

// upgradeWait limits the time the first upgrade requests wait for the server's SettingUpgrades. A
// slow path, or a server that answers no PING, counts as a server without upgrades; the setting may
// still arrive later.
const upgradeWait = time.Second

// takesUpgrades reports whether the server accepts upgrades. The first calls on a session send the
// setting followed by a PING: a server that knows the setting replies before it answers the PING.
// If the server has not replied after upgradeWait, requests are sent without the upgrade.
func (s *Session) takesUpgrades(ctx context.Context) (bool, error) {
	if _, ok := s.app.(*httpClientApp); !ok || !s.client || s.conf.DisableUpgrades {
		return false, nil
	}
	s.mu.Lock()
	if err := s.openErrLocked(); err != nil {
		s.mu.Unlock()
		return false, err
	}
	terms := s.upgrades
	if !terms.has(upgradesAsked) {
		s.upgrades |= upgradesAsked
		s.control = appendUpgradesSetting(s.control, s.version)
	}
	s.probeLocked()
	s.mu.Unlock()
	if terms.has(upgradesTaken) || terms.has(upgradesUnknown) {
		return terms.has(upgradesTaken), nil
	}
	begun := time.Now()
	limited, cancel := context.WithTimeout(ctx, upgradeWait)
	defer cancel()
	_, err := s.PingContext(limited)
	if ctx.Err() != nil {
		s.mu.Lock()
		s.doubtWaitLocked(time.Since(begun))
		s.mu.Unlock()
		return false, err
	}
	if err != nil && limited.Err() == nil {
		return false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.upgrades.has(upgradesTaken) {
		s.upgrades |= upgradesUnknown
	}
	return s.upgrades.has(upgradesTaken), nil
}

// upgradeOf returns the protocols that a request asks to switch to, as in the header Upgrade; "" if
// it asks for none, or in a way that an extended CONNECT cannot express. An upgrade to HTTP/2
// without TLS counts as none: proxies on the path would not see the requests in it.
func upgradeOf(req *http.Request) string {
	if req.Body != nil && req.Body != http.NoBody {
		return ""
	}
	return upgradeIn(req)
}

// upgradeIn is upgradeOf for a request known to have no body, whatever the Body is:
// http.MaxBytesHandler and similar handlers wrap http.NoBody too.
func upgradeIn(req *http.Request) string {
	values := req.Header["Upgrade"]
	if len(values) == 0 || !httpguts.HeaderValuesContainsToken(req.Header["Connection"], "upgrade") || !mayUpgrade(req.Method) {
		return ""
	}
	if protocol := strings.TrimSpace(strings.Join(values, ", ")); validProtocol(protocol) && !offers(protocol, "h2c") {
		return protocol
	}
	return ""
}

// offers reports whether a protocol is among the protocols of an Upgrade.
func offers(protocols, protocol string) bool {
	for p := range strings.SplitSeq(protocols, ",") {
		if strings.EqualFold(strings.TrimSpace(p), protocol) {
			return true
		}
	}
	return false
}

// offersAll reports whether all of some are among the protocols of an Upgrade (RFC 9110 §7.8).
func offersAll(protocols, some string) bool {
	for p := range strings.SplitSeq(some, ",") {
		if !offers(protocols, strings.TrimSpace(p)) {
			return false
		}
	}
	return true
}

// mayUpgrade reports whether a request with the method can ask for an upgrade. CONNECT has another
// meaning, and the response to HEAD ends with the headers.
func mayUpgrade(method string) bool { return method != http.MethodConnect && method != http.MethodHead }

// validProtocol reports whether a value of Upgrade is printable ASCII.
func validProtocol(value string) bool {
	for i := 0; i < len(value); i++ {
		if value[i] < ' ' || value[i] > '~' {
			return false
		}
	}
	return value != ""
}

// addUpgrade adds the pseudo headers of an extended CONNECT, instead of the method.
func addUpgrade(w *nameValueWriter, v Version, method, protocol string) {
	w.add(pseudoMethod.name(v), http.MethodConnect)
	w.add(pseudoProtocol.name(v), protocol)
	if method != http.MethodGet {
		w.add(pseudoUpgradeMethod.name(v), method)
	}
}

// method returns the method of a request; for an extended CONNECT, the method of the upgrade
// request.
func (m *parsedMessage) method() string {
	switch {
	case !m.has(pseudoProtocol):
		return m.pseudo[pseudoMethod]
	case m.has(pseudoUpgradeMethod):
		return m.pseudo[pseudoUpgradeMethod]
	}
	return http.MethodGet
}

// checkUpgrade describes a fault in the pseudo headers of an extended CONNECT. It returns "" if
// there is none, or if the request is not an extended CONNECT.
func (m *parsedMessage) checkUpgrade() string {
	switch {
	case !m.has(pseudoProtocol) && !m.has(pseudoUpgradeMethod):
		return ""
	case !m.has(pseudoProtocol):
		return "a method to upgrade without a protocol"
	case m.pseudo[pseudoMethod] != http.MethodConnect:
		return "a protocol with another method than CONNECT"
	case !validProtocol(m.pseudo[pseudoProtocol]):
		return "invalid protocol"
	case !httpguts.ValidHeaderFieldName(m.method()) || !mayUpgrade(m.method()): // both are tokens
		return "invalid method to upgrade"
	case m.pseudo[pseudoVersion] != "HTTP/1.1":
		return "an upgrade of another HTTP version than HTTP/1.1"
	}
	return ""
}

// asksUpgrade completes an upgrade request: the request looks as in HTTP/1.1, and the body is
// empty, because the bytes of the stream belong to the new protocol.
func (m *parsedMessage) asksUpgrade(req *http.Request) error {
	if req.ContentLength > 0 || len(req.Trailer) > 0 {
		return badRequest("a request to upgrade with a body")
	}
	req.ContentLength, req.Body = 0, http.NoBody
	req.Header["Connection"] = []string{"Upgrade"}
	req.Header["Upgrade"] = []string{m.pseudo[pseudoProtocol]}
	return nil
}

// appendSwitchBlock appends the header block of a response that accepts an upgrade. The status is
// 200, as for a successful CONNECT: 101 is an interim status, which SPDY cannot express (SPEC M11).
func appendSwitchBlock(dst []byte, v Version, protocol string, h http.Header) ([]byte, error) {
	w := beginNameValue(dst, v)
	w.add(pseudoProtocol.name(v), protocol)
	addResponse(&w, v, http.StatusOK, withoutLength(h))
	out, err := w.finish()
	if err != nil {
		return dst, err
	}
	return out, nil
}

// withoutLength returns h without the headers about a body, which are absent from a response that
// opens a tunnel (RFC 9110 §9.3.6). It returns h itself if there are none.
func withoutLength(h http.Header) http.Header {
	if headerValues(h, "content-length") == nil && headerValues(h, "trailer") == nil {
		return h
	}
	out := make(http.Header, len(h))
	for key, values := range h {
		if !equalFold(key, "content-length") && !equalFold(key, "trailer") {
			out[key] = values
		}
	}
	return out
}

// switched converts res to the 101 response that net/http's client would return, if res, with the
// pseudo headers of m, accepts an upgrade. It reports whether it has.
func (m *parsedMessage) switched(res *http.Response) bool {
	protocol := m.pseudo[pseudoProtocol]
	if res.StatusCode != http.StatusOK || !validProtocol(protocol) {
		return false
	}
	res.StatusCode, res.Status = http.StatusSwitchingProtocols, "101 Switching Protocols"
	res.ContentLength, res.Trailer = 0, nil
	res.Header["Connection"] = []string{"Upgrade"}
	res.Header["Upgrade"] = []string{protocol}
	return true
}
