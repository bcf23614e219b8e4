// Package spdystream replaces github.com/moby/spdystream v0.5.1, which carries the streams of
// Kubernetes. It exports the same names and is built on the raw sessions of github.com/amahi/spdy,
// which new programs should use. To swap the package in, add to the program's go.mod
//
//	replace github.com/moby/spdystream => PATH/compat/spdystream
//
// A connection works with the original and with this package as the peer. If the peer uses this
// package, there is full flow control. The behaviour that programs rely on is unchanged: the stream
// numbers, that nothing is written to a stream before the reply, how Close, Reset, Cancel and
// Refuse look to the peer, and the effect of CloseChan, Wait and the idle timeout. The following
// differs.
//
// An unread stream does not block other streams. With this package as the peer each stream has a
// window. From a peer without flow control a connection buffers up to 16 MiB of unread bytes, and
// only then stops reading the network.
//
// Reads return io.EOF when the peer has closed the peer's half, or has reset the stream with
// CANCEL, which Reset sends and with which Kubernetes ends streams. A stream that breaks off
// otherwise returns an error after the received bytes. The error matches io.ErrUnexpectedEOF and,
// if the peer has reset the stream, ErrReset. If a write that was to close our half has not sent
// everything, a later Reset sends INTERNAL_ERROR instead of CANCEL.
//
// Calls that send a frame, made after the connection has ended, return io.EOF if the peer has
// closed the network connection, as in the original; otherwise an error that matches io.EOF and the
// reason. Reads never return such an error, see above. Close after Cancel succeeds once, and a
// reply to a stream that the peer has cancelled is dropped without an error, as in the original.
// Reads after Cancel return io.EOF, where those of the original can block for ever.
//
// Nothing is lost before the reply, or after a GOAWAY: a connection lasts until all streams have
// ended, although CloseChan is closed at once. With the original as the peer, which does not wait,
// or after a local Close without a timeout, inactivity also ends the connection: one second in
// which the program reads nothing and, unless the peer has sent GOAWAY, nothing is sent; half a
// minute if the peer is seen to read slowly. With the original as the peer, half a minute after the
// GOAWAY or Close reads no longer count while bytes keep arriving: the original may send until the
// connection ends.
//
// A call that sends a frame returns when the network has accepted the frame, as in the original: a
// program may exit, or close the net.Conn, right after the last call. If the network accepts
// nothing for five seconds the call returns, where the original waits forever; the frame stays
// queued. Write returns when the bytes are part of the next write to the network, and a later Close
// waits for them.
//
// When a timeout or Close ends a connection with open streams, an original peer receives RST_STREAM
// and GOAWAY, and then closes the net.Conn.
//
// A deadline affects a single stream. Reset after Close reaches the peer. A Write after Close
// fails; bytes written after Reset, or after the peer's CANCEL, are dropped. No call waits for a
// connection that has ended. The peer is limited to 16384 open streams. A stream whose Wait has timed
// out is reset after ten seconds without a reply or a call on the stream.
//
// A dead network is detected within SilenceTimeout, a minute by default: a connection that has
// received nothing for half of that time sends a PING. These PINGs do not count as traffic for
// SetIdleTimeout here, but count for SetIdleTimeout of an original peer.
//
// # Headers
//
// Names and values pass as in the original, even if HTTP forbids them: names with colons, spaces or
// non-ASCII letters, values with line ends and other control characters, and empty values beside
// others. Headers returns them in the program's own http.Header; this package does not use that
// header for HTTP, log it or pass it on. The following is refused: CreateStream, SendReply and
// SendHeader return an error, and a peer's stream is reset with RST_STREAM. The connection
// continues, where the original often ends.
//
//   - NUL in a value to send: NUL separates values, so the peer would receive different values.
//   - Two names that differ only in case: one name would be lost. The original, as the peer, ends the
//     connection for this.
//   - A name from the peer that is not in lower case or not UTF-8: SPDY forbids such names, and the
//     original ends the connection.
//   - An empty name, and control characters in a name: no known program uses such names, and a line
//     end in a name is used to smuggle headers into other protocols.
//   - More than 1,000 names (or the limit set by an option), or 16 times as many values: a block of few
//     bytes would use much memory.
//   - Blocks that are larger, once inflated, than a field of the largest size and 64 KiB: the
//     original keeps a gigabyte for 100 KiB on the wire.
package spdystream
