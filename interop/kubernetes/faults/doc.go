// Package faults demonstrates the faults of moby/spdystream individually, as experiments E1 to E14
// and X1 to X3, and the outcome of each experiment with our library at one end or at both ends. The
// tests run the experiments and maintain the table in docs/kubernetes.md:
//
//	go test .                  run the experiments, and compare the table
//	go test . -write           write the table
//
// With the replace line and -drop-in the same tests run the experiments between two ends of
// compat/spdystream; TestDropIn of the parent package does so.
package faults
