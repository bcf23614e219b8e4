//go:build !race

package costs

// hostile is how many hostile sessions there are.
const hostile = 1000
