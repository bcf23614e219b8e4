//go:build race

package spdy

// raceEnabled says that the race detector is on: tests that do a great deal then do
// less of it.
const raceEnabled = true
