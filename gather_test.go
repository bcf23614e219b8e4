package spdy

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// While others compute, a sender gives them a turn now and then only.
func TestGatherBesideBusyOthers(t *testing.T) {
	var g gather
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	require.True(t, g.due(start))
	g.took(start, longTurn)
	require.True(t, g.due(start.Add(longTurn)), "others have queued, as a rule")
	g.took(start, 10*time.Millisecond)
	require.False(t, g.due(start.Add(319*time.Millisecond)))
	require.True(t, g.due(start.Add(320*time.Millisecond)))
}
