// Package kubernetes tests this library with unmodified Kubernetes code: client-go and the
// streaming server of container runtimes, with moby/spdystream and with the replacement
// (matrix_test.go), the faults of moby/spdystream individually (faults), and the tests of
// Kubernetes itself (suites).
package kubernetes
