// Package pairings runs typical uses of spdystream between moby/spdystream and the drop-in, in all
// four pairings and in one process. It reports the number of successes, the data that arrived and
// the duration. The tests need both libraries, with the original in internal/original, and
// therefore a build tag; TestPairings of the parent package builds the tests.
package pairings
