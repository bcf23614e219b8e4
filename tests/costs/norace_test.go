//go:build !race

package costs

// hostile is how many hostile sessions there are.
const hostile = 1000

// kindCrowd is the number of hostile sessions of one kind.
const kindCrowd = 100
