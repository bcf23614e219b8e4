package spdy

import (
	"crypto/tls"
	"net/http"
	"os"
	"strings"
)

// ConfigureServer adds SPDY to an http.Server, in addition to HTTP/1.1 and HTTP/2. Clients that
// negotiate SPDY by ALPN are then served SPDY by ServeTLS and ListenAndServeTLS, and by Serve on a
// TLS listener created with s.TLSConfig. ConfigureServer must be called before s serves. conf may
// be nil.
//
//	s := &http.Server{Addr: ":443", Handler: mux}
//	if err := spdy.ConfigureServer(s, nil); err != nil {
//		log.Fatal(err)
//	}
//	log.Fatal(s.ListenAndServeTLS("cert.pem", "key.pem"))
//
// All fields of s keep their meaning. ReadTimeout limits reading the body of each request and
// WriteTimeout each response, as over HTTP/2. ReadHeaderTimeout limits the wait for the client's
// first frame and for the rest of every header frame. MaxHeaderBytes and IdleTimeout apply unless
// conf sets them, and ErrorLog unless conf has a Logger. Shutdown sends every session a GOAWAY and
// waits until all streams have ended. As with other connections of net/http, sessions outlive a
// Shutdown whose context ends first, and Close ends them. For upgraded sessions, whose connections
// have been hijacked, see Upgrader, ShutdownServer and CloseServer.
//
// Clients that offer SPDY and HTTP/2 are served SPDY. If s.TLSConfig.NextProtos names a dialect
// already, the list stays as it is: only the dialects in the list are served, in that order of
// preference. s.TLSConfig is replaced by a changed copy. HTTP/2 stays enabled or disabled as
// before. Sessions do not observe s.SetKeepAlivesEnabled.
func ConfigureServer(s *http.Server, conf *Config) error {
	if s == nil {
		return errNilServer
	}
	if err := conf.check(httpSending); err != nil {
		return err
	}
	if s.Protocols == nil && speaksHTTP2(s) { // a TLSNextProto without h2 would disable HTTP/2
		s.Protocols = new(http.Protocols)
		s.Protocols.SetHTTP1(true)
		s.Protocols.SetHTTP2(true)
	}
	also := []string{protocolHTTP11}
	if s.Protocols != nil {
		also = protocolsOf(s.Protocols)
	}
	s.TLSConfig = withProtocols(s.TLSConfig, also...)
	if s.TLSNextProto == nil {
		s.TLSNextProto = make(map[string]func(*http.Server, *tls.Conn, http.Handler))
	}
	srv := &Server{Config: conf}
	srv.addTo(s)
	upgradesByServer.of(s).serve(srv)
	s.RegisterOnShutdown(func() { // net/http itself waits for the connections
		sessions, _ := srv.close()
		for _, session := range sessions {
			session.wait(1) // never undone: the waiting is done by net/http's Shutdown
			session.goAway()
		}
	})
	return nil
}

// speaksHTTP2 reports whether an http.Server without Protocols serves HTTP/2 over
// TLS, by the rules of net/http.
func speaksHTTP2(s *http.Server) bool {
	_, configured := s.TLSNextProto["h2"]
	return configured || s.TLSNextProto == nil && !strings.Contains(os.Getenv("GODEBUG"), "http2server=0")
}
