// Package deflate compresses and decompresses header blocks: short pieces of
// text that repeat one another, one at a time, in one endless raw deflate stream
// (RFC 1951) that is byte-aligned after each block.
//
// It differs from compress/flate in this: an [Encoder] takes 6 KiB instead of
// 700 KiB or more, and lets the caller keep secrets out of matches; a [Decoder]
// keeps nothing but the history between blocks instead of 39 KiB, knows where
// its input ends, and does not have to copy the history in order to go on.
package deflate
