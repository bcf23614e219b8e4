//go:build unix && !solaris && !illumos && !aix

package main

import (
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// makePipe makes a named pipe, which blocks whoever opens it.
func makePipe(t testing.TB, path string) {
	t.Helper()
	require.NoError(t, syscall.Mkfifo(path, 0o644))
}
