package spdy

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Every event in every state of a stream (SPEC §1.13). A cell is the status to
// reset the stream with, or the state that follows: a letter for each half that
// is open (I in, O out), "x" if none is, and "r" once the SYN_REPLY has passed.
const stateTable = `
opened        begins reply reply+fin headers headers+fin data finIn finOut
ours          IO     IOr   Or        1       1           1    O     I
ours:fin      I      Ir    xr        1       1           1    x     I
ours:uni      Or     1     1         9       9           9    Or    xr
ours:fin+uni  xr     1     1         9       9           9    xr    xr
ours:r        IOr    8     8         IOr     Or          IOr  Or    Ir
ours:fin,r    Ir     8     8         Ir      xr          Ir   xr    Ir
ours:r+fin    Or     9     9         9       9           9    Or    xr
theirs        IO     1     1         IO      O           IO   O     I
theirs:fin    O      1     1         9       9           9    O     x
theirs:uni    Ir     1     1         Ir      xr          Ir   xr    Ir
theirs:fin+uni xr    1     1         9       9           9    xr    xr`

func TestStreamState(t *testing.T) {
	lines := strings.Split(strings.TrimSpace(stateTable), "\n")
	events := strings.Fields(lines[0])[2:]
	for _, line := range lines[1:] {
		cells := strings.Fields(line)
		require.Len(t, cells, len(events)+2, line)
		name, begins, want := cells[0], cells[1], cells[2:]
		require.Equal(t, begins, stateLetters(stateNamed(t, name)), name)
		for i, event := range events {
			t.Run(name+"/"+event, func(t *testing.T) {
				s := stateNamed(t, name)
				status := stateEvent(&s, event)
				if status != 0 {
					require.Equal(t, want[i], string('0'+rune(status)))
					require.Equal(t, begins, stateLetters(s), "a frame that is refused changes nothing")
					return
				}
				require.Equal(t, want[i], stateLetters(s))
				require.Equal(t, strings.HasPrefix(want[i], "x"), s.closed())
			})
		}
	}
}

func stateNamed(t *testing.T, name string) (s streamState) {
	who, how, _ := strings.Cut(name, ":")
	flags := map[string]frameFlags{
		"fin": FlagFin, "uni": FlagUnidirectional, "fin+uni": FlagFin | FlagUnidirectional, "fin,r": FlagFin,
	}[how]
	s.opened(who == "ours", flags)
	if strings.Contains(how, "r") {
		require.Zero(t, s.receiveReply(strings.HasSuffix(how, "r+fin")))
	}
	return s
}

func stateEvent(s *streamState, event string) RstStatus {
	name, fin := strings.CutSuffix(event, "+fin")
	switch name {
	case "reply":
		return s.receiveReply(fin)
	case "headers":
		return s.receiveHeaders(fin)
	case "data":
		return s.receiveData()
	case "finIn":
		s.finIn()
	case "finOut":
		s.finOut()
	}
	return 0
}

func stateLetters(s streamState) string {
	letters := ""
	if !s.inDone {
		letters += "I"
	}
	if !s.outDone {
		letters += "O"
	}
	if letters == "" {
		letters = "x"
	}
	if s.replied {
		letters += "r"
	}
	return letters
}
