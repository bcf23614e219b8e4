package tunnel

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"

	"golang.org/x/net/http/httpguts"
)

// Tunnels returns the handler of the listener that origins dial. The handler hijacks connections,
// so the http.Server must not speak HTTP/2.
func (p *Proxy) Tunnels() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+pathPrefix+"{name}", p.serveTunnel)
	return mux
}

// serveTunnel accepts an origin and runs the session; the handler returns when the session has
// ended. No SPDY frame is read or written before the token has been checked.
func (p *Proxy) serveTunnel(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	switch {
	case !p.authorized(name, r):
		w.Header().Set("WWW-Authenticate", `Bearer realm="tunnel"`)
		http.Error(w, "wrong name or token", http.StatusUnauthorized)
		p.logf("%s: wrong name or token from %s", loggable(name), r.RemoteAddr)
		return
	case !httpguts.HeaderValuesContainsToken(r.Header["Connection"], "Upgrade") ||
		!strings.EqualFold(r.Header.Get("Upgrade"), upgradeTo):
		w.Header().Set("Connection", "Upgrade")
		w.Header().Set("Upgrade", upgradeTo)
		http.Error(w, "ask for Upgrade: "+upgradeTo, http.StatusUpgradeRequired)
		return
	}
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, "the connection cannot be taken over", http.StatusInternalServerError)
		return
	}
	t := &tunnel{name: name, remote: r.RemoteAddr}
	t.session = p.Config.ClientSession(withBuffered(conn, rw.Reader))
	old, err := p.registry.add(t)
	if err != nil {
		answer(conn, refusal(err), err.Error())
		t.session.Close() // the session has not started, so Close only closes the connection
		return
	}
	defer p.registry.remove(t)
	for _, other := range old {
		p.drain(other)
	}
	if err := answer(conn, http.StatusSwitchingProtocols, ""); err != nil {
		t.session.Close()
		return
	}
	p.serve(t)
}

// authorized checks the token, in the same time for all names and tokens.
func (p *Proxy) authorized(name string, r *http.Request) bool {
	token, bearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	want, known := p.Tokens[name]
	got, expected := sha256.Sum256([]byte(token)), sha256.Sum256([]byte(want))
	equal := subtle.ConstantTimeCompare(got[:], expected[:]) == 1
	return equal && bearer && known && want != ""
}

// serve runs the session of a tunnel until it ends.
func (p *Proxy) serve(t *tunnel) {
	p.logf("%s: tunnel %d from %s is up", t.name, t.number, t.remote)
	every := orDefault(p.KeepAlive, 30*time.Second)
	go keepAlive(t.session, every, every/2) // ends with the session
	err := t.session.Serve()
	if err == nil {
		err = errors.New("closed")
	}
	p.logf("%s: tunnel %d from %s has ended: %v", t.name, t.number, t.remote, err)
}

// drain lets a tunnel's running requests finish, and then ends the tunnel.
func (p *Proxy) drain(t *tunnel) {
	p.logf("%s: tunnel %d is replaced", t.name, t.number)
	go func() { _ = shutdown(t.session, orDefault(p.Drain, time.Hour)) }() // ends with the session
}

func refusal(err error) int {
	if errors.Is(err, errTaken) {
		return http.StatusConflict
	}
	return http.StatusServiceUnavailable
}

// answer writes the response to an upgrade on a hijacked connection.
func answer(conn net.Conn, status int, message string) error {
	head := fmt.Sprintf("HTTP/1.1 %d %s\r\n", status, http.StatusText(status))
	if status == http.StatusSwitchingProtocols {
		head += "Connection: Upgrade\r\nUpgrade: " + upgradeTo + "\r\n\r\n"
	} else {
		head += fmt.Sprintf("Connection: close\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s", len(message), message)
	}
	conn.SetWriteDeadline(time.Now().Add(handshakeTime))
	defer conn.SetWriteDeadline(time.Time{})
	_, err := conn.Write([]byte(head))
	return err
}

// loggable returns a name or a path from an untrusted client in a form that is safe to log.
func loggable(text string) string { return fmt.Sprintf("%.40q", text) }

// oneLine formats a message as a single line. Errors may contain text of an untrusted client, which
// must not look like a separate line of the log.
func oneLine(format string, args ...any) string {
	var line strings.Builder
	for _, r := range fmt.Sprintf(format, args...) {
		if unicode.IsPrint(r) {
			line.WriteRune(r)
		} else {
			line.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
		}
	}
	return line.String()
}
