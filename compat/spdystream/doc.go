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
// io.EOF means that all has come: the peer has closed its half, or it has reset its
// streams with CANCEL and then closed the connection, which is how Kubernetes ends. A
// stream that breaks off otherwise reads as an error, after what had come, that matches
// io.ErrUnexpectedEOF and, if the peer has reset it, ErrReset. To tell the two apart
// takes up to a second after a CANCEL.
//
// Nothing is lost before the reply, or after a GOAWAY: a connection stays until its
// streams have ended. CloseChan is closed then, not before. If the peer is the original,
// which does not wait, or this side has called Close without a timeout, a second without
// traffic ends it too, or half a minute if the peer is seen to read slowly.
//
// Deadlines are those of one stream. Reset after Close reaches the peer. A Write after
// Close fails. No call waits for a connection that is gone. Header blocks are limited as
// a whole, and a stream whose Wait has timed out and that nobody uses any more is reset.
package spdystream
