package main

// retryEntries are the defences against A27: a request that ends one session after the
// other; and those of clients against A28: a session that refuses requests.
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
		old:  "	case st.answerBegunLocked():\n", new: "	case false:\n",
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
		old:  "	return 0 < resting && ", new: "	return false && ",
	},
	{
		attack: "A28", pkg: "tests/retries", file: "transport_refused.go",
		what: "a server that refuses everything gets no further connections",
		old:  " && resting < maxResting && ", new: " && ",
		also: []edit{{"transport_refused.go", "	maxResting  = 4\n", ""}},
	},
	{
		attack: "A28", pkg: "tests/retries", file: "transport_refused.go",
		what: "a session that has refused a request is used again later",
		old:  "time.Since(*at) < refusalRest", new: "time.Since(*at) < 100*refusalRest",
	},
	{
		attack: "A28", pkg: "tests/retries", file: "transport_refused.go",
		what: "those who wait for another session take what there is",
		old:  "	for _, ps := range sessions {\n		ps.admit()\n", new: "	for range sessions {\n",
	},
	{
		attack: "A28", pkg: "tests/retries", file: "transport_pool.go",
		what: "where no other session can be had, one that has refused is used",
		old:  "	if err != nil && ctx.Err() == nil {", new: "	if false {",
	},
	{
		attack: "A28", pkg: "tests/retries", file: "transport.go",
		what: "nor beyond MaxConnsPerHost",
		old:  "t.host.MaxConnsPerHost <= 0 ||", new: "true ||",
	},
	{
		attack: "A28", pkg: "tests/retries", file: "transport_pool.go",
		what: "a slot that a refusal has freed waits for the dial",
		old:  "o.dial != nil && time.Since(ps.refusedAt()) < refusalWait", new: "false && time.Since(ps.refusedAt()) < refusalWait",
	},
	{
		attack: "A28", pkg: "tests/retries", file: "transport_refused.go",
		what: "a dial that hangs is not waited for",
		old:  "	brief, cancel := context.WithTimeout(ctx, refusalWait)\n", new: "	brief, cancel := context.WithCancel(ctx)\n",
	},
	{
		attack: "A28", pkg: "tests/retries", file: "receiver_control.go",
		what: "a refusal is noted before its slot is free",
		old:  "		s.pooled.noteRefusal()\n", new: "		defer s.pooled.noteRefusal()\n",
	},
}
