package main

// healEntries are the defences against servers that fall silent (part of A28: slots blocked by a
// server that does not answer), and the defences of connections against a stopped process.
var healEntries = []entry{
	{
		attack: "A28", pkg: "tests/heal", test: "^TestBlackHole$", file: "suspicion.go",
		what: "a session that is silent becomes suspect",
		old:  "	s.pooled.suspect.Store(true)\n", new: "",
		also: []edit{{"suspicion.go", "	case s.silentLocked(w) || s.deafLocked(w):\n", "	case false:\n"}},
	},
	{
		attack: "A28", pkg: "tests/heal", test: "^TestImpatientUsers$|^TestLongPathUnanswered$", file: "suspicion.go",
		what: "a session is not suspect for those who leave in its first round trip",
		old:  "	if s.stats.leastTrip == 0 && ", new: "	if false && ",
	},
	{
		attack: "A28", pkg: "tests/heal", test: "^TestBlackHole$", file: "suspicion.go",
		what: "a session that is silent is retired, and ends",
		old:  "	case s.silentLocked(w) || s.deafLocked(w):\n", new: "	case false:\n",
		also: []edit{{"suspicion.go", "ps.isSuspect() || surplus && ps.wasSuspect", "surplus && false"}},
	},
	{
		attack: "A28", pkg: "tests/heal", test: "^TestAnyByteIsLife$", file: "suspicion.go",
		what: "any frame shows that a server is there",
		old:  "	return received == 0 || slow && s.framesLocked() == w.seen.frames\n", new: "	return received == 0 || slow || w != nil\n",
	},
	{
		attack: "A28", pkg: "tests/heal", test: "^TestDribbledFrame$", file: "suspicion.go",
		what: "a frame that arrives a byte at a time does not show that a server is there",
		old:  "	return received == 0 || slow && s.framesLocked() == w.seen.frames\n", new: "	return received == 0 && (slow || !slow)\n",
	},
	{
		attack: "A28", pkg: "tests/heal", test: "^TestSlowFrame$", file: "suspicion.go",
		what: "a frame that arrives slowly shows that a server is there",
		old:  "	return received == 0 || slow && s.framesLocked() == w.seen.frames\n", new: "	return received == 0 || (slow || !slow) && s.framesLocked() == w.seen.frames\n",
	},
	{
		attack: "A28", pkg: "tests/heal", test: "^TestAnyByteIsLife$", file: "resetslots.go",
		what: "a server that answers no PING is asked when another request is given up",
		old:  "		s.doubtLocked(st)\n", new: "",
	},
	{
		attack: "A28", pkg: "tests/heal", test: "^TestSuspectServerReturns$", file: "receiver.go",
		what: "a frame ends the suspicion",
		old:  "	if s.in.doubted.Load() {\n", new: "	if false {\n",
	},
	{
		attack: "A28", pkg: "tests/heal", test: "^TestBlackHole$", file: "transport_refused.go",
		what: "requests do not use a session that is suspect",
		old:  "return ps.isSuspect() || ps.refuses()", new: "return ps.refuses()",
		also: []edit{{"transport_refused.go", "	if ps.isSuspect() {\n		return true\n	}\n	since :=", "	since :="}},
	},
	{
		attack: "A28", pkg: "tests/heal", test: "^TestStuckConnection$", file: "suspicion.go",
		what: "requests that never left find a connection out",
		old:  "	if st.state.ours && st.waited() >= leastDoubt {\n", new: "	if false {\n",
	},
	{
		attack: "A28", pkg: "tests/heal", test: "^TestUploadIsNoSilence$", file: "resetslots.go",
		what: "an upload in front of the PING is no silence",
		old:  "	case s.uploadsLocked(w, acked):\n", new: "	case false && s.uploadsLocked(w, acked):\n",
	},
	{
		attack: "A28", pkg: "tests/heal", test: "^TestTrickleIsNoLife$", file: "suspicion.go",
		what: "a trickle into a dead connection is no sign of life",
		old:  "moves := s.writing && ", new: "moves := ",
	},
	{
		attack: "A28", pkg: "tests/heal", test: "^TestDeadDirection$", file: "suspicion.go",
		what: "a server that hears nothing is found out although it sends",
		old:  "s.silentLocked(w) || s.deafLocked(w):", new: "s.silentLocked(w):",
	},
	{
		attack: "A28", pkg: "tests/heal", test: "^TestWaitersDoubt$", file: "transport_pool.go",
		what: "requests that wait for a slot find a dead connection out",
		old:  "		p.doubt(o, time.Since(w.came))\n", new: "",
	},
	{
		attack: "A28", pkg: "tests/heal", test: "^TestBlackHoleOfOneConnection$", file: "suspicion.go",
		what: "a dead connection makes way for another one",
		old:  "	if ps.pool.crowded(ps.origin) {\n", new: "	if false && ps.pool.crowded(ps.origin) {\n",
	},
	{
		attack: "A28", pkg: "tests/heal", test: "^TestPauseAtConnLimit$", file: "suspicion.go",
		what: "a pause of the only connection that is allowed is no end of it",
		old:  "	case s.silentLocked(w) && s.pooled.staysLocked():\n", new: "	case false:\n",
		also: []edit{{"suspicion.go", "	case s.pooled.staysLocked():\n", "	case false:\n"}},
	},
	{
		attack: "A28", pkg: "tests/heal", test: "^TestLongQueueAtConnLimit$", file: "suspicion.go",
		what: "a long queue in front of an echo is no end of the only connection that is allowed",
		old:  "	case s.pooled.staysLocked():\n", new: "	case false:\n",
	},
	{
		attack: "A28", pkg: "tests/heal", test: "^TestManyDeadBelowConnLimit$", file: "transport_refused.go",
		what: "requests do not use dead connections, however many there are",
		old:  " && !ps.lost.Load()", new: "",
	},
	{
		attack: "A28", pkg: "tests/heal", test: "^TestPausesBelowConnLimit$", file: "suspicion.go",
		what: "pauses take no connection from those that are allowed",
		old:  "	if ps.isSuspect() && !surplus && ps.staysLocked() {\n", new: "	if false {\n",
	},
	{
		attack: "A28", pkg: "tests/heal", test: "^TestSessionsPerHostStayLimited$", file: "suspicion.go",
		what: "a session that is suspect makes room for another one",
		old:  "len(sessions) - countOf(sessions, (*pooledSession).isSuspect))", new: "len(sessions))",
		also: []edit{{"suspicion.go", "	case s.silentLocked(w) || s.deafLocked(w):\n", "	case false:\n"}},
	},
	{
		attack: "A28", test: "^TestStoppedWaitForResets$", file: "resetslots.go",
		what: "a process that was stopped waits for the echo once more",
		old:  "	case wasFrozen(late):\n", new: "	case false:\n",
	},
	{
		attack: "A28", test: "^TestStoppedKeepalive$", file: "keepalive.go",
		what: "a process that was stopped waits for the answer to its PING once more",
		old:  "wasFrozen(time.Duration(late)) {\n", new: "wasFrozen(min(0, time.Duration(late))) {\n",
	},
	{
		attack: "A28", test: "^TestStoppedDelivery$", file: "delivery.go",
		what: "the time in which a process is stopped is no silence of its peer",
		old:  "	if late := now.Sub(d.looks); wasFrozen(late) {\n", new: "	if late := now.Sub(d.looks); late > 0 && false {\n",
	},
	{
		attack: "A28", test: "^TestStoppedGiveUp$", file: "frozen.go",
		what: "a process that was stopped gives its peers more time",
		old:  "	case wasFrozen(now.Sub(g.due)):\n", new: "	case false:\n",
	},
	{
		attack: "A28", test: "^TestIdleBySleep$", file: "transport_session.go",
		what: "idle ages count by the wall clock",
		old:  "	case ps.staleLocked():\n", new: "	case false:\n",
	},
	{
		attack: "A28", test: "^TestSleepWithoutLimit$", file: "transport_session.go",
		what: "a session has to show that it is alive after a sleep",
		old:  "	case ps.used && ps.unused && sleptSince(ps.since):\n", new: "	case false:\n",
	},
}
