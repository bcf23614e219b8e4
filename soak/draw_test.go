package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestDrawSVG(t *testing.T) {
	r := new(result)
	for i := range 30 {
		at := time.Duration(i) * time.Second
		for n, who := range []string{"relay", "origin", "client 1"} {
			s := &sample{Heap: uint64(i+n) << 20, RSS: 10 << 20, Goroutines: 10 + i%7, Files: 12}
			if i != 10 { // it was stopped then
				s.Gauges = map[string]int64{"tunnel streams": int64(i)}
			}
			r.Points = append(r.Points, point{At: at, Who: who, Sample: s})
		}
		r.Events = append(r.Events, event{At: at, What: abuses[i%len(abuses)]})
	}
	var b bytes.Buffer
	require.NoError(t, drawSVG(&b, r))
	require.Contains(t, b.String(), "<title>")
	for _, text := range []string{">goroutines<", ">relay<", ">" + killClient + "<"} {
		require.Contains(t, b.String(), text)
	}
	for d := xml.NewDecoder(&b); ; {
		_, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
	}
}

func TestTicks(t *testing.T) {
	require.Len(t, minutes(0, 20), 11)
	require.Equal(t, "20 min", minutes(0, 20)[10].Label)
	require.Equal(t, "10 s", minutes(0, 1)[1].Label)
	for _, high := range []float64{0, 0.3, 1, 2.5, 70, 999, 1e6} {
		n := len(fewTicks(0, high))
		require.GreaterOrEqual(t, n, 1, high)
		require.LessOrEqual(t, n, 7, high)
	}
}
