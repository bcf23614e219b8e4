// Package spdy reads and writes the frames of SPDY/3 and SPDY/3.1. It replaces the package of the
// same name of github.com/moby/spdystream, exports the same names, and is built on the Framer of
// github.com/amahi/spdy, which new programs should use.
//
// The package trusts the peer less than the original does. Memory grows with the received bytes,
// never with a declared length. A header block is limited as a whole too, not only in each field:
// to a field of the largest size and 64 KiB for all other fields. A control frame of another
// version of SPDY is an error, because the payload would be misread. A frame is sent in one Write.
package spdy
