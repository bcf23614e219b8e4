// Package bubble runs the tests of this directory in fake time, in each version of SPDY.
package bubble

import (
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amahi/spdy"
)

// Versions are all versions of SPDY.
var Versions = []spdy.Version{spdy.SPDY2, spdy.SPDY3, spdy.SPDY31}

// Run runs f in fake time, as a subtest.
func Run(t *testing.T, name string, f func(t *testing.T)) {
	t.Helper()
	t.Run(name, func(t *testing.T) { synctest.Test(t, f) })
}

// InVersions runs f in fake time, once for each version, in subtests named after name and the
// version. An empty name is omitted.
func InVersions(t *testing.T, name string, f func(t *testing.T, v spdy.Version)) {
	t.Helper()
	In(t, name, Versions, f)
}

// In is InVersions for the given versions.
func In(t *testing.T, name string, versions []spdy.Version, f func(t *testing.T, v spdy.Version)) {
	t.Helper()
	if name != "" {
		name += "/"
	}
	for _, v := range versions {
		Run(t, name+v.String(), func(t *testing.T) { f(t, v) })
	}
}

// Pass waits for d in fake time.
func Pass(d time.Duration) { <-time.NewTimer(d).C }

// Quiet returns a copy of a configuration for a version, without a log.
func Quiet(conf spdy.Config, v spdy.Version) *spdy.Config {
	conf.Version, conf.Logger = v, slog.New(slog.DiscardHandler)
	return &conf
}
