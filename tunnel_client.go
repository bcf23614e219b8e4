package spdy

import "net/http"

// This file is the client's side of tunnels: of requests that ask for an upgrade, and of a
// CONNECT that Session.NewStreamProxy forwards.

// settleTunnel finds out whether the request opens a tunnel. A request whose server takes no
// upgrades is sent without, as RFC 9110 §7.8 allows.
func (u *upload) settleTunnel() (err error) {
	if u.st.tunnel { // of (*Stream).Request
		u.asked.tunnel = true
		return nil
	}
	if upgradeOf(u.req) == "" {
		return nil
	}
	u.asked.tunnel, err = u.st.session.takesUpgrades(u.req.Context())
	return err
}

// upgrade returns the protocol that the request asks the server for, "" if none.
func (u *upload) upgrade() string {
	if !u.asked.tunnel {
		return ""
	}
	return upgradeOf(u.req)
}

// parseAnswer makes the response of a reply.
func (u *upload) parseAnswer(reply HeaderBlock) (*http.Response, error) {
	allowed := uint(responsePseudos)
	if u.upgrade() != "" {
		allowed |= switchPseudos
	}
	return parseResponse(u.st.session.version, reply, u.req, allowed)
}

// tunnelled makes the stream the body of its answer, if that opens the tunnel which the request
// asked for. Otherwise it returns nil.
func (st *Stream) tunnelled(res *http.Response) *tunnel {
	connected := res.Request.Method == http.MethodConnect && res.StatusCode/100 == 2
	if !connected && res.StatusCode != http.StatusSwitchingProtocols {
		return nil
	}
	t := newTunnel(st)
	res.Body = t
	return t
}
