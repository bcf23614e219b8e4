// Package spdystream is a place for moby/spdystream. Tests that compare it with the drop-in
// build it from the sources of the original, see package swap; otherwise it is empty.
package spdystream
