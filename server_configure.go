package spdy

import (
	"crypto/tls"
	"errors"
	"net/http"
	"os"
	"strings"
)

// ConfigureServer adds SPDY to an http.Server, beside HTTP/1.1 and HTTP/2. Clients
// that negotiate it by ALPN are then served with SPDY by ServeTLS and
// ListenAndServeTLS, and by Serve on a listener of TLS that was made with
// s.TLSConfig. It must be called before s serves. conf may be nil.
//
//	s := &http.Server{Addr: ":443", Handler: mux}
//	if err := spdy.ConfigureServer(s, nil); err != nil {
//		log.Fatal(err)
//	}
//	log.Fatal(s.ListenAndServeTLS("cert.pem", "key.pem"))
//
// All fields of s keep their meaning. ReadTimeout limits reading the body of each
// request and WriteTimeout each answer, as over HTTP/2; ReadHeaderTimeout limits the
// wait for the client's first frame and for the rest of every frame that brings
// headers; MaxHeaderBytes and IdleTimeout apply unless conf has its own, and ErrorLog
// unless conf has a Logger. Shutdown sends every session a GOAWAY and waits
// until their streams have ended; like all that net/http shuts down they are still
// there if its context ends first, and Close ends them. For upgraded sessions, whose
// connections have been hijacked, see Upgrader, ShutdownServer and CloseServer.
//
// Clients that offer SPDY and HTTP/2 get SPDY. If s.TLSConfig.NextProtos names a
// dialect already it stays as it is: those it names are served, and its order counts.
// s.TLSConfig is replaced by a changed copy. HTTP/2 is enabled, or not, as it was before. Sessions do
// not learn of s.SetKeepAlivesEnabled.
func ConfigureServer(s *http.Server, conf *Config) error {
	if s == nil {
		return errors.New("spdy: ConfigureServer without a server")
	}
	if err := conf.check(httpSending); err != nil {
		return err
	}
	if s.Protocols == nil && speaksHTTP2(s) { // which a TLSNextProto without h2 would end
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
	s.RegisterOnShutdown(func() { // net/http waits for their connections itself
		sessions, _ := srv.close()
		for _, session := range sessions {
			session.wait(1) // never less: net/http's Shutdown is what waits
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
