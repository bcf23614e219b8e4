package spdy

import "net/http"

// This file is the client's side of tunnels: for upgrade requests, and for a CONNECT forwarded by
// Session.NewStreamProxy.

// settleTunnel determines whether the request opens a tunnel. If the server does not support
// upgrades, the request is sent without the upgrade, as RFC 9110 §7.8 allows.
func (u *upload) settleTunnel() (err error) {
	if u.st.tunnel { // from (*Stream).Request
		u.asked.tunnel = true
		return nil
	}
	if upgradeOf(u.req) == "" {
		return nil
	}
	u.asked.tunnel, err = u.st.session.takesUpgrades(u.req.Context())
	return err
}

// upgrade returns the protocol that the request asks to switch to, "" if none.
func (u *upload) upgrade() string {
	if !u.asked.tunnel {
		return ""
	}
	return upgradeOf(u.req)
}

// parseAnswer parses a SYN_REPLY into a response.
func (u *upload) parseAnswer(reply HeaderBlock) (*http.Response, error) {
	allowed := uint(responsePseudos)
	if u.upgrade() != "" {
		allowed |= switchPseudos
	}
	return parseResponse(u.st.session.version, reply, u.req, allowed)
}

// tunnelled makes the stream the response body, if the response opens the requested tunnel.
// Otherwise it returns nil.
func (st *Stream) tunnelled(res *http.Response) *tunnel {
	connected := res.Request.Method == http.MethodConnect && res.StatusCode/100 == 2
	if !connected && res.StatusCode != http.StatusSwitchingProtocols {
		return nil
	}
	t := newTunnel(st)
	res.Body = t
	return t
}
