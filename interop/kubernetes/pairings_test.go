package kubernetes

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy/interop/kubernetes/internal/rows"
	"github.com/amahi/spdy/interop/kubernetes/internal/swap"
)

// attempts are how often a row is measured that is slow. Other programs on the machine can
// make it so once, and not each time.
const attempts = 3

// No pairing with the drop-in is worse than moby/spdystream at both ends.
func TestPairings(t *testing.T) {
	results := append(libraryRows(t, nil), kubernetesRows(t, nil)...)
	table, worse := rows.Table(results)
	for i := 1; i < attempts && len(rows.Slow(worse)) > 0; i++ {
		again := rows.Slow(worse)
		t.Logf("measured again: %q", again)
		results = slices.DeleteFunc(results, func(r rows.Result) bool { return slices.Contains(again, r.Row) })
		results = append(results, libraryRows(t, again)...)
		results = append(results, kubernetesRows(t, again)...)
		table, worse = rows.Table(results)
	}
	t.Logf("\n%s", table)
	for _, w := range worse {
		t.Errorf("worse: %s", w.Text)
	}
}

// libraryRows runs what needs no Kubernetes, with both libraries in one process: the rows of
// those names, or all.
func libraryRows(t *testing.T, only []string) (results []rows.Result) {
	flags, err := replaced()
	require.NoError(t, err)
	original, err := swap.Original(t.Context(), here, buildDir)
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "rows.json")
	args := append(append([]string{"test", "-count=1", "-vet=off", "-tags", "pairings", original}, flags...), "./pairings", "-args", "-out", file, "-only", strings.Join(only, "\n"))
	out, err := swap.Go(t.Context(), here, args...).CombinedOutput()
	require.NoError(t, err, "%s", out)
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &results))
	return results
}

// kubernetesRows runs what client-go and the streaming server do. The patient rows mostly
// wait, and run in all pairings at once.
func kubernetesRows(t *testing.T, only []string) (results []rows.Result) {
	built, err := peers()
	require.NoError(t, err)
	var mu sync.Mutex
	var waiting sync.WaitGroup
	for _, row := range []struct {
		name   string
		rounds int // in turns with the other pairings; 0 for a patient row
	}{
		{"early answers", 1}, {"connections", 1}, {"in a WebSocket", 1},
		{"downloads given up", 0}, {"exec over 32 KiB/s", 0}, {"exec over 1 MiB/s", 0}, {"cp over 64 KiB/s", 0},
	} {
		if only != nil && !slices.Contains(only, row.name) {
			continue
		}
		for i := range len(rows.Pairings) * max(row.rounds, 1) {
			pairing := rows.Pairings[i%len(rows.Pairings)]
			client, server := libraryOf[pairing[0]], libraryOf[pairing[1]]
			address := startServer(t, built[server], server)
			run := func() {
				var r rows.Result
				cmd := exec.CommandContext(t.Context(), built[client], "client", "-server", address, "-row", row.name, "-connections", "500", "-at-once", "10")
				out, err := cmd.Output()
				if err == nil {
					err = json.Unmarshal(out, &r)
				}
				r.Row, r.Pairing = row.name, pairing
				if err != nil {
					r.Note = err.Error()
				}
				mu.Lock()
				results = rows.Add(results, r)
				mu.Unlock()
			}
			if row.rounds == 0 {
				waiting.Go(run)
			} else {
				run()
			}
		}
	}
	waiting.Wait()
	return results
}

// libraryOf is the library that a letter of a pairing stands for.
var libraryOf = map[byte]string{'m': "moby", 'o': "ours"}
