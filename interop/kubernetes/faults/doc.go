// Package faults shows the faults of moby/spdystream one by one, the experiments E1 to
// E14 and X1 to X3, and what becomes of each if one end is ours, or both are. The tests
// hold the experiments and keep the table in docs/kubernetes.md:
//
//	go test .                  hold them, and compare the table
//	go test . -write           write it
//
// With the replace line and -drop-in the same tests hold the experiments between two ends
// of compat/spdystream, which TestDropIn of the package above does.
package faults
