package parity

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// suites are the scenarios by what they are about.
var suites = []struct {
	name      string
	scenarios []scenario
}{
	{"method", methodScenarios},
	{"status", statusScenarios},
	{"request header", requestHeaderScenarios},
	{"response header", responseHeaderScenarios},
	{"URL", urlScenarios},
	{"request", requestScenarios},
	{"body", bodyScenarios},
	{"trailer", trailerScenarios},
	{"cookie", cookieScenarios},
	{"redirect", redirectScenarios},
	{"file", fileScenarios},
	{"range", rangeScenarios},
	{"timeout", timeoutScenarios},
	{"silence", silenceScenarios},
	{"deadline", deadlineScenarios},
	{"cancel", cancelScenarios},
	{"slow", slowScenarios},
	{"panic", panicScenarios},
	{"writer", writerScenarios},
	{"limit", limitScenarios},
	{"large", largeScenarios},
	{"concurrent", concurrentScenarios},
	{"proxy", proxyScenarios},
	{"gzip", gzipScenarios},
	{"server", serverScenarios},
	{"transport", transportScenarios},
	{"names", nameScenarios},
	{"serving", servingScenarios},
	{"replying", replyingScenarios},
	{"sending", sendingScenarios},
	{"line", lineScenarios},
}

// expected is what a scenario comes to over a protocol.
func (s *scenario) expected(p protocol) string {
	for _, name := range []string{p.name, p.like} {
		for _, e := range s.except {
			if slices.Contains(e.on, name) {
				return e.want
			}
		}
	}
	return s.want
}

// TestParity plays every scenario over every protocol.
func TestParity(t *testing.T) {
	for _, suite := range suites {
		t.Run(suite.name, func(t *testing.T) {
			for _, s := range suite.scenarios {
				t.Run(s.name, func(t *testing.T) {
					t.Parallel()
					for _, p := range protocols {
						if p.name == spdy3 && (suite.name == "large" || suite.name == "concurrent") {
							continue // what is slow to run differs from SPDY/3.1 in no way
						}
						t.Run(strings.ReplaceAll(p.name, "/", "-"), func(t *testing.T) {
							require.Equal(t, lines(s.expected(p)), lines(s.run(t, p)))
						})
					}
				})
			}
		})
	}
}

// documented returns the differences in a table of docs/net-http.md: "spdy", "http1" or "http2".
func documented(t *testing.T, table string) []string {
	var names []string
	for _, r := range rows(t) {
		if r.Table == table {
			names = append(names, r.Name)
		}
	}
	require.NotEmpty(t, names, table)
	return names
}

// TestDifferences compares the exceptions of the scenarios with what docs/net-http.md
// lists: each is there, in the section of those that do it alone, is a difference, and
// has a scenario that shows it.
func TestDifferences(t *testing.T) {
	left := make(map[string]bool)
	listed := make(map[string][]string)
	for _, section := range []string{"spdy", "http1", "http2"} {
		listed[section] = documented(t, section)
		for _, name := range listed[section] {
			require.False(t, left[name], "%s is listed twice", name)
			left[name] = true
		}
	}
	for _, suite := range suites {
		for _, s := range suite.scenarios {
			for _, e := range s.except {
				what := suite.name + "/" + s.name + ": " + e.why
				delete(left, e.why)
				for _, name := range e.on {
					i := slices.IndexFunc(protocols, func(p protocol) bool { return p.name == name })
					require.GreaterOrEqual(t, i, 0, what)
					usual := scenario{want: s.want, except: slices.DeleteFunc(slices.Clone(s.except), func(other exception) bool {
						return other.want == e.want
					})}
					require.NotEqual(t, lines(usual.expected(protocols[i])), lines(e.want), "%s is no difference", what)
					allowed := listed["spdy"]
					if name == http1 || name == http2 {
						allowed = slices.Concat(allowed, listed[map[string]string{http1: "http1", http2: "http2"}[name]])
					}
					require.Contains(t, allowed, e.why, what)
				}
			}
		}
	}
	require.Empty(t, left, "no scenario shows these differences")
}

// TestEnough: there are as many scenarios as were asked for, each with a name and an
// outcome of its own.
func TestEnough(t *testing.T) {
	seen, count := make(map[string]bool), 0
	for _, suite := range suites {
		for _, s := range suite.scenarios {
			name := suite.name + "/" + s.name
			require.False(t, seen[name], "%s comes twice", name)
			require.NotEmpty(t, lines(s.want), name)
			seen[name] = true
			count++
		}
	}
	require.GreaterOrEqual(t, count, 120)
	t.Logf("%d scenarios over %d protocols", count, len(protocols))
}
