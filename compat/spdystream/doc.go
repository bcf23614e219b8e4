// Package spdystream takes the place of github.com/moby/spdystream v0.5.1, which carries
// the streams of Kubernetes. It has the same exported names and is built on the raw
// sessions of github.com/amahi/spdy, which new programs should use. To swap it in, a
// program's go.mod says
//
//	replace github.com/moby/spdystream => PATH/compat/spdystream
//
// It talks to the original, and to itself with full flow control. What programs rely on
// is as it was: the numbers of streams, that nothing is written to a stream before its
// reply, how Close, Reset, Cancel and Refuse look to the peer, what CloseChan, Wait and
// the idle timeout do. What follows is different.
//
// A stream that nobody reads holds up no other one. With a peer of this package it has a
// window of its own; of a peer without flow control a connection keeps up to 16 MiB that
// nobody has read, and stops reading the network only then.
//
// io.EOF comes from the peer: it has closed its half, or it has reset the stream with
// CANCEL, which is what Reset sends and how Kubernetes ends its streams. A stream that
// breaks off otherwise reads as an error, after what had come, that matches
// io.ErrUnexpectedEOF and, if the peer has reset it, ErrReset. A write that was to close our
// half and has not sent all is followed by no CANCEL, but by INTERNAL_ERROR.
//
// Nothing is lost before the reply, or after a GOAWAY: a connection stays until its
// streams have ended, although CloseChan is closed at once. If the peer is the original,
// which does not wait, or this side has called Close without a timeout, a second in which
// the program reads nothing and, unless the peer has said GOAWAY, nothing is sent ends it
// too, or half a minute if the peer is seen to read slowly.
//
// A call that sends a frame returns when the network has it, as in the original: a program may
// exit, or close its net.Conn, right behind its last call. If the network takes nothing at all for
// five seconds the call returns, where the original waits for ever; the frame stays queued. Write
// returns when the bytes are taken for the next write to the network, and a Close behind it waits for them.
//
// A connection that ends although streams are open, by its timeouts or by Close, says so to an
// original, by RST_STREAM and GOAWAY, which makes that close its net.Conn.
//
// Deadlines are those of one stream. Reset after Close reaches the peer. A Write after
// Close fails; what is written after Reset, or after the peer's CANCEL, is dropped. No call
// waits for a connection that is gone. The peer is limited to
// 16384 open streams. A stream whose Wait has timed out is reset if ten seconds pass without
// a reply or a call on it.
//
// A dead network is noticed within SilenceTimeout, a minute by default, see there: a connection from
// whose peer nothing comes for half of that asks with a PING. These PINGs do not count as traffic
// for SetIdleTimeout, but for that of the original as the peer they do.
//
// # Headers
//
// Names and values are passed as the original does, also those that HTTP does not allow: names
// with colons, spaces or other letters than those of ASCII, values with line ends and other
// control characters, empty values beside others. Headers returns them in the program's own
// http.Header; nothing here uses that for HTTP, logs it or hands it on. What follows is
// refused, by CreateStream, SendReply and SendHeader with an error, and of a peer with
// RST_STREAM. The connection goes on, where the original often ends it.
//
//   - NUL in a value that is sent: it separates values, so that others than were sent would come.
//   - Two names that differ only in case: one of them would be lost. The original's peer ends the
//     connection for that.
//   - A name of the peer that is not in lower case or not UTF-8: SPDY forbids it, and the
//     original ends the connection.
//   - An empty name, and control characters in a name: no program is known to use one, and a name with
//     a line end in it is how headers are smuggled into other protocols.
//   - More than 1,000 names (or what an option says), or 16 times as many values: a block of few
//     bytes would take much memory.
//   - Blocks that are larger, once inflated, than one field of the largest size and 64 KiB: the
//     original keeps a gigabyte for 100 KiB on the wire.
package spdystream
