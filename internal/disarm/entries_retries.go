package main

// retryEntries are the defences against A27, a request that ends one session after another, and the
// client's defences against A28, a session that refuses requests.
var retryEntries = []entry{
	{
		attack: "A27", file: "receiver_control.go", pkg: "tests/retries",
		what: "a request that met an error GOAWAY is not sent again",
		old:  "	if s.end.farewell != nil && st.onWire {\n", new: "	if false {\n",
	},
	{
		attack: "A27", file: "retry.go", pkg: "tests/retries",
		what: "no request is sent again whose session an error GOAWAY ended",
		old:  "	if lost != nil && s.end.farewell == nil && proven", new: "	if lost != nil && proven",
	},
	{
		attack: "A27", file: "retry.go", pkg: "tests/retries",
		what: "a request that servers may have processed is sent again once",
		old:  " || o == outlookDoubtful && t.doubtful {", new: " {",
	},
	{
		attack: "A27", file: "retry.go", pkg: "tests/retries",
		what: "a request that a GOAWAY of SPDY/2 met is sent again once",
		old:  "		return outlookDoubtful // the GOAWAY", new: "		return outlookUnseen // the GOAWAY",
	},
	{
		attack: "A27", file: "retry.go", pkg: "tests/retries",
		what: "a request whose answer has begun is not sent again",
		old:  "	case st.answerBegunLocked(), asNotSPDY(err) != nil:", new: "	case asNotSPDY(err) != nil:",
	},
	{
		attack: "A27", file: "retry.go", pkg: "tests/retries",
		what: "a request that must not be repeated is not",
		old:  " && proven && isReplayable(req) {", new: " && proven {",
	},
	{
		attack: "A27", file: "retry.go", pkg: "tests/retries",
		what: "a new session that is lost takes no request with it to the next",
		old:  " && proven && isReplayable(req) {", new: " && (proven || true) && isReplayable(req) {",
	},
	{
		attack: "A27", file: "retry.go", pkg: "tests/retries",
		what: "tries are apart",
		old:  "	if tries > 1 {\n", new: "	if tries > 99 {\n",
	},
	{
		attack: "A27", file: "transport_configure.go", pkg: "tests/retries",
		what: "tries count while an http.Transport dials",
		old:  "triesKey{t}, sent))", new: "triesKey{t}, &tries{n: sent.n}))",
	},
	{
		attack: "A27", file: "retry.go", pkg: "tests/retries",
		what: "a proxy sends a refused request ten times",
		old:  "cmp.Or(t.most, maxTries)", new: "cmp.Or(10*t.most, maxTries)",
	},
	{
		attack: "A28", pkg: "tests/retries", file: "transport_refused.go",
		what: "requests pass over a session that has refused one",
		old:  "	return countOf(sessions, (*pooledSession).rests) > 0 && ", new: "	return false && ",
	},
	{
		attack: "A28", pkg: "tests/retries", file: "transport_refused.go",
		what: "a server that refuses everything gets no further connections",
		old:  " && useless < maxResting && ", new: " && useless >= 0 && ",
	},
	{
		attack: "A28", pkg: "tests/retries", file: "transport_refused.go",
		what: "a session that has refused a request is used again later",
		old:  "time.Since(*at) < refusalRest", new: "time.Since(*at) < 100*refusalRest",
	},
	{
		attack: "A28", pkg: "tests/retries", file: "transport_pool.go",
		what: "those who wait for another session take what there is",
		old:  "	for _, ps := range byRefusal(sessions) {\n		ps.admit()\n", new: "	for range sessions {\n",
	},
	{
		attack: "A28", pkg: "tests/retries", file: "transport_pool.go",
		what: "where no other session can be had, one that has refused is used",
		old:  "takeAny(sessions); ok { // no other", new: "takeAny(nil); ok { // no other",
	},
	{
		attack: "A28", pkg: "tests/retries", file: "transport.go",
		what: "nor beyond MaxConnsPerHost",
		old:  "t.host.MaxConnsPerHost <= 0 ||", new: "true ||",
	},
	{
		attack: "A28", pkg: "tests/retries", file: "transport_refused.go",
		what: "a slot that a refusal has freed waits for the dial",
		old:  "	if !ps.rests() || len(o.dials) == 0 && !p.spares(o.sessions) {\n", new: "	if true {\n",
	},
	{
		attack: "A28", pkg: "tests/retries", file: "transport_refused.go",
		what: "a dial that hangs is not waited for",
		old:  "	left := refusalWait - time.Since(since)\n", new: "	left := 100 * refusalWait\n",
	},
	{
		attack: "A28", pkg: "tests/retries", file: "receiver_control.go",
		what: "a refusal is noted before its slot is free",
		old:  "		s.pooled.noteRefusal()\n", new: "		defer s.pooled.noteRefusal()\n",
	},
	{
		attack: "A28", file: "transport_refused.go", pkg: "tests/retries",
		what: "those who have waited take slots of a session that rests",
		old:  "	return left > 0\n", new: "	return true\n",
		test: "^TestWaitersGetFreeSlots$",
	},
	{
		attack: "A28", file: "transport_refused.go", pkg: "tests/retries",
		what: "they are offered these slots",
		old:  "		p.lookLaterLocked(o, left)\n", new: "",
		test: "^TestWaitersGetFreeSlots$",
	},
	{
		attack: "A28", file: "transport_dials.go", pkg: "tests/retries",
		what: "a server that allows no streams gets few connections",
		old:  "; barren > 0 && barren+n >= maxResting {\n", new: "; barren < 0 {\n",
		test: "^TestNoStreamsAtPresent$",
	},
	{
		attack: "A28", file: "transport_session.go", pkg: "tests/retries",
		what: "and they end when they are idle",
		old:  "	if ps.barren() && !ps.alone && ", new: "	if false && ",
		test: "^TestNoStreamsAtPresent$",
	},
}
