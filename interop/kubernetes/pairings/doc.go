// Package pairings runs what programs do with spdystream between moby/spdystream and the
// drop-in, in all four pairings and in one process, and says how often each succeeded, what
// arrived and how long it took. Its tests need both libraries, the original in the place of
// internal/original, and so a build tag; TestPairings of the package above builds them.
package pairings
