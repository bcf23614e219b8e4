//go:build js || plan9

package main

// These systems have no SIGPIPE, and no error of its own for a pipe that nobody reads.

func ignoreBrokenPipes() {}

func isBrokenPipe(error) bool { return false }
