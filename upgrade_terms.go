package spdy

import (
	"context"
	"net/http"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"
)

// This file negotiates upgrades inside a session, and converts requests for them. A request
// with "Upgrade: websocket" goes out as RFC 8441 has it for HTTP/2: by the method CONNECT, with
// the protocol in a pseudo header. A server grants it by a SYN_REPLY with the same pseudo
// header, upon which the stream carries the bytes of the protocol. docs/upgrades.md has the
// details.

// upgradeTerms are what the two ends of a session have said of upgrades, as bits.
type upgradeTerms uint8

const (
	upgradesAsked   upgradeTerms = 1 << iota // the client has sent SettingUpgrades
	upgradesTaken                            // the server has sent it in reply
	upgradesUnknown                          // the client knows that the server has not replied
)

func (t upgradeTerms) has(bit upgradeTerms) bool { return t&bit != 0 }

// hearUpgrades takes the peer's SettingUpgrades. A server replies once, to a client that asks:
// clients of others would not ignore an unknown setting (SPEC T5). Nothing about the setting is
// kept for other sessions.
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

// upgradeWait is how long the first requests for an upgrade wait for what the server says of it.
// Paths on which that takes longer, and servers that answer no PING, are as if the server
// took no upgrades; it may still say that it does.
const upgradeWait = time.Second

// takesUpgrades reports whether the server takes upgrades. The first calls of a session ask: by
// the setting and a PING behind it, since a server that knows the setting replies before it
// answers the PING. A server that has said nothing for upgradeWait gets the requests without the
// upgrade.
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

// upgradeOf returns the protocols that a request asks to switch to, as in its header Upgrade;
// "" if it asks for none, or in a way that an extended CONNECT cannot express. An upgrade to
// HTTP/2 without TLS counts as none: the requests in it would pass the proxies on the way unseen.
func upgradeOf(req *http.Request) string {
	if req.Body != nil && req.Body != http.NoBody {
		return ""
	}
	return upgradeIn(req)
}

// upgradeIn is upgradeOf for a request that is known to have no body, whatever its Body is:
// http.MaxBytesHandler and its like wrap http.NoBody too.
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

// offers reports whether a protocol is among those of an Upgrade.
func offers(protocols, protocol string) bool {
	for p := range strings.SplitSeq(protocols, ",") {
		if strings.EqualFold(strings.TrimSpace(p), protocol) {
			return true
		}
	}
	return false
}

// offersAll reports whether all of some protocols are among those of an Upgrade (RFC 9110 §7.8).
func offersAll(protocols, some string) bool {
	for p := range strings.SplitSeq(some, ",") {
		if !offers(protocols, strings.TrimSpace(p)) {
			return false
		}
	}
	return true
}

// mayUpgrade reports whether a request with the method can ask for an upgrade. CONNECT has
// another meaning, and the answer to HEAD ends with its headers.
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

// method returns the method of a request: that of an extended CONNECT is the one that it
// stands for.
func (m *parsedMessage) method() string {
	switch {
	case !m.has(pseudoProtocol):
		return m.pseudo[pseudoMethod]
	case m.has(pseudoUpgradeMethod):
		return m.pseudo[pseudoUpgradeMethod]
	}
	return http.MethodGet
}

// checkUpgrade returns what is wrong with the pseudo headers of an extended CONNECT, "" if
// nothing, or if the request is none.
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

// asksUpgrade completes a request for an upgrade: it looks like that of HTTP/1.1, and its body
// is empty, since the bytes of the stream are those of the new protocol.
func (m *parsedMessage) asksUpgrade(req *http.Request) error {
	if req.ContentLength > 0 || len(req.Trailer) > 0 {
		return badRequest("a request to upgrade with a body")
	}
	req.ContentLength, req.Body = 0, http.NoBody
	req.Header["Connection"] = []string{"Upgrade"}
	req.Header["Upgrade"] = []string{m.pseudo[pseudoProtocol]}
	return nil
}

// appendSwitchBlock appends the block of an answer that grants an upgrade. The status is that of
// a CONNECT that succeeds: 101 is an interim status, which SPDY cannot express (SPEC M11).
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

// withoutLength returns h without the headers about a body, which an answer that opens a tunnel
// does not have (RFC 9110 §9.3.6): h itself if there are none.
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

// switched returns the answer 101 that net/http's client would give its caller, if res, which
// has the pseudo headers of m, grants an upgrade.
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
