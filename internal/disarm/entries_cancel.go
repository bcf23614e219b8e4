package main

// cancelEntries are the defences against A28: streams cancelled by the peer or by us, and frames
// that arrive for cancelled streams.
var cancelEntries = []entry{
	{
		attack: "A28", pkg: "tests/cancel", file: "receiver.go",
		what: "late DATA on streams that we reset is dropped in silence",
		old:  "	case s.finished.remove(id): // SPEC D7\n", new: "	case true:\n",
	},
	{
		attack: "A28", pkg: "tests/cancel", file: "receiver.go",
		what: "DATA after FIN is answered once",
		old:  "	case s.finished.remove(id): // SPEC D7\n", new: "	case slices.Contains(s.finished.ids[:], id):\n",
		also: []edit{{"receiver.go", "		s.finished.remove(id)\n", ""}},
	},
	{
		attack: "A28", pkg: "tests/cancel", file: "receiver.go",
		what: "DATA on a stream that was never opened is answered once",
		old:  "	case neverOpened && s.firstAnswerLocked(id): // SPEC D1, R4, R8, X3\n", new: "	case neverOpened:\n",
	},
	{
		attack: "A28", pkg: "tests/cancel", file: "receiver.go",
		what: "late DATA is not charged",
		old:  "	if h.length == 0 && !(fin && s.floods.expected()) {\n", new: "	if !(fin && s.floods.expected()) {\n",
	},
	{
		attack: "A28", pkg: "tests/cancel", file: "receiver.go",
		what: "the FIN of a stream that we reset is not charged",
		old:  "	if h.length == 0 && !(fin && s.floods.expected()) {\n", new: "	if fin = fin && h.length > 0; h.length == 0 && !fin {\n",
	},
	{
		attack: "A28", pkg: "tests/cancel", file: "receiver.go",
		what: "the credit of late DATA is returned",
		old:  "	s.credit(int64(n))\n	return nil\n}\n\n// strayData", new: "	return nil\n}\n\n// strayData",
	},
	{
		attack: "A28", pkg: "tests/cancel", file: "receiver_control.go",
		what: "RST_STREAM that crosses ours is not charged",
		old:  "		if s.floods.expected() { // the peer sent it before our RST_STREAM arrived\n", new: "		if false {\n",
	},
	{
		attack: "A28", pkg: "tests/cancel", file: "receiver_control.go",
		what: "the PING behind the RST_STREAM of a refused stream is not charged",
		old:  "		if s.floods.expected() { // after", new: "		if false { // after",
	},
	{
		attack: "A28", pkg: "tests/cancel", file: "receiver_headers.go",
		what: "late header blocks are not charged",
		old:  "	case s.floods.expected():\n", new: "	case false:\n",
	},
	{
		attack: "A28", pkg: "tests/cancel", file: "floods.go",
		what: "header blocks for streams that were never opened are charged",
		old:  "	if f.late.Load() == 0 {\n", new: "	if false {\n",
	},
	{
		attack: "A28", pkg: "tests/cancel", file: "receiver_headers.go",
		what: "a stream within the peer's own count is taken while handlers run for cancelled streams",
		old:  " && s.handlers == nil: // ended", new: ": // ended",
	},
	{
		attack: "A28", pkg: "tests/cancel", file: "handlerqueue.go",
		what: "no more handlers run than the limit",
		old:  "	if q.running < q.limit {\n", new: "	if true {\n",
	},
	{
		attack: "A28", pkg: "tests/cancel", file: "handlerqueue.go",
		what: "handlers of pushes count",
		old:  "	if q.running >= q.limit || q.pushing >= q.limit/2 {\n", new: "	if false {\n",
	},
	{
		attack: "A28", pkg: "tests/cancel", file: "handlerqueue.go",
		what: "and leave half of the limit to requests",
		old:  " || q.pushing >= q.limit/2 {\n", new: " {\n",
	},
	{
		attack: "A28", pkg: "tests/cancel", file: "streams.go",
		what: "a stream forgets pushes that have ended",
		old:  "		if delete(parent.pushes, st); len(parent.pushes) == 0 {\n", new: "		if false {\n",
	},
	{
		attack: "A28", pkg: "tests/cancel", file: "handlerqueue.go",
		what: "a handler that returns makes way for the next",
		old:  "	first := q.waiting.Front()\n", new: "	first := (*list.Element)(nil)\n",
	},
	{
		attack: "A28", pkg: "tests/cancel", file: "handlerqueue.go",
		what: "streams get their handlers in turn",
		old:  "q.waiting.PushBack(st)", new: "q.waiting.PushFront(st)",
	},
	{
		attack: "A28", pkg: "tests/cancel", file: "handlerqueue.go",
		what: "a stream that is cancelled while it waits leaves the queue",
		old:  "	case st.waits != nil:\n", new: "	case false:\n",
	},
	{
		attack: "A28", pkg: "tests/cancel", file: "handlerqueue.go",
		what: "the body of a stream that is cancelled while it waits is credited",
		old:  "		s.creditLocked(st.in.discard())\n", new: "",
	},
	{
		attack: "A28", pkg: "tests/cancel", file: "floods.go",
		what: "a stream that is cancelled while it waits is not charged",
		old:  " || st.waits != nil ||", new: " ||",
	},
	{
		attack: "A28", pkg: "tests/cancel", file: "receiver_headers.go",
		what: "what cancelled streams left unread makes way for the windows of others",
		old:  "	s.backLocked()\n", new: "",
	},
	{
		attack: "A28", pkg: "tests/cancel", file: "handlerqueue.go",
		what: "what the reply to HEAD has left unread does not",
		old:  " && !st.cameToEndLocked():\n", new: ":\n",
	},
	{
		attack: "A28", pkg: "tests/cancel", file: "handlerqueue.go",
		what: "the context of a handler ends behind a stream that has ended",
		old:  "		s.limitLateLocked(st)\n", new: "",
	},
	{
		attack: "A28", pkg: "tests/cancel", file: "handlerqueue.go",
		what: "and at once if another stream needs the slot",
		old:  "		late = s.handlers.popLateLocked()\n", new: "",
	},
	{
		attack: "A28", pkg: "tests/cancel", file: "exchange.go",
		what: "then writes for HEAD fail",
		old:  "	if !x.begun || x.req.Context().Err() == nil || !latched(st.done) {\n", new: "	if true {\n",
	},
	{
		attack: "A28", pkg: "tests/cancel", file: "handlerqueue.go",
		what: "WriteTimeout counts while a stream waits",
		old:  "	if patience > 0 {\n", new: "	if false {\n",
	},
	{
		attack: "A28", pkg: "tests/cancel", file: "receiver_headers.go",
		what: "a peer is not charged for what is in a header block, nor for its size",
		old:  "		return bad, false\n", new: "		return bad, true\n",
	},
	{
		attack: "A28", pkg: "tests/cancel", file: "streams.go",
		what: "nor when the stream is open",
		old:  "	s.wasteLocked(st)\n", new: "	s.floods.violationLocked()\n",
	},
	{
		attack: "A28", pkg: "tests/cancel", file: "streams.go",
		what: "handlers of spoilt streams count as those of cancelled ones",
		old:  "	s.wasteLocked(st)\n", new: "",
	},
	{
		attack: "A28", pkg: "tests/cancel", file: "receiver_headers.go",
		what: "a peer is not charged for streams beyond a limit that it may not know",
		old:  "more than %d streams\", limit), s.limitKnownLocked()\n", new: "more than %d streams\", limit), true\n",
	},
	{
		attack: "A28", pkg: "tests/cancel", file: "receiver_headers.go",
		what: "nor for pushes before it can know that none are taken",
		old:  "	return s.limitKnownLocked()\n", new: "	return true\n",
	},
	{
		attack: "A28", pkg: "tests/cancel", file: "receiver_headers.go",
		what: "but it is for those that follow",
		old:  "	return s.limitKnownLocked()\n", new: "	return s.limitKnownLocked() && false\n",
	},
	{
		attack: "A28", pkg: "tests/cancel", file: "limitproof.go",
		what: "a long path has time for the SETTINGS",
		old:  "max(limitWait, limitTrips*p.trip)", new: "limitWait",
	},
	{
		attack: "A28", pkg: "tests/cancel", file: "limitproof.go",
		what: "SYN_STREAMs that the echo has overtaken are not charged",
		old:  "max(limitWait, limitTrips*p.trip)", new: "0",
	},
	{
		attack: "A28", pkg: "tests/cancel", file: "limitproof.go",
		what: "a peer that does not answer the PING is charged in the end",
		old:  "		return time.Since(p.asked) >= limitMute\n", new: "		return false\n",
	},
	{
		attack: "A28", pkg: "tests/cancel", file: "receiver_headers.go",
		what: "a peer is charged for streams beyond the limit that it knows",
		old:  "more than %d streams\", limit), s.limitKnownLocked()\n", new: "more than %d streams\", limit), false\n",
	},
	{
		attack: "A28", pkg: "tests/cancel", file: "receiver_headers.go",
		what: "streams are refused while ResetBurst handlers run for cancelled streams",
		old:  "	case s.floods.wasted >= s.conf.ResetBurst:\n", new: "	case false:\n",
	},
	{
		attack: "A28", pkg: "tests/cancel", file: "floods.go",
		what: "a cancelled stream is not charged when its handler has returned",
		old:  "		f.wasted--\n", new: "",
	},
	{
		attack: "A28", pkg: "tests/cancel", file: "floods.go",
		what: "a cancelled stream does not use up the budget of violations",
		old:  "	if s.wasteLocked(st) {\n		s.floods.charged++\n", new: "	if s.wasteLocked(st) {\n		s.floods.violationLocked()\n",
	},
	{
		attack: "A28", pkg: "tests/cancel", file: "receiver_headers.go",
		what: "a peer that has broken too many rules is refused streams",
		old:  "	case s.floods.overLocked():\n", new: "	case false:\n",
	},
	{
		attack: "A28", pkg: "tests/cancel", file: "floods.go",
		what: "streams are refused before the session ends",
		old:  "f.resets.left < -int64(f.conf.ResetBurst)\n", new: "true\n",
	},
	{
		attack: "A28", pkg: "tests/cancel", file: "floods.go",
		what: "the session of a rule breaker ends",
		old:  "f.resets.left < -int64(f.conf.ResetBurst)\n", new: "false\n",
	},
	{
		attack: "A28", pkg: "tests/cancel", file: "floods.go",
		what: "the budget of a rule breaker refills",
		old:  "		gain = int64(passed.Seconds() * float64(rate))\n", new: "		gain = 0\n",
	},
	{
		attack: "A28", pkg: "tests/cancel", file: "streams.go",
		what: "the slot of a cancelled stream waits",
		old:  "	case st.wasReset:\n", new: "	case false:\n",
	},
	{
		attack: "A28", pkg: "tests/cancel", file: "resetslots.go",
		what: "the echo of the PING frees slots",
		old:  "	if id == r.ping && id != 0 {\n", new: "	if false {\n",
	},
	{
		attack: "A28", pkg: "tests/cancel", file: "resetslots.go",
		what: "the response to a later stream frees slots",
		old:  "r.ping != 0 && s.isOurs(id) && id >= r.next {\n", new: "false {\n		_ = r\n",
	},
	{
		attack: "A28", pkg: "tests/cancel", file: "resetslots.go",
		what: "the response to an earlier stream frees none",
		old:  "r.ping != 0 && s.isOurs(id) && id >= r.next {\n", new: "r.ping != 0 {\n",
	},
	{
		attack: "A28", pkg: "tests/cancel", file: "resetslots.go",
		what: "the wait for the echo ends",
		old:  "		r.wait = &resetWait{timer: time.AfterFunc(first, s.giveUpResets)}\n", new: "		r.wait = &resetWait{timer: time.AfterFunc(100*first, s.giveUpResets)}\n",
	},
	{
		attack: "A28", pkg: "tests/cancel", file: "resetslots.go",
		what: "the wait for the echo is as long as the path needs",
		old:  "max(resetSlotWait, resetSlotTrips*s.stats.roundTrip)", new: "max(resetSlotWait, s.stats.roundTrip)",
	},
	{
		attack: "A28", pkg: "tests/cancel", file: "resetslots.go",
		what: "a server that answers no PING is not waited for again",
		old:  "		r.mute = !r.heard\n", new: "		r.mute = false\n",
	},
	{
		attack: "A28", pkg: "tests/cancel", file: "resetslots.go",
		what: "a server that begins to answer PINGs is waited for again",
		old:  "	r.heard, r.mute = true, false\n", new: "	r.heard = true\n",
	},
	{
		attack: "A28", pkg: "tests/cancel", file: "resetslots.go",
		what: "a server that answers no PING is not waited for in between",
		old:  "		n += r.fresh\n		r.fresh = 0\n", new: "		n += 0\n",
	},
	{
		attack: "A28", pkg: "tests/cancel", file: "resetslots.go",
		what: "one PING asks for many resets",
		old:  "	if r.fresh++; r.ping == 0 {\n", new: "	if r.fresh++; true {\n",
	},
	{
		attack: "A28", pkg: "tests/cancel", file: "resetslots.go",
		what: "the next PING is sent at once",
		old:  "	s.ringLocked()\n	wait :=", new: "	wait :=",
	},
	{
		attack: "A28", pkg: "tests/cancel", file: "resetslots.go",
		what: "held slots do not keep a session",
		old:  "return s.ourStreams - s.resetSlots.held() }", new: "return s.ourStreams }",
	},
}
