package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/amahi/spdy"
)

// writeStats prints the traffic of a session in a few lines, for -v.
func writeStats(w io.Writer, addr string, s spdy.SessionStats) {
	notes := []string{plural(int64(s.StreamsOpened), "stream")}
	if n := s.Received.Resets[spdy.RstRefusedStream]; n > 0 {
		notes = append(notes, fmt.Sprintf("%d refused", n))
	}
	if s.StreamsAccepted > 0 {
		notes = append(notes, fmt.Sprintf("%d pushed", s.StreamsAccepted))
	}
	if s.RoundTrip > 0 {
		notes = append(notes, "round trip "+strings.ReplaceAll(milliseconds(s.RoundTrip.Round(time.Microsecond)), " ", ""))
	}
	text := fmt.Sprintf("* %s: %s\n", addr, strings.Join(notes, ", "))
	text += "* sent     " + trafficText(&s.Sent)
	text += "* received " + trafficText(&s.Received)
	_, _ = io.WriteString(w, text) // a failed trace must not end the transfer
}

// trafficText describes one direction in a line.
func trafficText(t *spdy.Traffic) string {
	text := fmt.Sprintf("%s in %s: %s of data, headers of %s in %d",
		plural(t.Bytes, "byte"), plural(int64(t.Frames.Total()), "frame"),
		plural(t.DataBytes, "byte"), plural(t.HeaderBytes, "byte"), t.CompressedHeaderBytes)
	for i, n := range t.Resets {
		if n > 0 {
			text += fmt.Sprintf(", %d %s", n, resetText(spdy.RstStatus(i)))
		}
	}
	return text + "\n"
}

func resetText(status spdy.RstStatus) string {
	if status == 0 {
		return "RST_STREAM of unknown status"
	}
	return "RST_STREAM " + status.String()
}
