// Package spdy reads and writes the frames of SPDY/3 and SPDY/3.1. It is the package of
// the same name of github.com/moby/spdystream, with the same exported names, on the
// Framer of github.com/amahi/spdy, which programs that are free to choose should use.
//
// It differs from the original in what it does not believe. Memory grows with what has
// come, never with a length that the peer has declared. A header block as a whole is
// limited too, not only each of its fields: to one field of the largest size and 64 KiB
// for all the others. A control frame of another version of SPDY is
// an error, because its payload would be read as what it is not. A frame leaves in one
// Write.
package spdy
