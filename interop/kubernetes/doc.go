// Package kubernetes holds this library against Kubernetes as it is: client-go and the
// streaming server of container runtimes, with moby/spdystream and with the replacement
// (matrix_test.go), the faults of moby/spdystream one by one (faults), and the tests of
// Kubernetes itself (suites).
package kubernetes
