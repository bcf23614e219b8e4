// Package deflate compresses and decompresses header blocks: short texts that repeat one another,
// in an endless raw deflate stream (RFC 1951) that is byte-aligned after each block.
//
// The differences from compress/flate: an [Encoder] needs 6 KiB instead of 700 KiB or more, and
// lets the caller exclude secrets from matches. A [Decoder] keeps only the history between blocks
// instead of 39 KiB, knows where the input ends, and continues without copying the history.
package deflate
