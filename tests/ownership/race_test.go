//go:build race

package ownership

// raced says that the race detector looks, which finds races in the oracle.
const raced = true
