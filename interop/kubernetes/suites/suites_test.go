package main

import (
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const events = `{"Action":"start","Package":"p"}
{"Action":"output","Package":"p","Test":"TestA","Output":"why\n"}
{"Action":"fail","Package":"p","Test":"TestA","Elapsed":1}
{"Action":"pass","Package":"p","Test":"TestA","Elapsed":1}
{"Action":"output","Package":"p","Test":"TestB","Output":"not this\n"}
{"Action":"pass","Package":"p","Test":"TestB/sub","Elapsed":0.1}
{"Action":"pass","Package":"p","Test":"TestB","Elapsed":0.1}
{"Action":"skip","Package":"p","Test":"TestC"}
{"Action":"fail","Package":"p","Elapsed":2.5}
`

func TestReadEvents(t *testing.T) {
	tallies, err := readEvents(strings.NewReader(events))
	require.NoError(t, err)
	p := tallies["p"]
	require.Equal(t, map[string]string{"TestA": "fail", "TestB/sub": "pass", "TestB": "pass", "TestC": "skip"}, p.tests)
	require.Equal(t, "fail", p.outcome)
	require.Equal(t, "why\n", p.output)
	require.Equal(t, "**1 fail**, 2 pass, 1 skipped", p.String())
	_, err = readEvents(strings.NewReader("# not JSON\n"))
	require.Error(t, err)
}

// Whatever passes with moby has to pass with ours: not to fail, not to be skipped, not
// to be missing.
func TestVerdict(t *testing.T) {
	good := tally{outcome: "pass", tests: map[string]string{"A": "pass", "B": "skip"}}
	for name, c := range map[string]struct {
		ours  tally
		worse []string
	}{
		"the same":         {good, nil},
		"fails":            {tally{outcome: "fail", tests: map[string]string{"A": "fail", "B": "skip"}}, []string{"A"}},
		"skipped":          {tally{outcome: "pass", tests: map[string]string{"A": "skip", "B": "skip"}}, []string{"A"}},
		"missing":          {tally{outcome: "pass"}, []string{"A"}},
		"package fails":    {tally{outcome: "fail", tests: good.tests}, []string{"(the package as a whole)"}},
		"better than moby": {tally{outcome: "pass", tests: map[string]string{"A": "pass", "B": "pass"}}, nil},
	} {
		r := result{layout: "1", pkg: "p", moby: good, ours: c.ours}
		require.Equal(t, c.worse, r.worse(), name)
		require.Equal(t, c.worse != nil, verdict(io.Discard, []result{r}) != nil, name)
	}
	require.Error(t, verdict(io.Discard, []result{{layout: "1", pkg: "p"}}), "nothing ran")
}
