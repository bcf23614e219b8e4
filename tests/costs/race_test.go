//go:build race

package costs

// hostile is how many hostile sessions there are. The race detector takes time.
const hostile = 60

// kindCrowd is the number of hostile sessions of one kind.
const kindCrowd = 10
