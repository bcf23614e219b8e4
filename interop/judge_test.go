package main

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/amahi/spdy"
)

// useBugs replaces the recorded bugs for one test.
func useBugs(t *testing.T, bugs ...*bug) {
	t.Helper()
	old := recorded
	recorded = bugs
	t.Cleanup(func() { recorded = old })
}

func TestJudge(t *testing.T) {
	c := cell{peer: "p", version: spdy.SPDY31, conversation: convGet}
	always := func(cell) bool { return true }
	show := func(seen bool) func(*outcome) bool { return func(*outcome) bool { return seen } }
	breaking := func(seen bool) *bug { return &bug{id: "B", breaks: true, covers: always, seen: show(seen)} }
	harmless := func(seen bool) *bug { return &bug{id: "H", covers: always, seen: show(seen)} }
	elsewhere := &bug{id: "E", breaks: true, covers: func(cell) bool { return false }, seen: show(true)}
	broken := errors.New("broken")
	for name, test := range map[string]struct {
		bugs []*bug
		err  error
		text string
		why  string // of the failure, "" for none
	}{
		"good":                            {nil, nil, "pass", ""},
		"bad":                             {nil, broken, "FAIL", "broken"},
		"not in this version":             {[]*bug{breaking(true)}, errNotHere, "–", ""},
		"recorded, and it is so":          {[]*bug{breaking(true)}, broken, "bug B", ""},
		"recorded, and it passes":         {[]*bug{breaking(true)}, nil, "FAIL", "no longer breaks"},
		"recorded, and not seen":          {[]*bug{breaking(false)}, nil, "FAIL", "no longer seen"},
		"recorded, but fails differently": {[]*bug{breaking(false)}, broken, "FAIL", "broken"},
		"recorded elsewhere":              {[]*bug{elsewhere}, broken, "FAIL", "broken"},
		"recorded elsewhere, good here":   {[]*bug{elsewhere}, nil, "pass", ""},
		"harmless":                        {[]*bug{harmless(true)}, nil, "pass (H)", ""},
		"harmless and gone":               {[]*bug{harmless(false)}, nil, "FAIL", "no longer seen"},
		"harmless does not explain":       {[]*bug{harmless(true)}, broken, "FAIL", "broken"},
		"both":                            {[]*bug{breaking(true), harmless(true)}, broken, "bug B, H", ""},
	} {
		t.Run(name, func(t *testing.T) {
			useBugs(t, test.bugs...)
			v := judge(c, outcome{err: test.err})
			if v.text != test.text {
				t.Errorf("the cell is %q, want %q", v.text, test.text)
			}
			switch {
			case (v.failure != nil) != (test.why != ""):
				t.Errorf("failure %v, want %q", v.failure, test.why)
			case v.failure != nil && !strings.Contains(v.failure.Error(), test.why):
				t.Errorf("failure %v, want %q", v.failure, test.why)
			}
		})
	}
}

func TestByChance(t *testing.T) {
	seen := func(o *outcome) bool { return o.err.Error() == "raced" }
	b := &bug{id: "C", chance: true, covers: func(c cell) bool { return c.peer == "p" }, seen: seen}
	useBugs(t, b)
	c, raced := cell{peer: "p"}, outcome{err: errors.New("raced")}
	if byChance(c, &raced) != b {
		t.Error("the bug was not found")
	}
	for name, got := range map[string]*bug{
		"another peer":    byChance(cell{peer: "q"}, &raced),
		"another failure": byChance(c, &outcome{err: errors.New("broken")}),
		"no failure":      byChance(c, &outcome{}),
	} {
		if got != nil {
			t.Errorf("%s: bug %s was found", name, got.id)
		}
	}
	if v := judge(c, outcome{}); v.text != "pass" {
		t.Errorf("a bug that does not show by chance makes the cell %q", v.text)
	}
	if v := judge(c, raced); v.text != "FAIL" {
		t.Errorf("a bug that shows all the time makes the cell %q", v.text)
	}
}

// Every recorded bug is one that some cell can show, under a number of its own.
func TestRecordedBugs(t *testing.T) {
	numbers := map[string]bool{"N1": true}
	for _, b := range recorded {
		if numbers[b.id] || b.title == "" || b.evidence == "" || b.seen == nil {
			t.Errorf("bug %s is incomplete or twice", b.id)
		}
		numbers[b.id] = true
		shows := false
		for _, conv := range conversations {
			for _, v := range []spdy.Version{spdy.SPDY2, spdy.SPDY3, spdy.SPDY31} {
				for _, serves := range []bool{false, true} {
					shows = shows || b.covers(cell{peer: b.peer, version: v, server: serves, conversation: conv.name})
				}
			}
		}
		if !shows {
			t.Errorf("bug %s is recorded for no conversation", b.id)
		}
	}
}

// said makes the trace of a conversation from frames: those of the library, and
// those of the peer after nil.
func said(t *testing.T, v spdy.Version, exchange ...spdy.Frame) *trace {
	t.Helper()
	tp := newTap()
	var out [2]bytes.Buffer
	framers := [2]*spdy.Framer{spdy.NewFramer(&out[ours], nil, v), spdy.NewFramer(&out[theirs], nil, v)}
	from := ours
	for _, f := range exchange {
		if f == nil {
			from = ours + theirs - from
			continue
		}
		out[from].Reset()
		if err := framers[from].WriteFrame(f); err != nil {
			t.Fatal(err)
		}
		tp.note(from, out[from].Bytes())
	}
	tr := tp.trace(v)
	if err := errors.Join(tr.undecoded(ours), tr.undecoded(theirs)); err != nil {
		t.Fatal(err)
	}
	return tr
}

func TestAudit(t *testing.T) {
	syn := func(id uint32, flags spdy.FrameFlags) spdy.Frame {
		return &spdy.SynStreamFrame{StreamID: id, Flags: flags}
	}
	data := func(id uint32, n int, flags spdy.FrameFlags) spdy.Frame {
		return &spdy.DataFrame{StreamID: id, Flags: flags, Data: make([]byte, n)}
	}
	grant := func(id, n uint32) spdy.Frame { return &spdy.WindowUpdateFrame{StreamID: id, Delta: n} }
	setting := func(id spdy.SettingID, n uint32) spdy.Frame {
		return &spdy.SettingsFrame{Entries: []spdy.Setting{{ID: id, Value: n}}}
	}
	rst := func(id uint32) spdy.Frame { return &spdy.RstStreamFrame{StreamID: id, Status: spdy.RstCancel} }
	fin := spdy.FlagFin
	for name, test := range map[string]struct {
		version  spdy.Version
		exchange []spdy.Frame
		wrong    string // "" if nothing is
	}{
		"a window's worth":            {spdy.SPDY31, []spdy.Frame{syn(1, 0), data(1, 65536, fin)}, ""},
		"beyond the stream window":    {spdy.SPDY3, []spdy.Frame{syn(1, 0), data(1, 65537, 0)}, "1 bytes beyond the stream's"},
		"granted":                     {spdy.SPDY3, []spdy.Frame{syn(1, 0), nil, grant(1, 1), nil, data(1, 65537, 0)}, ""},
		"granted too late":            {spdy.SPDY3, []spdy.Frame{syn(1, 0), data(1, 65537, 0), nil, grant(1, 1)}, "beyond the stream's"},
		"granted to the session only": {spdy.SPDY31, []spdy.Frame{syn(1, 0), nil, grant(0, 1), nil, data(1, 65537, 0)}, "beyond the stream's"},
		"granted to the stream only":  {spdy.SPDY31, []spdy.Frame{syn(1, 0), nil, grant(1, 1), nil, data(1, 65537, 0)}, "beyond the session's"},
		"a larger initial window":     {spdy.SPDY3, []spdy.Frame{syn(1, 0), nil, setting(spdy.SettingInitialWindowSize, 70000), nil, data(1, 70000, 0)}, ""},
		"not told":                    {spdy.SPDY31, []spdy.Frame{syn(1, 0), nil, grant(1, 1<<20), nil, data(1, 1<<20, 0)}, ""},
		"not told, and on its way when it shows": {spdy.SPDY31, []spdy.Frame{syn(1, 0), nil, grant(1, 1<<20), nil, data(1, 1<<18, 0),
			nil, grant(0, 1), nil, data(1, 1<<16, 0)}, ""},
		"not told, and heedless when it shows": {spdy.SPDY31, []spdy.Frame{syn(1, 0), nil, grant(1, 1<<20), nil, data(1, 1<<18, 0),
			nil, grant(0, 1), nil, data(1, 1<<16, 0), data(1, 1<<16, 0), data(1, 1, 0)}, "beyond the session's"},
		"SPDY/2 has no windows":     {spdy.SPDY2, []spdy.Frame{syn(1, 0), data(1, 1<<20, 0)}, ""},
		"after FIN":                 {spdy.SPDY31, []spdy.Frame{syn(1, fin), data(1, 0, fin)}, "had ended"},
		"after our reset":           {spdy.SPDY31, []spdy.Frame{syn(1, 0), rst(1), data(1, 0, fin)}, "had ended"},
		"crossing the peer's reset": {spdy.SPDY31, []spdy.Frame{syn(1, 0), nil, rst(1), nil, data(1, 1, 0)}, ""},
		"never opened":              {spdy.SPDY31, []spdy.Frame{data(1, 1, 0)}, "nobody opened"},
		"the peer's parity":         {spdy.SPDY31, []spdy.Frame{syn(2, 0)}, "parity"},
		"one too many":              {spdy.SPDY31, []spdy.Frame{nil, setting(spdy.SettingMaxConcurrentStreams, 1), nil, syn(1, 0), syn(3, 0)}, "2 streams are open"},
		"one after the other": {spdy.SPDY31, []spdy.Frame{nil, setting(spdy.SettingMaxConcurrentStreams, 1), nil, syn(1, fin), nil,
			&spdy.SynReplyFrame{StreamID: 1, Flags: fin}, nil, syn(3, 0)}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := said(t, test.version, test.exchange...).audit(true, strings.HasPrefix(name, "not told"))
			switch {
			case (err != nil) != (test.wrong != ""):
				t.Errorf("audit: %v, want %q", err, test.wrong)
			case err != nil && !strings.Contains(err.Error(), test.wrong):
				t.Errorf("audit: %v, want %q", err, test.wrong)
			}
		})
	}
}

// A framer that reads something else than we meant is found out.
func TestReadWithMoby(t *testing.T) {
	good := said(t, spdy.SPDY31,
		&spdy.SynStreamFrame{StreamID: 1, Priority: 3, Flags: spdy.FlagFin, Headers: spdy.HeaderBlock{{Name: ":path", Value: "/"}, {Name: "a", Value: "1\x002"}}},
		&spdy.SettingsFrame{Entries: []spdy.Setting{{ID: 4, Flags: 1, Value: 100}}},
		&spdy.PingFrame{ID: 1}, &spdy.RstStreamFrame{StreamID: 1, Status: spdy.RstCancel},
		&spdy.WindowUpdateFrame{StreamID: 1, Delta: 5}, &spdy.DataFrame{StreamID: 1, Data: []byte("x")},
		&spdy.GoAwayFrame{LastGoodStreamID: 2, Status: spdy.GoAwayOK})
	if err := readWithMoby(good, ours); err != nil {
		t.Error(err)
	}
	good.steps[2].frame = &spdy.PingFrame{ID: 3}
	if err := readWithMoby(good, ours); err == nil || !strings.Contains(err.Error(), "PING") {
		t.Errorf("a PING that was read differently: %v", err)
	}
}
