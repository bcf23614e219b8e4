// Package spdy speaks SPDY/3.1, SPDY/3 and SPDY/2: many HTTP requests at once over
// one connection, with priorities and flow control, on the client's side, the
// server's, or both. Its types follow net/http.
//
//	  handlers │ Client.Do │ NewStreamProxy                  the application
//	───────────┼───────────┼─────────────────────────────────────────────────
//	     ▲           │                                       Streams: one for
//	     │ Read      │ Write lends its bytes                 each request
//	┌────┴─────┐     │
//	│northbound│     ▼
//	│ buffers  │  scheduler: in rounds, most urgent first    flow-control
//	└────▲─────┘     │                                       managers
//	     │           │
//	 ┌───┴────┐  ┌───▼────┐                                  a Session: two
//	 │receiver│  │ sender │                                  goroutines
//	 └───▲────┘  └───┬────┘
//	═════╪═══════════╪═══════════════════════════════════════════════════════
//	     └───────────┴── net.Conn                            TCP, TLS, …
//
// # Servers
//
// ListenAndServe, ListenAndServeTLS and the type Server are used like those of
// net/http; ConfigureServer adds SPDY to an http.Server:
//
//	log.Fatal(spdy.ListenAndServe("localhost:8080", http.FileServer(http.Dir("."))))
//
// A server finds out what a client speaks: over TLS by ALPN, without it by the
// client's first bytes. Clients that speak no SPDY get HTTP/1.1. The
// http.ResponseWriter of a handler is a *Stream, which can flush, set deadlines (see
// http.ResponseController) and push (http.Pusher).
//
// # Clients
//
// A Transport makes an http.Client speak SPDY. It dials, shares connections among
// requests and goes on to another one when a server goes away; ConfigureTransport adds
// SPDY to an http.Transport, which goes on to speak HTTP with other servers.
//
//	client := &http.Client{Transport: &spdy.Transport{}}
//	res, err := client.Get("https://localhost:8443/")
//
// A Client sends requests over one connection at a time, which NewClient dials, and dials
// again when it is lost, or which is handed to NewClientConn:
//
//	client, err := spdy.NewClient("localhost:8080")
//	…
//	res, err := client.Do(req) // when the headers have come; the body streams
//
// Transport, Client and Session are an http.RoundTripper each, so an http.Client or an
// httputil.ReverseProxy can use them.
//
// # Reverse tunnels
//
// A Session does not care who dialled. A server behind NAT dials a public host and
// calls NewServerSession on the connection; that host calls NewClientSession on the
// same connection, which it accepted, and hands requests of ordinary HTTP clients to
// Session.NewStreamProxy. Both call Serve, which runs the session until it ends.
// The relay in the examples directory does all of that, with tokens and reconnecting.
//
// # Raw streams
//
// NewRawSession carries streams of bytes instead of requests: each is a net.Conn with
// header blocks beside it, opened by either side with Session.OpenStream and taken by
// the other with Session.AcceptStream, or by way of the net.Listener that Session.Listener
// returns. That is what programs need that upgrade an
// HTTP/1.1 connection to SPDY/3.1 and go on without HTTP. For peers of Kubernetes, which
// do no flow control, set Config.FlowControl to FlowControlPeerUnaware.
//
// # Concurrency and errors
//
// Everything may be used by any number of goroutines at once, except what belongs to
// one exchange: a Stream that answers a request is for its handler, like any
// http.ResponseWriter, and the body of an answer is for one reader.
//
// A stream that nobody reads holds up neither the others nor a PING, as long as
// unread bytes do not fill the whole session's window. Contexts, deadlines and Close
// end every call that waits. When a session ends, so does everything on it.
//
// An answer or a request that did not come to its end is never mistaken for a
// complete one: its reader gets an error that matches io.ErrUnexpectedEOF and what
// ended it. That is a *StreamError if either side reset the stream, a *SessionError
// if either side broke the protocol, and a *ConnError if the connection was lost.
// A *NotSPDYError in it says that the peer speaks another protocol, and which.
// StreamError.Retryable says that a request was not looked at and may be sent again.
// After Close, calls fail with ErrSessionClosed, which matches net.ErrClosed.
//
// # Coming from elsewhere
//
// From net/http: Server and Transport take the place of http.Server and http.Transport,
// with fields and methods of the same names, and package spdytest that of httptest. Of
// http.Transport what is deprecated is not there, nor what is about HTTP/1.1 and HTTP/2;
// docs/net-http.md has the list. Handlers need no change. Where the types of net/http have to stay, ConfigureServer and
// ConfigureTransport add SPDY to them.
//
// From golang.org/x/net/http2: ConfigureServer, ConfigureTransport, Transport, ServeConn,
// Framer and StreamError are called the same. What http2.Server and http2.Transport have
// to tune, windows, limits and health checks, is in Config, for either role.
//
// From this package as it was in 2015: every name is there still, with the type it had.
// Bodies stream now, so they have to be closed; every call ends, with an error that says
// why; and a server takes HTTP/1.1 on the same port.
//
// docs/net-http.md has the names side by side, and lists every difference between HTTP/1.1,
// HTTP/2 and SPDY that a handler or a client can see.
//
// # Limits
//
// What a peer can make a session keep is bounded by Config: unread bytes by
// SessionWindow and StreamWindow, streams and running handlers by
// MaxConcurrentStreams, headers by MaxHeaderBytes and MaxHeaderFields. A nil *Config
// means the defaults. SPDY/3 has windows for streams only; SPDY/2 has none, so that a
// session of it resets streams when SessionWindow bytes are unread. Headers are
// compressed in a way that does not let an attacker who chooses a part of a request
// find out the rest letter by letter, see CompressSafe.
//
// Time is limited by contexts and deadlines, by the timeouts of Server and Transport, and
// for connections by PingInterval, PingTimeout, WriteTimeout and IdleTimeout of Config,
// none of which is set by default. The making of a connection is limited by default, see
// Transport, NewClient and UpgradeDialer.
//
// # Seeing inside
//
// Session.Stats and Server.Stats tell what is going on and what has been done. A Trace
// is called when something happens. A FrameLog prints a line for each frame, without
// cookies, credentials and other secrets, for the sessions of a Config or for one that
// runs; with GODEBUG=spdydebug=1 in its environment a program logs the frames of all
// its sessions to standard error, with spdydebug=2 their headers too. None of it costs
// anything while it is not used.
//
// docs/architecture.md says how the package works inside. Numbers such as SPEC W12 are
// those of the rules in docs/spec-coverage.md, and section numbers those of the
// specification that is named with them.
package spdy
