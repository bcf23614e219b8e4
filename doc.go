// Package spdy implements SPDY/3.1, SPDY/3 and SPDY/2: many concurrent HTTP requests over one
// connection, with priorities and flow control, for clients and servers. Its types follow net/http.
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
// ListenAndServe, ListenAndServeTLS and the type Server are used like their counterparts in
// net/http. ConfigureServer adds SPDY to an http.Server:
//
//	log.Fatal(spdy.ListenAndServe("localhost:8080", http.FileServer(http.Dir("."))))
//
// A server detects the client's protocol: over TLS by ALPN, without TLS by the client's first
// bytes. Clients without SPDY get HTTP/1.1. The http.ResponseWriter of a handler is a *Stream,
// which can flush, set deadlines (see http.ResponseController) and push (http.Pusher).
//
// # Clients
//
// A Transport makes an http.Client use SPDY. It dials, shares connections among requests and
// switches to another connection when a server sends GOAWAY. ConfigureTransport adds SPDY to an
// http.Transport, which continues to use HTTP with other servers.
//
//	client := &http.Client{Transport: &spdy.Transport{}}
//	res, err := client.Get("https://localhost:8443/")
//
// A Client sends requests over one connection at a time. A client of NewClient dials the
// connection, and dials again when the connection is lost. NewClientConn uses an existing
// connection.
//
//	client, err := spdy.NewClient("localhost:8080")
//	…
//	res, err := client.Do(req) // when the headers have arrived; the body streams
//
// Transport, Client and Session implement http.RoundTripper, so an http.Client or an
// httputil.ReverseProxy can use them.
//
// # Reverse tunnels
//
// A Session works the same on dialled and accepted connections. A server behind NAT dials a public
// host and calls NewServerSession on the connection. The public host accepts the connection, calls
// NewClientSession on it, and passes requests of ordinary HTTP clients to Session.NewStreamProxy.
// Both sides call Serve, which runs the session until it ends. The relay in the examples directory
// implements this, with tokens and reconnecting.
//
// # Raw streams
//
// NewRawSession creates a session with byte streams instead of requests. Each stream is a net.Conn
// with additional header blocks. Either side opens streams with Session.OpenStream and accepts the
// peer's streams with Session.AcceptStream, or through the net.Listener returned by
// Session.Listener. Raw sessions are for programs that upgrade an HTTP/1.1 connection to SPDY/3.1
// and continue without HTTP. For peers of Kubernetes, which do no flow control, set
// Config.FlowControl to FlowControlPeerUnaware.
//
// # Concurrency and errors
//
// Everything may be used by any number of goroutines at once, with two exceptions: a Stream that
// answers a request is for its handler, like any http.ResponseWriter, and a response body is for a
// single reader.
//
// An unread stream delays neither other streams nor a PING, unless unread bytes fill the whole
// session's window. Contexts, deadlines and Close end every blocked call. When a session ends, all
// of its streams end.
//
// A truncated response or request is never mistaken for a complete message: its reader gets an
// error that matches io.ErrUnexpectedEOF and the cause. The cause is a *StreamError if either side
// reset the stream, a *SessionError if either side violated the protocol, and a *ConnError if the
// connection was lost. A *NotSPDYError inside it identifies a peer with a different protocol.
// StreamError.Retryable reports that a request was not processed and may be sent again. After
// Close, calls fail with ErrSessionClosed, which matches net.ErrClosed.
//
// # Coming from elsewhere
//
// From net/http: Server and Transport replace http.Server and http.Transport, with fields and
// methods of the same names, and package spdytest replaces httptest. Deprecated parts of
// http.Transport, and parts specific to HTTP/1.1 and HTTP/2, are missing; docs/net-http.md lists
// them. Handlers need no change. Where the types of net/http must stay, ConfigureServer and
// ConfigureTransport add SPDY to them.
//
// From golang.org/x/net/http2: ConfigureServer, ConfigureTransport, Transport, ServeConn, Framer
// and StreamError keep their names. The settings of http2.Server and http2.Transport for windows,
// limits and health checks are in Config, for clients and servers.
//
// From this package as of 2015: every name still exists with the same type. Bodies now stream, so
// programs must close them; every call returns eventually, with an error that explains the cause;
// and a server accepts HTTP/1.1 on the same port.
//
// docs/net-http.md compares the names, and lists every difference between HTTP/1.1, HTTP/2 and SPDY
// that is visible to a handler or a client.
//
// # Limits
//
// Config bounds the memory that a peer can make a session use: unread bytes by SessionWindow and
// StreamWindow, streams and running handlers by MaxConcurrentStreams, headers by MaxHeaderBytes and
// MaxHeaderFields. A nil *Config means the defaults. SPDY/3 has windows only for streams. SPDY/2
// has no windows, so a SPDY/2 session resets streams when SessionWindow bytes are unread. The
// default header compression prevents an attacker who chooses part of a request from recovering the
// rest letter by letter, see CompressSafe.
//
// Contexts and deadlines limit time, as do the timeouts of Server and Transport. For connections,
// Config has PingInterval, PingTimeout, WriteTimeout and IdleTimeout, all disabled by default.
// Connection setup is limited by default, see Transport, NewClient and UpgradeDialer.
//
// # Seeing inside
//
// Session.Stats and Server.Stats return current state and totals. A Trace is called for events. A
// FrameLog prints a line for each frame, without cookies, credentials and other secrets, for the
// sessions of a Config or for a running session. With GODEBUG=spdydebug=1 in the environment a
// program logs the frames of all sessions to standard error, with spdydebug=2 also the headers.
// None of these costs anything while unused.
//
// docs/architecture.md describes the internals of the package. Numbers such as SPEC W12 refer to
// the rules in docs/spec-coverage.md. Section numbers refer to the specification named with them.
package spdy
